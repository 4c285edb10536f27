//! A policy costs at most its own call. Guests that loop, hoard, recurse, storm, flood, trap or sleep do so at
//! each question; each time the answer comes in time, is what the failure policy says, and other calls go on.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

#[path = "folder.rs"]
mod folder;
#[path = "hostile/languages.rs"]
mod languages;
#[path = "../support/toolchains.rs"]
mod toolchains;

use folder::{Folder, Mail, answers, facts, load, refusal};
use postern::policy::{Policies, QuotaDecision, Route, Verdict};
use postern::store::Usage;
use std::time::{Duration, Instant};

/// What ends a call that would not end by itself. Far above what a good call needs on a busy machine.
const DEADLINE: Duration = Duration::from_millis(400);
/// How late an answer may be on a machine that has much else to do; a hang is hours.
const IN_TIME: Duration = Duration::from_secs(20);
const DEEDS: [&str; 8] = [
    "loop", "grow", "recurse", "storm", "logs", "huge", "trap", "sleep",
];
const PLAIN: &[u8] = b"From: <bob@shop.example>\r\nSubject: hello\r\n\r\nhello\r\n";

/// Where a question is asked, and its name in the failure policy.
const QUESTIONS: [(&str, &str); 6] = [
    ("connect", "connect"),
    ("mail", "mail"),
    ("rcpt", "rcpt"),
    ("message", "message"),
    ("route", "router"),
    ("quota", "quota"),
];

fn hostile(deed: &str, at: &str, failure: &str) -> String {
    let deadline = DEADLINE.as_millis();
    format!(
        "settings: {{ do: {deed}, at: {at} }}\nlimits: {{ deadline: {deadline}ms }}\nfailure: {{ {failure} }}\n"
    )
}

/// The answer to one question in a word.
async fn ask(policies: &Policies, question: &str) -> &'static str {
    let facts = facts();
    let decision = match question {
        "connect" => policies.connect(&facts).await,
        "mail" => policies.mail(&facts).await,
        "rcpt" => policies.rcpt(&facts, "ann@example.org").await,
        "message" => policies.message(&facts, Mail::new(PLAIN), &[]).await,
        "route" => {
            return match policies.route(&facts, "ann@example.org").await.0 {
                Route::Pass => "accept",
                Route::Defer(reply) if reply.is_transient() => "defer",
                Route::Reject(reply) if !reply.is_transient() => "reject",
                other => panic!("{other:?}"),
            };
        }
        _ => {
            let usage = Usage::default();
            return match policies.quota(&facts, "ann@example.org", usage, 1).await.0 {
                QuotaDecision::Allow(_) => "accept",
                QuotaDecision::Deny(reply) if reply.is_transient() => "defer",
                QuotaDecision::Deny(_) => "reject",
                other @ QuotaDecision::Warn { .. } => panic!("{other:?}"),
            };
        }
    };
    match decision.verdict {
        Verdict::Accept => "accept",
        Verdict::Reject(reply) if !reply.is_transient() => "reject",
        Verdict::Defer(reply) if reply.is_transient() => "defer",
        Verdict::Quarantine(_) => "quarantine",
        other => panic!("{other:?}"),
    }
}

/// Asks, and says how long it took.
async fn timed(policies: &Policies, question: &str) -> (&'static str, Duration) {
    let started = Instant::now();
    let answer = tokio::time::timeout(IN_TIME, ask(policies, question)).await;
    (answer.expect("an answer in time"), started.elapsed())
}

/// One deed at each question: the call is deferred in time, and every other question is answered.
async fn costs_its_own_call(deed: &str) {
    for (at, _) in QUESTIONS {
        let folder = Folder::new().with("10-hostile", "hostile", &hostile(deed, at, ""));
        let policies = load(&folder).await;
        assert_eq!(
            answers(&policies, "10-hostile").len(),
            7,
            "six questions and lifecycle"
        );
        for (question, _) in QUESTIONS {
            let (answer, took) = timed(&policies, question).await;
            let expected = if question == at { "defer" } else { "accept" };
            assert_eq!(
                answer, expected,
                "{question}, with `{deed}` at {at}, after {took:?}"
            );
            if question == at {
                println!("{deed} at {at}: ended after {} ms", took.as_millis());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_costs_its_own_call() {
    costs_its_own_call("loop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_bomb_costs_its_own_call() {
    costs_its_own_call("grow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_recursion_costs_its_own_call() {
    costs_its_own_call("recurse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_host_calls_costs_its_own_call() {
    costs_its_own_call("storm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_log_lines_costs_its_own_call() {
    costs_its_own_call("logs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_answer_costs_its_own_call() {
    costs_its_own_call("huge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_costs_its_own_call() {
    costs_its_own_call("trap").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_asleep_in_a_host_call_costs_its_own_call() {
    costs_its_own_call("sleep").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_bomb_costs_its_own_call() {
    let policies = load(&Folder::new().with("10-table", "table", "")).await;
    assert_eq!(answers(&policies, "10-table"), ["mail"]);
    assert_eq!(timed(&policies, "mail").await.0, "defer");
    assert_eq!(timed(&policies, "connect").await.0, "accept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_dropped_and_the_guest_goes_on() {
    let manifest = "settings: { do: stdout, at: mail }\nlimits: { deadline: 10s }\n";
    let policies = load(&Folder::new().with("10-hostile", "hostile", manifest)).await;
    assert_eq!(timed(&policies, "mail").await.0, "accept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_policy_of_each_question_decides() {
    for (at, key) in QUESTIONS {
        let words: &[&str] = match key {
            "router" | "quota" => &["defer", "reject", "skip"],
            _ => &["defer", "reject", "skip", "accept"],
        };
        for word in words {
            let manifest = hostile("trap", at, &format!("{key}: {word}, default: defer"));
            let policies = load(&Folder::new().with("10-hostile", "hostile", &manifest)).await;
            let expected = match *word {
                "skip" => "accept",
                said => said,
            };
            assert_eq!(ask(&policies, at).await, expected, "{key}: {word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_on_failure_asks_no_later_filter_and_skip_asks_them() {
    let later = "settings: { verdict: { message: quarantine } }";
    for (word, expected) in [("accept", "accept"), ("skip", "quarantine")] {
        let folder = Folder::new()
            .with(
                "10-hostile",
                "hostile",
                &hostile("trap", "message", &format!("message: {word}")),
            )
            .with("20-probe", "probe", later);
        let policies = load(&folder).await;
        assert_eq!(ask(&policies, "message").await, expected, "message: {word}");
    }
}

/// Four guests spin for as long as they may. Everything else is asked meanwhile and is done before them.
#[tokio::test(flavor = "multi_thread")]
async fn other_calls_are_answered_while_guests_spin() {
    const CALLS: u32 = 200;
    let manifest = "settings: { do: loop, at: mail }\nlimits: { deadline: 30s }\n";
    let folder = Folder::new().with("10-hostile", "hostile", manifest);
    let policies = load(&folder).await;
    let alone = latencies(&policies, CALLS).await;
    let spinning: Vec<_> = (0..4)
        .map(|_| {
            let policies = policies.clone();
            tokio::spawn(async move { ask(&policies, "mail").await })
        })
        .collect();
    let beside = latencies(&policies, CALLS).await;
    assert!(
        spinning.iter().all(|call| !call.is_finished()),
        "the calls were asked beside the guests"
    );
    println!(
        "{CALLS} calls alone: {}; beside four spinning guests: {}",
        said(&alone),
        said(&beside)
    );
    for call in spinning {
        call.abort();
    }
}

/// How long calls take, one after the other, shortest first.
async fn latencies(policies: &Policies, calls: u32) -> Vec<Duration> {
    let mut all = Vec::new();
    for _ in 0..calls {
        let (answer, took) = timed(policies, "connect").await;
        assert_eq!(answer, "accept");
        all.push(took);
    }
    all.sort();
    all
}

fn said(sorted: &[Duration]) -> String {
    let at = |per_cent: usize| sorted[(sorted.len() - 1) * per_cent / 100];
    format!("p50 {:?}, p99 {:?}, most {:?}", at(50), at(99), at(100))
}

/// A place in the pool that a killed guest kept would be missing after as many kills as there are places.
#[tokio::test(flavor = "multi_thread")]
async fn killed_guests_leave_nothing_behind() {
    let manifest = "settings: { do: sleep, at: mail }\nlimits: { deadline: 50ms }\nbreaker: off\n";
    let policies = load(&Folder::new().with("10-hostile", "hostile", manifest)).await;
    for _ in 0..4 {
        let calls: Vec<_> = (0..64)
            .map(|_| {
                let policies = policies.clone();
                tokio::spawn(async move { timed(&policies, "mail").await.0 })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.expect("an answer"), "defer");
        }
    }
    assert_eq!(timed(&policies, "connect").await.0, "accept");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_imports_are_refused_by_name_and_the_others_serve() {
    let folder = Folder::new()
        .with("10-unknown", "unknown", "")
        .with("20-newer", "newer", "")
        .with("30-probe", "probe", "settings: { verdict: { mail: reject } }");
    let policies = load(&folder).await;
    let unknown = refusal(&policies, "10-unknown");
    assert!(
        unknown.contains("postern:unknown") && unknown.contains("oracle"),
        "{unknown}"
    );
    let newer = refusal(&policies, "20-newer");
    assert!(newer.contains("postern:policy 0.1.7"), "{newer}");
    assert!(newer.contains("session.client-port"), "{newer}");
    assert!(
        newer.contains("session.client-weather"),
        "all that is missing is said: {newer}"
    );
    assert!(newer.contains("0.1.0"), "and what is served: {newer}");
    assert_eq!(ask(&policies, "mail").await, "reject");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_misbehaves_in_its_validation_is_refused_in_time() {
    for deed in DEEDS {
        let started = Instant::now();
        let folder = Folder::new()
            .with("10-hostile", "hostile", &hostile(deed, "validate", ""))
            .with("20-probe", "probe", "settings: { verdict: { mail: reject } }");
        let policies = tokio::time::timeout(IN_TIME, load(&folder))
            .await
            .expect("loaded in time");
        let refusal = refusal(&policies, "10-hostile");
        assert!(
            !refusal.is_empty() && refusal.len() < 4096,
            "{deed}: {} octets",
            refusal.len()
        );
        assert!(!refusal.contains('\n'), "one line: {refusal}");
        println!("{deed} in validate: {refusal} ({:?})", started.elapsed());
        assert_eq!(ask(&policies, "mail").await, "reject", "the other one serves");
    }
}
