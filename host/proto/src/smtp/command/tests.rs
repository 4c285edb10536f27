use super::*;

fn said(line: &str) -> Option<(Verb, &str)> {
    match read(line.as_bytes()) {
        Said::Command(row, argument) => Some((row.verb, argument)),
        _ => None,
    }
}

#[test]
fn verbs_are_found_in_any_case_and_white_space_at_the_end_is_dropped() {
    assert_eq!(said("QUIT"), Some((Verb::Quit, "")));
    assert_eq!(said("quit \t "), Some((Verb::Quit, "")));
    assert_eq!(said("mAiL FROM:<>  "), Some((Verb::Mail, "FROM:<>")));
    assert_eq!(said("EHLO  a.example"), Some((Verb::Ehlo, "a.example")));
}

#[test]
fn a_verb_is_a_whole_word() {
    assert_eq!(read(b"QUITS"), Said::Unknown);
    assert_eq!(read(b"QUI"), Said::Unknown);
    assert_eq!(read(b" QUIT"), Said::Unknown);
    assert_eq!(read(b""), Said::Unknown);
}

#[test]
fn a_line_may_be_as_long_as_its_verb_allows_and_no_longer() {
    for (verb, bound) in [("NOOP", 512), ("MAIL", 2048), ("RCPT", 2048), ("AUTH", 12_288)] {
        let line = format!("{verb} {}", "x".repeat(bound - verb.len() - 3));
        assert!(matches!(read(line.as_bytes()), Said::Command(..)), "{verb}");
        let longer = format!("{line}x");
        assert!(matches!(read(longer.as_bytes()), Said::TooLong(row) if row.name == verb));
    }
}

#[test]
fn control_characters_and_octets_that_are_no_utf8_are_unclean() {
    assert_eq!(read(b"NOOP \x01"), Said::Unclean);
    assert_eq!(read(b"NOOP \x7f"), Said::Unclean);
    assert_eq!(read(b"NOOP \xff"), Said::Unclean);
    assert!(said("NOOP a\tb").is_some());
    assert!(said("NOOP ü").is_some());
}

#[test]
fn http_is_foreign_and_so_is_a_tls_handshake() {
    assert_eq!(read(b"GET / HTTP/1.1"), Said::Foreign);
    assert_eq!(read(b"POST /x HTTP/1.1"), Said::Foreign);
    assert_eq!(read(b"GETS"), Said::Unknown);
}

#[test]
fn hello_names_are_one_word_that_fits_a_trace_header() {
    for good in [
        "a.example",
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "my_laptop",
        "localhost",
    ] {
        assert_eq!(hello_name(good), Some(good));
    }
    for bad in ["", "a b", "a(b)", "a;b", "<a>", "ü.example", "a\"b", "a@b"] {
        assert_eq!(hello_name(bad), None, "{bad}");
    }
    assert!(hello_name(&"a".repeat(255)).is_some());
    assert!(hello_name(&"a".repeat(256)).is_none());
}

#[test]
fn chunks_have_a_size_and_perhaps_last() {
    assert_eq!(chunk("0"), Some((0, Place::Between)));
    assert_eq!(chunk("86 last"), Some((86, Place::Last)));
    assert_eq!(chunk("18446744073709551615 LAST"), Some((u64::MAX, Place::Last)));
    for bad in [
        "",
        "LAST",
        "-1",
        "+1",
        "1x",
        "1 LAST x",
        "1 FIRST",
        "18446744073709551616",
    ] {
        assert_eq!(chunk(bad), None, "{bad}");
    }
}

#[test]
fn auth_takes_a_mechanism_and_an_initial_response() {
    assert_eq!(auth("plain"), Auth::Start(Mechanism::Plain, None));
    assert_eq!(auth("PLAIN ="), Auth::Start(Mechanism::Plain, Some(Vec::new())));
    assert_eq!(
        auth("LOGIN YW5u"),
        Auth::Start(Mechanism::Login, Some(b"ann".to_vec()))
    );
    assert_eq!(auth("PLAIN YW5"), Auth::Malformed);
    assert_eq!(auth("NTLM"), Auth::UnknownMechanism);
    assert_eq!(auth(""), Auth::Syntax);
    assert_eq!(auth("PLAIN = ="), Auth::Syntax);
}
