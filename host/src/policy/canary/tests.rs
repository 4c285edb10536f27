use super::*;
use crate::message::MessageId;

const QUICK: Duration = Duration::from_millis(1);

fn canary() -> Canary {
    Canary::new(CanaryBounds {
        share: 5,
        calls: 100,
        failures: 5,
        drift: 10,
        p99: Duration::from_millis(250),
    })
}

/// Queue ids, the same ones each time.
fn ids() -> impl Iterator<Item = String> {
    (1..=10_000_u128).map(|n| MessageId::from_bytes(((n << 80) | (n * n * n)).to_be_bytes()).to_string())
}

#[test]
fn the_share_is_what_was_asked_for_and_stable() {
    for per_cent in [1_u8, 5, 50, 99] {
        let found = ids()
            .filter(|id| is_in_share("20-greylist", id, per_cent))
            .count() as f64;
        let share = f64::from(per_cent) / 100.0;
        let (mean, deviation) = (10_000.0 * share, (10_000.0 * share * (1.0 - share)).sqrt());
        assert!((found - mean).abs() < 4.0 * deviation, "{per_cent} %: {found}");
    }
    assert!(ids().all(|id| is_in_share("a", &id, 5) == is_in_share("a", &id, 5)));
    let both = ids()
        .filter(|id| is_in_share("a", id, 50) && is_in_share("b", id, 50))
        .count();
    assert!(
        (2300..2700).contains(&both),
        "policies have shares of their own: {both}"
    );
}

#[test]
fn it_falls_back_at_its_bound_of_failures_and_comes_back_when_it_is_reset() {
    let canary = canary();
    let inside = ids().find(|id| is_in_share("p", id, 5)).unwrap();
    for _ in 0..4 {
        assert_eq!(canary.heard(true, QUICK), None);
    }
    assert!(canary.decides("p", &inside));
    let why = canary.heard(true, QUICK).unwrap();
    assert_eq!(why, "5 of its last 5 calls failed");
    assert_eq!(canary.heard(true, QUICK), None, "it is told once");
    assert!(!canary.decides("p", &inside));
    assert_eq!(canary.fallen(), Some(why));
    assert!(canary.reset() && !canary.reset());
    assert!(canary.decides("p", &inside));
    assert_eq!(canary.heard(true, QUICK), None, "what was before is forgotten");
}

#[test]
fn only_the_last_calls_count() {
    let canary = canary();
    for _ in 0..50 {
        assert_eq!(canary.heard(true, QUICK), None);
        for _ in 0..24 {
            assert_eq!(canary.heard(false, QUICK), None, "4 of 100");
        }
    }
}

#[test]
fn it_falls_back_when_its_p99_is_over_the_bound() {
    let canary = canary();
    let (bound, over) = (Duration::from_millis(250), Duration::from_millis(251));
    for _ in 0..200 {
        assert_eq!(canary.heard(false, bound), None);
    }
    assert_eq!(
        canary.heard(false, over),
        None,
        "one of a hundred is the p99's own"
    );
    let why = canary.heard(false, over).unwrap();
    assert_eq!(why, "2 of its last 100 calls took longer than 250ms");
}

#[test]
fn it_falls_back_when_the_enforced_version_says_otherwise_too_often() {
    let canary = canary();
    for _ in 0..9 {
        assert_eq!(canary.compared(true), None);
        assert_eq!(canary.compared(false), None);
    }
    let why = canary.compared(true).unwrap();
    assert_eq!(why, "the enforced version said otherwise 10 of the last 19 times");
}
