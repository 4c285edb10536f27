use super::*;

fn settings(json: &str) -> Settings {
    settings::parse(json).unwrap()
}

fn usage(bytes: u64, messages: u64) -> Usage {
    Usage { bytes, messages }
}

fn ceiling(bytes: Option<u64>, messages: Option<u64>) -> Ceiling {
    Ceiling { bytes, messages }
}

/// `allow`, `warn` or `deny` for a mailbox of 1000 bytes, warned at 80 %, with 10 % of grace.
fn word(used: u64, incoming: u64) -> &'static str {
    let settings = settings(r#"{"default": {"bytes": 1000, "warn": 80, "grace": 10}}"#);
    match settings.decide("anna@example.org", usage(used, 3), incoming) {
        QuotaDecision::Allow(_) => "allow",
        QuotaDecision::Warn(_) => "warn",
        QuotaDecision::Deny(_) => "deny",
    }
}

#[test]
fn bytes_are_allowed_warned_and_denied_at_their_exact_edges() {
    assert_eq!(word(0, 799), "allow");
    assert_eq!(word(799, 1), "warn", "80 % with this message");
    assert_eq!(word(999, 1), "warn", "the limit itself");
    assert_eq!(word(1000, 1), "warn", "grace");
    assert_eq!(word(0, 1100), "warn", "the bound itself");
    assert_eq!(word(1100, 0), "warn", "a message of unknown size asks at RCPT");
    assert_eq!(word(0, 1101), "deny");
    assert_eq!(word(u64::MAX, 1), "deny", "sums do not wrap");
}

#[test]
fn messages_are_allowed_warned_and_denied_at_their_exact_edges() {
    let settings = settings(r#"{"default": {"messages": 20}}"#);
    let decide = |count| settings.decide("anna@example.org", usage(1 << 40, count), 1);
    assert_eq!(decide(16), QuotaDecision::Allow(ceiling(None, Some(20))));
    assert!(matches!(decide(17), QuotaDecision::Warn(_)), "the 18th is 90 %");
    assert!(matches!(decide(19), QuotaDecision::Warn(_)), "the 20th fits");
    assert!(matches!(decide(20), QuotaDecision::Deny(_)), "the 21st does not");
}

#[test]
fn the_bound_is_handed_to_the_host_in_allowing_and_in_warning() {
    let settings = settings(r#"{"default": {"bytes": "1MiB", "messages": 10, "grace": 15}}"#);
    let bound = ceiling(Some(1_205_862), Some(11));
    assert_eq!(
        settings.decide("a@x.org", usage(0, 0), 1),
        QuotaDecision::Allow(bound)
    );
    let QuotaDecision::Warn(warning) = settings.decide("a@x.org", usage(0, 9), 1) else {
        panic!()
    };
    assert_eq!(warning.ceiling, bound);
}

#[test]
fn without_limits_there_is_no_bound() {
    let unlimited = QuotaDecision::Allow(ceiling(None, None));
    assert_eq!(
        settings("{}").decide("a@x.org", usage(u64::MAX, u64::MAX), 1),
        unlimited
    );
}

#[test]
fn a_limit_of_nothing_takes_nothing() {
    let shut = settings(r#"{"default": {"messages": 0}}"#);
    assert!(matches!(
        shut.decide("a@x.org", usage(0, 0), 0),
        QuotaDecision::Deny(_)
    ));
}

#[test]
fn the_first_tier_that_matches_counts_and_inherits_the_per_cents() {
    let settings = settings(
        r#"{
            "default": {"bytes": "1GiB", "warn": 70, "grace": 5},
            "tiers": [
                {"mailboxes": "boss@example.org"},
                {"mailboxes": ["*@example.org", "guest-*"], "bytes": "2GiB", "messages": 7, "warn": 60}
            ]
        }"#,
    );
    assert_eq!(settings.check(), Ok(()));
    let gib = Some(Size(1 << 30));
    assert_eq!(
        settings.limits("x@y.org"),
        Limits {
            bytes: gib,
            warn: Some(70),
            grace: Some(5),
            messages: None
        }
    );
    let two = Some(Size(2 << 30));
    let staff = Limits {
        bytes: two,
        messages: Some(7),
        warn: Some(60),
        grace: Some(5),
    };
    assert_eq!(settings.limits("Anna@Example.org"), staff);
    assert_eq!(settings.limits("guest-7@y.org"), staff);
    let boss = settings.limits("boss@example.org");
    assert_eq!(
        (boss.bytes, boss.messages),
        (None, None),
        "a tier without limits has none"
    );
}

#[test]
fn a_warning_says_how_full_where_it_ends_and_whom_to_ask() {
    let settings = settings(
        r#"{"default": {"bytes": "1GiB", "messages": 100, "grace": 10}, "advice": "Ask help@x.org."}"#,
    );
    let QuotaDecision::Warn(warning) = settings.decide("a@x.org", usage(1 << 30, 94), 0) else {
        panic!()
    };
    assert_eq!(
        warning.text,
        "Your mailbox a@x.org holds 1 GiB of 1 GiB (100 %) and 95 of 100 messages (95 %). \
         Above 1.1 GiB or 110 messages nothing more will be taken. Ask help@x.org."
    );
}

#[test]
fn a_refusal_is_for_now_and_says_why() {
    let settings = settings(r#"{"default": {"messages": 1}}"#);
    let QuotaDecision::Deny(reply) = settings.decide("a@x.org", usage(0, 1), 0) else {
        panic!()
    };
    assert_eq!((reply.code, reply.enhanced.as_str()), (452, "4.2.2"));
    assert_eq!(reply.text, "the mailbox a@x.org is full.");
}

#[test]
fn per_cents_have_their_edges() {
    let check = |json: &str| settings(json).check();
    assert_eq!(check(r#"{"default": {"warn": 1, "grace": 1000}}"#), Ok(()));
    assert_eq!(check(r#"{"default": {"warn": 100, "grace": 0}}"#), Ok(()));
    assert!(check(r#"{"default": {"warn": 0}}"#).is_err());
    assert!(check(r#"{"default": {"warn": 101}}"#).is_err());
    assert!(check(r#"{"tiers": [{"mailboxes": "a", "grace": 1001}]}"#).is_err());
    assert!(
        check(r#"{"tiers": [{"mailboxes": []}]}"#)
            .unwrap_err()
            .contains("without mailboxes")
    );
    assert!(settings::parse::<Settings>(r#"{"default": {"bytes": "much"}}"#).is_err());
}
