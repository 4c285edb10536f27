use super::super::load::tests::{Folder, REJECT, filter};
use super::*;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::os::unix::fs::{PermissionsExt as _, symlink};
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

/// Looks until nothing is left to be compiled.
fn look_through(watch: &Watch) {
    while let Some(uncompiled) = watch.look(Which::Changed) {
        uncompiled.compile();
    }
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
    let folder = folder.with("10-strict", &filter(REJECT, ""));
    assert_eq!(waits(&watch).await, (LOOK, Which::Changed));
    look_through(&watch);
    assert_eq!(watch.in_force().now().list().len(), 1);
    let _folder = folder.file("20-broken.wasm", "noise");
    watch.ask();
    assert_eq!(waits(&watch).await, (Duration::ZERO, Which::All));
    watch.look(Which::All);
    assert_eq!(watch.in_force().now().list().len(), 2);
    assert_eq!(
        TRIES.load(Ordering::SeqCst),
        4,
        "each look tries to watch again, the one behind the compiler too"
    );
}

/// How long it waits for a reason to look, in whole milliseconds, and at what.
async fn waits(watch: &Watch) -> (Duration, Which) {
    let begun = Instant::now();
    let which = watch.next(&mut None).await;
    (Duration::from_millis(begun.elapsed().as_millis() as u64), which)
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
        watch.look(Which::All);
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.0.path(), open).unwrap();
        watch.look(Which::Changed);
    });
    let text = recorder.handle().render();
    for line in [
        "postern_plugin_reloads_total{result=\"unchanged\"} 2",
        "postern_plugin_reloads_total{result=\"swapped\"} 1",
        "postern_plugin_reloads_total{result=\"refused\"} 3",
        "postern_plugins{state=\"loaded\"} 1",
        "postern_plugins{state=\"earlier\"} 1",
        "postern_plugins{state=\"disabled\"} 1",
        "postern_plugins{state=\"refused\"} 2",
        "postern_plugin_reload_seconds_count 5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

/// Sees nothing, whatever happens.
fn dull(_: &Path, _: &Arc<Notify>) -> Result<Sight, String> {
    Ok(Box::new(()))
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_makes_no_events_is_looked_at_every_minute() {
    let folder = Folder::new();
    let options = folder.options(Duration::from_secs(5));
    let watch = Watch::open_by(dull, folder.0.path(), options).unwrap();
    let _folder = folder.with("10-strict", &filter(REJECT, ""));
    assert_eq!(waits(&watch).await, (SILENT_LOOK, Which::Changed));
    look_through(&watch);
    assert_eq!(watch.in_force().now().list().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_over_by_itself_is_looked_at_every_ten_seconds() {
    let folder = Folder::new();
    let options = folder.options(Duration::from_secs(5));
    let watch = Watch::open_by(dull, folder.0.path(), options).unwrap();
    for (passes, wait) in [(false, SILENT_LOOK), (true, LOOK)] {
        watch.passes.store(passes, Ordering::Relaxed);
        assert_eq!(waits(&watch).await, (wait, Which::Changed));
    }
}

/// How many of [`scarce`] there are.
static LIVING: AtomicUsize = AtomicUsize::new(0);

struct Scarce;

impl Drop for Scarce {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Of these there can be one at a time.
fn scarce(_: &Path, _: &Arc<Notify>) -> Result<Sight, String> {
    if LIVING.fetch_add(1, Ordering::SeqCst) > 0 {
        LIVING.fetch_sub(1, Ordering::SeqCst);
        return Err("no instance left".to_owned());
    }
    Ok(Box::new(Scarce))
}

#[test]
fn a_folder_is_watched_anew_with_the_one_watch_that_there_is() {
    let folder = Folder::new();
    let options = folder.options(Duration::from_secs(5));
    let watch = Watch::open_by(scarce, folder.0.path(), options).unwrap();
    for _ in 0..2 {
        watch.look(Which::Changed);
        assert!(locked(&watch.sight).is_some());
    }
}

#[test]
fn nothing_starts_with_a_folder_that_is_refused_and_one_that_is_missing_has_no_policies() {
    let start = |folder: &Path| {
        let options = Folder::new().options(Duration::from_secs(5));
        Watch::open_by(blind, folder, options)
    };
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("plugins.d");
    let missing = start(&named).unwrap();
    assert!(missing.in_force().now().list().is_empty());

    symlink("nothing", &named).unwrap();
    let refused = start(&named).unwrap_err().to_string();
    let said = format!(
        "{}: is a link to nothing; link it to a folder, or remove it",
        named.display()
    );
    assert_eq!(refused, said);

    let real = folder.path().join("nothing");
    std::fs::create_dir(&real).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = start(&named).unwrap_err().to_string();
    assert!(
        refused.contains("everybody may write to this folder"),
        "{refused}"
    );
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(start(&named).is_ok());

    std::fs::remove_file(&named).unwrap();
    std::fs::write(&named, "no folder").unwrap();
    assert!(
        start(&named)
            .unwrap_err()
            .to_string()
            .contains("cannot be read: ")
    );
}

/// How often it is told of a look of so many milliseconds.
async fn told_of(millis: u64) -> usize {
    let mut told = 0;
    told_when_long(sleep(Duration::from_millis(millis)), || told += 1).await;
    told
}

#[tokio::test(start_paused = true)]
async fn a_look_that_takes_long_is_told_of_once() {
    assert_eq!(told_of(29_999).await, 0);
    assert_eq!(told_of(30_001).await, 1);
    assert_eq!(told_of(3_600_000).await, 1);
}

#[tokio::test]
async fn a_look_stands_back_behind_the_sessions_and_a_panic_costs_that_look() {
    let niceness = || rustix::process::getpriority_process(None).unwrap();
    let (told, heard) = std::sync::mpsc::channel();
    apart(move || told.send(niceness()).unwrap()).await.unwrap();
    assert!(heard.recv().unwrap() > niceness());
    assert!(apart(|| panic!("on purpose")).await.is_err());
}

/// A watched folder whose compiler is held at each component until the second word of it is taken.
struct Held {
    folder: Folder,
    in_force: Arc<InForce>,
    compiler: std::sync::mpsc::Receiver<()>,
    end: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Held {
    /// What lies in the folder by now is loaded.
    fn open(folder: Folder) -> Self {
        let mut options = folder.options(Duration::from_secs(60));
        options.limits.settle = Duration::from_millis(10);
        let watch = Arc::new(Watch::open(folder.0.path(), options).unwrap());
        let (in_force, end) = (watch.in_force(), CancellationToken::new());
        Self {
            folder,
            compiler: in_force.compiling.hold(),
            in_force,
            running: tokio::spawn(watch.run(end.clone())),
            end,
        }
    }

    fn place(&self, name: &str, body: &str) {
        let component = wat::parse_str(filter(body, "")).unwrap();
        let aside = self.folder.0.path().join(".new");
        std::fs::write(&aside, component).unwrap();
        std::fs::rename(aside, self.path(name)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.0.path().join(name)
    }

    /// The next word of the compiler.
    fn heard(&self) {
        let word = || self.compiler.recv_timeout(Duration::from_secs(60));
        tokio::task::block_in_place(word).unwrap();
    }

    fn compiling(&self) -> Option<String> {
        self.in_force.compiling.now().map(|listed| listed.name)
    }

    fn names(&self) -> Vec<String> {
        let set = self.in_force.now();
        set.list().iter().map(|listed| listed.name.clone()).collect()
    }

    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        waited.unwrap_or_else(|_| panic!("it never is so: {:?}", self.names()));
    }

    /// Nothing is left to be done.
    async fn rests(&self) {
        self.until(|held| !held.in_force.is_looking()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_go_on_while_the_compiler_is_at_a_file_and_one_follows_it() {
    let held = Held::open(
        Folder::new()
            .with("20-old", &filter(REJECT, ""))
            .with("30-other", &filter("(i32.const 64) nop", "")),
    );
    held.place("10-new.wasm", "(i32.const 0) nop");
    held.heard();
    assert_eq!(held.compiling().as_deref(), Some("10-new"));
    assert_eq!(held.names(), ["20-old", "30-other"]);
    std::fs::remove_file(held.path("20-old.wasm")).unwrap();
    held.until(|held| held.names() == ["30-other"]).await;
    std::fs::write(held.path("30-other.yaml"), "limits: { deadline: 7s }\n").unwrap();
    let is_changed = |held: &Held| held.in_force.now().list()[0].deadline == Duration::from_secs(7);
    held.until(is_changed).await;
    assert!(held.in_force.is_looking(), "not all is in force yet");
    assert_eq!(held.compiling().as_deref(), Some("10-new"));
    held.heard();
    held.until(|held| held.names() == ["10-new", "30-other"]).await;
    held.rests().await;
    assert_eq!(held.compiling(), None);
    held.end.cancel();
    held.running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_while_it_is_compiled_is_forgotten_and_the_next_is_compiled_behind_it() {
    let held = Held::open(Folder::new().with("20-old", &filter(REJECT, "")));
    held.place("10-new.wasm", "(i32.const 0) nop");
    held.heard();
    held.place("20-old.wasm", "(i32.const 0) nop nop");
    std::fs::remove_file(held.path("10-new.wasm")).unwrap();
    held.heard();
    held.heard();
    assert_eq!(held.compiling().as_deref(), Some("20-old"));
    assert_eq!(held.names(), ["20-old"]);
    let before = held.in_force.now().list()[0].digest.clone();
    held.heard();
    held.rests().await;
    assert_eq!(held.names(), ["20-old"]);
    assert_ne!(held.in_force.now().list()[0].digest, before);
    held.end.cancel();
    held.running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_waits_for_no_compiler() {
    let held = Held::open(Folder::new());
    held.place("10-new.wasm", REJECT);
    held.heard();
    held.end.cancel();
    held.running.await.unwrap();
    assert!(held.in_force.compiling.now().is_some());
}

#[tokio::test(start_paused = true)]
async fn where_the_compiler_could_not_begin_it_is_asked_again_after_ten_seconds() {
    let folder = Folder::new();
    let options = folder.options(Duration::from_secs(5));
    let watch = Watch::open_by(dull, folder.0.path(), options).unwrap();
    for (done, wait) in [(Ok(()), Duration::ZERO), (Err("no thread".to_owned()), LOOK)] {
        let mut compiler: Compiler = Some(Box::pin(std::future::ready(done)));
        let begun = Instant::now();
        assert_eq!(watch.next(&mut compiler).await, Which::Changed);
        assert_eq!(begun.elapsed().as_secs(), wait.as_secs());
        assert!(compiler.is_none());
    }
}

#[test]
fn a_look_that_leaves_something_to_the_compiler_is_over_before_it() {
    let folder = Folder::new();
    let options = folder.options(Duration::from_secs(60));
    let watch = Watch::open_by(blind, folder.0.path(), options).unwrap();
    let in_force = watch.in_force();
    let folder = folder.with("10-new", &filter(REJECT, ""));
    std::thread::scope(|scope| {
        let held = in_force.compiling.hold();
        let uncompiled = watch.look(Which::Changed).unwrap();
        assert!(in_force.compiling.now().is_none());
        let compiler = scope.spawn(|| uncompiled.compile());
        held.recv_timeout(Duration::from_secs(60)).unwrap();
        let now = in_force.compiling.now().map(|listed| (listed.name, listed.file));
        let file = folder.0.path().join("10-new.wasm");
        assert_eq!(now, Some(("10-new".to_owned(), file)));
        assert!(watch.look(Which::Changed).is_some(), "and so is another one");
        assert!(in_force.now().list().is_empty() && !compiler.is_finished());
        held.recv_timeout(Duration::from_secs(60)).unwrap();
    });
    assert!(in_force.compiling.now().is_none());
    assert!(watch.look(Which::Changed).is_none());
    assert_eq!(in_force.now().list()[0].state, State::Loaded);
}
