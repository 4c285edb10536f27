//! The policies' small store.

use super::*;

const NOW: u64 = 1_000_000;

fn write(value: &'static str, ttl: u32, now: u64, quota: u64) -> KvWrite {
    KvWrite {
        value: Bytes::from_static(value.as_bytes()),
        ttl,
        now,
        quota,
    }
}

pub(crate) async fn values_are_set_read_and_removed(store: Arc<impl Store + 'static>) {
    assert_eq!(store.kv_get("p", "k", NOW).await.unwrap(), None);
    store.kv_set("p", "k", write("one", 0, NOW, 99)).await.unwrap();
    store.kv_set("p", "k", write("two", 0, NOW, 99)).await.unwrap();
    assert_eq!(
        store.kv_get("p", "k", u64::MAX).await.unwrap().unwrap(),
        "two",
        "ttl 0 is for ever"
    );
    store.kv_set("p", "", write("", 0, NOW, 99)).await.unwrap();
    assert_eq!(store.kv_get("p", "", NOW).await.unwrap().unwrap(), "");
    store.kv_remove("p", "k").await.unwrap();
    store.kv_remove("p", "k").await.unwrap();
    assert_eq!(store.kv_get("p", "k", NOW).await.unwrap(), None);
}

pub(crate) async fn a_value_is_over_at_its_exact_time(store: Arc<impl Store + 'static>) {
    store.kv_set("p", "k", write("v", 2, NOW, 99)).await.unwrap();
    assert!(store.kv_get("p", "k", NOW + 1999).await.unwrap().is_some());
    assert!(store.kv_get("p", "k", NOW + 2000).await.unwrap().is_none());
    store
        .kv_set("p", "k", write("w", 1, NOW + 1000, 99))
        .await
        .unwrap();
    assert!(store.kv_get("p", "k", NOW + 1999).await.unwrap().is_some());
    assert!(store.kv_get("p", "k", NOW + 2000).await.unwrap().is_none());
}

pub(crate) async fn a_counter_is_a_window(store: Arc<impl Store + 'static>) {
    assert_eq!(store.kv_increment("p", "n", 5, 1, NOW, 99).await.unwrap(), 5);
    assert_eq!(
        store
            .kv_increment("p", "n", -7, 100, NOW + 999, 99)
            .await
            .unwrap(),
        -2
    );
    let octets = store.kv_get("p", "n", NOW + 999).await.unwrap().unwrap();
    assert_eq!(octets[..], (-2_i64).to_be_bytes());
    assert_eq!(
        store.kv_increment("p", "n", 1, 1, NOW + 1000, 99).await.unwrap(),
        1,
        "a new window"
    );
    store
        .kv_increment("p", "top", i64::MAX, 0, NOW, 99)
        .await
        .unwrap();
    assert_eq!(
        store.kv_increment("p", "top", 1, 0, NOW, 99).await.unwrap(),
        i64::MAX
    );
}

pub(crate) async fn a_value_that_is_no_counter_is_an_error(store: Arc<impl Store + 'static>) {
    store.kv_set("p", "k", write("seven", 1, NOW, 99)).await.unwrap();
    let refused = store.kv_increment("p", "k", 1, 0, NOW, 99).await;
    assert!(matches!(refused, Err(StoreError::Kind(_))), "{refused:?}");
    assert_eq!(store.kv_get("p", "k", NOW).await.unwrap().unwrap(), "seven");
    assert_eq!(
        store.kv_increment("p", "k", 1, 0, NOW + 1000, 99).await.unwrap(),
        1
    );
}

pub(crate) async fn compare_and_set_sees_what_get_sees(store: Arc<impl Store + 'static>) {
    let expect = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let set = |expected, value| store.kv_compare_and_set("p", "k", expected, value);
    assert!(!set(expect("a"), write("b", 0, NOW, 99)).await.unwrap());
    assert!(set(None, write("a", 1, NOW, 99)).await.unwrap());
    assert!(!set(None, write("b", 0, NOW + 999, 99)).await.unwrap());
    assert!(!set(expect("b"), write("c", 0, NOW + 999, 99)).await.unwrap());
    assert_eq!(store.kv_get("p", "k", NOW + 999).await.unwrap(), expect("a"));
    assert!(
        !set(expect("a"), write("b", 0, NOW + 1000, 99)).await.unwrap(),
        "over"
    );
    assert!(set(None, write("b", 0, NOW + 1000, 99)).await.unwrap());
    assert!(set(expect("b"), write("c", 0, NOW + 1000, 99)).await.unwrap());
    assert_eq!(store.kv_get("p", "k", NOW).await.unwrap(), expect("c"));
}

pub(crate) async fn namespaces_are_apart(store: Arc<impl Store + 'static>) {
    for (namespace, key, value) in [("p", "qk", "1"), ("pq", "k", "2"), ("", "pqk", "3")] {
        store
            .kv_set(namespace, key, write(value, 0, NOW, 4))
            .await
            .unwrap();
    }
    assert_eq!(store.kv_get("p", "qk", NOW).await.unwrap().unwrap(), "1");
    assert_eq!(store.kv_get("pq", "k", NOW).await.unwrap().unwrap(), "2");
    assert_eq!(store.kv_get("", "pqk", NOW).await.unwrap().unwrap(), "3");
    store.kv_remove("p", "qk").await.unwrap();
    assert!(store.kv_get("pq", "k", NOW).await.unwrap().is_some());
}

pub(crate) async fn the_quota_admits_its_exact_value(store: Arc<impl Store + 'static>) {
    let bound = |result: Result<()>| matches!(result, Err(StoreError::Bound(_)));
    assert!(bound(store.kv_set("p", "kk", write("vv", 0, NOW, 3)).await));
    store.kv_set("p", "kk", write("vv", 0, NOW, 4)).await.unwrap();
    assert!(bound(store.kv_set("p", "l", write("", 0, NOW, 4)).await));
    store.kv_set("p", "kk", write("ww", 0, NOW, 4)).await.unwrap();
    assert!(store.kv_increment("p", "n", 1, 0, NOW, 12).await.is_err());
    assert_eq!(store.kv_increment("p", "n", 1, 0, NOW, 13).await.unwrap(), 1);
    assert_eq!(store.kv_increment("p", "n", 1, 0, NOW, 13).await.unwrap(), 2);
    let none = store
        .kv_compare_and_set("p", "z", None, write("", 0, NOW, 13))
        .await;
    assert!(bound(none.map(|_| ())));
    store.kv_remove("p", "kk").await.unwrap();
    store.kv_set("p", "kk", write("xx", 0, NOW, 13)).await.unwrap();
}

pub(crate) async fn expired_values_make_room(store: Arc<impl Store + 'static>) {
    store.kv_set("p", "a", write("1", 1, NOW, 2)).await.unwrap();
    assert!(store.kv_set("p", "b", write("2", 0, NOW + 999, 2)).await.is_err());
    store
        .kv_set("p", "b", write("2", 0, NOW + 1000, 2))
        .await
        .unwrap();
    assert_eq!(store.kv_get("p", "b", NOW + 1000).await.unwrap().unwrap(), "2");
}

pub(crate) async fn concurrent_increments_all_count(store: Arc<impl Store + 'static>) {
    let calls = (0..50).map(|_| {
        let store = Arc::clone(&store);
        async move { store.kv_increment("p", "n", 2, 0, NOW, 99).await.unwrap() }
    });
    let mut answers = together(calls).await;
    answers.sort_unstable();
    assert_eq!(answers, (1..=50).map(|n| 2 * n).collect::<Vec<i64>>());
}
