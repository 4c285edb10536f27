use super::*;
use crate::config::PolicyLimits;
use crate::policy::breaker::Course;
use crate::policy::canary::is_in_share;
use crate::policy::load::LoadOptions;
use crate::policy::load::tests::{ACCEPT, Folder, LOOP, REJECT, TRAP, filter};
use crate::policy::sample::Slow;
use crate::policy::shelf::{Shelf, Which};
use crate::policy::stand::Mail;
use crate::policy::{Policies, Verdict};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// It answers `sender-filter` and `message-filter`, both with what `body` leaves.
fn both(body: &str) -> String {
    let wat = filter(body, "");
    let (head, tail) = wat.split_once("(component $named").unwrap();
    let answer = |question: &str, export: &str, id: &str| {
        let tail = tail
            .replace("connection-filter", question)
            .replace("on-connect", export);
        let tail = tail.replace("instance $e", &format!("instance $e{id}"));
        let tail = tail.replace("$named", &format!("$named{id}"));
        let whole = format!("(component $named{id}{tail}");
        whole.strip_suffix(')').unwrap().to_owned()
    };
    let (mail, message) = (
        answer("sender-filter", "on-mail", "1"),
        answer("message-filter", "on-message", "2"),
    );
    format!("{head}{mail}{message})")
}

/// A folder on disk, what was made of it, and what was counted.
struct Shop {
    dir: Folder,
    shelf: Shelf,
    set: Arc<Policies>,
}

impl Shop {
    fn open(dir: Folder) -> Self {
        Self::open_with(dir, |_| {})
    }

    fn open_with(dir: Folder, adapt: impl FnOnce(&mut PolicyLimits)) -> Self {
        let mut options: LoadOptions = dir.options(PATIENCE);
        adapt(&mut options.limits);
        let (shelf, look) = Shelf::open(dir.0.path(), options).unwrap();
        assert_eq!(look.faults, []);
        let set = look.policies;
        Self { dir, shelf, set }
    }

    fn place(&mut self, name: &str, wat: &str) {
        let path = self.dir.0.path().join(format!("{name}.wasm"));
        std::fs::write(path, wat::parse_str(wat).unwrap()).unwrap();
        let look = self.shelf.look_through(Which::Changed);
        assert_eq!(look.faults, []);
        self.set = look.policies;
    }

    async fn connect(&self, client: &str) -> (Verdict, Vec<(String, &'static str)>) {
        let facts = Facts {
            client_ip: client.to_owned(),
            listener: "mx".to_owned(),
            ..Facts::default()
        };
        let decision = tokio::time::timeout(PATIENCE, self.set.connect(&facts))
            .await
            .unwrap();
        let said = decision.opinions.into_iter();
        (
            decision.verdict,
            said.map(|opinion| (opinion.policy, opinion.word)).collect(),
        )
    }

    /// What was said of one client.
    async fn said(&self, client: &str) -> Vec<(String, &'static str)> {
        self.connect(client).await.1
    }

    fn trouble(&self, name: &str) -> Option<String> {
        let mut listed = self.set.list().iter();
        self.set
            .trouble(listed.find(|listed| listed.name == name).unwrap())
    }

    /// The matrix without the policy's name, once so many were compared.
    async fn matrix(&self, name: &str, count: u64) -> Vec<(&'static str, &'static str, &'static str, u64)> {
        let full = async {
            loop {
                let cells = self.set.agreement(name).unwrap();
                if cells.iter().map(|cell| cell.count).sum::<u64>() >= count {
                    return cells;
                }
                tokio::task::yield_now().await;
            }
        };
        let cells = tokio::time::timeout(PATIENCE, full).await.unwrap().into_iter();
        cells
            .map(|cell| (cell.question, cell.enforced, cell.candidate, cell.count))
            .collect()
    }
}

fn by(policy: &str, word: &'static str) -> Vec<(String, &'static str)> {
    vec![(policy.to_owned(), word)]
}

/// Clients, and whether they are in a canary's share.
fn clients(count: usize, share: u8) -> Vec<(String, bool)> {
    let client = |n| {
        let client = format!("192.0.2.{n}");
        let inside = is_in_share("20-x.candidate", &client, share);
        (client, inside)
    };
    (0..count).map(client).collect()
}

fn recorder() -> (PrometheusHandle, metrics::LocalRecorderGuard<'static>) {
    let recorder: &'static PrometheusRecorder =
        Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    (recorder.handle(), metrics::set_default_local_recorder(recorder))
}

#[tokio::test]
async fn a_shadow_changes_nothing_and_what_it_would_have_said_is_recorded() {
    let shop = Shop::open(
        Folder::new()
            .with("20-x", &filter(ACCEPT, ""))
            .with("20-x.candidate", &filter(REJECT, ""))
            .with("30-alone", &filter(REJECT, ""))
            .file("30-alone.yaml", "mode: shadow"),
    );
    for _ in 0..3 {
        assert_eq!(
            shop.connect("192.0.2.1").await,
            (Verdict::Accept, by("20-x", "accept"))
        );
    }
    assert_eq!(shop.matrix("20-x", 3).await, [("connect", "accept", "reject", 3)]);
    assert_eq!(shop.matrix("x", 3).await.len(), 1, "the number may be left out");
    assert_eq!(
        shop.matrix("30-alone", 3).await,
        [("connect", "none", "reject", 3)]
    );
    assert_eq!(shop.set.agreement("20-y"), None);
    let modes: Vec<_> = shop.set.list().iter().map(|listed| &*listed.mode).collect();
    assert_eq!(modes, ["shadow", "enforce", "shadow"]);
}

#[tokio::test]
async fn a_spinning_shadow_delays_nothing_and_what_does_not_fit_is_dropped_and_counted() {
    let dir = Folder::new()
        .with("20-x", &filter(ACCEPT, ""))
        .with("20-x.candidate", &filter(LOOP, ""))
        .file("20-x.candidate.yaml", "limits: { deadline: 60s }");
    let shop = Shop::open_with(dir, |limits| {
        (limits.shadow_instances, limits.shadow_queue) = (1, 1);
    });
    let (counted, _counting) = recorder();
    let dropped = || {
        let text = counted.render();
        let count = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim().parse::<u64>().unwrap()))
        };
        (
            count("postern_policy_limit_hits_total{limit=\"shadow\"}"),
            count("postern_plugin_shadow_dropped_total{plugin=\"20-x.candidate\"}"),
        )
    };
    let begun = std::time::Instant::now();
    for _ in 0..2 {
        assert_eq!(shop.connect("192.0.2.1").await.0, Verdict::Accept);
    }
    assert_eq!(dropped(), (None, None), "one runs, one waits");
    for _ in 0..10 {
        assert_eq!(shop.connect("192.0.2.1").await.0, Verdict::Accept);
    }
    assert_eq!(dropped(), (Some(10), Some(10)));
    assert!(begun.elapsed() < PATIENCE, "nobody waited for the one that spins");
    assert_eq!(shop.set.agreement("20-x"), Some(Vec::new()));
}

#[tokio::test]
async fn a_canary_decides_for_its_share_and_the_enforced_version_is_asked_beside_it() {
    let shop = Shop::open(
        Folder::new()
            .with("20-x", &filter(ACCEPT, ""))
            .with("20-x.candidate", &filter(REJECT, ""))
            .file(
                "20-x.candidate.yaml",
                "mode: { canary: 50, drift: 100, calls: 10000 }",
            ),
    );
    let clients = clients(40, 50);
    let inside = clients.iter().filter(|(_, inside)| *inside).count();
    assert!((10..30).contains(&inside));
    for (client, inside) in &clients {
        let expected = match inside {
            true => by("20-x.candidate", "reject"),
            false => by("20-x", "accept"),
        };
        assert_eq!(shop.said(client).await, expected, "{client}");
    }
    let matrix = shop.matrix("20-x", inside as u64).await;
    assert_eq!(matrix, [("connect", "accept", "reject", inside as u64)]);
}

#[tokio::test]
async fn a_canary_that_is_alone_is_asked_for_its_share_and_nobody_is_for_the_rest() {
    let shop = Shop::open(
        Folder::new()
            .with("20-x.candidate", &filter(REJECT, ""))
            .file("20-x.candidate.yaml", "mode: { canary: 50 }"),
    );
    for (client, inside) in clients(20, 50) {
        let expected = if inside {
            by("20-x.candidate", "reject")
        } else {
            Vec::new()
        };
        assert_eq!(shop.said(&client).await, expected, "{client}");
    }
}

#[tokio::test]
async fn a_canary_that_traps_falls_back_until_it_is_reset() {
    let shop = Shop::open(
        Folder::new()
            .with("20-x", &filter(ACCEPT, ""))
            .with("20-x.candidate", &filter(TRAP, ""))
            .file(
                "20-x.candidate.yaml",
                "mode: { canary: 99, calls: 10, failures: 20 }",
            ),
    );
    let mut clients = clients(30, 99).into_iter().filter(|(_, inside)| *inside);
    let mut client = || clients.next().unwrap().0;
    for _ in 0..2 {
        assert_eq!(shop.trouble("20-x.candidate"), None);
        let (verdict, said) = shop.connect(&client()).await;
        assert!(matches!(verdict, Verdict::Defer(_)), "{verdict:?}");
        assert_eq!(said, by("20-x.candidate", "trap"));
    }
    for _ in 0..5 {
        assert_eq!(shop.said(&client()).await, by("20-x", "accept"));
    }
    let trouble = shop.trouble("20-x.candidate").unwrap();
    assert_eq!(trouble, "fell back: 2 of its last 2 calls failed");
    assert_eq!(shop.trouble("20-x"), None);
    assert_eq!(shop.set.reset("20-x.candidate"), Some(1));
    assert_eq!(shop.said(&client()).await, by("20-x.candidate", "trap"));
}

#[tokio::test]
async fn a_canary_that_drifts_falls_back() {
    let shop = Shop::open(
        Folder::new()
            .with("20-x", &filter(ACCEPT, ""))
            .with("20-x.candidate", &filter(REJECT, ""))
            .file(
                "20-x.candidate.yaml",
                "mode: { canary: 99, calls: 10, drift: 30 }",
            ),
    );
    let mut clients = clients(30, 99).into_iter().filter(|(_, inside)| *inside);
    for compared in 1..=3 {
        assert_eq!(shop.trouble("20-x.candidate"), None);
        let (client, _) = clients.next().unwrap();
        assert_eq!(shop.said(&client).await, by("20-x.candidate", "reject"));
        shop.matrix("20-x", compared).await;
    }
    let fallen = async {
        while shop.trouble("20-x.candidate").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, fallen).await.unwrap();
    let trouble = shop.trouble("20-x.candidate").unwrap();
    assert_eq!(
        trouble,
        "fell back: the enforced version said otherwise 3 of the last 3 times"
    );
    let (client, _) = clients.next().unwrap();
    assert_eq!(shop.said(&client).await, by("20-x", "accept"));
}

#[tokio::test]
async fn a_canary_that_says_the_same_word_of_something_else_drifts_too() {
    let other = filter(REJECT, "").replace("not today", "not to-da");
    let shop = Shop::open(
        Folder::new()
            .with("20-x", &filter(REJECT, ""))
            .with("20-x.candidate", &other)
            .file("20-x.candidate.yaml", "mode: { canary: 99, calls: 10 }"),
    );
    let mut clients = clients(30, 99).into_iter().filter(|(_, inside)| *inside);
    let (client, _) = clients.next().unwrap();
    shop.said(&client).await;
    let fallen = async {
        while shop.trouble("20-x.candidate").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, fallen).await.unwrap();
    assert_eq!(shop.matrix("20-x", 1).await, [("connect", "reject", "reject", 1)]);
    assert!(shop.set.agreement("20-x").unwrap()[0].differs);
    let alike = Shop::open(
        Folder::new()
            .with("20-x", &filter(REJECT, ""))
            .with("20-x.candidate", &filter("(i32.const 64) nop", "")),
    );
    alike.said(&client).await;
    alike.matrix("20-x", 1).await;
    assert!(!alike.set.agreement("20-x").unwrap()[0].differs);
}

const MAIL: &str = "Subject: x\r\n\r\n";

fn transaction(id: &str) -> Facts {
    Facts {
        queue_id: id.to_owned(),
        listener: "mx".to_owned(),
        ..Facts::default()
    }
}

#[tokio::test]
async fn a_transaction_ends_with_the_version_that_it_began_with() {
    let shop = Shop::open(
        Folder::new()
            .with("20-x", &both(ACCEPT))
            .with("20-x.candidate", &both("(i32.const 0) nop"))
            .file("20-x.candidate.yaml", "mode: { canary: 50, calls: 10 }"),
    );
    let mut begun = Vec::new();
    for n in 0..40 {
        let facts = transaction(&format!("id-{n}"));
        let decision = shop.set.mail(&facts).await;
        begun.push((facts, decision.opinions[0].policy.clone()));
    }
    let canaries = begun
        .iter()
        .filter(|(_, policy)| policy == "20-x.candidate")
        .count();
    assert!((10..30).contains(&canaries), "{canaries}");
    let candidate = shop
        .set
        .plugins
        .iter()
        .find(|plugin| &*plugin.name == "20-x.candidate")
        .unwrap();
    for _ in 0..10 {
        candidate.health.compared(true);
    }
    assert!(shop.trouble("20-x.candidate").is_some());
    for (facts, policy) in &begun {
        // What is known of a transaction grows, in clones of its facts.
        let mut facts = facts.clone();
        facts.rcpt_to.push("ann@example.org".to_owned());
        let decision = shop.set.message(&facts, Mail::new(MAIL), &[]).await;
        assert_eq!(&decision.opinions[0].policy, policy, "{}", facts.queue_id);
        let new = shop.set.mail(&transaction(&facts.queue_id)).await;
        assert_eq!(new.opinions[0].policy, "20-x");
    }
}

#[tokio::test]
async fn a_canarys_share_is_chosen_whatever_domains_it_names() {
    let shop = Shop::open(
        Folder::new()
            .with("20-x", &both(ACCEPT))
            .with("20-x.candidate", &both("(i32.const 0) nop"))
            .file(
                "20-x.candidate.yaml",
                "mode: { canary: 50, calls: 10 }\ndomains: [example.org]\n",
            ),
    );
    let mut shares = [0, 0];
    for n in 0..40 {
        let mut facts = transaction(&format!("id-{n}"));
        let share = usize::from(is_in_share("20-x.candidate", &facts.queue_id, 50));
        shares[share] += 1;
        let expected = [["20-x", "20-x"], ["20-x", "20-x.candidate"]][share];
        for (domain, expected) in ["example.net", "example.org"].into_iter().zip(expected) {
            facts.rcpt_to = vec![format!("ann@{domain}")];
            let decision = shop.set.message(&facts, Mail::new(MAIL), &[]).await;
            assert_eq!(
                decision.opinions[0].policy, expected,
                "{}, {domain}",
                facts.queue_id
            );
        }
    }
    assert!(shares.iter().all(|share| *share > 10), "{shares:?}");
}

const BREAKS: &str = "breaker: { calls: 3, failures: 100, back: command }";

#[tokio::test]
async fn a_new_version_that_breaks_goes_back_to_the_last_good_one() {
    let dir = Folder::new()
        .with("20-x", &filter(ACCEPT, ""))
        .file("20-x.yaml", BREAKS);
    let mut shop = Shop::open(dir);
    assert_eq!(shop.said("192.0.2.1").await, by("20-x", "accept"));
    let good = shop.set.plugins[0].digest.clone();
    shop.place("20-x", &filter(TRAP, ""));
    for _ in 0..3 {
        assert_eq!(shop.said("192.0.2.1").await, by("20-x", "trap"));
    }
    for _ in 0..3 {
        assert_eq!(
            shop.connect("192.0.2.1").await,
            (Verdict::Accept, by("20-x", "accept"))
        );
    }
    let trouble = format!(
        "out of service: 3 of 3 calls failed within 1m; earlier version {} decides",
        short(&good)
    );
    assert_eq!(shop.trouble("20-x"), Some(trouble));

    shop.place("20-x", &filter("unreachable (i32.const 0)", ""));
    for _ in 0..3 {
        assert_eq!(shop.said("192.0.2.1").await, by("20-x", "trap"));
    }
    assert_eq!(
        shop.said("192.0.2.1").await,
        by("20-x", "accept"),
        "the last good one, not the last"
    );
    assert_eq!(shop.set.reset("x"), Some(1));
    assert_eq!(shop.said("192.0.2.1").await, by("20-x", "trap"));
    assert_eq!((shop.set.reset("x"), shop.set.reset("y")), (Some(0), None));
}

#[tokio::test]
async fn another_yaml_alone_is_no_earlier_version() {
    let dir = Folder::new()
        .with("20-x", &filter(TRAP, ""))
        .file("20-x.yaml", format!("{BREAKS}\ngrants: {{ kv: {{}} }}\n"));
    let mut shop = Shop::open(dir);
    let yaml = shop.dir.0.path().join("20-x.yaml");
    std::fs::write(&yaml, BREAKS).unwrap();
    shop.set = shop.shelf.look_through(Which::Changed).policies;
    for _ in 0..3 {
        assert_eq!(shop.said("192.0.2.1").await, by("20-x", "trap"));
    }
    assert_eq!(shop.said("192.0.2.1").await, by("20-x", "out-of-service"));
    shop.place("20-x", &filter(ACCEPT, ""));
    shop.place("20-x", &filter("unreachable (i32.const 0)", ""));
    std::fs::write(&yaml, format!("{BREAKS}\nsettings: {{ a: 1 }}\n")).unwrap();
    shop.set = shop.shelf.look_through(Which::Changed).policies;
    for _ in 0..3 {
        assert_eq!(shop.said("192.0.2.1").await, by("20-x", "trap"));
    }
    assert_eq!(
        shop.said("192.0.2.1").await,
        by("20-x", "accept"),
        "the component before both"
    );
}

#[tokio::test]
async fn a_trial_that_finds_no_place_is_made_again_after_the_next_pause() {
    let manifest = "breaker: { calls: 3, failures: 100, back: 1s }\nlimits: { deadline: 1s }\n";
    let dir = Folder::new()
        .with("20-x", &filter(TRAP, ""))
        .file("20-x.yaml", manifest);
    let shop = Shop::open_with(dir, |limits| limits.instances = 1);
    for _ in 0..3 {
        assert_eq!(shop.said("192.0.2.1").await, by("20-x", "trap"));
    }
    let until = async |word| {
        while shop.said("192.0.2.1").await != by("20-x", word) {
            tokio::task::yield_now().await;
        }
    };
    let place = shop.set.plugins[0].guests.place().await;
    tokio::time::timeout(PATIENCE, until("busy")).await.unwrap();
    drop(place);
    tokio::time::timeout(PATIENCE, until("trap")).await.unwrap();
}

#[tokio::test]
async fn the_gauge_of_a_breaker_is_the_version_in_force_alone() {
    let (counted, _counting) = recorder();
    let open = || {
        let text = counted.render();
        let line = "postern_plugin_breaker_open{plugin=\"20-x\"} ";
        text.lines()
            .find_map(|found| found.strip_prefix(line).map(str::to_owned))
    };
    let breaks = |plugin: &Plugin| {
        for _ in 0..3 {
            plugin.health.heard(Course {
                begun: Instant::now(),
                took: Duration::ZERO,
                failed: true,
            });
        }
    };
    let dir = Folder::new()
        .with("20-x", &filter(ACCEPT, ""))
        .file("20-x.yaml", BREAKS);
    let mut shop = Shop::open(dir);
    assert_eq!(open().as_deref(), Some("0"));
    let first = Arc::clone(&shop.set.plugins[0]);
    shop.place("20-x", &filter("(i32.const 0) nop", ""));
    breaks(&first);
    assert_eq!(open().as_deref(), Some("0"), "the version before");
    let second = Arc::clone(&shop.set.plugins[0]);
    breaks(&second);
    assert_eq!(open().as_deref(), Some("1"));
    assert!(first.health.reset());
    assert_eq!(open().as_deref(), Some("1"));
    std::fs::remove_file(shop.dir.0.path().join("20-x.wasm")).unwrap();
    shop.set = shop.shelf.look_through(Which::Changed).policies;
    assert_eq!(open().as_deref(), Some("0"), "it is gone");
}

#[tokio::test]
async fn one_without_an_earlier_version_comes_to_its_failure_policy_without_a_call() {
    for (failure, deferred) in [("defer", true), ("skip", false)] {
        let manifest = format!("{BREAKS}\nfailure: {{ connect: {failure} }}\n");
        let dir = Folder::new()
            .with("20-x", &filter(TRAP, ""))
            .file("20-x.yaml", manifest);
        let shop = Shop::open(dir);
        for _ in 0..3 {
            assert_eq!(shop.said("192.0.2.1").await, by("20-x", "trap"));
        }
        let (verdict, said) = shop.connect("192.0.2.1").await;
        assert_eq!(said, by("20-x", "out-of-service"));
        assert_eq!(matches!(verdict, Verdict::Defer(_)), deferred);
        assert_eq!(verdict == Verdict::Accept, !deferred);
        let trouble = shop.trouble("20-x").unwrap();
        assert_eq!(trouble, "out of service: 3 of 3 calls failed within 1m");
    }
}

#[tokio::test]
async fn missed_deadlines_take_a_policy_out_of_service() {
    let dir = Folder::new()
        .with("20-x", &filter(LOOP, ""))
        .file("20-x.yaml", format!("{BREAKS}\nlimits: {{ deadline: 20ms }}\n"));
    let shop = Shop::open(dir);
    let out = async { while shop.said("192.0.2.1").await != by("20-x", "out-of-service") {} };
    tokio::time::timeout(PATIENCE, out).await.unwrap();
    let trouble = shop.trouble("20-x").unwrap();
    assert_eq!(trouble, "out of service: 3 of 3 calls failed within 1m");
}

#[tokio::test]
async fn where_a_policy_does_not_apply_it_is_as_if_it_were_not_installed() {
    let shop = Shop::open(
        Folder::new()
            .with("10-elsewhere", &filter(REJECT, ""))
            .file("10-elsewhere.yaml", "listeners: [submission]")
            .with("20-x", &filter(ACCEPT, ""))
            .with("20-x.candidate", &filter(REJECT, ""))
            .file(
                "20-x.candidate.yaml",
                "mode: { canary: 99 }\nlisteners: [submission]\n",
            )
            .with("30-domain", &both(REJECT))
            .file("30-domain.yaml", "domains: [example.org]"),
    );
    for (client, _) in clients(5, 99) {
        assert_eq!(
            shop.connect(&client).await,
            (Verdict::Accept, by("20-x", "accept"))
        );
    }
    let about = |recipients: &[&str]| {
        let facts = Facts {
            rcpt_to: recipients.iter().map(|to| (*to).to_owned()).collect(),
            ..transaction("id")
        };
        let set = Arc::clone(&shop.set);
        async move { set.message(&facts, Mail::new(MAIL), &[]).await.verdict }
    };
    assert_eq!(about(&["a@example.net"]).await, Verdict::Accept);
    let refused = about(&["a@example.net", "b@Example.org"]).await;
    assert!(
        matches!(refused, Verdict::Reject(_)),
        "one recipient is enough: {refused:?}"
    );
    let decision = shop.set.mail(&transaction("id")).await;
    assert!(
        matches!(decision.verdict, Verdict::Reject(_)),
        "recipients do not matter at mail"
    );
}

#[test]
fn a_listener_that_is_not_there_refuses_the_policy() {
    let dir = Folder::new()
        .with("20-x", &filter(ACCEPT, ""))
        .file("20-x.yaml", "listeners: [mx, pop3]");
    let (_, look) = Shelf::open(dir.0.path(), dir.options(PATIENCE)).unwrap();
    let said = "listeners[1]: there is no listener `pop3`; there are mx, submission (line 1)";
    assert_eq!(look.faults[0].text, said);
}

#[tokio::test]
async fn what_a_candidate_counted_lasts_as_long_as_its_versions() {
    let mut shop = Shop::open(
        Folder::new()
            .with("20-x", &filter(ACCEPT, ""))
            .with("20-x.candidate", &filter(REJECT, "")),
    );
    shop.said("192.0.2.1").await;
    shop.matrix("20-x", 1).await;
    shop.place("30-other", &filter(ACCEPT, ""));
    assert_eq!(shop.matrix("20-x", 1).await, [("connect", "accept", "reject", 1)]);
    shop.place("20-x", &filter("(i32.const 0) nop", ""));
    assert_eq!(
        shop.set.agreement("20-x"),
        Some(Vec::new()),
        "the figures of other versions are not theirs"
    );
}

#[tokio::test]
async fn a_shadow_has_a_share_of_its_own_and_what_a_counterpart_writes_is_forgotten() {
    let dir = Folder::new()
        .with("20-x", &filter(ACCEPT, ""))
        .file("20-x.yaml", "grants: { kv: {} }");
    let shop = Shop::open(dir);
    let services = shop.set.services.as_ref().unwrap();
    let call = |run| {
        let call = shop.set.plugins[0].call(services, Facts::default(), None, Vec::new());
        apart(call, run)
    };
    let shadow = call(Run::Shadow);
    assert_eq!(shadow.kv.unwrap().namespace, "shadow:x");
    assert!(shadow.overlay.is_none());
    let counterpart = call(Run::Counterpart);
    assert_eq!(counterpart.kv.unwrap().namespace, "x");
    assert!(counterpart.overlay.is_some());
}

/// `both`, of the verdict accept, that asks for the tree of the message first.
fn reads() -> String {
    let wat = both("(drop (call $complete)) (i32.const 0)");
    let (import, lowered) = (
        r#"(import "postern:policy/mime@0.1.0" (instance $mime (export "complete" (func (result bool)))))
           (core func $c (canon lower (func $mime "complete")))
           (core module $m (import "h" "complete" (func $complete (result i32)))"#,
        r#"(instantiate $m (with "h" (instance (export "complete" (func $c)))))"#,
    );
    wat.replacen("(core module $m", import, 1)
        .replacen("(instantiate $m)", lowered, 1)
}

#[tokio::test]
async fn what_a_call_waits_for_the_host_is_not_its_slowness() {
    let shop = Shop::open(Folder::new().with("20-x.candidate", &reads()).file(
        "20-x.candidate.yaml",
        "mode: { canary: 99, calls: 10, p99: 2s }\nlimits: { deadline: 30s }\n",
    ));
    let mut ids = (0..).map(|n| format!("id-{n}"));
    let id = ids.find(|id| is_in_share("20-x.candidate", id, 99)).unwrap();
    let (begun, wait) = (Instant::now(), Duration::from_millis(2500));
    let decision = shop
        .set
        .message(
            &transaction(&id),
            Arc::new(Slow(Mail::new(format!("{MAIL}x")), wait)),
            &[],
        )
        .await;
    assert_eq!(decision.opinions[0].word, "accept");
    assert!(begun.elapsed() >= wait, "it did wait");
    assert_eq!(shop.trouble("20-x.candidate"), None);
}
