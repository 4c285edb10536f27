use super::subject::{encoded, tagged};
use super::*;

fn settings(json: &str) -> Settings {
    settings::parse(json).unwrap()
}

/// A message from outside: not authenticated, sent by `bob@shop.example`.
fn tags<'a>(settings: &'a Settings, session_tags: &[&str], headers: &[(&str, &str)]) -> Vec<&'a str> {
    let session_tags: Vec<String> = session_tags.iter().map(|&tag| tag.to_owned()).collect();
    settings.tags(&Mail {
        authenticated: false,
        sender: "bob@shop.example",
        tags: &session_tags,
        size: &|| 0,
        names: &Vec::new,
        known: Known::default(),
        header: &|wanted| {
            let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| (*value).to_owned())
        },
        raw: &|wanted| {
            let found = headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.as_bytes().to_vec()).collect()
        },
    })
}

#[test]
fn a_rule_without_condition_always_holds() {
    let settings = settings(r#"{"rules": [{"tag": "[A]"}, {"tag": " [B] "}]}"#);
    assert_eq!(tags(&settings, &[], &[]), ["[A]", "[B]"]);
}

#[test]
fn authentication_decides_what_is_external() {
    let external = settings(r#"{"rules": [{"tag": "[EXT]", "when": {"authenticated": false}}]}"#);
    assert_eq!(tags(&external, &[], &[]), ["[EXT]"]);
    let internal = settings(r#"{"rules": [{"tag": "[INT]", "when": {"authenticated": true}}]}"#);
    assert!(tags(&internal, &[], &[]).is_empty());
}

#[test]
fn sender_domains_match_by_pattern_and_by_exception() {
    let rule = |when: &str| settings(&format!(r#"{{"rules": [{{"tag": "[X]", "when": {when}}}]}}"#));
    for when in [
        r#"{"sender_domain": "shop.example"}"#,
        r#"{"sender_domain": ["other.example", "*.EXAMPLE"]}"#,
        r#"{"not_sender_domain": ["example", "*.shop.example"]}"#,
    ] {
        assert_eq!(tags(&rule(when), &[], &[]), ["[X]"], "{when}");
    }
    for when in [
        r#"{"sender_domain": "example"}"#,
        r#"{"sender_domain": []}"#,
        r#"{"not_sender_domain": "shop.*"}"#,
        r#"{"sender_domain": "shop.example", "authenticated": true}"#,
    ] {
        assert!(tags(&rule(when), &[], &[]).is_empty(), "{when}");
    }
}

#[test]
fn headers_and_labels_of_earlier_policies_are_conditions() {
    let bulk = settings(
        r#"{"rules": [{"tag": "[BULK]", "when": {"header": {"Precedence": "bulk", "List-Id": "*"}}}]}"#,
    );
    assert_eq!(
        tags(&bulk, &[], &[("list-id", "<a.b>"), ("precedence", " Bulk ")]),
        ["[BULK]"]
    );
    assert!(
        tags(&bulk, &[], &[("precedence", "bulk")]).is_empty(),
        "one of two is missing"
    );
    let labelled = settings(r#"{"rules": [{"tag": "[?]", "when": {"session_tag": ["odd", "new"]}}]}"#);
    assert_eq!(tags(&labelled, &["new"], &[]), ["[?]"]);
    assert!(tags(&labelled, &["newer"], &[]).is_empty());
}

#[test]
fn a_tag_is_put_once() {
    for subject in [
        "[EXTERNAL] Offer",
        "[external] Offer",
        "Re: [EXTERNAL] Offer",
        "AW: Fwd: [EXTERNAL] Offer",
        "Re[2]: [EXTERNAL] Offer",
        "[list] Re: [EXTERNAL] Offer",
        "回复：[EXTERNAL] Offer",
        "[EXTERNAL]",
    ] {
        assert_eq!(
            tagged(&["[EXTERNAL]"], subject.as_bytes(), subject),
            None,
            "{subject}"
        );
    }
}

#[test]
fn a_tag_elsewhere_in_the_subject_does_not_count() {
    for subject in [
        "Offer [EXTERNAL]",
        "Important: [EXTERNAL] Offer",
        "a b: [EXTERNAL]",
        ": [EXTERNAL]",
        "[EXTERNAL",
        "[a bracket that never ends and therefore is none [EXTERNAL] x",
    ] {
        let expected = format!("[EXTERNAL] {subject}");
        assert_eq!(
            tagged(&["[EXTERNAL]"], subject.as_bytes(), subject),
            Some(expected)
        );
    }
}

#[test]
fn only_missing_tags_are_added() {
    let subject = "[A] Hello";
    assert_eq!(
        tagged(&["[A]", "[B]"], subject.as_bytes(), subject).as_deref(),
        Some("[B] [A] Hello")
    );
    let subject = "[B] [A] Hello";
    assert_eq!(tagged(&["[A]", "[B]"], subject.as_bytes(), subject), None);
    assert_eq!(tagged(&[], b"Hello", "Hello"), None);
}

#[test]
fn an_encoded_subject_stays_as_it_was_written() {
    let raw = b"=?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?utf-8?B?IQ==?=";
    let expected = "[X] =?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?utf-8?B?IQ==?=";
    assert_eq!(tagged(&["[X]"], raw, "Grüße!").as_deref(), Some(expected));
    assert_eq!(
        tagged(&["[X]"], b"=?utf-8?B?W1hdIEhp?=", "[X] Hi"),
        None,
        "tagged inside the encoding"
    );
}

#[test]
fn unencoded_utf_8_stays_and_other_octets_are_encoded() {
    assert_eq!(
        tagged(&["[X]"], "Grüße".as_bytes(), "Grüße").as_deref(),
        Some("[X] Grüße")
    );
    assert_eq!(
        tagged(&["[X]"], b"Gr\xfc\xdfe", "Grüße").as_deref(),
        Some("[X] =?utf-8?Q?Gr=C3=BC=C3=9Fe?=")
    );
}

#[test]
fn a_tag_that_is_not_ascii_is_encoded_with_the_space_that_would_vanish() {
    assert_eq!(
        tagged(&["[É]"], b"Hi", "Hi").as_deref(),
        Some("=?utf-8?Q?=5B=C3=89=5D?= Hi")
    );
    let before_word = tagged(&["[É]"], b"=?utf-8?Q?=C3=BC?=", "ü");
    assert_eq!(
        before_word.as_deref(),
        Some("=?utf-8?Q?=5B=C3=89=5D_?= =?utf-8?Q?=C3=BC?=")
    );
    assert_eq!(
        tagged(&["[É]"], b"", "").as_deref(),
        Some("=?utf-8?Q?=5B=C3=89=5D?=")
    );
}

#[test]
fn a_missing_subject_becomes_the_tag_alone() {
    assert_eq!(tagged(&["[X]"], b"", "").as_deref(), Some("[X]"));
    assert_eq!(tagged(&["[X]"], b" \r\n", " ").as_deref(), Some("[X]"));
}

#[test]
fn encoded_words_keep_to_75_characters_and_whole_characters() {
    let text = "日本語の件名はとても長いことがあります。".repeat(3);
    for word in encoded(&text).split(' ') {
        assert!(word.len() <= 75, "{word}");
    }
    assert_eq!(encoded(&"a".repeat(63)).split(' ').count(), 1);
    assert_eq!(encoded(&"a".repeat(64)).split(' ').count(), 2);
}

#[test]
fn settings_are_checked_when_loaded() {
    let check = |tag: &str| {
        let rule = Rule {
            tag: tag.to_owned(),
            when: Condition::default(),
        };
        Settings { rules: vec![rule] }.check()
    };
    assert_eq!(check(&"x".repeat(40)), Ok(()));
    for wrong in [&*"x".repeat(41), "", "  ", "a\r\nBcc: x", "=?utf-8?Q?x?="] {
        assert!(check(wrong).is_err(), "{wrong:?} was taken");
    }
    let unknown = settings::parse::<Settings>(r#"{"rules": [{"tag": "x", "when": {"helo": "y"}}]}"#);
    assert!(unknown.unwrap_err().contains("unknown field `helo`"));
}
