use super::*;
use crate::pop3::{Form, Message};

fn encoded(reply: &Reply) -> String {
    let mut out = Vec::new();
    reply.encode(&mut out);
    String::from_utf8(out).unwrap()
}

fn maildrop(count: u64) -> Maildrop {
    let message = |number: u64| Message {
        size: number,
        downgraded_size: number + 1,
        uidl: UniqueId::Text(format!("u{number}").into()),
    };
    Maildrop::new((1..=count).map(message).collect(), Form::Utf8)
}

#[test]
fn each_status_has_its_own_beginning() {
    let replies = [
        (Reply::noop(), "+OK still here\r\n", true, None),
        (Reply::challenge(b"a"), "+ YQ==\r\n", true, None),
        (Reply::challenge(b""), "+ \r\n", true, None),
        (Reply::unknown_command(), "-ERR unknown command\r\n", false, None),
        (
            Reply::login_failed(),
            "-ERR [AUTH] authentication failed\r\n",
            false,
            Some("AUTH"),
        ),
    ];
    for (reply, text, positive, code) in replies {
        assert_eq!(encoded(&reply), text);
        assert_eq!(reply.is_positive(), positive, "{text}");
        assert_eq!(reply.code(), code, "{text}");
    }
}

#[test]
fn a_listing_ends_with_a_dot_even_when_it_is_empty() {
    assert_eq!(
        encoded(&Reply::unique_ids(&maildrop(0))),
        "+OK unique ids follow\r\n.\r\n"
    );
    assert_eq!(
        encoded(&Reply::scan_all(&maildrop(2))),
        "+OK 2 messages (3 octets)\r\n1 1\r\n2 2\r\n.\r\n"
    );
}

#[test]
fn a_unique_id_is_a_text_or_a_number_in_base32() {
    let message = |uidl| Message {
        size: 1,
        downgraded_size: 1,
        uidl,
    };
    let messages = [UniqueId::Number([255; 16]), UniqueId::Text("old-1".into())].map(message);
    assert_eq!(
        Reply::unique_id(1, &messages[0].uidl).text(),
        "1 7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    );
    let maildrop = Maildrop::new(messages.to_vec(), Form::Utf8);
    assert_eq!(
        encoded(&Reply::unique_ids(&maildrop)),
        "+OK unique ids follow\r\n1 7ZZZZZZZZZZZZZZZZZZZZZZZZZ\r\n2 old-1\r\n.\r\n"
    );
}

#[test]
fn the_last_word_keeps_its_reason_and_its_code() {
    let last = Reply::login_failed().too_many_errors();
    assert_eq!(
        encoded(&last),
        "-ERR [AUTH] authentication failed; too many errors, bye\r\n"
    );
    assert_eq!(last.code(), Some("AUTH"));
}

#[test]
fn one_is_one_message() {
    assert_eq!(Reply::removed(1).text(), "bye, 1 message deleted");
    assert_eq!(Reply::removed(2).text(), "bye, 2 messages deleted");
    assert_eq!(Reply::opened(&maildrop(0)).text(), "0 messages (0 octets)");
}

/// RFC 1939 §7: a timestamp in angle brackets would announce APOP.
#[test]
fn the_greeting_announces_no_apop() {
    let greeting = Reply::greeting("mx.example.org");
    assert!(!greeting.text().contains(['<', '>']), "{}", greeting.text());
}
