use super::*;
use std::net::Ipv6Addr;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
const ANN: Name = [1; 32];
const BOB: Name = [2; 32];

fn throttle() -> Throttle {
    Throttle::new(Vec::new())
}

/// One wrong password; what it had to wait for.
async fn fail(throttle: &Throttle, client: IpAddr, account: Name) -> Duration {
    let begun = Instant::now();
    throttle.enter(client, account).await.unwrap().failed();
    begun.elapsed()
}

/// Wrong passwords, one after the other.
async fn seconds(throttle: &Throttle, times: usize, client: IpAddr, account: Name) -> Vec<u64> {
    let mut waits = Vec::new();
    for _ in 0..times {
        waits.push(fail(throttle, client, account).await.as_secs());
    }
    waits
}

/// What attempts that all begin now have to wait for; None: too long.
fn at_once(throttle: &Throttle, times: usize, client: IpAddr, account: Name) -> Vec<Option<u64>> {
    let begin = |_| throttle.begin(client, account).ok();
    let attempts: Vec<_> = (0..times).map(begin).collect();
    attempts
        .iter()
        .map(|attempt| attempt.as_ref().map(|attempt| attempt.delay.as_secs()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn delays_double_behind_three_free_failures_and_have_a_longest() {
    let throttle = throttle();
    assert_eq!(
        seconds(&throttle, 9, HOME, ANN).await,
        [0, 0, 0, 1, 2, 4, 8, 8, 8]
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_time_is_forgiven_failure_by_failure() {
    let throttle = throttle();
    seconds(&throttle, 6, HOME, ANN).await;
    tokio::time::advance(FORGET * 2).await;
    assert_eq!(fail(&throttle, HOME, ANN).await, Duration::from_secs(2));
    tokio::time::advance(FORGET * MOST_REMEMBERED).await;
    assert_eq!(fail(&throttle, HOME, ANN).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_delayed_for_every_account_and_an_account_for_every_address() {
    let throttle = throttle();
    seconds(&throttle, 5, HOME, ANN).await;
    assert_eq!(
        fail(&throttle, HOME, BOB).await,
        Duration::from_secs(4),
        "same address"
    );
    assert_eq!(
        fail(&throttle, AWAY, ANN).await,
        Duration::from_secs(4),
        "same account"
    );
    assert_eq!(fail(&throttle, AWAY, BOB).await, Duration::ZERO, "neither");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_logged_in_lately_is_spared_while_others_guess() {
    let throttle = throttle();
    throttle.begin(HOME, ANN).unwrap().succeeded();
    seconds(&throttle, 20, AWAY, ANN).await;
    assert_eq!(throttle.begin(HOME, ANN).unwrap().delay, Duration::ZERO);
    assert_eq!(
        throttle.begin(HOME, BOB).unwrap().delay,
        Duration::ZERO,
        "its address is clean"
    );
    // One wrong password of its own ends that.
    fail(&throttle, HOME, ANN).await;
    assert!(throttle.begin(HOME, ANN).unwrap().delay > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_success_cleans_only_its_own_attempt() {
    let throttle = throttle();
    seconds(&throttle, 4, HOME, ANN).await;
    throttle.enter(HOME, BOB).await.unwrap().succeeded();
    assert_eq!(fail(&throttle, HOME, ANN).await, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn attempts_at_the_same_time_count_each_other() {
    let throttle = throttle();
    let attempts: Vec<_> = (0..4).map(|_| throttle.begin(HOME, ANN).unwrap()).collect();
    let delays: Vec<u64> = attempts.iter().map(|attempt| attempt.delay.as_secs()).collect();
    assert_eq!(delays, [0, 0, 0, 1]);
    attempts.into_iter().for_each(Attempt::withdraw);
    assert_eq!(throttle.begin(HOME, ANN).unwrap().delay, Duration::ZERO);
}

/// Each waited for its own delay at the same time: a hundred sessions made twelve guesses a second.
#[tokio::test(start_paused = true)]
async fn delayed_attempts_are_judged_one_behind_the_other_and_none_waits_for_too_long() {
    let throttle = throttle();
    let waits = at_once(&throttle, 100, HOME, ANN);
    let judged = [0, 0, 0, 1, 3, 7, 15, 23, 31].map(Some);
    assert_eq!(waits[..9], judged);
    assert!(waits[9..].iter().all(Option::is_none), "{waits:?}");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(
        at_once(&throttle, 1, HOME, BOB),
        [None],
        "33 seconds, for any account"
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(at_once(&throttle, 2, HOME, BOB), [Some(32), None]);
}

/// Sessions of an hour: the line is as fast as one who guesses alone.
#[tokio::test(start_paused = true)]
async fn a_hundred_sessions_guess_no_faster_than_one() {
    let throttle = Arc::new(throttle());
    let judged = Arc::new(Mutex::new(0));
    let hour = Instant::now() + Duration::from_secs(3600);
    let sessions = (0..100).map(|_| {
        let (throttle, judged) = (Arc::clone(&throttle), Arc::clone(&judged));
        tokio::spawn(async move {
            while Instant::now() < hour {
                if let Ok(attempt) = throttle.enter(HOME, ANN).await {
                    attempt.failed();
                    *judged.lock().unwrap() += 1;
                }
            }
        })
    });
    let sessions: Vec<_> = sessions.collect();
    for session in sessions {
        session.await.unwrap();
    }
    let judged = *judged.lock().unwrap();
    assert!((440..470).contains(&judged), "one in eight seconds: {judged}");
}

#[tokio::test(start_paused = true)]
async fn an_accounts_line_keeps_out_no_network_that_has_hardly_failed() {
    let throttle = throttle();
    seconds(&throttle, 10, AWAY, ANN).await;
    assert!(
        at_once(&throttle, 100, AWAY, ANN).contains(&None),
        "the line is full"
    );
    assert_eq!(
        at_once(&throttle, 4, HOME, ANN),
        [Some(8), Some(8), Some(8), None]
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_not_judged_is_told_after_a_while_and_counts_nothing() {
    let throttle = throttle();
    at_once(&throttle, 100, HOME, ANN);
    let begun = Instant::now();
    assert!(throttle.enter(HOME, BOB).await.is_err());
    assert_eq!(begun.elapsed(), LONGEST);
    assert_eq!(throttle.begin(AWAY, BOB).unwrap().delay, Duration::ZERO);
    assert_eq!(throttle.accounts.get(&BOB).unwrap().lock().unwrap().count, 1);
}

/// At the most that is remembered, an attempt adds nothing: taken back, it took a true failure with it.
#[tokio::test(start_paused = true)]
async fn logins_of_ones_own_clean_no_failure() {
    let throttle = throttle();
    for account in 0..20 {
        if let Ok(attempt) = throttle.begin(HOME, [account; 32]) {
            attempt.failed();
        }
        tokio::time::advance(LONGEST).await;
    }
    let count = |throttle: &Throttle| {
        throttle
            .origins
            .get(&Origin::of(HOME))
            .unwrap()
            .lock()
            .unwrap()
            .count
    };
    let before = count(&throttle);
    throttle.begin(HOME, BOB).unwrap().succeeded();
    for _ in 0..20 {
        throttle.begin(HOME, BOB).unwrap().succeeded();
    }
    assert_eq!(count(&throttle), before);
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_client_is_its_64_and_a_mapped_address_is_ipv4() {
    let throttle = throttle();
    let of = |text: &str| IpAddr::V6(text.parse::<Ipv6Addr>().unwrap());
    seconds(&throttle, 4, of("2001:db8:0:1::1"), ANN).await;
    assert_eq!(
        fail(&throttle, of("2001:db8:0:1:ffff::2"), BOB).await,
        Duration::from_secs(2)
    );
    assert_eq!(
        fail(&throttle, of("2001:db8:0:2::1"), [3; 32]).await,
        Duration::ZERO
    );

    seconds(&throttle, 4, HOME, [4; 32]).await;
    assert_eq!(
        fail(&throttle, of("::ffff:192.0.2.1"), [5; 32]).await,
        Duration::from_secs(2)
    );
}

#[tokio::test(start_paused = true)]
async fn trusted_addresses_are_not_counted_but_their_accounts_are() {
    let throttle = Throttle::new(vec!["192.0.2.0/24".parse().unwrap()]);
    seconds(&throttle, 5, HOME, ANN).await;
    let loopback = IpAddr::from([127, 0, 0, 1]);
    seconds(&throttle, 5, loopback, BOB).await;
    assert_eq!(fail(&throttle, HOME, [3; 32]).await, Duration::ZERO);
    assert_eq!(fail(&throttle, loopback, [3; 32]).await, Duration::ZERO);
    assert_eq!(fail(&throttle, HOME, ANN).await, Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn waiting_takes_the_delay() {
    let throttle = throttle();
    seconds(&throttle, 4, HOME, ANN).await;
    let begun = Instant::now();
    throttle.enter(HOME, ANN).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}
