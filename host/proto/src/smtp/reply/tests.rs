use super::*;
use bytes::BytesMut;

fn wire(reply: &Reply) -> String {
    let mut out = BytesMut::new();
    reply.encode(&mut out);
    String::from_utf8(out.to_vec()).expect("UTF-8")
}

#[test]
fn every_line_carries_code_and_enhanced_code() {
    let (reply, flaws) = Reply::from_policy(Refusal::Permanent, 554, "5.7.9", "first\nsecond\r\nthird");
    assert_eq!(flaws, []);
    assert_eq!(
        wire(&reply),
        "554-5.7.9 first\r\n554-5.7.9 second\r\n554 5.7.9 third\r\n"
    );
}

#[test]
fn an_empty_challenge_keeps_its_space() {
    // RFC 4954 §4: `334 ` and nothing.
    assert_eq!(wire(&Reply::challenge(String::new())), "334 \r\n");
}

#[test]
fn a_policys_reply_of_the_wrong_class_is_mended_and_named() {
    let cases = [
        (Refusal::Permanent, 450, "", 550, "5.7.1", vec![Flaw::Code]),
        (Refusal::Permanent, 200, "5.1.1", 550, "5.1.1", vec![Flaw::Code]),
        (
            Refusal::Transient,
            550,
            "5.7.1",
            451,
            "4.7.1",
            vec![Flaw::Code, Flaw::Enhanced],
        ),
        (Refusal::Transient, 452, "4.2.2", 452, "4.2.2", vec![]),
        (Refusal::Transient, 499, "", 499, "4.7.1", vec![]),
        (Refusal::Either, 552, "5.2.2", 552, "5.2.2", vec![]),
        (Refusal::Either, 452, "", 452, "4.7.1", vec![]),
        (
            Refusal::Either,
            250,
            "2.0.0",
            451,
            "4.7.1",
            vec![Flaw::Code, Flaw::Enhanced],
        ),
        (
            Refusal::Permanent,
            599,
            "5.1000.1",
            599,
            "5.7.1",
            vec![Flaw::Enhanced],
        ),
        (Refusal::Permanent, 600, "", 550, "5.7.1", vec![Flaw::Code]),
        (Refusal::Permanent, 550, "5.7", 550, "5.7.1", vec![Flaw::Enhanced]),
        (
            Refusal::Permanent,
            550,
            "5.7.1.1",
            550,
            "5.7.1",
            vec![Flaw::Enhanced],
        ),
        (
            Refusal::Permanent,
            550,
            "5.+7.1",
            550,
            "5.7.1",
            vec![Flaw::Enhanced],
        ),
    ];
    for (refusal, code, enhanced, want_code, want_enhanced, want_flaws) in cases {
        let (reply, flaws) = Reply::from_policy(refusal, code, enhanced, "no");
        assert_eq!(reply.code(), want_code, "{code} {enhanced}");
        assert_eq!(
            reply.enhanced().expect("always one").to_string(),
            want_enhanced,
            "{code} {enhanced}"
        );
        assert_eq!(flaws, want_flaws, "{code} {enhanced}");
    }
}

#[test]
fn a_policys_text_cannot_break_out_of_its_reply() {
    let (reply, flaws) = Reply::from_policy(Refusal::Permanent, 550, "", "a\rb\0c\u{85}d");
    assert_eq!(flaws, [Flaw::Text]);
    assert_eq!(wire(&reply), "550 5.7.1 a b c d\r\n");
}

#[test]
fn a_policys_text_is_bounded_in_width_and_height() {
    let (fits, flaws) = Reply::from_policy(Refusal::Permanent, 550, "", &"x".repeat(LINE));
    assert_eq!((wire(&fits).len(), flaws), (10 + LINE + 2, vec![]));
    let (cut, flaws) = Reply::from_policy(Refusal::Permanent, 550, "", &"x".repeat(LINE + 1));
    assert_eq!((wire(&cut).len(), flaws), (10 + LINE + 2, vec![Flaw::Text]));
    let (fits, flaws) = Reply::from_policy(Refusal::Permanent, 550, "", &"x\n".repeat(10));
    assert_eq!((fits.lines().count(), flaws), (10, vec![]));
    let (cut, flaws) = Reply::from_policy(Refusal::Permanent, 550, "", &"x\n".repeat(11));
    assert_eq!((cut.lines().count(), flaws), (10, vec![Flaw::Text]));
}

#[test]
fn a_policy_without_words_gets_ours() {
    let (reply, flaws) = Reply::from_policy(Refusal::Transient, 450, "", " \n");
    assert_eq!((reply.text(), flaws), (Reply::policy_deferred().text(), vec![]));
}

#[test]
fn non_ascii_is_replaced_for_clients_that_cannot_read_it() {
    let (reply, _) = Reply::from_policy(Refusal::Permanent, 550, "", "désolé");
    assert_eq!(reply.text(), "désolé");
    assert_eq!(reply.into_ascii().text(), "d?sol?");
}
