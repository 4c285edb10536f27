//! A disk that fills, and an engine that fails.

use super::*;
use crate::store::Atomicity;
use crate::store::embedded::space::probe_of;
use std::sync::atomic::AtomicU64;

/// Options with a probe that answers what the cell says.
fn probed(reserve: u64) -> (Options, Arc<AtomicU64>) {
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let seen = Arc::clone(&free);
    let probe: Probe = Arc::new(move || Ok(seen.load(Ordering::Relaxed)));
    let options = Options {
        reserve,
        free_space: Some(probe),
        ..options()
    };
    (options, free)
}

fn is_full<T>(result: Result<T>) -> bool {
    matches!(result, Err(StoreError::Full))
}

#[tokio::test]
async fn below_the_reserve_mail_is_refused_and_all_else_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (options, free) = probed(1000);
    let store = EmbeddedStore::open(folder.path(), options).unwrap();
    let sent = delivery(vec![entry("a@x.org", 5)]);
    free.store(1000, Ordering::Relaxed);
    store.free.look();
    store.deliver(sent.clone()).await.unwrap();
    assert!(store.ready().is_ok());

    free.store(999, Ordering::Relaxed);
    store.free.look();
    assert!(is_full(store.deliver(delivery(vec![entry("a@x.org", 5)])).await));
    assert!(is_full(store.append(MessageId::new(), 0, noise(9)).await));
    assert!(is_full(store.ready()));
    assert_eq!(read_all(&*store, A, sent.id, 9).await.len(), 20);
    store.remove("a@x.org", &[sent.id]).await.unwrap();
    assert!(store.list("a@x.org").await.unwrap().is_empty());

    free.store(1000, Ordering::Relaxed);
    store.free.look();
    store.deliver(sent).await.unwrap();
    assert!(store.ready().is_ok());
}

#[tokio::test]
async fn four_times_what_is_under_way_is_kept_free() {
    let folder = tempfile::tempdir().unwrap();
    let (options, free) = probed(1000);
    let store = EmbeddedStore::open(folder.path(), options).unwrap();
    free.store(4000, Ordering::Relaxed);
    store.free.look();
    for (in_flight, full) in [(1000, false), (1001, true), (0, false)] {
        store.in_flight(in_flight);
        assert_eq!(is_full(store.ready()), full, "{in_flight}");
    }
}

#[tokio::test]
async fn upkeep_looks_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (looked, looks) = std_mpsc::channel();
    let looked = Mutex::new(looked);
    let options = Options {
        free_space: Some(Arc::new(move || {
            // The receiver may be gone when the store closes.
            let _ = looked.lock().unwrap().send(());
            Ok(u64::MAX)
        })),
        ..options()
    };
    let _store = EmbeddedStore::open(folder.path(), options).unwrap();
    for _ in 0..2 {
        looks
            .recv_timeout(std::time::Duration::from_secs(30))
            .expect("a look at opening and one a second later");
    }
}

#[tokio::test]
async fn a_failed_engine_is_declared_once_and_answers_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (told, reasons) = std_mpsc::channel();
    let told = Mutex::new(told);
    let options = Options {
        fatal: Some(Arc::new(move |reason| {
            told.lock().unwrap().send(reason.to_owned()).unwrap()
        })),
        ..options()
    };
    let store = EmbeddedStore::open(folder.path(), options).unwrap();
    store.failure.declare("no space left on device");
    store.failure.declare("another");
    assert_eq!(
        reasons.try_iter().collect::<Vec<_>>(),
        ["no space left on device"]
    );
    assert!(store.deliver(delivery(vec![entry("a@x.org", 5)])).await.is_err());
    assert!(matches!(store.ready(), Err(StoreError::Engine(reason)) if reason.contains("no space")));
}

/// A file system of its own that goes away with the test.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(mib: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(done.success(), "this test mounts a tmpfs and so must run as root");
        Self(folder)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: the engine's last file may still be closing.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .status();
    }
}

async fn fill(store: &EmbeddedStore, mut accept: impl FnMut(MessageId)) -> StoreError {
    loop {
        let mut sent = delivery(vec![entry("a@x.org", 5)]);
        sent.atomicity = Atomicity::Each;
        sent.content.text = Text::Inline(noise(200_000));
        match store.deliver(sent.clone()).await {
            Ok(_) => accept(sent.id),
            Err(error) => return error,
        }
    }
}

/// Waits until mail is taken again, a look at the free space at a time.
async fn has_room_again(store: &EmbeddedStore, looks: &mut tokio::sync::mpsc::UnboundedReceiver<()>) {
    let open = async {
        while store.ready().is_err() {
            looks.recv().await.expect("the store looks at its free space");
        }
    };
    // Beside three nodes of Cassandra a second's work takes ten.
    let opened = tokio::time::timeout(std::time::Duration::from_secs(180), open).await;
    let Spaces { db, body, .. } = &store.spaces;
    assert!(
        opened.is_ok(),
        "no room again by itself: {:?}, bodies {}, garbage in them {}, not looked for {:?}, unwritten {}, journals {}",
        store.free,
        body.disk_space(),
        body.fragmented_blob_bytes(),
        store.removed,
        db.write_buffer_size(),
        db.journal_count(),
    );
}

#[tokio::test]
async fn a_filled_file_system_refuses_mail_before_the_engine_fails_and_mail_flows_again() {
    // The reserve holds what the engine may have to write of bodies that it has acknowledged: five times 32 MiB, on a
    // machine that is too busy for it to keep up.
    let disk = Tmpfs::mount(384);
    let (looking, mut looks) = tokio::sync::mpsc::unbounded_channel();
    let free = probe_of(disk.0.path());
    let probe: Probe = Arc::new(move || {
        let _ = looking.send(());
        free()
    });
    let options = Options {
        reserve: 192 * MIB,
        free_space: Some(probe),
        ..options()
    };
    let store = EmbeddedStore::open(disk.0.path().join("store"), options).unwrap();
    let mut ids = Vec::new();
    assert!(is_full::<()>(Err(fill(&store, |id| ids.push(id)).await)));
    assert!(ids.len() > 100);
    assert_eq!(read_all(&*store, A, ids[0], CHUNK).await.len(), 200_014);
    assert_eq!(store.list("a@x.org").await.unwrap().len(), ids.len());
    store.remove("a@x.org", &ids).await.unwrap();
    has_room_again(&store, &mut looks).await;
    store.deliver(delivery(vec![entry("a@x.org", 5)])).await.unwrap();
    assert!(check(&store).unwrap().is_sound());
}

/// Every file has garbage in it and most of it is mail: a compaction would write that again beside what is there, and
/// there is no room. It was tried, met the full disk, and ended the process, again at each start.
#[tokio::test]
async fn a_compaction_that_does_not_fit_is_not_begun() {
    let disk = Tmpfs::mount(320);
    let (looking, mut looks) = tokio::sync::mpsc::unbounded_channel();
    let (told, reasons) = std_mpsc::channel();
    let told = Mutex::new(told);
    let free = probe_of(disk.0.path());
    let options = Options {
        reserve: 48 * MIB,
        fatal: Some(Arc::new(move |reason| {
            told.lock().unwrap().send(reason.to_owned()).unwrap()
        })),
        free_space: Some(Arc::new(move || {
            let _ = looking.send(());
            free()
        })),
        ..options()
    };
    let store = EmbeddedStore::open(disk.0.path().join("store"), options).unwrap();
    let mut ids = Vec::new();
    assert!(is_full::<()>(Err(fill(&store, |id| ids.push(id)).await)));
    let (removed, kept): (Vec<_>, Vec<_>) = ids.iter().enumerate().partition(|(nth, _)| nth % 3 == 0);
    let ids_of = |of: Vec<(usize, &MessageId)>| of.into_iter().map(|(_, id)| *id).collect::<Vec<_>>();
    let (removed, kept) = (ids_of(removed), ids_of(kept));
    store.remove("a@x.org", &removed).await.unwrap();
    while looks.try_recv().is_ok() {}
    let rounds = async {
        for _ in 0..4 {
            looks.recv().await.expect("upkeep goes on");
        }
    };
    let went_on = tokio::time::timeout(std::time::Duration::from_secs(60), rounds).await;
    assert_eq!(reasons.try_iter().collect::<Vec<_>>(), [""; 0]);
    went_on.expect("upkeep goes on");
    assert_eq!(read_all(&*store, A, kept[0], CHUNK).await.len(), 200_014);
    store.remove("a@x.org", &kept).await.unwrap();
    has_room_again(&store, &mut looks).await;
    store.deliver(delivery(vec![entry("a@x.org", 5)])).await.unwrap();
}

#[tokio::test]
async fn enospc_inside_the_engine_is_fatal_and_loses_nothing_acknowledged() {
    let disk = Tmpfs::mount(96);
    let folder = disk.0.path().join("store");
    let (told, reasons) = std_mpsc::channel();
    let told = Mutex::new(told);
    let options = Options {
        fatal: Some(Arc::new(move |reason| {
            told.lock().unwrap().send(reason.to_owned()).unwrap()
        })),
        ..options()
    };
    let store = EmbeddedStore::open(&folder, options.clone()).unwrap();
    let mut ids = Vec::new();
    let error = fill(&store, |id| ids.push(id)).await;
    assert!(matches!(error, StoreError::Engine(_)), "{error}");
    assert_eq!(reasons.try_iter().count(), 1);
    drop(store);

    // The operator makes room and starts again.
    let remount = format!("remount,size={}m", 512);
    let grown = std::process::Command::new("mount")
        .args(["-o", &remount])
        .arg(disk.0.path())
        .status();
    assert!(grown.unwrap().success());
    let store = open(&folder);
    let listed = listed_ids(&*store, "a@x.org").await;
    assert!(ids.iter().all(|id| listed.contains(id)));
    assert!(check(&store).unwrap().is_sound());
}
