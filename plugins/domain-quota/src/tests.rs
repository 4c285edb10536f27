use super::*;

fn office() -> Settings {
    settings::parse(
        r#"{
            "domains": {"example.org": {
                "bytes": 1000, "mailboxes": 5, "reserved": {"boss@example.org": 400, "robot@example.org": 1}, "messages": 20
            }},
            "patterns": [
                {"mailboxes": "*@*.example.net", "bytes": 50},
                {"mailboxes": ["*@example.net", "*@*.example.net"], "messages": 3}
            ],
            "advice": "Ask us."
        }"#,
    )
    .unwrap()
}

fn usage(bytes: u64, messages: u64) -> Usage {
    Usage { bytes, messages }
}

fn ceiling(bytes: Option<u64>, messages: Option<u64>) -> Ceiling {
    Ceiling { bytes, messages }
}

#[test]
fn what_is_not_reserved_is_divided_and_never_more_than_the_domain_has() {
    let office = office();
    assert_eq!(office.check(), Ok(()));
    assert_eq!(office.ceiling("Boss@example.org"), ceiling(Some(400), Some(20)));
    assert_eq!(office.ceiling("robot@example.org"), ceiling(Some(1), Some(20)));
    assert_eq!(
        office.ceiling("ann@EXAMPLE.org"),
        ceiling(Some(199), Some(20)),
        "599 among three"
    );
    let all = 400 + 1 + 3 * 199;
    assert!(all <= 1000, "{all}");
}

#[test]
fn other_mailboxes_are_bounded_by_the_first_pattern_that_matches() {
    let office = office();
    assert_eq!(office.ceiling("ann@a.example.net"), ceiling(Some(50), None));
    assert_eq!(office.ceiling("ann@example.net"), ceiling(None, Some(3)));
    assert_eq!(office.ceiling("ann@example.com"), ceiling(None, None));
    assert_eq!(office.ceiling("postmaster"), ceiling(None, None));
}

#[test]
fn the_ceiling_may_be_reached_and_not_passed() {
    let office = office();
    let denied = |bytes, messages, incoming| {
        matches!(
            office.decide("ann@example.org", usage(bytes, messages), incoming),
            QuotaDecision::Deny(reply) if reply.code == 452 && reply.text == "the mailbox ann@example.org is full. Ask us."
        )
    };
    assert!(!denied(100, 0, 99));
    assert!(denied(100, 0, 100));
    assert!(!denied(0, 19, 0));
    assert!(denied(0, 20, 0));
    assert!(denied(u64::MAX, u64::MAX, u64::MAX), "nothing overflows");
}

#[test]
fn the_owner_is_warned_from_nine_tenths_on() {
    let office = office();
    let decide = |bytes| office.decide("boss@example.org", usage(bytes, 0), 0);
    assert_eq!(decide(359), QuotaDecision::Allow(ceiling(Some(400), Some(20))));
    let QuotaDecision::Warn(warning) = decide(360) else {
        panic!()
    };
    assert_eq!(
        warning.text,
        "Your mailbox boss@example.org holds 360 B of 400 B; more will not be taken. Ask us."
    );
    let QuotaDecision::Warn(warning) = office.decide("boss@example.org", usage(0, 17), 0) else {
        panic!()
    };
    assert!(
        warning.text.contains("holds 18 of 20 messages;"),
        "{}",
        warning.text
    );
}

#[test]
fn what_does_not_add_up_is_refused() {
    let refused = |json: &str| {
        let read = settings::parse::<Settings>(json);
        read.and_then(|settings| settings.check()).unwrap_err()
    };
    let domain = |inner: &str| refused(&format!(r#"{{"domains": {{"example.org": {{{inner}}}}}}}"#));
    let reserved = r#""reserved": {"a@example.org": 60, "b@example.org": 41}"#;
    assert!(
        domain(&format!(r#""bytes": 100, "mailboxes": 9, {reserved}"#))
            .contains("more is reserved in example.org")
    );
    assert!(
        domain(&format!(r#""bytes": 101, "mailboxes": 3, {reserved}"#))
            .contains("nothing of example.org is left")
    );
    assert!(
        domain(&format!(r#""bytes": 101, "mailboxes": 1, {reserved}"#))
            .contains("has 1 mailboxes and reserves for 2")
    );
    assert!(
        domain(r#""bytes": 9, "mailboxes": 3, "reserved": {"a@example.net": 1}"#)
            .contains("no address of it")
    );
    assert!(refused(r#"{"warn": 0}"#).starts_with("warn:"));
    assert!(refused(r#"{"patterns": [{"mailboxes": []}]}"#).starts_with("patterns:"));
    let full = format!(r#"{{"domains": {{"example.org": {{"bytes": 101, "mailboxes": 2, {reserved}}}}}}}"#);
    assert_eq!(settings::parse::<Settings>(&full).unwrap().check(), Ok(()));
}
