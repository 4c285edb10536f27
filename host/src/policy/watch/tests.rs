use super::super::load::tests::{Folder, REJECT, filter};
use super::*;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::sync::atomic::{AtomicUsize, Ordering};

const SETTLE: Duration = Duration::from_millis(500);

/// How long a folder is waited for in which something happens at these milliseconds, and how often the bound was met.
async fn waited(moments: &[u64]) -> (u128, usize) {
    let stirred = Arc::new(Notify::new());
    let (begun, moments) = (Instant::now(), moments.to_vec());
    let events = Arc::clone(&stirred);
    let stirring = tokio::spawn(async move {
        for moment in moments {
            sleep_until(begun + Duration::from_millis(moment)).await;
            events.notify_one();
        }
    });
    let (hits, ()) = super::super::limits::tests::hits_of(Limit::Settle, quiet(&stirred, SETTLE)).await;
    stirring.abort();
    (begun.elapsed().as_millis(), hits)
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_quiet_when_nothing_happened_for_a_while() {
    assert_eq!(waited(&[]).await, (500, 0));
    assert_eq!(waited(&[499]).await, (999, 0));
    assert_eq!(waited(&[501]).await, (500, 0));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_never_quiet_is_looked_at_after_ten_times_as_long() {
    let until = |last: u64| (400..=last).step_by(400).chain([last]).collect::<Vec<_>>();
    assert_eq!(waited(&until(4500)).await, (5000, 0), "quiet at last");
    assert_eq!(waited(&until(4501)).await, (5000, 1));
    assert_eq!(waited(&until(60_000)).await, (5000, 1));
}

fn blind(_: &Path, _: &Arc<Notify>) -> Result<Sight, String> {
    Err("no watches left".to_owned())
}

/// How often it was tried to watch by [`counted`].
static TRIES: AtomicUsize = AtomicUsize::new(0);

fn counted(folder: &Path, stirred: &Arc<Notify>) -> Result<Sight, String> {
    TRIES.fetch_add(1, Ordering::SeqCst);
    blind(folder, stirred)
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_watched_is_looked_at_every_ten_seconds_and_at_once_when_asked() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let folder = Folder::new();
    let options = folder.options(Duration::from_secs(5));
    let watch = Watch::open_by(counted, folder.0.path(), options).unwrap();
    assert!(watch.in_force().now().list().is_empty());
    let (watch, end) = (Arc::new(watch), CancellationToken::new());
    let running = tokio::spawn(Arc::clone(&watch).run(end.clone()));
    let folder = folder.with("10-strict", &filter(REJECT, ""));
    let begun = Instant::now();
    while watch.in_force().now().list().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let took = begun.elapsed();
    assert!((LOOK..LOOK + SETTLE).contains(&took), "{took:?}");
    let folder = folder.file("20-broken.wasm", "noise");
    watch.ask();
    let begun = Instant::now();
    while watch.in_force().now().list().len() < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() < SETTLE);
    assert_eq!(TRIES.load(Ordering::SeqCst), 3, "each look tries to watch again");
    end.cancel();
    running.await.unwrap();
    drop(folder);
}

#[tokio::test]
async fn what_happens_between_load_and_run_is_not_missed() {
    let folder = Folder::new();
    let options = folder.options(Duration::from_secs(5));
    let watch = Arc::new(Watch::open(folder.0.path(), options).unwrap());
    let folder = folder.with("10-strict", &filter(REJECT, ""));
    let (in_force, end) = (watch.in_force(), CancellationToken::new());
    let running = tokio::spawn(watch.run(end.clone()));
    let seen = async {
        while in_force.now().list().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap();
    end.cancel();
    running.await.unwrap();
    drop(folder);
}

#[test]
fn looks_are_counted_by_what_came_of_them_and_policies_by_their_state() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let folder = Folder::new().with("10-strict", &filter(REJECT, ""));
        let options = folder.options(Duration::from_secs(5));
        let watch = Watch::open_by(blind, folder.0.path(), options).unwrap();
        watch.look(Which::Changed);
        let folder = folder
            .file("10-strict.wasm", "noise")
            .file("30-new.wasm", "noise");
        watch.look(Which::Changed);
        let folder = folder
            .file("20-off.wasm", "")
            .file("20-off.yaml", "enabled: false\n")
            .with("40-second", &filter(REJECT, ""))
            .file("50-broken.wasm", "noise");
        watch.look(Which::Changed);
        drop(folder);
    });
    let text = recorder.handle().render();
    for line in [
        "postern_plugin_reloads_total{result=\"unchanged\"} 1",
        "postern_plugin_reloads_total{result=\"swapped\"} 1",
        "postern_plugin_reloads_total{result=\"refused\"} 2",
        "postern_plugins{state=\"loaded\"} 1",
        "postern_plugins{state=\"earlier\"} 1",
        "postern_plugins{state=\"disabled\"} 1",
        "postern_plugins{state=\"refused\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}
