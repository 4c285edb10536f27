//! A store that was made once is never made anew in silence, and one that was not made yet always comes up.

use super::*;
use crate::store::embedded::place::{ENGINE, MADE};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

type Damage = fn(&Path);

/// All that is in a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
                found.insert(path, None);
            } else {
                let octets = fs::read(&path).unwrap();
                found.insert(path, Some(octets));
            }
        }
    }
    found
}

fn keyspaces(folder: &Path) -> PathBuf {
    folder.join(ENGINE).join("keyspaces")
}

fn remove_journals(folder: &Path) {
    for (_, journal) in journal::journals(&folder.join(ENGINE)).unwrap() {
        fs::remove_file(journal).unwrap();
    }
}

/// What may be lost, and what is said to be.
const DAMAGES: [(&str, Damage); 8] = [
    ("db/version is gone", |folder| {
        fs::remove_dir_all(folder.join(ENGINE)).unwrap();
        fs::create_dir(folder.join(ENGINE)).unwrap();
    }),
    ("db/version is gone", |folder| {
        fs::remove_file(folder.join(ENGINE).join("version")).unwrap();
    }),
    ("db/keyspaces is gone", |folder| {
        fs::remove_dir_all(keyspaces(folder)).unwrap();
    }),
    ("db/keyspaces/0 is gone", |folder| {
        fs::remove_dir_all(keyspaces(folder).join("0")).unwrap();
    }),
    ("current is gone", |folder| {
        for keyspace in fs::read_dir(keyspaces(folder)).unwrap() {
            fs::remove_file(keyspace.unwrap().path().join("current")).unwrap();
        }
    }),
    ("db/keyspaces/2/current is gone", |folder| {
        fs::remove_file(keyspaces(folder).join("2/current")).unwrap();
    }),
    ("a folder of", |folder| {
        fs::remove_dir_all(keyspaces(folder).join("3")).unwrap();
    }),
    ("the journal in", remove_journals),
];

async fn with_mail(folder: &Path) {
    let store = open(folder);
    store.deliver(delivery(vec![entry("a@x.org", 5)])).await.unwrap();
}

fn refused(folder: &Path, said: &str) {
    let before = contents(folder);
    for _ in 0..2 {
        let error = EmbeddedStore::open(folder, options()).unwrap_err();
        assert!(matches!(error, OpenError::Lost { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(said) && error.contains("restore a backup"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
        assert!(was_made(folder).unwrap());
    }
    assert!(before == contents(folder), "{said}: something was changed");
}

#[tokio::test]
async fn a_store_that_lacks_a_part_is_refused_and_left_as_it_is() {
    for (said, damage) in DAMAGES {
        for kept in [MADE, "lock"] {
            let folder = tempfile::tempdir().unwrap();
            with_mail(folder.path()).await;
            damage(folder.path());
            // With the mark alone, and as a store of a version that did not make it.
            for name in [MADE, "lock"] {
                if name != kept {
                    fs::remove_file(folder.path().join(name)).unwrap();
                }
            }
            refused(folder.path(), said);
        }
    }
}

#[tokio::test]
async fn a_store_whose_engine_is_gone_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    with_mail(folder.path()).await;
    fs::remove_dir_all(folder.path().join(ENGINE)).unwrap();
    refused(folder.path(), "db is gone");
}

/// The engine's own list of keyspaces is asked too: a folder of another kind is no keyspace of ours.
#[tokio::test]
async fn a_keyspace_that_the_engine_does_not_know_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let db = database(&folder.path().join(ENGINE)).unwrap();
    let entry = db
        .keyspace(Space::Entry.name(), || settings(Space::Entry))
        .unwrap();
    drop(db.keyspace("other", KeyspaceCreateOptions::default).unwrap());
    db.delete_keyspace(entry).unwrap();
    drop(db);
    let error = EmbeddedStore::open(folder.path(), options())
        .unwrap_err()
        .to_string();
    assert!(error.contains("its keyspace `entry` is gone"), "{error}");
}

#[tokio::test]
async fn a_store_of_a_version_that_made_no_mark_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    with_mail(folder.path()).await;
    fs::remove_file(folder.path().join(MADE)).unwrap();
    let store = open(folder.path());
    assert_eq!(listed_ids(&*store, "a@x.org").await.len(), 1);
    assert!(folder.path().join(MADE).is_file());
}

#[tokio::test]
async fn a_process_killed_while_it_makes_the_store_leaves_none_and_the_next_start_makes_it() {
    /// From the last that is made to the first.
    const STEPS: [&str; 13] = [
        "keyspaces/4",
        "keyspaces/3",
        "keyspaces/2",
        "keyspaces/1/current",
        "keyspaces/1",
        "keyspaces/0/current",
        "keyspaces/0/tables",
        "keyspaces/0",
        "version",
        "0.jnl",
        "keyspaces",
        "lock",
        "",
    ];
    let whole = tempfile::tempdir().unwrap();
    let aside = whole.path().join("db.making");
    drop(Spaces::open(&aside).unwrap());
    for killed in 0..=STEPS.len() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("db.making");
        fs::create_dir(&left).unwrap();
        for (path, octets) in contents(&aside) {
            let path = left.join(path.strip_prefix(&aside).unwrap());
            match octets {
                None => fs::create_dir(path).unwrap(),
                Some(octets) => fs::write(path, octets).unwrap(),
            }
        }
        for step in &STEPS[..killed] {
            let path = left.join(step);
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
        assert!(!was_made(folder.path()).unwrap());
        with_mail(folder.path()).await;
        assert!(!left.exists());
        let store = open(folder.path());
        assert_eq!(listed_ids(&*store, "a@x.org").await.len(), 1, "{killed}");
    }
}

#[test]
fn where_no_store_can_be_seen_the_reason_is_told_with_its_path() {
    let site = tempfile::tempdir().unwrap();
    let at = |path: &str| site.path().join(path);
    for none in ["state/store", "state"] {
        assert!(!was_made(&at(none)).unwrap(), "{none}");
    }
    fs::create_dir_all(at("state/store")).unwrap();
    assert!(!was_made(&at("state/store")).unwrap());
    fs::write(at("file"), "").unwrap();
    fs::create_dir_all(at("other")).unwrap();
    fs::write(at("other/db"), "").unwrap();
    symlink(at("nowhere"), at("link")).unwrap();
    symlink(at("round"), at("round")).unwrap();
    for (folder, said) in [
        ("file", "file is no folder"),
        ("file/store", "file is no folder"),
        ("other", "other/db is no folder"),
        ("link/store", "link is a link to nothing"),
        ("round/store", "round: "),
    ] {
        let error = was_made(&at(folder)).unwrap_err().to_string();
        assert!(error.contains(said) && error.lines().count() == 1, "{error}");
        let opened = EmbeddedStore::open(at(folder), options())
            .unwrap_err()
            .to_string();
        assert_eq!(opened, error);
        assert!(is_there(&at(folder)), "opening it says why");
    }
    assert!(!at("nowhere").exists());
}

/// As another user, or without any right where this runs as no root.
#[test]
fn a_store_that_another_user_may_not_look_into_is_not_said_to_be_absent() {
    use std::os::unix::fs::PermissionsExt as _;
    let state = tempfile::tempdir().unwrap();
    let store = state.path().join("store");
    drop(open(&store));
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(state.path(), 0o755);
    allow(&store, 0);
    let told = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(None, nobody, None).unwrap();
            }
            was_made(&store).unwrap_err().to_string()
        });
        looking.join().unwrap()
    });
    allow(&store, 0o700);
    let db = store.join(ENGINE).display().to_string();
    assert!(
        told.starts_with(&db) && told.contains("run this as the user"),
        "{told}"
    );
    assert!(was_made(&store).unwrap());
}

#[test]
fn commands_that_come_together_wait_for_each_other() {
    let (folder, store) = opened();
    let waiting = |wait| EmbeddedStore::open(folder.path(), Options { wait, ..options() });
    let (began, wait) = (Instant::now(), Duration::from_millis(50));
    let error = waiting(wait).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(began.elapsed() >= wait);
    assert!(error.to_string().contains("or by another command"), "{error}");
    std::thread::scope(|scope| {
        let commands: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| waiting(Duration::from_secs(60)).map(drop)))
            .collect();
        drop(store);
        for command in commands {
            command.join().unwrap().unwrap();
        }
    });
}
