//! A policy folder under random hands while mail is asked about: components that are anything, files that are copied,
//! renamed, cut, linked and opened to all, folders that are exchanged and vanish.
//!
//! Whatever happens, nothing panics, each look ends, what decides is what the model says, and no set is ever half.
//! A few fixed seeds run with the tests; `POSTERN_FUZZ_SECONDS` runs others for so long (`make fuzz`), and
//! `POSTERN_FUZZ_SEED` one again.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it did"
)]

#[path = "../support/again.rs"]
mod again;
#[path = "fuzz/components.rs"]
mod components;
#[path = "fuzz/hands.rs"]
mod hands;
#[path = "fuzz/model.rs"]
mod model;

use again::ask_again;
use hands::Hands;
use postern::config::PolicyLimits;
use postern::policy::{Facts, InForce, Keep, LoadOptions, Policies, State, Verdict, Watch};
use postern::store::memory::MemoryStore;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a random start may take: a look waits for it.
const TRIAL: Duration = Duration::from_millis(300);
/// On a machine that has much else to do; a hang is hours.
const PATIENCE: Duration = Duration::from_secs(120);
/// Steps with one seed.
const STEPS: u32 = 40;
const SEEDS: [u64; 3] = [1, 2, 3];
/// The deadline of the mark at step 0, in milliseconds: what it tells is the number alone.
const FIRST_MARK: u32 = 10_000;

/// What is said at connect: the reasons for quarantine, in order.
async fn said(policies: &Policies) -> Vec<String> {
    match policies.connect(&Facts::default()).await.verdict {
        Verdict::Accept => Vec::new(),
        Verdict::Quarantine(reasons) => reasons.split("; ").map(str::to_owned).collect(),
        other => panic!("no policy here says {other:?}"),
    }
}

/// Mail that comes all the while: the two that are exchanged together are seen together.
async fn ask_all_the_while(in_force: Arc<InForce>, is_over: Arc<AtomicBool>) -> u32 {
    let mut asked = 0;
    while !is_over.load(Ordering::Relaxed) {
        let set = in_force.now();
        let said = said(&set).await;
        let generation = |name: &str| said.iter().find_map(|reason| reason.strip_prefix(name));
        assert_eq!(
            generation("80-left"),
            generation("81-right"),
            "half a set: {said:?}"
        );
        // Its answer is anybody's guess; that there is one is not.
        let answer = tokio::time::timeout(PATIENCE, set.mail(&Facts::default())).await;
        answer.expect("an answer in time");
        asked += 1;
    }
    asked
}

/// A gateway's folder under watch.
struct Gateway {
    watch: Arc<Watch>,
    in_force: Arc<InForce>,
}

impl Gateway {
    /// Asks for a look, and waits for one that has seen what is sought, and until what it found is compiled.
    fn look(&self, has_seen: impl Fn(&Policies) -> bool) -> Arc<Policies> {
        self.watch.ask();
        let seen = || Some(self.in_force.now()).filter(|set| has_seen(set));
        let rested = || (!self.in_force.is_looking()).then(|| self.in_force.now());
        let set = tokio::task::block_in_place(|| {
            ask_again(PATIENCE, seen)?;
            ask_again(PATIENCE, rested)
        });
        set.unwrap_or_else(|| panic!("no look in time: {:?}", self.in_force.now().list()))
    }

    fn look_at(&self, mark: u32) -> Arc<Policies> {
        let deadline = Duration::from_millis(u64::from(mark));
        self.look(|set| {
            let mut listed = set.list().iter();
            listed.any(|listed| listed.name == "00-mark" && listed.deadline == deadline)
        })
    }
}

fn options(hands: &Hands) -> LoadOptions {
    LoadOptions {
        keep: Keep::alone(hands.compiled()),
        store: Arc::new(MemoryStore::new()),
        dns: Arc::new(postern::policy::stand::Zone::default()),
        limits: PolicyLimits {
            trial: TRIAL,
            settle: Duration::from_millis(10),
            // Nobody's patience ends on a busy machine.
            deadline: Duration::from_secs(30),
            ..PolicyLimits::default()
        },
        addresses: Arc::new(postern::policy::stand::Anywhere),
        directory: Arc::new(postern::policy::stand::DirectoryTable::default()),
        explains: true,
        listeners: Vec::new(),
    }
}

/// One step: something happens to the folder as a whole, or to files in it.
async fn disturb(hands: &mut Hands, gateway: &Gateway, deed: u32, mark: u32) -> Vec<String> {
    match deed {
        0 => {
            hands.exchange_folder(mark);
            vec!["another folder".to_owned()]
        }
        1 => {
            hands.open_folder(true);
            let live = hands.live();
            let is_refused = |set: &Policies| {
                set.list()
                    .iter()
                    .any(|listed| listed.file == live && matches!(listed.state, State::Refused(_)))
            };
            let set = gateway.look(is_refused);
            assert_eq!(said(&set).await, hands.model.said(), "open to all");
            hands.open_folder(false);
            vec!["open to all".to_owned()]
        }
        2 => {
            hands.hide_folder(true);
            let set = gateway.look(|set| set.list().is_empty());
            hands.model.forget();
            assert_eq!(said(&set).await, hands.model.said(), "away");
            hands.hide_folder(false);
            vec!["away".to_owned()]
        }
        _ => hands.stir(),
    }
}

async fn run(seed: u64, steps: u32) {
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut hands = Hands::new(seed, StdRng::seed_from_u64(dice.random()));
    hands.mark(FIRST_MARK);
    let options = options(&hands);
    let live = hands.live();
    let opening = tokio::task::spawn_blocking(move || Watch::open(&live, options));
    let watch = Arc::new(opening.await.expect("no panic").expect("policies can run"));
    let (end, is_over) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
    let running = tokio::spawn(Arc::clone(&watch).run(end.clone()));
    let asking = tokio::spawn(ask_all_the_while(watch.in_force(), Arc::clone(&is_over)));
    let gateway = Gateway {
        in_force: watch.in_force(),
        watch,
    };
    hands.model.look();
    for step in 1..=steps {
        let mark = FIRST_MARK + step;
        let done = disturb(&mut hands, &gateway, dice.random_range(0..10), mark).await;
        hands.mark(mark);
        let set = gateway.look_at(mark);
        hands.model.look();
        let said = said(&set).await;
        assert_eq!(
            said,
            hands.model.said(),
            "seed {seed}, step {step}: {done:?}; {:?}",
            set.list()
        );
        assert!(!asking.is_finished(), "seed {seed}, step {step}: {done:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    let asked = asking.await.expect("every set was whole");
    end.cancel();
    running.await.expect("the watch ends");
    println!("{steps} steps, {asked} sessions beside them");
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_put_into_the_folder_the_good_policies_decide() {
    // A panic is caught by the watch, and costs a look: here it is a fault all the same.
    static PANICS: AtomicU32 = AtomicU32::new(0);
    static LAST: Mutex<String> = Mutex::new(String::new());
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        *LAST.lock().expect("the last words") = info.to_string();
        usual(info);
    }));
    match (setting("POSTERN_FUZZ_SEED"), setting("POSTERN_FUZZ_SECONDS")) {
        (Some(seed), _) => run(seed, STEPS).await,
        (None, Some(seconds)) => {
            let end = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < end {
                run(rand::random(), STEPS).await;
            }
        }
        (None, None) => {
            for seed in SEEDS {
                run(seed, STEPS).await;
            }
        }
    }
    let last = LAST.lock().expect("the last words").clone();
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{last}");
}
