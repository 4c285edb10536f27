use super::*;
use std::net::Ipv6Addr;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
const ANN: Name = [1; 32];
const BOB: Name = [2; 32];

fn throttle() -> Throttle {
    Throttle::new(Vec::new())
}

fn fail(throttle: &Throttle, client: IpAddr, account: Name) -> Duration {
    let attempt = throttle.begin(client, account);
    let delay = attempt.delay;
    attempt.failed();
    delay
}

fn seconds(throttle: &Throttle, times: usize, client: IpAddr, account: Name) -> Vec<u64> {
    (0..times)
        .map(|_| fail(throttle, client, account).as_secs())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn delays_double_behind_three_free_failures_and_have_a_longest() {
    let throttle = throttle();
    assert_eq!(seconds(&throttle, 9, HOME, ANN), [0, 0, 0, 1, 2, 4, 8, 8, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_time_is_forgiven_failure_by_failure() {
    let throttle = throttle();
    seconds(&throttle, 6, HOME, ANN);
    tokio::time::advance(FORGET * 2).await;
    assert_eq!(fail(&throttle, HOME, ANN), Duration::from_secs(2));
    tokio::time::advance(FORGET * MOST_REMEMBERED).await;
    assert_eq!(fail(&throttle, HOME, ANN), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_delayed_for_every_account_and_an_account_for_every_address() {
    let throttle = throttle();
    seconds(&throttle, 5, HOME, ANN);
    assert_eq!(fail(&throttle, HOME, BOB), Duration::from_secs(4), "same address");
    assert_eq!(fail(&throttle, AWAY, ANN), Duration::from_secs(4), "same account");
    assert_eq!(fail(&throttle, AWAY, BOB), Duration::ZERO, "neither");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_logged_in_lately_is_spared_while_others_guess() {
    let throttle = throttle();
    throttle.begin(HOME, ANN).succeeded();
    seconds(&throttle, 20, AWAY, ANN);
    assert_eq!(throttle.begin(HOME, ANN).delay, Duration::ZERO);
    assert_eq!(
        throttle.begin(HOME, BOB).delay,
        Duration::ZERO,
        "its address is clean"
    );
    // One wrong password of its own ends that.
    fail(&throttle, HOME, ANN);
    assert!(throttle.begin(HOME, ANN).delay > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_success_cleans_only_its_own_attempt() {
    let throttle = throttle();
    seconds(&throttle, 4, HOME, ANN);
    throttle.begin(HOME, BOB).succeeded();
    assert_eq!(fail(&throttle, HOME, ANN), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn attempts_at_the_same_time_count_each_other() {
    let throttle = throttle();
    let attempts: Vec<_> = (0..6).map(|_| throttle.begin(HOME, ANN)).collect();
    let delays: Vec<u64> = attempts.iter().map(|attempt| attempt.delay.as_secs()).collect();
    assert_eq!(delays, [0, 0, 0, 1, 2, 4]);
    attempts.into_iter().for_each(Attempt::withdraw);
    assert_eq!(throttle.begin(HOME, ANN).delay, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_client_is_its_64_and_a_mapped_address_is_ipv4() {
    let throttle = throttle();
    let of = |text: &str| IpAddr::V6(text.parse::<Ipv6Addr>().unwrap());
    seconds(&throttle, 4, of("2001:db8:0:1::1"), ANN);
    assert_eq!(
        fail(&throttle, of("2001:db8:0:1:ffff::2"), BOB),
        Duration::from_secs(2)
    );
    assert_eq!(fail(&throttle, of("2001:db8:0:2::1"), [3; 32]), Duration::ZERO);

    seconds(&throttle, 4, HOME, [4; 32]);
    assert_eq!(
        fail(&throttle, of("::ffff:192.0.2.1"), [5; 32]),
        Duration::from_secs(2)
    );
}

#[tokio::test(start_paused = true)]
async fn trusted_addresses_are_not_counted_but_their_accounts_are() {
    let throttle = Throttle::new(vec!["192.0.2.0/24".parse().unwrap()]);
    seconds(&throttle, 5, HOME, ANN);
    let loopback = IpAddr::from([127, 0, 0, 1]);
    seconds(&throttle, 5, loopback, BOB);
    assert_eq!(fail(&throttle, HOME, [3; 32]), Duration::ZERO);
    assert_eq!(fail(&throttle, loopback, [3; 32]), Duration::ZERO);
    assert_eq!(fail(&throttle, HOME, ANN), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn waiting_takes_the_delay() {
    let throttle = throttle();
    seconds(&throttle, 4, HOME, ANN);
    let begun = Instant::now();
    throttle.begin(HOME, ANN).wait().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}
