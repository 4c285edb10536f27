use super::*;
use crate::config::Config;
use crate::store::{Account, Alias, Directory as _, Domain, MemoryStore};
use std::path::Path;
use std::sync::Arc;

struct Site {
    store: Arc<MemoryStore>,
    directory: Directory,
}

impl Site {
    async fn open() -> Self {
        let text = "hostname: mx.example.org\nstate: state\npostmaster: ann@example.org\n\
                    listeners: [ { address: \"127.0.0.1:0\", role: mx } ]\n";
        let config = Config::parse(text, Path::new("")).unwrap();
        let store = Arc::new(MemoryStore::new());
        let domain = Domain {
            name: "example.org".to_owned(),
            alias_of: None,
        };
        store.create_domain(domain).await.unwrap();
        for name in ["ann", "bob"] {
            let account = Account {
                address: format!("{name}@example.org"),
                password: None,
                scram: None,
                quota_bytes: None,
                quota_messages: None,
            };
            store.create_account(account).await.unwrap();
        }
        let directory = Directory::new(Arc::clone(&store) as Arc<dyn crate::store::Store>, &config);
        Self { store, directory }
    }

    async fn alias(&self, address: &str, targets: &[&str]) {
        let alias = Alias {
            address: address.to_owned(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        self.store.create_alias(alias).await.unwrap();
    }

    async fn route(&self, address: &str) -> Routed {
        let router = Router {
            policies: &Policies::default(),
            directory: &self.directory,
            facts: &Facts::default(),
        };
        let address = Address::parse(address).unwrap();
        let (mut routes, mut opinions) = (Routes::default(), Vec::new());
        let routed = router.resolve(&address, &mut routes, &mut opinions);
        routed.await.unwrap()
    }
}

fn mailboxes(names: &[&str]) -> Routed {
    Routed::Mailboxes(names.iter().map(|name| (*name).into()).collect())
}

#[tokio::test]
async fn a_group_leads_to_each_mailbox_once_in_order() {
    let site = Site::open().await;
    site.alias("all@example.org", &["bob@example.org", "both@example.org"])
        .await;
    site.alias("both@example.org", &["ann@example.org", "bob@example.org"])
        .await;
    assert_eq!(
        site.route("All@example.org").await,
        mailboxes(&["bob@example.org", "ann@example.org"])
    );
}

#[tokio::test]
async fn one_target_that_is_refused_refuses_the_group() {
    let site = Site::open().await;
    site.alias("half@example.org", &["ann@example.org", "nobody@example.org"])
        .await;
    site.alias("away@example.org", &["ann@example.org", "eve@elsewhere.example"])
        .await;
    assert_eq!(
        site.route("half@example.org").await,
        Routed::Refused(Reply::no_such_user())
    );
    assert_eq!(
        site.route("away@example.org").await,
        Routed::Refused(Reply::relay_denied())
    );
}

#[tokio::test]
async fn unknown_here_and_known_elsewhere_are_told_apart() {
    let site = Site::open().await;
    assert_eq!(
        site.route("x@example.org").await,
        Routed::Refused(Reply::no_such_user())
    );
    assert_eq!(
        site.route("ann@example.net").await,
        Routed::Refused(Reply::relay_denied())
    );
}

#[tokio::test]
async fn aliases_that_lead_round_and_round_are_deferred() {
    let site = Site::open().await;
    site.alias("a@example.org", &["b@example.org"]).await;
    site.alias("b@example.org", &["a@example.org"]).await;
    assert_eq!(
        site.route("a@example.org").await,
        Routed::Refused(Reply::our_trouble())
    );
}

#[tokio::test]
async fn postmaster_and_abuse_reach_a_person() {
    let site = Site::open().await;
    for role in ["postmaster@example.org", "Abuse@example.org"] {
        assert_eq!(site.route(role).await, mailboxes(&["ann@example.org"]));
    }
}
