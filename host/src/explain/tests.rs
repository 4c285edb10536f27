use super::*;
use crate::clock::unix_millis;
use crate::config::ExplainConfig;
use crate::store::{MemoryStore, Store};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::time::Duration;

fn step(said: &str, octets: usize) -> Step {
    Step {
        policy: "10-one".to_owned(),
        question: "message".to_owned(),
        said: said.to_owned(),
        facts: vec![Fact {
            call: "x".repeat(octets),
            value: None,
            times: 1,
        }],
        ..Step::default()
    }
}

fn explained(steps: Vec<Step>) -> Explanation {
    Explanation::of(steps, 0, Vec::new(), vec!["250 2.0.0 ok".to_owned()])
}

/// How often a bound was met by `deed`.
fn hits(limit: &str, deed: impl FnOnce()) -> bool {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, deed);
    let line = format!("postern_explain_limit_hits_total{{limit=\"{limit}\"}}");
    recorder.handle().render().contains(&line)
}

#[test]
fn an_explanation_is_whole_up_to_its_bound_and_cut_beyond_it() {
    let beside = size(&explained(vec![step("accept", 0)]));
    let met = hits("message", || {
        let whole = explained(vec![step("accept", MOST - COUNT - beside - 1)]);
        assert_eq!((whole.cut, whole.steps[0].cut), (0, 0));
        assert_eq!(size(&whole), MOST - COUNT - 1);
    });
    assert!(!met);
    let met = hits("message", || {
        let cut = explained(vec![step("accept", MOST - COUNT - beside)]);
        assert_eq!((cut.cut, cut.steps[0].cut, cut.steps[0].facts.len()), (0, 1, 0));
    });
    assert!(met);
}

#[test]
fn what_decided_is_kept_before_what_did_not_and_the_order_stays() {
    let mut steps = vec![step("accept", 700); 40];
    steps.push(step("reject 550 not today", 700));
    steps.extend(vec![step("pass", 700); 40]);
    let kept = explained(steps);
    assert!(size(&kept) <= MOST, "{}", size(&kept));
    assert_eq!(kept.cut + kept.steps.len(), 81);
    let place = kept.steps.iter().position(|step| step.said.starts_with("reject"));
    assert!(place.is_some_and(|place| !kept.steps[place].facts.is_empty()));
    assert_eq!(
        kept.steps.last().map(|step| step.said.as_str()),
        Some("reject 550 not today")
    );
}

#[test]
fn the_step_that_decided_is_kept_whatever_was_changed_before() {
    let tagged = |said: &str| step(said, 0).with_edits(vec!["add-header X: y".repeat(8); 5]);
    let mut steps = vec![tagged("accept"); 40];
    steps.push(step("reject 550 not today", 0));
    let kept = explained(steps);
    assert!(kept.cut > 0 && kept.steps.len() > 1, "{}", kept.cut);
    let last = kept.steps.last().map(|step| step.said.as_str());
    assert_eq!(last, Some("reject 550 not today"));
    let verdict = "recipient-verdict bob@example.org reject 550 5.7.1 no".to_owned();
    let mut steps = vec![tagged("accept"); 40];
    steps.push(step("accept", 0).with_edits(vec![verdict.clone()]));
    let kept = explained(steps);
    assert_eq!(
        kept.steps.last().map(|step| &step.edits[..]),
        Some(&[verdict][..])
    );
}

#[test]
fn edits_may_be_lacking_where_a_step_has_as_many_as_are_kept() {
    let with = |count| step("accept", 0).with_edits(vec!["tag a".to_owned(); count]);
    assert!(!with(EDITS).lacks_edits());
    assert!(with(EDITS + 1).lacks_edits());
    let read = Step {
        cut: 3,
        ..with(EDITS - 1)
    };
    assert!(!read.lacks_edits());
}

#[test]
fn lines_and_edits_are_as_many_as_a_person_reads() {
    let lines = |count| vec!["a".to_owned(); count];
    let whole = Explanation::of(Vec::new(), 0, lines(OUTCOMES), lines(REPLIES));
    assert_eq!(
        (whole.outcomes.len(), whole.replies.len(), whole.cut),
        (OUTCOMES, REPLIES, 0)
    );
    let more = Explanation::of(Vec::new(), 3, lines(OUTCOMES + 1), lines(REPLIES + 1));
    assert_eq!(
        (more.outcomes.len(), more.replies.len(), more.cut),
        (OUTCOMES, REPLIES, 4)
    );
    assert_eq!((whole.outcomes_cut, more.outcomes_cut), (0, 1));
    let to = |count| Attempt::default().to(lines(count).into_iter());
    assert_eq!(
        (to(RECIPIENTS).rcpt_to.len(), to(RECIPIENTS).rcpt_cut),
        (RECIPIENTS, 0)
    );
    let more = to(RECIPIENTS + 2);
    assert_eq!((more.rcpt_to.len(), more.rcpt_cut), (RECIPIENTS, 2));
    assert_eq!(Step::default().with_edits(lines(EDITS)).cut, 0);
    let more = Step::default().with_edits(lines(EDITS + 1));
    assert_eq!((more.edits.len(), more.cut), (EDITS, 1));
    assert_eq!(cut(&"é".repeat(80), LINE), "é".repeat(80));
    assert_eq!(cut(&"é".repeat(81), LINE), format!("{}…", "é".repeat(80)));
}

#[test]
fn a_record_of_thousands_of_recipients_is_bounded_and_counts_them() {
    let long = |count| vec!["x".repeat(LINE); count];
    let kept = Explanation::of(vec![step("accept", 0); 5000], 0, long(5000), long(5000));
    assert_eq!(kept.outcomes_cut, 5000 - OUTCOMES);
    assert_eq!(kept.cut, 5000 - REPLIES + 5000 - kept.steps.len());
    assert!(!kept.steps.is_empty() && size(&kept) <= MOST, "{}", size(&kept));
}

#[test]
fn a_record_of_another_version_is_read() {
    let older: Stored = serde_json::from_str(r#"{"queue_id":"Q","mail_from":""}"#).unwrap();
    assert_eq!(older.explained, None);
    let newer = r#"{"explained":{"steps":[],"replies":["250 ok"],"later":1}}"#;
    let newer: Stored = serde_json::from_str(newer).unwrap();
    assert_eq!(newer.explained.unwrap().replies, ["250 ok"]);
}

pub(super) fn attempt(id: &str, time: u64) -> Attempt {
    let attempt = Attempt {
        id: id.to_owned(),
        time,
        client_ip: "192.0.2.1".to_owned(),
        mail_from: "Ann@example.net".to_owned(),
        ..Attempt::default()
    };
    attempt.to(["bob@example.org".to_owned()].into_iter())
}

pub(super) fn attempts(keep: Duration, max: u64) -> Attempts {
    Attempts::new(ExplainConfig {
        keep,
        max,
        keep_deleted: true,
        save: Duration::ZERO,
    })
}

#[test]
fn attempts_are_found_by_id_and_by_each_address_in_their_order() {
    let kept = attempts(Duration::from_secs(60), 1 << 20);
    let now = unix_millis();
    kept.add(&attempt("A", now));
    kept.add(&attempt("B", now));
    let ids = |search, most| -> Vec<String> {
        let found = kept.find(search, most);
        found.into_iter().map(|attempt| attempt.id).collect()
    };
    assert_eq!(ids(Search::Id("a"), 9), ["A"]);
    for address in ["ann@EXAMPLE.net", "192.0.2.1", "bob@example.org"] {
        assert_eq!(ids(Search::Address(address), 9), ["A", "B"], "{address}");
    }
    assert_eq!(ids(Search::Address("bob@example.org"), 1), ["B"], "the last ones");
    assert_eq!(ids(Search::Address("eve@example.org"), 9), Vec::<String>::new());
}

#[test]
fn attempts_take_no_more_than_their_room_and_the_oldest_give_way() {
    let now = unix_millis();
    let weight = size(&attempt("A", now)) as u64 + 64;
    let found = |room: u64| {
        let kept = attempts(Duration::from_secs(60), room);
        let met = hits("max", || {
            kept.add(&attempt("A", now));
            kept.add(&attempt("B", now));
        });
        let all = kept.find(Search::Address("bob@example.org"), 9);
        let ids: Vec<String> = all.into_iter().map(|attempt| attempt.id).collect();
        (ids.concat(), met)
    };
    assert_eq!(found(2 * weight), ("AB".to_owned(), false));
    assert_eq!(found(2 * weight - 1), ("B".to_owned(), true));
    assert_eq!(found(weight - 1), (String::new(), true));
}

#[test]
fn attempts_are_forgotten_at_their_exact_time() {
    let kept = attempts(Duration::from_secs(10), 1 << 20);
    kept.add(&attempt("A", 5000));
    let left = |now| kept.kept_at(now);
    assert_eq!(left(14_999), 1);
    assert_eq!(left(15_000), 0);
}

#[tokio::test]
async fn what_outlives_a_message_is_found_and_bounded() {
    let store = MemoryStore::new();
    let kept = attempts(Duration::from_secs(60), 1 << 20);
    let written = attempt("A", unix_millis());
    kept.keep(&store, &written).await;
    let found = attempts::kept_of(&store, "A").await.unwrap();
    assert_eq!(found, Some(written.clone()));
    assert_eq!(attempts::kept_of(&store, "B").await.unwrap(), None);
    let full = attempts(Duration::from_secs(60), 10);
    full.keep(&store, &attempt("C", unix_millis())).await;
    assert_eq!(attempts::kept_of(&store, "C").await.unwrap(), None);
    assert!(store.ready().is_ok());
}
