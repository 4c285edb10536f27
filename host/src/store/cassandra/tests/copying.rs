//! A store that goes to a cluster and back: cut off on the way, and equal byte for byte at the end.

use super::upkeep::{DAY, account, aged, cql, put};
use super::*;
use crate::clock::unix_millis;
use crate::store::contract::{append_all, noise, read_all};
use crate::store::copying::{Copied, Listed, Movable, Step, Value, copy};
use crate::store::embedded::Options;
use crate::store::rules::quarantine_id;
use crate::store::{
    Alias, CHUNK, Content, Directory, Domain, EmbeddedStore, Entry, Holder, Kv, KvWrite, Maildrops, Moved,
    Quarantined, Text,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use tokio::sync::{Notify, mpsc};

const MESSAGES: u64 = 200;

fn embedded(folder: &Path) -> Arc<EmbeddedStore> {
    let options = Options {
        reserve: 0,
        quarantine_max: u64::MAX,
        ..Options::default()
    };
    EmbeddedStore::open(folder, options).unwrap()
}

/// Messages of every kind: small and large, of one and of many, in quarantine, with uidls of their own.
async fn fill(store: &EmbeddedStore, messages: u64, accounts: u64) {
    for nth in 0..messages {
        let id = aged(nth * DAY);
        let size = match nth % 40 {
            0 => 2 * CHUNK + 77,
            1 => CHUNK,
            2 => 0,
            _ => 100 * nth as usize + 3,
        };
        let text = noise(size);
        let content = Content {
            head: Bytes::from(format!("Subject: {nth}\r\n\r\n")),
            text: match size > CHUNK {
                true => append_all(store, id, &text).await,
                false => Text::Inline(text),
            },
        };
        let whole = content.size();
        let entry = |mailbox: &str| {
            let entry = Entry {
                id,
                size: whole + 9,
                downgraded_size: whole + nth % 3,
                trace: Bytes::from(format!("Delivered-To: {mailbox}\r\n")),
                uidl: (nth % 5 == 0).then(|| format!("old-{nth}")),
            };
            (mailbox.into(), entry)
        };
        let copy = |place| Quarantined {
            id: quarantine_id(id, place),
            mailboxes: vec!["a@x.org".into(), "b@x.org".into()],
            reason: format!("because {nth}"),
            trace: Bytes::from_static(b"X-Trace: 1\r\n"),
            size: whole,
        };
        let (mailboxes, places): (&[&str], &[usize]) = match nth % 7 {
            0 => (&["a@x.org", "b@x.org"], &[]),
            1 => (&["a@x.org"], &[0]),
            // The first copy was dropped.
            2 => (&[], &[1]),
            _ => (&["a@x.org"], &[]),
        };
        let moved = Moved {
            id,
            content,
            facts: Bytes::from(format!("facts of {nth}")),
            entries: mailboxes.iter().map(|mailbox| entry(mailbox)).collect(),
            copies: places.iter().map(|place| copy(*place)).collect(),
        };
        Movable::admit(store, moved).await.unwrap();
    }
    fill_directory(store, accounts).await;
}

fn domain(name: &str, alias_of: Option<&str>) -> Domain {
    Domain {
        name: name.to_owned(),
        alias_of: alias_of.map(str::to_owned),
    }
}

async fn fill_directory(store: &EmbeddedStore, accounts: u64) {
    store.create_domain(domain("x.org", None)).await.unwrap();
    store.create_domain(domain("y.org", Some("x.org"))).await.unwrap();
    for nth in 0..accounts {
        let mut account = account(&format!("User{nth:03}@x.org"));
        account.password = Some("hash".to_owned());
        account.quota_bytes = Some(nth);
        store.create_account(account).await.unwrap();
    }
    let alias = Alias {
        address: "@x.org".to_owned(),
        targets: vec!["a@x.org".to_owned(), "b@x.org".to_owned()],
    };
    store.create_alias(alias).await.unwrap();
    for (key, ttl) in [("for ever", 0), ("for a while", 5000)] {
        let write = KvWrite {
            value: Bytes::from_static(b"12345"),
            ttl,
            now: unix_millis(),
            quota: 1000,
        };
        store.kv_set("grey", key, write).await.unwrap();
    }
}

async fn walked(store: &dyn Movable) -> BTreeMap<MessageId, Listed> {
    let (show, mut shown) = mpsc::channel::<Listed>(10);
    let take = async {
        let mut all = BTreeMap::new();
        while let Some(mut listed) = shown.recv().await {
            listed.entries.sort_by(|one, other| one.0.cmp(&other.0));
            assert!(all.insert(listed.id, listed).is_none(), "shown once");
        }
        all
    };
    let (done, all) = tokio::join!(store.walk(show), take);
    done.unwrap();
    all
}

async fn values(store: &dyn Movable) -> Vec<Value> {
    let (show, mut shown) = mpsc::channel::<Value>(10);
    store.walk_values(show).await.unwrap();
    let mut all = Vec::new();
    while let Some(value) = shown.recv().await {
        all.push(value);
    }
    all.sort_by(|one, other| one.key.cmp(&other.key));
    all
}

/// Everything that can be read is the same.
async fn assert_same<A: Movable, B: Movable>(one: &A, other: &B) {
    let (all, others) = (walked(one).await, walked(other).await);
    assert_eq!(all, others);
    assert_eq!(all.len() as u64, MESSAGES);
    for listed in all.into_values() {
        let entries = listed
            .entries
            .iter()
            .map(|(mailbox, _)| (Holder::Mailbox(mailbox), listed.id));
        let copies = listed.copies.iter().map(|copy| (Holder::Quarantine, copy.id));
        for (holder, id) in entries.chain(copies) {
            let contents = (
                read_all(one, holder, id, CHUNK).await,
                read_all(other, holder, id, CHUNK).await,
            );
            assert!(contents.0 == contents.1, "{id}");
            assert_eq!(
                one.facts(holder, id).await.unwrap(),
                other.facts(holder, id).await.unwrap()
            );
        }
    }
    for mailbox in ["a@x.org", "b@x.org"] {
        assert_eq!(
            one.list(mailbox).await.unwrap(),
            other.list(mailbox).await.unwrap()
        );
        assert_eq!(
            one.usage(mailbox).await.unwrap(),
            other.usage(mailbox).await.unwrap()
        );
    }
    assert_eq!(
        one.quarantined(None, 1000).await.unwrap(),
        other.quarantined(None, 1000).await.unwrap()
    );
    assert_eq!(one.domains().await.unwrap(), other.domains().await.unwrap());
    let accounts = one.accounts(None, 1000).await.unwrap();
    assert_eq!(accounts, other.accounts(None, 1000).await.unwrap());
    assert_eq!(accounts.len(), 250);
    assert_eq!(
        one.aliases(None, 10).await.unwrap(),
        other.aliases(None, 10).await.unwrap()
    );
    let held = values(one).await;
    assert_eq!(held, values(other).await);
    assert_eq!(held.len(), 2);
}

fn dynamic<S: Movable + 'static>(store: &Arc<S>) -> Arc<dyn Movable> {
    Arc::clone(store) as _
}

/// Copies until so many messages are done with, and is cut off there.
async fn cut_off(from: &Arc<dyn Movable>, to: &Arc<dyn Movable>, after: u64) {
    let enough = Notify::new();
    let copying = copy(from, to, |step, done, _| {
        if step == Step::Copying && done == after {
            enough.notify_one();
        }
    });
    tokio::select! {
        biased;
        () = enough.notified() => {}
        done = copying => panic!("it was to be cut off: {done:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_to_a_cluster_and_back_byte_for_byte_though_it_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (keyspace, cluster) = empty().await;
    let source = embedded(&folder.path().join("source"));
    fill(&source, MESSAGES, 250).await;
    cluster.begin_copy().await.unwrap();
    cut_off(&dynamic(&source), &dynamic(&cluster), 60).await;
    let begun = walked(&*cluster).await.len() as u64;
    assert!((1..MESSAGES).contains(&begun), "{begun}");

    // Nobody serves from half a copy, and the sweep leaves it alone.
    let node = tokio::task::spawn_blocking(nodes::shared).await.unwrap();
    let refused = CassandraStore::open(&config(vec![node], &keyspace.0, 1), 0).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("run `postern store copy` again"), "{refused}");
    assert!(cluster.sweep().await.is_err());

    cluster.begin_copy().await.unwrap();
    let copied = copy(&dynamic(&source), &dynamic(&cluster), |_, _, _| {})
        .await
        .unwrap();
    cluster.end_copy().await.unwrap();
    let expected = Copied {
        messages: MESSAGES,
        entries: 200,
        quarantined: 58,
        octets: copied.octets,
        accounts: 250,
        aliases: 1,
        domains: 2,
        values: 2,
    };
    assert_eq!(copied, expected);
    assert_same(&*source, &*cluster).await;
    let report = cluster.check(Mend::Nothing).await.unwrap();
    assert_eq!(report.described, [""; 0]);

    let back = embedded(&folder.path().join("back"));
    cut_off(&dynamic(&cluster), &dynamic(&back), 60).await;
    drop(back);
    let back = embedded(&folder.path().join("back"));
    assert_eq!(
        copy(&dynamic(&cluster), &dynamic(&back), |_, _, _| {})
            .await
            .unwrap(),
        copied
    );
    assert_same(&*source, &*back).await;
    assert!(back.check(Mend::Nothing).await.unwrap().is_sound());
}

/// A copy that was cut off after a mailbox's epoch was written down and before a row of it was took the epoch for one
/// that is over, and could never be ended; and what was removed from the source meanwhile was there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_goes_on_ends_and_takes_out_what_the_source_has_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (_keyspace, cluster) = empty().await;
    let source = embedded(folder.path());
    fill(&source, 10, 3).await;
    source
        .create_domain(domain("z.org", Some("x.org")))
        .await
        .unwrap();
    let mailbox = account("c@x.org");
    source.create_account(mailbox).await.unwrap();
    cluster.begin_copy().await.unwrap();
    copy(&dynamic(&source), &dynamic(&cluster), |_, _, _| {})
        .await
        .unwrap();
    // As if the copy had gone no further.
    let over = rows::epoch(aged(100 * DAY));
    cluster.put_epoch(&"c@x.org".into(), over).await.unwrap();
    assert!(source.remove_account("user001@x.org").await.unwrap());
    assert!(source.remove_alias("@x.org").await.unwrap());
    assert!(source.remove_domain("z.org").await.unwrap());

    cluster.begin_copy().await.unwrap();
    copy(&dynamic(&source), &dynamic(&cluster), |_, _, _| {})
        .await
        .unwrap();
    cluster.end_copy().await.unwrap();
    assert_eq!(
        cluster.accounts(None, 10).await.unwrap(),
        source.accounts(None, 10).await.unwrap()
    );
    assert_eq!(cluster.aliases(None, 10).await.unwrap(), []);
    assert_eq!(cluster.domains().await.unwrap(), source.domains().await.unwrap());
}

/// It was left out, and the copy said that all was copied and compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_mail_without_a_reference_is_named_and_not_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (keyspace, cluster) = empty().await;
    let shared = aged(3 * DAY);
    put(&cluster, shared, 100, &["a@x.org", "b@x.org"], &["bad"]).await;
    let back = embedded(folder.path());
    let quarantine = format!("quarantine {shared}");
    for holder in ["a@x.org", &quarantine] {
        let drop_ref = format!(
            "DELETE FROM {{ks}}.blob_ref USING TIMESTAMP {} WHERE blob = ? AND holder = ?",
            unix_millis() * 1000
        );
        cql(&cluster, &keyspace, &drop_ref, (rows::uuid(shared), holder)).await;
        let refused = copy(&dynamic(&cluster), &dynamic(&back), |_, _, _| {}).await;
        let refused = refused.unwrap_err().to_string();
        let said = format!(
            "{shared}: listed by {holder}, which is not its holder: run `postern store check --mend`"
        );
        assert!(refused.contains(&said), "{refused}");
        cluster.check(Mend::WithoutLoss).await.unwrap();
    }
    let copied = copy(&dynamic(&cluster), &dynamic(&back), |_, _, _| {})
        .await
        .unwrap();
    assert_eq!((copied.entries, copied.quarantined), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_is_named_by_its_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let (keyspace, cluster) = empty().await;
    let source = embedded(folder.path());
    fill(&source, 10, 1).await;
    cluster.begin_copy().await.unwrap();
    let first = source.list("b@x.org").await.unwrap()[0].id;
    copy(&dynamic(&source), &dynamic(&cluster), |_, _, _| {})
        .await
        .unwrap();
    // Other facts under the same listing.
    let text = format!("UPDATE {}.blob SET facts = 0x00 WHERE id = ?", keyspace.0);
    let key = (rows::uuid(first),);
    cluster.cluster.session.query_unpaged(text, key).await.unwrap();
    cluster.found.invalidate_all();
    let error = copy(&dynamic(&source), &dynamic(&cluster), |_, _, _| {})
        .await
        .unwrap_err();
    cluster.end_copy().await.unwrap();
    assert!(error.to_string().contains("@x.org differs: "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_copied_over_mail_that_is_there() {
    let (_keyspace, cluster) = empty().await;
    let delivery = crate::store::contract::delivery(vec![crate::store::contract::entry("a@x.org", 5)]);
    cluster.deliver(delivery).await.unwrap();
    let refused = cluster.begin_copy().await.unwrap_err().to_string();
    assert!(refused.contains("mail of its own (a@x.org)"), "{refused}");
    assert!(cluster.is_whole().await.is_ok(), "and it is not marked");
}
