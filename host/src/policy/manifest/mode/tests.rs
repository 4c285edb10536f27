use super::super::{Limits, Manifest};
use super::*;

fn parsed(name: &str, text: &str) -> Result<Manifest, String> {
    Manifest::parse(text, name, Limits::usual(Duration::from_millis(500), 64 << 20))
}

fn parse(text: &str) -> Result<Manifest, String> {
    parsed("greylist", text)
}

fn fault(text: &str) -> String {
    parse(text).unwrap_err()
}

#[test]
fn without_a_word_it_enforces_everywhere_and_has_a_breaker() {
    let manifest = parse("").unwrap();
    assert_eq!(manifest.mode, Mode::Enforce);
    assert_eq!(manifest.scope, Scope::default());
    let breaker = manifest.breaker.unwrap();
    assert_eq!((breaker.failures, breaker.calls, breaker.p99), (50, 20, None));
    assert_eq!(
        (breaker.window, breaker.back),
        (60 * SECOND, Back::After(60 * SECOND))
    );
}

#[test]
fn a_candidate_is_in_shadow_shares_the_name_of_its_policy_and_does_not_enforce() {
    let manifest = parsed("greylist.candidate", "grants: { kv: {} }").unwrap();
    assert_eq!(manifest.mode, Mode::Shadow);
    assert_eq!(manifest.kv.unwrap().namespace, "greylist");
    let error = parsed("greylist.candidate", "mode: enforce").unwrap_err();
    assert!(
        error.starts_with("mode: a candidate does not enforce; write shadow or"),
        "{error}"
    );
    assert_eq!(placed(".candidate"), (".candidate", Place::Own));
}

#[test]
fn all_that_may_be_said_of_a_mode_and_a_breaker_is_taken() {
    let manifest = parse(
        "mode: { canary: 7, calls: 50, failures: 2, drift: 3, p99: 100ms }\n\
         breaker: { failures: 10, window: 5m, calls: 7, p99: 2s, back: command }\n",
    );
    let manifest = manifest.unwrap();
    let bounds = CanaryBounds {
        share: 7,
        calls: 50,
        failures: 2,
        drift: 3,
        p99: Duration::from_millis(100),
    };
    assert_eq!(manifest.mode, Mode::Canary(bounds));
    assert_eq!(manifest.mode.to_string(), "canary 7 %");
    let breaker = BreakerBounds {
        failures: 10,
        window: 300 * SECOND,
        calls: 7,
        p99: Some(2 * SECOND),
        back: Back::Command,
    };
    assert_eq!(manifest.breaker, Some(breaker));
    assert_eq!(parse("breaker: off").unwrap().breaker, None);
    let manifest = parse("mode: { canary: 5 }\nlimits: { deadline: 2s }\nbreaker: { p99: none }\n").unwrap();
    assert!(matches!(manifest.mode, Mode::Canary(bounds) if bounds.p99 == SECOND));
}

#[test]
fn faults_name_their_key_and_how_to_mend_it() {
    for (text, said) in [
        (
            "mode: canary",
            "mode: there is no `canary` here; write enforce, shadow or { canary: 5 }",
        ),
        ("mode: { canary: 5, driff: 1 }", "mode.driff: unknown field"),
        ("breaker: on", "breaker: there is no `on` here; write off or {"),
        (
            "breaker: { p99: soon }",
            "breaker.p99: `soon` is not a time; write",
        ),
        (
            "breaker: { back: never }",
            "breaker.back: `never` is not a time; write",
        ),
        ("listeners: []", "listeners: empty; write at least one"),
        (
            "domains: [example.org, a b]",
            "domains[1]: `a b` is no domain; write one such as",
        ),
    ] {
        let error = fault(text);
        assert!(error.starts_with(said), "{text}: {error}");
        assert!(error.ends_with("(line 1)"), "{text}: {error}");
    }
}

#[test]
fn bounds_hold_at_both_edges() {
    for (good, bad, key) in [
        ("mode: { canary: 1 }", "mode: { canary: 0 }", "mode.canary"),
        ("mode: { canary: 99 }", "mode: { canary: 100 }", "mode.canary"),
        (
            "mode: { canary: 5, calls: 10 }",
            "mode: { canary: 5, calls: 9 }",
            "mode.calls",
        ),
        (
            "mode: { canary: 5, calls: 10000 }",
            "mode: { canary: 5, calls: 10001 }",
            "mode.calls",
        ),
        (
            "mode: { canary: 5, failures: 1 }",
            "mode: { canary: 5, failures: 0 }",
            "mode.failures",
        ),
        (
            "mode: { canary: 5, drift: 100 }",
            "mode: { canary: 5, drift: 101 }",
            "mode.drift",
        ),
        (
            "mode: { canary: 5, p99: 1ms }",
            "mode: { canary: 5, p99: 0ms }",
            "mode.p99",
        ),
        (
            "breaker: { failures: 1 }",
            "breaker: { failures: 0 }",
            "breaker.failures",
        ),
        (
            "breaker: { failures: 100 }",
            "breaker: { failures: 101 }",
            "breaker.failures",
        ),
        (
            "breaker: { window: 1s }",
            "breaker: { window: 999ms }",
            "breaker.window",
        ),
        (
            "breaker: { window: 1d }",
            "breaker: { window: 86401s }",
            "breaker.window",
        ),
        ("breaker: { calls: 1 }", "breaker: { calls: 0 }", "breaker.calls"),
        ("breaker: { p99: 1ms }", "breaker: { p99: 0ms }", "breaker.p99"),
        (
            "breaker: { back: 1s }",
            "breaker: { back: 999ms }",
            "breaker.back",
        ),
    ] {
        assert!(parse(good).is_ok(), "{good}");
        let error = fault(bad);
        assert!(
            error.starts_with(&format!("{key}: out of bounds; write ")),
            "{bad}: {error}"
        );
    }
}

#[test]
fn an_unknown_listener_is_named_with_those_there_are() {
    let text = "enabled: true\nlisteners:\n- mx\n- sub\n";
    let manifest = parse(text).unwrap();
    let known = ["mx".to_owned(), "submission".to_owned()];
    let error = manifest.check_listeners(text, &known).unwrap_err();
    assert_eq!(
        error,
        "listeners[1]: there is no listener `sub`; there are mx, submission (line 4)"
    );
    assert_eq!(manifest.check_listeners(text, &[]), Ok(()), "none are known");
}

#[test]
fn it_applies_at_its_listeners_and_for_one_recipient_of_its_domains() {
    let covers = |scope: &Scope, listener: &str, recipients: Option<&[&str]>| {
        scope.covers(listener, recipients.map(|list| list.iter().copied()))
    };
    let everywhere = parse("").unwrap().scope;
    assert!(covers(&everywhere, "any", Some(&[])));
    let scope = parse("listeners: [mx]\ndomains: [XN--bcher-kva.example, example.org]")
        .unwrap()
        .scope;
    assert!(
        covers(&scope, "mx", None),
        "recipients do not matter at connect and mail"
    );
    assert!(!covers(&scope, "submission", None));
    for (recipients, applies) in [
        (&["a@b\u{fc}cher.example"][..], true),
        (&["a@B\u{dc}CHER.example"], true),
        (&["a@xn--bcher-kva.example"], true),
        (&["x@elsewhere.example", "a@Example.ORG"], true),
        (&["a@sub.example.org"], false),
        (&["no address"], false),
        (&[], false),
    ] {
        assert_eq!(covers(&scope, "mx", Some(recipients)), applies, "{recipients:?}");
        assert!(!covers(&scope, "submission", Some(recipients)));
    }
}
