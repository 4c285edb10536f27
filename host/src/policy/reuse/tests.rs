use super::*;
use crate::policy::bindings::postern::policy::types::Verdict;
use crate::policy::limits::tests::hits_of;
use crate::policy::load::tests::{Folder, REJECT};
use crate::policy::load::{Compiling, Loader};
use crate::policy::plugin::{Failure, Plugin};
use crate::policy::questions::{Ask, Said};
use crate::policy::{Facts, Keep};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Counts the calls of an instance; at the first it accepts, at others it does `then`.
fn counting(then: &str) -> String {
    format!(
        "(i32.store (i32.const 1024) (i32.add (i32.load (i32.const 1024)) (i32.const 1)))
         (if (result i32) (i32.eq (i32.load (i32.const 1024)) (i32.const 1))
             (then (i32.const 0)) (else {then}))"
    )
}

fn loader(instances: u32) -> Loader {
    let mut options = Folder::new().options(Duration::from_secs(20));
    options.keep = Keep::default();
    options.limits.instances = instances;
    Loader::new(&options, Compiling::default()).unwrap()
}

/// On a thread where it may wait for its trial.
async fn made(loader: &Arc<Loader>, body: String, manifest: &'static str) -> Arc<Plugin> {
    let loader = Arc::clone(loader);
    let making = tokio::task::spawn_blocking(move || loader.make(&body, manifest).unwrap());
    making.await.unwrap()
}

/// Runs a call here, where its metrics are heard.
async fn asked(loader: &Loader, plugin: &Plugin) -> &'static str {
    let call = plugin.call(&loader.services(&Weak::new()), Facts::default(), None, Vec::new());
    let end = Instant::now() + plugin.limits().deadline;
    match plugin.run(&Ask::Connect, call, end).await {
        Ok(heard) => match heard.said {
            Said::Verdict(Verdict::Accept) => "first",
            Said::Verdict(Verdict::Reject(_)) => "later",
            other => panic!("{other:?}"),
        },
        Err(failed) => match failed.failure {
            Failure::Trap(_) => "trap",
            Failure::TimeOut => "timeout",
            other => panic!("{other}"),
        },
    }
}

async fn answers(loader: &Loader, plugin: &Plugin, calls: usize) -> Vec<&'static str> {
    let mut answers = Vec::new();
    for _ in 0..calls {
        answers.push(asked(loader, plugin).await);
    }
    answers
}

#[tokio::test]
async fn an_instance_answers_so_many_calls_and_no_more() {
    let loader = Arc::new(loader(2));
    for (manifest, calls, expected, met) in [
        ("", 3, &["first", "first", "first"][..], 0),
        ("reuse: { calls: 1 }", 2, &["first", "first"], 2),
        ("reuse: { calls: 3 }", 2, &["first", "later"], 0),
        (
            "reuse: { calls: 3 }",
            7,
            &["first", "later", "later", "first", "later", "later", "first"],
            2,
        ),
        ("reuse: {}", 3, &["first", "later", "later"], 0),
    ] {
        let plugin = made(&loader, counting(REJECT), manifest).await;
        let (hits, answers) = hits_of(Limit::ReuseCalls, answers(&loader, &plugin, calls)).await;
        assert_eq!((hits, &*answers), (met, expected), "{manifest}");
    }
}

#[tokio::test]
async fn one_that_has_more_memory_than_it_may_is_not_used_again() {
    let loader = Arc::new(loader(2));
    let grows = format!("(drop (memory.grow (i32.const 1))) {}", counting(REJECT));
    // One page of 64 KiB at its start and one more with each call.
    let plugin = made(&loader, grows, "reuse: { memory: 128KiB }").await;
    let (met, answers) = hits_of(Limit::ReuseMemory, answers(&loader, &plugin, 4)).await;
    assert_eq!((met, answers), (2, vec!["first", "later", "first", "later"]));
}

#[tokio::test]
async fn a_trap_and_a_time_out_end_an_instance() {
    let loader = Arc::new(loader(2));
    for (then, word) in [("unreachable", "trap"), ("(loop (br 0)) unreachable", "timeout")] {
        let manifest = "reuse: {}\nlimits: { deadline: 500ms }";
        let plugin = made(&loader, counting(then), manifest).await;
        assert_eq!(answers(&loader, &plugin, 4).await, ["first", word, "first", word]);
        assert_eq!(loader.guests.kept.count(), 0);
    }
}

#[tokio::test]
async fn an_instance_that_waits_has_its_place_and_gives_it_to_whoever_finds_none() {
    let loader = Arc::new(loader(1));
    let free = || loader.guests.places.available_permits();
    let one = made(&loader, counting(REJECT), "reuse: {}").await;
    let other = made(&loader, format!("nop {}", counting(REJECT)), "reuse: {}").await;
    assert_eq!(
        (loader.guests.kept.count(), free()),
        (0, 1),
        "a trial's instance is nobody else's"
    );
    assert_eq!(asked(&loader, &one).await, "first");
    assert_eq!((loader.guests.kept.count(), free()), (1, 0));
    let (met, answer) = hits_of(Limit::ReuseIdle, asked(&loader, &one)).await;
    assert_eq!((met, answer), (0, "later"), "its own is there for it");
    let (met, answer) = hits_of(Limit::ReuseIdle, asked(&loader, &other)).await;
    assert_eq!((met, answer), (1, "first"));
    assert_eq!((loader.guests.kept.count(), free()), (1, 0));
    assert_eq!(asked(&loader, &one).await, "first", "it had to give way");
    drop(one);
    assert_eq!(
        (loader.guests.kept.count(), free()),
        (0, 1),
        "it ends with its policy"
    );
}

#[tokio::test]
async fn no_two_calls_have_one_instance() {
    let loader = Arc::new(loader(2));
    let plugin = made(&loader, counting(REJECT), "reuse: {}").await;
    assert_eq!(asked(&loader, &plugin).await, "first");
    let both = tokio::join!(asked(&loader, &plugin), asked(&loader, &plugin));
    assert!(
        matches!(both, ("later", "first") | ("first", "later") | ("later", "later")),
        "{both:?}"
    );
    let kept = &loader.guests.kept;
    let first = kept.take(plugin.owner()).unwrap();
    let count = kept.count();
    assert_eq!(
        asked(&loader, &plugin).await,
        if count == 0 { "first" } else { "later" }
    );
    drop(first);
}

#[tokio::test]
async fn where_somebody_waits_for_a_place_none_is_kept() {
    let loader = Arc::new(loader(2));
    let plugin = made(&loader, counting(REJECT), "reuse: {}").await;
    let waiting = loader.guests.kept.caller();
    let (met, answer) = hits_of(Limit::ReuseIdle, asked(&loader, &plugin)).await;
    assert_eq!((met, answer, loader.guests.kept.count()), (1, "first", 0));
    drop(waiting);
    asked(&loader, &plugin).await;
    assert_eq!(loader.guests.kept.count(), 1);
}

#[tokio::test]
async fn what_waits_knows_nothing_of_the_call_before() {
    let loader = Arc::new(loader(1));
    let plugin = made(&loader, counting(REJECT), "reuse: {}").await;
    let facts = Facts {
        helo: "secret".to_owned(),
        ..Facts::default()
    };
    let call = plugin.call(&loader.services(&Weak::new()), facts, None, Vec::new());
    let end = Instant::now() + plugin.limits().deadline;
    plugin.run(&Ask::Connect, call, end).await.unwrap();
    let kept = loader.guests.kept.take(plugin.owner()).unwrap();
    let guest = kept.store.data();
    assert_eq!(guest.call.facts, Facts::default());
    assert!(guest.view.is_none() && guest.edits.is_empty() && guest.call.message.is_none());
}

#[test]
fn bounds_hold_at_both_edges() {
    let read = |text: &str| {
        let raw: RawReuse = serde_yaml::from_str(text).unwrap();
        let mut faults = Collector::new("");
        let reuse = Reuse::read(&raw, &mut faults);
        faults
            .unless_any(Some(reuse))
            .map_err(|faults| faults.to_string())
    };
    for (key, good, bad) in [
        ("calls", "1", "0"),
        ("calls", "1000000", "1000001"),
        ("memory", "64KiB", "63KiB"),
        ("memory", "4095MiB", "4GiB"),
    ] {
        read(&format!("{{ {key}: {good} }}")).unwrap();
        let error = read(&format!("{{ {key}: {bad} }}")).unwrap_err();
        assert!(
            error.starts_with(&format!("reuse.{key}: out of bounds; write ")),
            "{error}"
        );
    }
    assert_eq!(
        read("{}").unwrap(),
        Reuse {
            calls: 1000,
            memory: 64 * MIB
        }
    );
}
