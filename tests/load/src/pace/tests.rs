use super::*;

struct Slow {
    takes: Duration,
    turn: Turn,
}

#[derive(Clone, Copy)]
enum Turn {
    Done,
    Fails,
    Refused,
}

impl Client for Slow {
    async fn once(&mut self) -> anyhow::Result<Did> {
        tokio::time::sleep(self.takes).await;
        match self.turn {
            Turn::Done => Ok(Did::message(100)),
            Turn::Fails => anyhow::bail!("451 no"),
            Turn::Refused => Ok(Did::refused("451 later".to_owned())),
        }
    }
}

fn slow(count: usize, millis: u64, turn: Turn) -> Vec<Slow> {
    let one = |_| Slow {
        takes: Duration::from_millis(millis),
        turn,
    };
    (0..count).map(one).collect()
}

async fn ran(clients: Vec<Slow>, pace: Pace, millis: u64) -> Tally {
    run(clients, pace, Duration::from_millis(millis), &Observer::silent())
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_counts_latency_from_when_a_message_was_due() {
    // Due every 10 ms, one at a time, 50 ms each: the tenth is 90 ms after the first and begins after 450.
    let tally = ran(slow(1, 50, Turn::Done), Pace::Open(100.0), 100).await;
    assert_eq!(tally.messages(), 10);
    assert!((tally.percentile(1.0) - 50.0).abs() < 1.0, "{tally:?}");
    assert!((tally.percentile(100.0) - 410.0).abs() < 2.0, "{tally:?}");
    assert!(tally.json()["late_p99_ms"].as_f64().unwrap() > 350.0, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_keeps_its_rate_where_there_are_clients_enough() {
    let tally = ran(slow(8, 50, Turn::Done), Pace::Open(100.0), 100).await;
    assert_eq!(tally.messages(), 10);
    assert!(tally.percentile(100.0) < 52.0, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_asks_again_when_it_is_answered() {
    let tally = ran(slow(3, 20, Turn::Done), Pace::Closed, 100).await;
    assert_eq!((tally.messages(), tally.octets), (15, 1500));
    assert!((tally.percentile(100.0) - 20.0).abs() < 1.0, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn a_capped_loop_stays_below_its_rate_and_does_not_make_up_for_what_it_missed() {
    let fast = ran(slow(4, 1, Turn::Done), Pace::Capped(100.0), 100).await;
    assert_eq!(fast.messages(), 10);
    // One at a time and 50 ms each; latency counts from when it began.
    let slow = ran(slow(1, 50, Turn::Done), Pace::Capped(100.0), 200).await;
    assert_eq!(slow.messages(), 4);
    assert!((slow.percentile(100.0) - 50.0).abs() < 2.0, "{slow:?}");
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_counted_by_what_it_was_told_and_is_no_latency() {
    let tally = ran(slow(1, 20, Turn::Fails), Pace::Closed, 60).await;
    assert_eq!((tally.messages(), tally.turns()), (0, 0));
    assert_eq!(tally.failures.get("451 no"), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_as_expected_is_no_failure() {
    let tally = ran(slow(1, 20, Turn::Refused), Pace::Closed, 60).await;
    assert_eq!((tally.messages(), tally.failed()), (0, 0));
    assert_eq!(tally.expected.get("451 later"), Some(&3));
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_without_an_acknowledgement_is_found() {
    struct Halting(u32);
    impl Client for Halting {
        async fn once(&mut self) -> anyhow::Result<Did> {
            self.0 += 1;
            let takes = if self.0 == 3 { 40 } else { 10 };
            tokio::time::sleep(Duration::from_millis(takes)).await;
            Ok(Did::message(1))
        }
    }
    let length = Duration::from_millis(100);
    let tally = run(vec![Halting(0)], Pace::Closed, length, &Observer::silent())
        .await
        .unwrap();
    let [before, after] = tally.gap.unwrap();
    assert_eq!((before.as_millis(), after.as_millis()), (20, 60));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_ends_with_its_figures() {
    let observer = Observer::silent();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(35)).await;
        observer.stop();
    };
    let load = run(
        slow(1, 10, Turn::Done),
        Pace::Closed,
        Duration::from_secs(60),
        &observer,
    );
    let (tally, ()) = tokio::join!(load, stopping);
    assert_eq!(tally.unwrap().messages(), 4);
}

#[tokio::test(start_paused = true)]
async fn lines_say_what_happened_since_the_last_one() {
    let observer = Observer::silent();
    let load = run(
        slow(1, 10, Turn::Done),
        Pace::Closed,
        Duration::from_millis(95),
        &observer,
    );
    let every = Duration::from_millis(44);
    let (tally, lines) = observer
        .observing(every, || serde_json::json!({ "rss_kib": 2048 }), load)
        .await
        .unwrap();
    assert_eq!(tally.unwrap().messages(), 10);
    let turns: Vec<_> = lines
        .iter()
        .map(|line| line["rate"].as_f64().unwrap() * 0.044)
        .collect();
    assert_eq!(lines[1]["rss_kib"], 2048);
    assert_eq!(turns.len(), 2);
    assert!(
        (turns[0] - 4.0).abs() < 0.01 && (turns[1] - 4.0).abs() < 0.01,
        "{turns:?}"
    );
}

#[test]
fn texts_without_end_are_counted_together() {
    let mut tally = Tally::new().unwrap();
    let now = Instant::now();
    for nth in 0..150 {
        tally.add((now, now), Err(anyhow::anyhow!("451 id {nth}")));
    }
    assert_eq!(tally.failed(), 150);
    assert_eq!(tally.failures.get("others"), Some(&50));
}
