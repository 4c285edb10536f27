//! Domains, accounts, aliases.

use super::*;

fn account(address: &str) -> Account {
    Account {
        address: address.into(),
        password: Some("$argon2id$x".into()),
        scram: None,
        quota_bytes: Some(5),
        quota_messages: None,
    }
}

fn alias(address: &str, target: &str) -> Alias {
    Alias {
        address: address.into(),
        targets: vec![target.into()],
    }
}

pub(crate) async fn a_domain_is_created_once(store: Arc<impl Store + 'static>) {
    let domain = Domain {
        name: "x.org".into(),
        alias_of: None,
    };
    let other = Domain {
        name: "y.org".into(),
        alias_of: Some("x.org".into()),
    };
    assert_eq!(store.create_domain(other.clone()).await.unwrap(), Created::Yes);
    assert_eq!(store.create_domain(domain.clone()).await.unwrap(), Created::Yes);
    let again = Domain {
        alias_of: Some("y.org".into()),
        ..domain.clone()
    };
    assert_eq!(store.create_domain(again).await.unwrap(), Created::Exists);
    assert_eq!(store.domain("x.org").await.unwrap(), Some(domain.clone()));
    assert_eq!(store.domains().await.unwrap(), [domain, other]);
    assert!(store.remove_domain("x.org").await.unwrap());
    assert!(!store.remove_domain("x.org").await.unwrap());
    assert_eq!(store.domain("x.org").await.unwrap(), None);
}

pub(crate) async fn an_account_is_created_once_and_replaced(store: Arc<impl Store + 'static>) {
    let first = account("Ann@x.org");
    assert!(!store.replace_account(&first, first.clone()).await.unwrap());
    assert_eq!(store.account("ann@x.org").await.unwrap(), None);
    assert_eq!(
        store.create_account(account("Ann@x.org")).await.unwrap(),
        Created::Yes
    );
    assert_eq!(
        store.create_account(account("ann@x.org")).await.unwrap(),
        Created::Exists
    );
    assert_eq!(
        store.account("ann@x.org").await.unwrap(),
        Some(account("Ann@x.org"))
    );
    let changed = Account {
        password: None,
        scram: Some("1:a:b:c".into()),
        quota_bytes: None,
        quota_messages: Some(7),
        ..account("Ann@x.org")
    };
    assert!(store.replace_account(&first, changed.clone()).await.unwrap());
    assert_eq!(store.account("ann@x.org").await.unwrap(), Some(changed.clone()));
    let other = Account {
        quota_messages: Some(8),
        ..first.clone()
    };
    assert!(
        !store.replace_account(&first, other.clone()).await.unwrap(),
        "it has changed since"
    );
    assert_eq!(store.account("ann@x.org").await.unwrap(), Some(changed.clone()));
    assert!(store.replace_account(&changed, other.clone()).await.unwrap());
    assert_eq!(store.account("ann@x.org").await.unwrap(), Some(other));
}

pub(crate) async fn an_address_is_an_account_or_an_alias(store: Arc<impl Store + 'static>) {
    store.create_account(account("ann@x.org")).await.unwrap();
    let first = alias("bob@x.org", "ann@x.org");
    assert!(!store.replace_alias(&first, first.clone()).await.unwrap());
    assert_eq!(store.alias("bob@x.org").await.unwrap(), None);
    assert_eq!(
        store.create_alias(alias("ann@x.org", "b@x.org")).await.unwrap(),
        Created::Exists
    );
    assert_eq!(store.create_alias(first.clone()).await.unwrap(), Created::Yes);
    assert_eq!(
        store.create_alias(alias("bob@x.org", "b@x.org")).await.unwrap(),
        Created::Exists
    );
    assert_eq!(store.alias("bob@x.org").await.unwrap(), Some(first.clone()));
    assert_eq!(
        store.create_account(account("Bob@x.org")).await.unwrap(),
        Created::Exists
    );
    assert_eq!(store.account("bob@x.org").await.unwrap(), None);
    let replaced = alias("bob@x.org", "c@x.org");
    assert!(store.replace_alias(&first, replaced.clone()).await.unwrap());
    assert!(
        !store
            .replace_alias(&first, alias("bob@x.org", "d@x.org"))
            .await
            .unwrap(),
        "it has changed since"
    );
    assert_eq!(store.alias("bob@x.org").await.unwrap(), Some(replaced));
    assert!(store.remove_alias("bob@x.org").await.unwrap());
    assert!(!store.remove_alias("bob@x.org").await.unwrap());
    assert_eq!(
        store.create_account(account("Bob@x.org")).await.unwrap(),
        Created::Yes
    );
}

pub(crate) async fn accounts_and_aliases_are_paged_by_key(store: Arc<impl Store + 'static>) {
    for name in ["e", "C", "a", "D", "b"] {
        store
            .create_account(account(&format!("{name}@x.org")))
            .await
            .unwrap();
        store
            .create_alias(alias(&format!("{}@y.org", name.to_lowercase()), "a@x.org"))
            .await
            .unwrap();
    }
    let first = store.accounts(None, 2).await.unwrap();
    let addresses: Vec<_> = first.iter().map(|account| account.address.as_str()).collect();
    assert_eq!(addresses, ["a@x.org", "b@x.org"]);
    let rest = store.accounts(Some("b@x.org"), 99).await.unwrap();
    let addresses: Vec<_> = rest.iter().map(|account| account.address.as_str()).collect();
    assert_eq!(addresses, ["C@x.org", "D@x.org", "e@x.org"]);
    assert!(store.accounts(Some("e@x.org"), 9).await.unwrap().is_empty());
    let aliases = store.aliases(Some("c@y.org"), 1).await.unwrap();
    assert_eq!(aliases, [alias("d@y.org", "a@x.org")]);
    assert_eq!(store.aliases(None, 99).await.unwrap().len(), 5);
}

pub(crate) async fn removing_an_account_removes_its_mail(store: Arc<impl Store + 'static>) {
    store.create_account(account("Ann@x.org")).await.unwrap();
    let own = delivery(vec![entry("ann@x.org", 4)]);
    let shared = delivery(vec![entry("ann@x.org", 4), entry("bob@x.org", 4)]);
    store.deliver(own.clone()).await.unwrap();
    store.deliver(shared.clone()).await.unwrap();
    assert!(store.remove_account("ann@x.org").await.unwrap());
    assert!(!store.remove_account("ann@x.org").await.unwrap());
    assert!(store.list("ann@x.org").await.unwrap().is_empty());
    assert_eq!(store.usage("ann@x.org").await.unwrap(), Usage::default());
    assert!(is_not_found(
        store.read(Holder::Mailbox("ann@x.org"), own.id, 0, 1).await
    ));
    assert_eq!(
        read_all(&*store, Holder::Mailbox("bob@x.org"), shared.id, 64)
            .await
            .len(),
        20
    );
}

/// Mail for an account that was removed while it was under way lay in the mailbox, for a later account to read.
pub(crate) async fn an_account_begins_without_the_mail_of_an_earlier_one(store: Arc<impl Store + 'static>) {
    let late = delivery(vec![entry("ann@x.org", 4), entry("bob@x.org", 4)]);
    store.create_account(account("ann@x.org")).await.unwrap();
    store.remove_account("ann@x.org").await.unwrap();
    store.deliver(late.clone()).await.unwrap();
    assert_eq!(
        store.create_account(account("Ann@x.org")).await.unwrap(),
        Created::Yes
    );
    assert!(store.list("ann@x.org").await.unwrap().is_empty());
    assert_eq!(store.usage("ann@x.org").await.unwrap(), Usage::default());
    let bob = read_all(&*store, Holder::Mailbox("bob@x.org"), late.id, 64).await;
    assert_eq!(bob.len(), 20, "what others hold stays");

    let own = delivery(vec![entry("ann@x.org", 4)]);
    store.deliver(own.clone()).await.unwrap();
    assert_eq!(
        store.create_account(account("ann@x.org")).await.unwrap(),
        Created::Exists
    );
    assert_eq!(store.list("ann@x.org").await.unwrap().len(), 1, "its own stays");
    store.remove_account("ann@x.org").await.unwrap();
    store
        .deliver(delivery(vec![entry("ann@x.org", 4)]))
        .await
        .unwrap();
    assert!(!store.remove_account("ann@x.org").await.unwrap());
    assert!(
        store.list("ann@x.org").await.unwrap().is_empty(),
        "nor is it kept"
    );
}

pub(crate) async fn a_removal_that_races_deliveries_leaves_nothing_for_the_next_account(
    store: Arc<impl Store + 'static>,
) {
    store.create_account(account("ann@x.org")).await.unwrap();
    let calls = (0..20).map(|nth| {
        let store = Arc::clone(&store);
        async move {
            if nth == 10 {
                store.remove_account("ann@x.org").await.unwrap();
            } else {
                let sent = delivery(vec![entry("ann@x.org", 4)]);
                assert_eq!(store.deliver(sent).await.unwrap(), [Delivered::Kept]);
            }
        }
    });
    together(calls).await;
    store.create_account(account("ann@x.org")).await.unwrap();
    assert!(store.list("ann@x.org").await.unwrap().is_empty());
    assert_eq!(store.usage("ann@x.org").await.unwrap(), Usage::default());
}

pub(crate) async fn of_many_creators_one_succeeds(store: Arc<impl Store + 'static>) {
    let calls = (0..20).map(|_| {
        let store = Arc::clone(&store);
        async move { store.create_account(account("ann@x.org")).await.unwrap() }
    });
    let outcomes = together(calls).await;
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Created::Yes)
            .count(),
        1
    );
}
