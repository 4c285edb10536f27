//! Backup and restore.

use super::*;

async fn filled() -> (tempfile::TempDir, Arc<EmbeddedStore>, MessageId, Bytes) {
    let (folder, store) = opened();
    let text = noise(CHUNK + 5);
    let mut long = delivery(vec![entry("a@x.org", 7), entry("b@x.org", 7)]);
    long.content.text = append_all(&*store, long.id, &text).await;
    store.create_account(account("A@x.org")).await.unwrap();
    store.deliver(long.clone()).await.unwrap();
    let mut held = delivery(Vec::new());
    held.quarantine = vec![NewQuarantined {
        mailboxes: vec!["a@x.org".into()],
        reason: "held".into(),
        trace: Bytes::new(),
    }];
    store.deliver(held).await.unwrap();
    (folder, store, long.id, text)
}

#[tokio::test]
async fn a_backup_of_a_running_store_is_restored_whole() {
    let (_folder, store, id, text) = filled().await;
    let place = tempfile::tempdir().unwrap();
    let mut told = 0;
    let octets = backup(&store, place.path(), |octets| told = octets).unwrap();
    assert_eq!(told, octets);
    assert_eq!(place.path().join(ARCHIVE).metadata().unwrap().len(), octets);
    store.remove("a@x.org", &[id]).await.unwrap();

    let target = place.path().join("state");
    let rows = restore(place.path(), &target, |_| {}).unwrap();
    assert!(rows > 5);
    let restored = open(&target);
    assert!(check(&restored).unwrap().is_sound());
    assert_eq!(
        restored.list("a@x.org").await.unwrap()[0].id,
        id,
        "as it was at the backup"
    );
    assert_eq!(read_all(&*restored, A, id, CHUNK).await[14..], text);
    assert_eq!(
        restored.quarantined(None, 9).await.unwrap(),
        store.quarantined(None, 9).await.unwrap()
    );
    assert_eq!(restored.accounts(None, 9).await.unwrap(), [account("A@x.org")]);
    assert_eq!(
        restored.usage("a@x.org").await.unwrap(),
        Usage {
            bytes: 7,
            messages: 1
        }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_of_one_moment() {
    let (_folder, store) = opened();
    let place = tempfile::tempdir().unwrap();
    let load = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for nth in 0..200 {
                let sent = delivery(vec![entry("a@x.org", 3), entry("b@x.org", 4)]);
                store.deliver(sent.clone()).await.unwrap();
                if nth % 2 == 0 {
                    store.remove("a@x.org", &[sent.id]).await.unwrap();
                }
            }
        }
    });
    for nth in 0..5 {
        backup(&store, place.path(), |_| {}).unwrap();
        let target = place.path().join(format!("state-{nth}"));
        restore(place.path(), &target, |_| {}).unwrap();
        assert_eq!(check(&open(&target)).unwrap().described, Vec::<String>::new());
    }
    load.await.unwrap();
}

#[tokio::test]
async fn a_damaged_or_cut_archive_is_refused_and_nothing_is_made_of_it() {
    let (_folder, store, ..) = filled().await;
    let place = tempfile::tempdir().unwrap();
    backup(&store, place.path(), |_| {}).unwrap();
    let archive = place.path().join(ARCHIVE);
    let whole = std::fs::read(&archive).unwrap();
    let target = place.path().join("state");
    let refused = |archive_now: &[u8]| {
        std::fs::write(&archive, archive_now).unwrap();
        let error = restore(place.path(), &target, |_| {}).unwrap_err();
        assert!(!target.exists());
        error.to_string()
    };
    for len in [
        0,
        10,
        23,
        24,
        40,
        whole.len() / 2,
        whole.len() - 33,
        whole.len() - 1,
    ] {
        let error = refused(&whole[..len]);
        assert!(
            error.contains("damaged") && error.contains(ARCHIVE),
            "{len}: {error}"
        );
    }
    for at in [
        24,
        30,
        whole.len() / 3,
        whole.len() / 2,
        whole.len() - 40,
        whole.len() - 1,
    ] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        assert!(refused(&flipped).contains("damaged"), "{at}");
    }
    assert!(refused(&[&whole[..], b"x"].concat()).contains("follows its end"));
    assert!(refused(&[b"X", &whole[1..]].concat()).contains("no archive"));
    std::fs::write(&archive, &whole).unwrap();
    restore(place.path(), &target, |_| {}).unwrap();
}

#[tokio::test]
async fn a_store_is_not_restored_over_another() {
    let (folder, store, ..) = filled().await;
    let place = tempfile::tempdir().unwrap();
    backup(&store, place.path(), |_| {}).unwrap();
    let error = restore(place.path(), folder.path(), |_| {}).unwrap_err();
    assert!(matches!(error, ArchiveError::NotEmpty(_)));
}

#[tokio::test]
async fn a_backup_replaces_the_last_one_only_when_it_is_whole() {
    let (_folder, store, ..) = filled().await;
    let place = tempfile::tempdir().unwrap();
    backup(&store, place.path(), |_| {}).unwrap();
    let first = std::fs::read(place.path().join(ARCHIVE)).unwrap();
    // A folder in its way: the second cannot be written.
    std::fs::create_dir(place.path().join(format!("{ARCHIVE}.part"))).unwrap();
    assert!(backup(&store, place.path(), |_| {}).is_err());
    assert_eq!(std::fs::read(place.path().join(ARCHIVE)).unwrap(), first);
}

#[tokio::test]
async fn a_backup_of_mail_is_not_replaced_by_one_of_an_empty_store() {
    let (_folder, store, ..) = filled().await;
    let (_empty_folder, empty) = opened();
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join(ARCHIVE);
    for _ in 0..2 {
        backup(&empty, place.path(), |_| {}).unwrap();
    }
    let octets = backup(&store, place.path(), |_| {}).unwrap();
    let whole = std::fs::read(&archive).unwrap();
    let refused = backup(&empty, place.path(), |_| {}).unwrap_err();
    assert!(matches!(refused, ArchiveError::Emptied(_)));
    assert!(
        refused.to_string().contains(&archive.display().to_string()),
        "{refused}"
    );
    assert_eq!(std::fs::read(&archive).unwrap(), whole);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    assert_eq!(backup(&store, place.path(), |_| {}).unwrap(), octets);
}
