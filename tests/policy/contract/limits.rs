//! Both sides of the bounds that take a guest to be met.

use crate::folder::{Folder, Mail, answers, facts, load, load_within, refusal};
use metrics_exporter_prometheus::PrometheusHandle;
use postern::config::{MimeLimits, PolicyLimits};
use postern::policy::{Decision, Policies, Route, Verdict};
use postern::store::memory::MemoryStore;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// How late an answer may be on a machine that has much else to do; a hang is hours.
const IN_TIME: Duration = Duration::from_secs(20);

async fn loaded(limits: PolicyLimits, folder: &Folder) -> Arc<Policies> {
    load_within(limits, folder, Arc::new(MemoryStore::new())).await
}

/// What was made of a call at MAIL FROM: its outcome in the log.
async fn mail(policies: &Policies) -> &'static str {
    word(&policies.mail(&facts()).await)
}

fn word(decision: &Decision) -> &'static str {
    decision.opinions[0].word
}

fn with_trial(trial: u64) -> PolicyLimits {
    PolicyLimits {
        trial: Duration::from_millis(trial),
        ..PolicyLimits::default()
    }
}

fn at_validation(deed: &str, deadline: u64) -> Folder {
    let manifest = format!("settings: {{ {deed}, at: validate }}\nlimits: {{ deadline: {deadline}ms }}\n");
    Folder::new().with("10-hostile", "hostile", &manifest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_never_ends_its_trial_is_refused_when_the_trial_is_over() {
    for (trial, deadline) in [(800, 50), (50, 800)] {
        let folder = at_validation("do: loop", deadline);
        let begun = Instant::now();
        let policies = loaded(with_trial(trial), &folder).await;
        let refusal = refusal(&policies, "10-hostile");
        assert!(
            refusal.contains("within 800ms") && refusal.contains("policy.trial"),
            "{refusal}"
        );
        assert!(
            begun.elapsed() >= Duration::from_millis(800),
            "not before its time"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_may_take_longer_than_a_call_and_never_less() {
    for (trial, deadline) in [(20_000, 100), (100, 20_000)] {
        let folder = at_validation("do: linger, much: 400", deadline);
        let policies = loaded(with_trial(trial), &folder).await;
        assert_eq!(
            answers(&policies, "10-hostile").len(),
            7,
            "a trial of {trial} ms and a deadline of {deadline} ms"
        );
    }
}

/// How often a bound was met in this process: guests run on threads of their own, where no recorder of a test's
/// thread hears them. No two tests here meet the same one.
fn met(limit: &str) -> u64 {
    static METRICS: LazyLock<PrometheusHandle> =
        LazyLock::new(|| postern::admin::record_metrics().expect("nobody else records"));
    let line = format!("postern_policy_limit_hits_total{{limit=\"{limit}\"}} ");
    let page = METRICS.render();
    let count = page.lines().find_map(|found| found.strip_prefix(&line));
    count.map_or(0, |count| count.parse().expect("a count"))
}

/// What a deed at MAIL FROM comes to under these limits.
async fn deed(deed: &str, limits: &str) -> &'static str {
    let manifest = format!("settings: {{ {deed}, at: mail }}\nlimits: {{ deadline: 20s, {limits} }}\n");
    let policies = load(&Folder::new().with("10-hostile", "hostile", &manifest)).await;
    mail(&policies).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_take_its_deadline_and_no_longer() {
    for (deadline, expected) in [(20_000, "accept"), (200, "timeout")] {
        let manifest = format!(
            "settings: {{ do: linger, much: 400, at: mail }}\nlimits: {{ deadline: {deadline}ms }}\n"
        );
        let policies = load(&Folder::new().with("10-hostile", "hostile", &manifest)).await;
        assert_eq!(mail(&policies).await, expected, "{deadline} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_host_calls_are_made_and_no_more() {
    assert_eq!(deed("do: calls, much: 100", "host_calls: 100").await, "accept");
    assert_eq!(deed("do: calls, much: 101", "host_calls: 100").await, "trap");
    assert_eq!(deed("do: calls, much: 100000", "").await, "accept");
    assert_eq!(deed("do: calls, much: 100001", "").await, "trap");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_octets_are_read_and_no_more() {
    // `mail`, `read` and the number itself are read too.
    assert_eq!(deed("do: read, much: 99987", "read: 100000B").await, "accept");
    assert_eq!(deed("do: read, much: 99988", "read: 100000B").await, "trap");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_octets_are_handed_over_in_one_answer_and_no_more() {
    let most = 8192 - "5.7.1".len();
    let answer =
        |octets: usize| async move { deed(&format!("do: answer, much: {octets}"), "output: 8KiB").await };
    let before = met("output");
    assert_eq!(answer(most).await, "reject");
    assert_eq!(met("output"), before);
    assert_eq!(answer(most + 1).await, "trap");
    assert_eq!(met("output"), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_has_so_many_addresses_and_no_more() {
    for (addresses, taken) in [(2, true), (3, false)] {
        let targets = " a@example.org".repeat(addresses);
        let manifest = format!("settings: {{ route: \"rewrite{targets}\" }}\nlimits: {{ addresses: 2 }}\n");
        let policies = load(&Folder::new().with("10-probe", "probe", &manifest)).await;
        let (route, opinions) = policies.route(&facts(), "ann@example.org").await;
        assert_eq!(matches!(route, Route::Rewrite(_)), taken, "{route:?}");
        assert_eq!(opinions[0].word == "unfit", !taken);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_calls_run_at_the_same_time_and_others_wait() {
    const INSTANCES: u32 = 2;
    let spinner = "settings: { do: loop, at: connect }\nlimits: { deadline: 60s }\n";
    // It answers MAIL FROM alone, by a trap, and nobody behind it is asked.
    let asked_first = "limits: { deadline: 2s }\n";
    let folder = Folder::new()
        .with("10-table", "table", asked_first)
        .with("20-hostile", "hostile", spinner);
    let limits = PolicyLimits {
        instances: INSTANCES,
        ..PolicyLimits::default()
    };
    let policies = loaded(limits, &folder).await;
    let spin = || {
        let policies = Arc::clone(&policies);
        tokio::spawn(async move { policies.connect(&facts()).await })
    };
    let asked = async || mail(&policies).await;
    let one = spin();
    for _ in 0..5 {
        assert_eq!(asked().await, "trap", "there is another place");
    }
    let other = spin();
    let begun = Instant::now();
    while asked().await != "busy" {
        assert!(begun.elapsed() < IN_TIME, "both places are taken at last");
    }
    assert!(!one.is_finished() && !other.is_finished());
    one.abort();
    other.abort();
    while asked().await != "trap" {
        assert!(
            begun.elapsed() < 3 * IN_TIME,
            "who no longer waits gives the place back"
        );
    }
}

/// A message with a text and so many other parts.
fn letter(parts: usize) -> Vec<u8> {
    let part = "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n";
    format!(
        "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
        part.repeat(parts)
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_told_whether_the_tree_is_whole() {
    let limits = PolicyLimits {
        deadline: Duration::from_secs(10),
        mime: MimeLimits {
            parts: 3,
            ..PolicyLimits::default().mime
        },
        ..PolicyLimits::default()
    };
    let folder = Folder::new().with("10-probe", "probe", "settings: {}");
    let policies = loaded(limits, &folder).await;
    for (parts, complete) in [(2, "mime.complete=true"), (3, "mime.complete=false")] {
        let decision = policies.message(&facts(), Mail::new(letter(parts)), &[]).await;
        assert_eq!(decision.verdict, Verdict::Accept);
        let said = crate::probe::lines(&decision.edits);
        assert!(said.iter().any(|line| line == complete), "{parts}: {said:?}");
    }
}
