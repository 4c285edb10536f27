use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn bounds() -> BreakerBounds {
    BreakerBounds {
        failures: 50,
        window: 60 * SECOND,
        calls: 20,
        p99: None,
        back: Back::After(60 * SECOND),
    }
}

/// A breaker with a clock that is set by hand.
struct Case {
    breaker: Breaker,
    now: Instant,
}

impl Case {
    fn new(bounds: BreakerBounds) -> Self {
        let now = Instant::now();
        Self {
            breaker: Breaker::new(Some(bounds), now),
            now,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn call(&self, failed: bool) -> Option<Change> {
        self.took(SECOND / 1000, failed)
    }

    fn took(&self, took: Duration, failed: bool) -> Option<Change> {
        let course = Course {
            begun: self.now,
            took,
            failed,
        };
        self.breaker.heard(course, self.now)
    }

    fn admits(&self) -> bool {
        self.breaker.admits(self.now)
    }

    fn open(bounds: BreakerBounds) -> Self {
        let case = Self::new(bounds);
        let opened = (0..bounds.calls).filter_map(|_| case.call(true)).count();
        assert_eq!((opened, case.admits()), (1, false));
        case
    }
}

#[test]
fn it_opens_at_the_bound_and_at_no_fewer_calls() {
    let case = Case::new(bounds());
    for _ in 0..19 {
        assert_eq!(case.call(true), None);
    }
    let why = "20 of 20 calls failed within 1m".to_owned();
    assert_eq!(case.call(true), Some(Change::Opened(why.clone())));
    assert!(!case.admits());
    assert_eq!(case.breaker.trouble(), Some(why));

    let case = Case::new(bounds());
    for _ in 0..11 {
        assert_eq!(case.call(false), None);
    }
    for _ in 0..10 {
        assert_eq!(case.call(true), None, "10 of 21 are fewer than half");
    }
    assert!(matches!(case.call(true), Some(Change::Opened(why)) if why.starts_with("11 of 22 ")));
}

#[test]
fn what_is_older_than_the_window_does_not_count() {
    let mut case = Case::new(bounds());
    for _ in 0..19 {
        assert_eq!(case.call(true), None);
    }
    case.pass(54 * SECOND - SECOND / 1000);
    assert_eq!(case.breaker.state().window.sum(case.now).calls, 19);
    case.pass(7 * SECOND);
    assert_eq!(case.call(true), None);
    assert_eq!(case.breaker.state().window.sum(case.now).calls, 1);
}

#[test]
fn after_its_pause_one_call_is_made_and_decides() {
    let mut case = Case::open(bounds());
    case.pass(60 * SECOND - SECOND / 1000);
    assert!(!case.admits());
    case.pass(SECOND / 1000);
    assert!(case.admits());
    assert!(!case.admits(), "one alone");
    assert_eq!(case.call(true), None);
    assert!(!case.admits(), "it is open again");
    case.pass(60 * SECOND);
    assert!(case.admits());
    assert_eq!(case.call(false), Some(Change::Closed));
    assert!(case.admits() && case.admits());
    assert_eq!(case.breaker.trouble(), None);
    assert_eq!(case.call(true), None, "what was before is forgotten");
}

#[test]
fn calls_that_began_before_are_no_trial_and_a_trial_that_is_lost_is_made_again() {
    let mut case = Case::open(bounds());
    let early = Course {
        begun: case.now,
        took: SECOND,
        failed: false,
    };
    case.pass(60 * SECOND);
    assert!(case.admits());
    assert_eq!(case.breaker.heard(early, case.now), None);
    assert!(!case.admits(), "still in trial");
    case.pass(TRIAL);
    assert!(case.admits());
}

#[test]
fn a_trial_that_is_given_up_is_made_again_after_another_pause() {
    let mut case = Case::open(bounds());
    let early = case.now;
    case.pass(60 * SECOND);
    assert!(case.admits());
    case.breaker.abandoned(early, case.now);
    case.pass(60 * SECOND);
    assert!(!case.admits(), "what began before is no trial");
    case.breaker.abandoned(case.now, case.now);
    case.pass(60 * SECOND - SECOND / 1000);
    assert!(!case.admits());
    case.pass(SECOND / 1000);
    assert!(case.admits());
    assert_eq!(case.call(false), Some(Change::Closed));
    case.breaker.abandoned(case.now, case.now);
    assert!(case.admits(), "of one in service nothing is given up");
}

#[test]
fn by_command_alone_where_that_is_wanted() {
    let mut case = Case::open(BreakerBounds {
        back: Back::Command,
        ..bounds()
    });
    case.pass(24 * 3600 * SECOND);
    assert!(!case.admits());
    assert!(case.breaker.reset(case.now));
    assert!(case.admits());
    assert!(!case.breaker.reset(case.now), "it was in service");
}

#[test]
fn a_p99_over_its_bound_opens_it_once_there_are_a_hundred_calls() {
    let slow = BreakerBounds {
        p99: Some(SECOND),
        ..bounds()
    };
    let case = Case::new(slow);
    assert_eq!(case.took(2 * SECOND, false), None);
    for _ in 0..97 {
        assert_eq!(case.took(SECOND, false), None, "the bound itself is not over it");
    }
    assert_eq!(case.took(2 * SECOND, false), None, "2 of 99");
    let opened = case.took(SECOND, false);
    let why = "2 of 100 calls took longer than 1s within 1m".to_owned();
    assert_eq!(opened, Some(Change::Opened(why)));

    let case = Case::new(slow);
    for _ in 0..99 {
        assert_eq!(case.took(SECOND, false), None);
    }
    assert_eq!(case.took(2 * SECOND, false), None, "1 of 100");
}

#[test]
fn one_that_is_off_never_opens() {
    let case = Case {
        breaker: Breaker::new(None, Instant::now()),
        now: Instant::now(),
    };
    assert!((0..1000).all(|_| case.call(true).is_none() && case.admits()));
}
