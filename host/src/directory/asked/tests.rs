use super::*;
use crate::directory::tests::{config, directory};
use crate::store::{Account, Alias, Directory as _, Domain, MemoryStore};

async fn accounts() -> (Accounts, tempfile::TempDir) {
    let state = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    for (name, alias_of) in [("example.org", None), ("example.net", Some("example.org"))] {
        let domain = Domain {
            name: name.to_owned(),
            alias_of: alias_of.map(str::to_owned),
        };
        store.create_domain(domain).await.unwrap();
    }
    let account = Account {
        address: "Ann@example.org".to_owned(),
        password: Some("$hash$".to_owned()),
        scram: Some("keys".to_owned()),
        quota_bytes: Some(1024),
        quota_messages: None,
    };
    store.create_account(account).await.unwrap();
    for (address, targets) in [
        ("info@example.org", &["ann@example.org"][..]),
        ("desk@example.org", &["info@example.net"]),
        ("all@example.org", &["ann@example.org", "bob@shop.example"]),
        ("turns@example.org", &["turns@example.net"]),
    ] {
        let alias = Alias {
            address: address.to_owned(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        store.create_alias(alias).await.unwrap();
    }
    let (directory, _) = directory(store.clone(), &config(state.path(), ""));
    (Accounts::new(directory, store), state)
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[tokio::test]
async fn domains_mailboxes_and_aliases_are_as_the_hosts_own_tables_have_them() {
    let (accounts, _state) = accounts().await;
    for (domain, local) in [
        ("example.org", true),
        ("example.net", true),
        ("shop.example", false),
    ] {
        assert_eq!(accounts.is_local_domain(domain).await.unwrap(), local, "{domain}");
    }
    let ann = Some("ann@example.org".to_owned());
    for (text, mailbox) in [
        ("ANN@example.net", &ann),
        ("ann+news@example.org", &ann),
        ("desk@example.org", &ann),
        ("all@example.org", &None),
        ("turns@example.org", &None),
        ("nobody@example.org", &None),
        ("ann@shop.example", &None),
    ] {
        assert_eq!(
            accounts.mailbox_of(&address(text)).await.unwrap(),
            *mailbox,
            "{text}"
        );
    }
    for (text, targets) in [
        ("all@example.org", &["ann@example.org", "bob@shop.example"][..]),
        ("desk@example.org", &["info@example.net"]),
        ("ann@example.org", &[]),
        ("nobody@shop.example", &[]),
    ] {
        assert_eq!(
            accounts.aliases_of(&address(text)).await.unwrap(),
            targets,
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_account_is_told_but_its_secrets() {
    let (accounts, _state) = accounts().await;
    let mut told = Vec::new();
    for attribute in Attribute::ALL {
        let value = accounts
            .attribute(&address("ann@example.org"), attribute)
            .await
            .unwrap();
        told.push((attribute.word(), value));
        let none = accounts
            .attribute(&address("info@example.org"), attribute)
            .await
            .unwrap();
        assert_eq!(none, None, "{attribute:?}");
    }
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            ("address", some("Ann@example.org")),
            ("login", some("password")),
            ("quota-bytes", some("1024")),
            ("quota-messages", None),
            ("bytes", some("0")),
            ("messages", some("0")),
        ]
    );
}
