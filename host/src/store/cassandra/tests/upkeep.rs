//! What a check finds and mends, and what a sweep collects, in tables that were broken by hand.

use super::*;
use crate::clock::unix_millis;
use crate::store::contract::{append_all, listed_ids, noise};
use crate::store::copying::Movable;
use crate::store::{
    Account, Alias, Content, Directory, Entry, Kv, KvWrite, Maildrops, Moved, Quarantined, Text,
};
use bytes::Bytes;
use uuid::Uuid;

pub(super) const DAY: u64 = 24 * 60 * 60 * 1000;
const HOUR: u64 = DAY / 24;

/// An id that was drawn `age` milliseconds ago.
pub(super) fn aged(age: u64) -> MessageId {
    let moment = unix_millis() - age;
    let rest = Uuid::new_v4().as_u128() & (u128::MAX >> 66);
    rows::id(Uuid::from_u128(rows::lowest_id(moment).as_u128() | rest))
}

/// A message that is listed by these mailboxes and, under its own id, by quarantine.
pub(super) async fn put(
    store: &CassandraStore,
    id: MessageId,
    size: usize,
    mailboxes: &[&str],
    copies: &[&str],
) {
    let text = noise(size);
    let content = Content {
        head: Bytes::from_static(b"Subject: x\r\n\r\n"),
        text: match size {
            0..=10_000 => Text::Inline(text),
            _ => append_all(store, id, &text).await,
        },
    };
    let size = content.size();
    let entry = |mailbox: &&str| {
        let entry = Entry {
            id,
            size,
            downgraded_size: size,
            trace: Bytes::new(),
            uidl: None,
        };
        ((*mailbox).into(), entry)
    };
    let copy = |reason: &&str| Quarantined {
        id,
        mailboxes: vec!["a@x.org".into()],
        reason: (*reason).to_owned(),
        trace: Bytes::new(),
        size,
    };
    let moved = Moved {
        id,
        content,
        facts: Bytes::from_static(b"facts"),
        entries: mailboxes.iter().map(entry).collect(),
        copies: copies.iter().map(copy).collect(),
    };
    Movable::admit(store, moved).await.unwrap();
}

pub(super) async fn cql(
    store: &CassandraStore,
    keyspace: &Keyspace,
    text: &str,
    values: impl scylla::serialize::row::SerializeRow,
) {
    let text = text.replace("{ks}", &keyspace.0);
    store.cluster.session.query_unpaged(text, values).await.unwrap();
}

pub(super) fn account(address: &str) -> Account {
    Account {
        address: address.to_owned(),
        password: None,
        scram: None,
        quota_bytes: None,
        quota_messages: None,
    }
}

fn value(octets: &'static [u8]) -> KvWrite {
    KvWrite {
        value: Bytes::from_static(octets),
        ttl: 0,
        now: unix_millis(),
        quota: 1000,
    }
}

async fn found(store: &CassandraStore, mend: Mend) -> Vec<String> {
    let report = store.check(mend).await.unwrap();
    let mut described = report.described.clone();
    assert_eq!(report.faults + report.mended, described.len() as u64);
    assert_eq!(report.unread, 0);
    described.sort();
    described
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_nobody_broke_is_sound() {
    let (_keyspace, store) = empty().await;
    store.create_account(account("a@x.org")).await.unwrap();
    put(&store, aged(3 * DAY), 100, &["a@x.org"], &[]).await;
    put(&store, aged(40 * DAY), 300_000, &["a@x.org"], &[]).await;
    put(&store, aged(3 * DAY), 100, &["a@x.org", "b@x.org"], &["bad"]).await;
    let gone = aged(3 * DAY);
    put(&store, gone, 40_000, &["a@x.org", "b@x.org"], &[]).await;
    store.remove("b@x.org", &[gone]).await.unwrap();
    let alias = Alias {
        address: "c@x.org".to_owned(),
        targets: vec!["a@x.org".to_owned()],
    };
    store.create_alias(alias).await.unwrap();
    store.kv_set("grey", "key", value(b"12345")).await.unwrap();
    store.kv_set("grey", "gone", value(b"12345")).await.unwrap();
    store.kv_remove("grey", "gone").await.unwrap();
    append_all(&*store, MessageId::new(), &noise(50_000)).await;
    let report = store.check(Mend::Nothing).await.unwrap();
    let expected = Report {
        mailboxes: 2,
        entries: 5,
        quarantined: 1,
        bodies: 4,
        uncommitted: 1,
        ..Report::default()
    };
    assert_eq!(report, expected);
}

/// What breaks the `nth` message, or something else; `{e}` and `{m}` are its epoch and id.
const BREAKS: &[(usize, &str)] = &[
    (
        0,
        "DELETE FROM {ks}.small WHERE mbox = 'a@x.org' AND epoch = {e} AND msg = {m}",
    ),
    (
        1,
        "DELETE FROM {ks}.entry WHERE mbox = 'a@x.org' AND epoch = {e} AND msg = {m}",
    ),
    (2, "DELETE head_size, text_size FROM {ks}.blob WHERE id = {m}"),
    (
        3,
        "DELETE FROM {ks}.entry WHERE mbox = 'a@x.org' AND epoch = {e} AND msg = {m}",
    ),
    (4, "DELETE FROM {ks}.blob WHERE id = {m} AND seq = 1"),
    (
        5,
        "DELETE FROM {ks}.blob_ref WHERE blob = {m} AND holder = 'b@x.org'",
    ),
    (
        6,
        "DELETE FROM {ks}.entry WHERE mbox = 'b@x.org' AND epoch = {e} AND msg = {m}",
    ),
    (7, "DELETE FROM {ks}.blob WHERE id = {m}"),
    (7, "DELETE FROM {ks}.blob_ref WHERE blob = {m}"),
    (8, "DELETE FROM {ks}.maildrop WHERE mbox = 'c@x.org'"),
    (
        9,
        "UPDATE {ks}.maildrop SET low = {m} WHERE mbox = 'd@x.org' AND epoch = {e}",
    ),
    (
        0,
        "DELETE FROM {ks}.address_name USING TIMESTAMP {above} WHERE kind = 0 AND shard = {account}",
    ),
    (
        0,
        "INSERT INTO {ks}.address_name (kind, shard, key) VALUES (1, {account}, 'a@x.org') USING TIMESTAMP {settled}",
    ),
    (
        0,
        "UPDATE {ks}.plugin_size SET octets = 1 WHERE plugin = 'grey' AND shard = {wrong} AND k = 'wrong'",
    ),
    (
        0,
        "DELETE FROM {ks}.plugin_size WHERE plugin = 'grey' AND shard = {less} AND k = 'less'",
    ),
    (
        0,
        "DELETE FROM {ks}.plugin_kv WHERE plugin = 'grey' AND k = 'more' IF EXISTS",
    ),
];

/// One message for each of the breaks, from the youngest, and what else they break.
async fn put_all(store: &CassandraStore) -> Vec<MessageId> {
    store.create_account(account("a@x.org")).await.unwrap();
    let ids: Vec<MessageId> = (0..10).map(|nth| aged(3 * DAY + nth * HOUR)).collect();
    let messages: [(usize, &[&str], &[&str]); 9] = [
        (100, &["a@x.org"], &[]),
        (100, &["a@x.org"], &[]),
        (40_000, &["a@x.org"], &[]),
        (40_000, &["a@x.org"], &[]),
        (300_000, &["a@x.org"], &[]),
        (100, &["a@x.org", "b@x.org"], &[]),
        (100, &["a@x.org", "b@x.org"], &[]),
        (100, &[], &["bad"]),
        (100, &["c@x.org"], &[]),
    ];
    for (id, (size, mailboxes, copies)) in ids.iter().zip(messages) {
        put(store, *id, size, mailboxes, copies).await;
    }
    // Older than the mark that its epoch is to get.
    put(store, aged(3 * DAY + 9 * HOUR + 1000), 100, &["d@x.org"], &[]).await;
    for key in ["right", "wrong", "less", "more"] {
        store.kv_set("grey", key, value(b"12345")).await.unwrap();
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_broken_is_named_and_mended_where_that_loses_nothing() {
    let (keyspace, store) = empty().await;
    let ids = put_all(&store).await;
    let hidden = store.list("d@x.org").await.unwrap()[0].id;
    for (nth, text) in BREAKS {
        let id = ids[*nth];
        let text = text.replace("{e}", &rows::epoch(id).to_string());
        let text = text.replace("{m}", &rows::uuid(id).to_string());
        let text = text.replace("{account}", &names::shard("a@x.org").to_string());
        let text = text.replace("{above}", &rows::above_all(unix_millis()).to_string());
        let text = text.replace("{settled}", &store.settled().to_string());
        let text = text.replace("{wrong}", &kv::shard("wrong").to_string());
        let text = text.replace("{less}", &kv::shard("less").to_string());
        cql(&store, &keyspace, &text, ()).await;
    }
    let lasting = [
        format!("{}: listed by a@x.org and has no body", ids[0]),
        format!(
            "{}: a body beside the listing of a@x.org, which does not list it",
            ids[1]
        ),
        format!("{}: listed by a@x.org and has no body", ids[2]),
        format!("{}: a body without holder", ids[3]),
        format!("{}: its body does not have all its parts", ids[4]),
        format!("{}: held by b@x.org, which does not list it", ids[6]),
        format!("{0}: listed by quarantine {0} and has no body", ids[7]),
    ];
    let epoch = rows::epoch(ids[8]);
    let mendable = [
        format!("{}: listed by b@x.org, which is not its holder", ids[5]),
        format!("{0}: listed by quarantine {0}, which is not its holder", ids[7]),
        format!(
            "c@x.org: what it has of epoch {epoch} is listed by nobody, for the epoch is not written down"
        ),
        format!("{hidden}: below the low-water mark of d@x.org, so nobody lists it"),
        "a@x.org: an address that is not named in listings".to_owned(),
        "a@x.org: named in listings, and leads nowhere".to_owned(),
        "policy grey: wrong is not counted with the octets it has".to_owned(),
        "policy grey: less is not counted with the octets it has".to_owned(),
        "policy grey: more is counted and not there".to_owned(),
    ];
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    let all = sorted(lasting.iter().chain(&mendable).cloned().collect());
    assert_eq!(found(&store, Mend::Nothing).await, all);
    let mended = mendable.iter().map(|line| format!("{line}: mended"));
    let then = sorted(lasting.iter().cloned().chain(mended).collect());
    assert_eq!(found(&store, Mend::WithoutLoss).await, then);
    assert_eq!(found(&store, Mend::Nothing).await, sorted(lasting.to_vec()));
    for mailbox in ["c@x.org", "d@x.org"] {
        let listed = store.list(mailbox).await.unwrap().len();
        assert_eq!(listed, 1, "{mailbox} lists it again");
    }
    assert_eq!(store.accounts(None, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_under_way_is_no_fault() {
    let (keyspace, store) = empty().await;
    let edge = rows::LOW_BEHIND.as_millis() as u64;
    for (age, faults) in [(edge - 30_000, 0), (edge + 1000, 3)] {
        let (small, own, shared) = (aged(age), aged(age), aged(age));
        put(&store, small, 100, &["a@x.org"], &[]).await;
        put(&store, own, 40_000, &["a@x.org"], &[]).await;
        put(&store, shared, 100, &["b@x.org", "c@x.org"], &[]).await;
        cql(
            &store,
            &keyspace,
            "DELETE FROM {ks}.entry WHERE mbox = 'a@x.org' AND epoch = ?",
            (rows::epoch(small),),
        )
        .await;
        cql(
            &store,
            &keyspace,
            "DELETE FROM {ks}.blob_ref WHERE blob = ? AND holder = 'b@x.org'",
            (rows::uuid(shared),),
        )
        .await;
        let report = store.check(Mend::Nothing).await.unwrap();
        assert_eq!(
            (report.faults, report.unread),
            (faults, 0),
            "{:?}",
            report.described
        );
    }
}

/// It was named, and stayed where nobody sees it. What cannot be read would come up with all below it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_below_the_mark_is_listed_again_if_there_is_something_to_read() {
    let (keyspace, store) = empty().await;
    let [below, bare, torn, small, own, held] = [6, 5, 4, 3, 2, 1].map(|hours| aged(3 * DAY + hours * HOUR));
    for (id, size) in [
        (below, 100),
        (bare, 100),
        (torn, 40_000),
        (small, 100),
        (own, 40_000),
    ] {
        put(&store, id, size, &["a@x.org"], &[]).await;
    }
    put(&store, held, 100, &[], &["bad"]).await;
    let mark = "UPDATE {ks}.maildrop SET low = ? WHERE mbox = ? AND epoch = ?";
    let low = rows::uuid(aged(3 * DAY));
    for id in [below, bare, torn, small, own, held] {
        for mailbox in ["a@x.org", "quarantine"] {
            cql(&store, &keyspace, mark, (low, mailbox, rows::epoch(id))).await;
        }
    }
    let drop_small = "DELETE FROM {ks}.small WHERE mbox = 'a@x.org' AND epoch = ? AND msg = ?";
    let key = (rows::epoch(bare), rows::uuid(bare));
    cql(&store, &keyspace, drop_small, key).await;
    let drop_part = "DELETE FROM {ks}.blob WHERE id = ? AND seq = 0";
    cql(&store, &keyspace, drop_part, (rows::uuid(torn),)).await;
    assert_eq!(store.list("a@x.org").await.unwrap(), []);
    assert_eq!(store.quarantined(None, 10).await.unwrap(), []);

    let hidden = |id, from| format!("{id}: below the low-water mark of {from}, so nobody lists it");
    let mut expected = vec![
        format!("{bare}: listed by a@x.org and has no body"),
        format!("{torn}: its body does not have all its parts"),
        hidden(below, "a@x.org"),
        hidden(bare, "a@x.org"),
        hidden(torn, "a@x.org"),
        hidden(small, "a@x.org") + ": mended",
        hidden(own, "a@x.org") + ": mended",
        hidden(held, "quarantine") + ": mended",
    ];
    expected.sort();
    assert_eq!(found(&store, Mend::WithoutLoss).await, expected);
    let listed = listed_ids(&*store, "a@x.org").await;
    assert_eq!(listed, [small, own]);
    assert_eq!(store.usage("a@x.org").await.unwrap().messages, 2);
    assert_eq!(store.quarantined(None, 10).await.unwrap()[0].id, held);
}

/// An account may just be made, and is named first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_may_be_of_an_account_to_come_is_not_taken() {
    let (keyspace, store) = empty().await;
    let put_name =
        "INSERT INTO {ks}.address_name (kind, shard, key) VALUES (0, ?, 'a@x.org') USING TIMESTAMP ?";
    let said = "a@x.org: named in listings, and leads nowhere";
    let shard = names::shard("a@x.org");
    cql(&store, &keyspace, put_name, (shard, store.settled() + 60_000_000)).await;
    for _ in 0..2 {
        assert_eq!(
            found(&store, Mend::WithoutLoss).await,
            [said],
            "it is there still"
        );
    }
    store.create_account(account("a@x.org")).await.unwrap();
    assert_eq!(found(&store, Mend::WithoutLoss).await, [""; 0]);
    assert_eq!(store.accounts(None, 10).await.unwrap().len(), 1);
}

/// Rows of one column, as text.
pub(super) async fn rows_of(
    store: &CassandraStore,
    keyspace: &Keyspace,
    column: &str,
    table: &str,
) -> Vec<Uuid> {
    let text = format!("SELECT {column} FROM {}.{table}", keyspace.0);
    let answer = store.cluster.session.query_unpaged(text, ()).await.unwrap();
    let answer = answer.into_rows_result().unwrap();
    let mut ids: Vec<Uuid> = answer
        .rows::<(Uuid,)>()
        .unwrap()
        .map(|row| row.unwrap().0)
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_takes_what_nobody_lists_when_it_is_two_days_old() {
    let (keyspace, store) = empty().await;
    let (old, young) = (2 * DAY + 60_000, 2 * DAY - 60_000);
    let mut left = [Vec::new(), Vec::new(), Vec::new()];
    for age in [old, young] {
        // A small one, one of its own, a text without an end, and a shared one that one of two lists still.
        let (small, own, text, shared, stray) = (aged(age), aged(age), aged(age), aged(age), aged(age));
        put(&store, small, 100, &["gone@x.org"], &[]).await;
        put(&store, own, 40_000, &["gone@x.org"], &[]).await;
        append_all(&*store, text, &noise(50_000)).await;
        put(&store, shared, 100, &["a@x.org", "gone@x.org"], &[]).await;
        put(&store, stray, 100, &["gone@x.org", "lost@x.org"], &[]).await;
        for mailbox in ["gone@x.org", "lost@x.org"] {
            let key = (mailbox, rows::epoch(small));
            cql(
                &store,
                &keyspace,
                "DELETE FROM {ks}.entry WHERE mbox = ? AND epoch = ?",
                key,
            )
            .await;
        }
        // What is listed.
        let (kept, held, both) = (aged(age), aged(age), aged(age));
        put(&store, kept, 100, &["a@x.org"], &[]).await;
        put(&store, held, 100, &[], &["bad"]).await;
        put(&store, both, 40_000, &["a@x.org"], &[]).await;
        left[0].push(rows::uuid(kept));
        left[1].extend([shared, held, both].map(rows::uuid));
        left[2].extend([shared, held].map(rows::uuid));
        if age == young {
            left[0].push(rows::uuid(small));
            left[1].extend([own, text, stray].map(rows::uuid));
            left[2].push(rows::uuid(stray));
        }
    }
    let swept = store.sweep().await.unwrap();
    let expected = Swept {
        bodies: 3,
        small: 1,
        references: 3,
        left_alone: 0,
    };
    assert_eq!(swept, expected);
    for (rows, (column, table)) in
        left.iter_mut()
            .zip([("msg", "small"), ("id", "blob"), ("blob", "blob_ref")])
    {
        rows.sort();
        assert_eq!(rows_of(&store, &keyspace, column, table).await, *rows, "{table}");
    }
    assert_eq!(store.sweep().await.unwrap(), Swept::default(), "once is enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_or_said_to_be_wrong_while_a_replica_is_away() {
    let (keyspace, store) = empty().await;
    put(&store, aged(3 * DAY), 40_000, &["gone@x.org"], &[]).await;
    cql(&store, &keyspace, "TRUNCATE {ks}.entry", ()).await;
    let replicas = |count: u32| {
        format!(
            "ALTER KEYSPACE {{ks}} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': {count}}}"
        )
    };
    cql(&store, &keyspace, &replicas(2), ()).await;
    let (swept, report) = (
        store.sweep().await.unwrap(),
        store.check(Mend::WithoutLoss).await.unwrap(),
    );
    cql(&store, &keyspace, &replicas(1), ()).await;
    assert!(swept.left_alone > 0 && report.unread > 0);
    assert_eq!((swept.bodies, report.faults, report.is_sound()), (0, 0, false));
    assert!(
        report.described[0].contains("not compared"),
        "{:?}",
        report.described
    );
    assert!(store.ready().is_ok(), "mail is not told");
    assert_eq!(store.sweep().await.unwrap().bodies, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_a_day_is_told_to_sweep() {
    let (keyspace, store) = empty().await;
    cql(
        &store,
        &keyspace,
        "DELETE FROM {ks}.schema_version WHERE k = 'sweep' IF EXISTS",
        (),
    )
    .await;
    let asked = [
        store.sweep_is_due().await.unwrap(),
        store.sweep_is_due().await.unwrap(),
    ];
    assert_eq!(asked, [true, false]);
}
