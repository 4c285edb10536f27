use super::*;

fn settings() -> Settings {
    settings::parse(r#"{"wait": "5m", "retry": "2d", "keep": "10d"}"#).unwrap()
}

#[test]
fn an_unknown_triplet_is_asked_to_come_again() {
    assert_eq!(settings().step(None, 1_000), Step::Greet);
}

#[test]
fn the_wait_ends_at_its_exact_second() {
    let tried = Some(Memory::Tried(1_000));
    assert_eq!(settings().step(tried, 1_000), Step::Wait(300));
    assert_eq!(settings().step(tried, 1_299), Step::Wait(1));
    assert_eq!(settings().step(tried, 1_300), Step::Admit);
    assert_eq!(settings().step(tried, 900), Step::Wait(300), "a clock set back");
}

#[test]
fn a_known_triplet_passes_and_is_renewed_in_the_second_half_of_its_term() {
    let known = Some(Memory::Known(1_000));
    assert_eq!(settings().step(known, 1_000), Step::Pass);
    assert_eq!(settings().step(known, 1_000 + 5 * 86_400 - 1), Step::Pass);
    assert_eq!(settings().step(known, 1_000 + 5 * 86_400), Step::Admit);
}

#[test]
fn what_is_remembered_is_read_again() {
    for memory in [Memory::Tried(0), Memory::Known(u64::MAX)] {
        assert_eq!(Memory::read(&memory.written()), Some(memory));
    }
    for damaged in [&b""[..], b"t", b"t1234567", b"t123456789", b"x12345678"] {
        assert_eq!(Memory::read(damaged), None, "{damaged:?}");
    }
}

#[test]
fn a_triplet_leaves_out_what_changes_from_try_to_try() {
    let key = triplet("192.0.2.7", "Bounce-123-x@List.example", "Anna@example.org");
    assert_eq!(key, "192.0.2.0 bounce-#-x@list.example anna@example.org");
    assert_eq!(
        key,
        triplet("192.0.2.250", "bounce-98765-x@list.example", "anna@example.org")
    );
    assert_eq!(
        triplet("2001:db8::1", "a+tag@x.org", "b@y.org"),
        "2001:db8:: a@x.org b@y.org"
    );
    assert_eq!(triplet("192.0.2.7", "", "b@y.org"), "192.0.2.0 @ b@y.org");
    assert_ne!(
        triplet("192.0.3.7", "a@x.org", "b@y.org"),
        triplet("192.0.2.7", "a@x.org", "b@y.org")
    );
}

#[test]
fn the_wait_must_be_shorter_than_the_time_to_come_again() {
    let check = |json: &str| settings::parse::<Settings>(json).unwrap().check();
    assert_eq!(check("{}"), Ok(()));
    assert_eq!(check(r#"{"wait": "59s", "retry": "1m"}"#), Ok(()));
    assert_eq!(
        check(r#"{"wait": "1m", "retry": "60s"}"#),
        Err("wait (1m) must be shorter than retry (1m)".to_owned())
    );
}

#[test]
fn wrong_settings_are_named() {
    for (json, word) in [
        (r#"{"wait": 300}"#, "`300` is not a duration"),
        (r#"{"exempt": ["example.org"]}"#, "`example.org` is not a network"),
        (r#"{"delay": "5m"}"#, "unknown field `delay`"),
    ] {
        let error = settings::parse::<Settings>(json).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_reply_is_a_deferral_that_says_how_long() {
    let Verdict::Defer(reply) = deferral(300) else {
        panic!()
    };
    assert_eq!((reply.code, reply.enhanced.as_str()), (450, "4.7.1"));
    assert!(reply.text.contains("300 seconds"));
}
