use super::*;

const BOX: &str = "a@x.org";

fn ceiling(bytes: u64) -> Ceiling {
    Ceiling {
        bytes: Some(bytes),
        messages: None,
    }
}

fn usage(bytes: u64, messages: u64) -> Usage {
    Usage { bytes, messages }
}

fn reading(rows: &[(MessageId, u64)]) -> Reading {
    Reading {
        begun: Instant::now(),
        rows: rows.to_vec(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_fuller_a_mailbox_the_sooner_it_is_read_again() {
    for (held, keeps) in [(49, EMPTYISH), (50, FILLING), (89, FILLING), (90, NEARLY_FULL)] {
        let usages = Usages::default();
        usages.learn(BOX, reading(&[(MessageId::new(), held)]));
        tokio::time::advance(keeps - Duration::from_millis(1)).await;
        assert_eq!(
            usages.fresh(BOX, Some(ceiling(100))),
            Some(usage(held, 1)),
            "{held}"
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(usages.fresh(BOX, None), None, "{held}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_while_a_mailbox_is_read_counts_once() {
    let usages = Usages::default();
    let mailbox = Mailbox::from(BOX);
    let (seen, unseen, failed) = (MessageId::new(), MessageId::new(), MessageId::new());
    let share = |id| Share {
        mailbox: &mailbox,
        id,
        size: 10,
    };
    let begun = Instant::now();
    for id in [seen, unseen, failed] {
        usages.decide().count(share(id));
    }
    let rows = vec![(seen, 10)];
    assert_eq!(usages.learn(BOX, Reading { begun, rows }), usage(30, 3));
    tokio::time::advance(Duration::from_secs(1)).await;
    usages.done([share(seen), share(unseen)], End::Answered);
    usages.done([share(failed)], End::GivenUp);
    assert!(
        usages.decide().standing(BOX, seen).listed,
        "its retry is recognised"
    );
    let again = usages.decide().standing(BOX, failed);
    assert_eq!(
        (again.usage, again.listed),
        (usage(20, 2), false),
        "its retry is written"
    );
    usages.decide().count(share(failed));
    assert_eq!(usages.fresh(BOX, None), Some(usage(30, 3)), "and counted once");
    usages.done([share(failed)], End::GivenUp);
    tokio::time::advance(Duration::from_secs(1)).await;
    let now = usages.learn(BOX, reading(&[(seen, 10), (unseen, 10)]));
    assert_eq!(now, usage(20, 2), "what was never written heals");
}

#[tokio::test(start_paused = true)]
async fn removals_and_doubt() {
    let usages = Usages::default();
    let (one, two) = (MessageId::new(), MessageId::new());
    usages.learn(BOX, reading(&[(one, 7), (two, 5)]));
    usages.removed(BOX, &[(one, 7)]);
    assert_eq!(usages.fresh(BOX, None), Some(usage(5, 1)));
    assert!(!usages.decide().standing(BOX, one).listed);
    usages.doubt(BOX);
    assert_eq!(usages.fresh(BOX, None), None);
}

/// Fifty deliveries read at once; an answer that came late forgot what a younger one had seen.
#[tokio::test(start_paused = true)]
async fn a_reading_that_comes_late_takes_nothing_back() {
    let usages = Usages::default();
    let mailbox = Mailbox::from(BOX);
    let id = MessageId::new();
    let late = reading(&[]);
    tokio::time::advance(Duration::from_secs(1)).await;
    usages.decide().count(Share {
        mailbox: &mailbox,
        id,
        size: 10,
    });
    assert_eq!(usages.learn(BOX, reading(&[(id, 10)])), usage(10, 1));
    assert_eq!(usages.learn(BOX, late), usage(10, 1));
}

/// Whoever has no ceiling is counted at each delivery and never read: 60 octets a message stayed for good.
#[tokio::test(start_paused = true)]
async fn what_was_answered_long_ago_is_not_kept_where_nobody_reads_usage() {
    let usages = Usages::default();
    let mailbox = Mailbox::from(BOX);
    let share = |id| Share {
        mailbox: &mailbox,
        id,
        size: 1,
    };
    let kept = || {
        usages
            .lock()
            .known
            .get(&mailbox)
            .map_or(0, |known| known.recent.len())
    };
    for _ in 0..LOOK_AFTER - 1 {
        let id = MessageId::new();
        usages.decide().count(share(id));
        usages.done([share(id)], End::Answered);
    }
    let under_way = MessageId::new();
    usages.decide().count(share(under_way));
    assert_eq!(
        kept(),
        LOOK_AFTER,
        "a reading may be under way that has missed them"
    );
    tokio::time::advance(READING).await;
    for _ in 0..LOOK_AFTER {
        let id = MessageId::new();
        usages.decide().count(share(id));
        usages.done([share(id)], End::Answered);
    }
    assert_eq!(
        kept(),
        LOOK_AFTER + 1,
        "those of before are gone but for the one under way"
    );
    assert!(usages.decide().standing(BOX, under_way).listed);
}
