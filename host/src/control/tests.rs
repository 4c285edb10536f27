use super::*;
use crate::directory::tests::{config, directory};
use crate::store::{
    Atomicity, CHUNK, Ceiling, Content, Delivery, Maildrops as _, MemoryStore, NewEntry, NewQuarantined, Text,
};
use bytes::Bytes;
use postern_proto::sasl;

mod explained;
mod quarantined;
mod sockets;

/// The hash of `U*U`.
const BCRYPT: &str = "{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

pub(super) struct Fixture {
    pub(super) context: Arc<ControlContext>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) state: tempfile::TempDir,
}

impl Fixture {
    /// A store with the domain example.org.
    pub(super) async fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let (directory, _) = directory(store.clone(), &config(state.path(), ""));
        let context = Arc::new(ControlContext::new(store.clone(), directory, None));
        let fixture = Self {
            context,
            store,
            state,
        };
        fixture.done(domain("example.org", None)).await;
        fixture
    }

    pub(super) async fn ask(&self, operation: Operation) -> (Result<String, Refusal>, Vec<Record>) {
        let (records, mut pieces) = Records::channel();
        let context = Arc::clone(&self.context);
        let work = tokio::spawn(async move { execute(&operation, &context, &records).await });
        let mut found = Vec::new();
        while let Some(record) = pieces.recv().await {
            found.push(record);
        }
        (work.await.unwrap(), found)
    }

    pub(super) async fn done(&self, operation: Operation) -> String {
        self.ask(operation).await.0.unwrap()
    }

    pub(super) async fn refused(&self, operation: Operation) -> String {
        self.ask(operation).await.0.unwrap_err().to_string()
    }

    async fn listed(&self, operation: Operation) -> Vec<Record> {
        let (outcome, records) = self.ask(operation).await;
        outcome.unwrap();
        records
    }

    /// Whether a login succeeds.
    async fn logs_in(&self, login: &str, password: &str) -> bool {
        let question = sasl::Question::Password {
            login: login.to_owned(),
            password: password.to_owned(),
        };
        let client = [127, 0, 0, 1].into();
        let answer = self.context.directory.authenticate(question, client).await;
        matches!(answer, sasl::Answer::Granted { .. })
    }
}

#[tokio::test]
async fn a_listing_of_policies_says_that_a_look_at_the_folder_is_under_way() {
    let mut it = Fixture::new().await;
    let in_force = Arc::new(InForce::default());
    let directory = it.context.directory.clone();
    let policies = Some(Arc::clone(&in_force));
    it.context = Arc::new(ControlContext::new(it.store.clone(), directory, policies));
    assert_eq!(it.done(Operation::PluginList).await, "");
    let look = in_force.begin_look();
    assert!(
        it.done(Operation::PluginList)
            .await
            .starts_with("the policy folder is being looked at: ")
    );
    drop(look);
    assert_eq!(it.done(Operation::PluginList).await, "");
    let compilation = in_force
        .compiling
        .begin(std::path::Path::new("plugins.d/60-new.wasm"));
    let listed = it.listed(Operation::PluginList).await;
    let [Record::Plugin(new)] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    assert_eq!((&*new.name, &*new.status, new.compiling), ("60-new", "new", true));
    drop(compilation);
    assert!(it.listed(Operation::PluginList).await.is_empty());
}

pub(super) fn domain(name: &str, alias_of: Option<&str>) -> Operation {
    Operation::DomainAdd {
        name: name.to_owned(),
        alias_of: alias_of.map(str::to_owned),
    }
}

pub(super) fn user(address: &str, password: &str) -> Operation {
    Operation::UserAdd {
        address: address.to_owned(),
        proof: Some(Proof::Password(Hidden(password.to_owned()))),
        quota: Quota::default(),
    }
}

fn alias(address: &str, targets: &[&str]) -> Operation {
    Operation::AliasAdd {
        address: address.to_owned(),
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
    }
}

fn passwd(address: &str, password: &str) -> Operation {
    Operation::UserPasswd {
        address: address.to_owned(),
        password: Hidden(password.to_owned()),
    }
}

fn remove_user(address: &str) -> Operation {
    Operation::UserRemove {
        address: address.to_owned(),
    }
}

fn remove_domain(name: &str) -> Operation {
    Operation::DomainRemove {
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn a_domain_is_kept_in_lower_case_and_has_one_first_name() {
    let it = Fixture::new().await;
    assert_eq!(
        it.done(domain("Example.NET", Some("example.org"))).await,
        "domain example.net added as another name of example.org"
    );
    assert!(it.refused(domain("EXAMPLE.org", None)).await.contains("already"));
    assert!(
        it.refused(domain("a.example", Some("example.net")))
            .await
            .contains("example.org")
    );
    assert!(
        it.refused(domain("a.example", Some("a.example")))
            .await
            .contains("itself")
    );
    assert!(
        it.refused(domain("a.example", Some("b.example")))
            .await
            .contains("domain add b.example")
    );
    for bad in [
        "",
        "a@b.example",
        "[192.0.2.1]",
        "192.0.2.1",
        "example.1",
        "a..b",
        "7",
    ] {
        assert!(
            it.refused(domain(bad, None)).await.contains("not a domain"),
            "{bad}"
        );
    }
    let listed = it.listed(Operation::DomainList).await;
    let expected = Domain {
        name: "example.net".to_owned(),
        alias_of: Some("example.org".to_owned()),
    };
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&Record::Domain(expected)));
}

#[tokio::test]
async fn a_domain_that_is_used_is_not_removed() {
    let it = Fixture::new().await;
    it.done(domain("example.net", Some("example.org"))).await;
    assert!(
        it.refused(remove_domain("example.org"))
            .await
            .contains("domain example.net")
    );
    it.done(remove_domain("example.net")).await;
    it.done(user("ann@example.org", "secret")).await;
    assert!(
        it.refused(remove_domain("example.org"))
            .await
            .contains("user ann@example.org")
    );
    it.done(remove_user("ann@example.org")).await;
    it.done(alias("@example.org", &["x@example.com"])).await;
    assert!(
        it.refused(remove_domain("example.org"))
            .await
            .contains("alias @example.org")
    );
    it.done(Operation::AliasRemove {
        address: "@Example.org".to_owned(),
    })
    .await;
    it.done(remove_domain("Example.org")).await;
    assert!(
        it.refused(remove_domain("example.org"))
            .await
            .contains("no domain")
    );
}

#[tokio::test]
async fn a_user_logs_in_with_the_password_that_was_set_last() {
    let it = Fixture::new().await;
    assert_eq!(
        it.done(user("Ann@Example.ORG", "secret")).await,
        "user Ann@example.org added"
    );
    assert!(it.logs_in("ann@example.org", "secret").await);
    it.done(passwd("ANN@example.org", "changed")).await;
    assert!(!it.logs_in("ann@example.org", "secret").await);
    assert!(it.logs_in("ann@example.org", "changed").await);
    assert!(
        it.refused(passwd("bob@example.org", "x"))
            .await
            .contains("no user")
    );
    it.done(remove_user("ann@example.org")).await;
    assert!(!it.logs_in("ann@example.org", "changed").await);
    assert!(
        it.refused(remove_user("ann@example.org"))
            .await
            .contains("no user")
    );
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_with_the_way_out() {
    let it = Fixture::new().await;
    it.done(domain("example.net", Some("example.org"))).await;
    it.done(user("ann@example.org", "secret")).await;
    it.done(alias("info@example.org", &["ann@example.org"])).await;
    let long = "x".repeat(1025);
    let refusals = [
        (
            user("bob@example.com", "secret"),
            "postern domain add example.com",
        ),
        (user("bob@example.net", "secret"), "bob@example.org"),
        (user("ANN@example.org", "secret"), "already"),
        (
            user("info@example.org", "secret"),
            "postern alias remove info@example.org",
        ),
        (user("bob", "secret"), "not an address"),
        (user("a\u{200b}b@example.org", "secret"), "SASLprep"),
        (user("bob@example.org", ""), "empty"),
        (user("bob@example.org", "a\nb"), "line end"),
        (user("bob@example.org", &long), "longer than 1024"),
    ];
    for (operation, expected) in refusals {
        let refused = it.refused(operation.clone()).await;
        assert!(refused.contains(expected), "{operation:?}: {refused}");
    }
    it.done(user("bob@example.org", &long[1..])).await;
}

#[tokio::test]
async fn users_are_listed_with_quota_and_what_they_hold() {
    let it = Fixture::new().await;
    it.done(user("ann@example.org", "secret")).await;
    let quota = Quota {
        bytes: Some(1 << 30),
        messages: Some(5),
    };
    it.done(Operation::UserAdd {
        address: "box@example.org".to_owned(),
        proof: None,
        quota,
    })
    .await;
    quarantined::deliver(&it.store, "box@example.org", b"\r\nhello\r\n").await;
    let expected = UserRecord {
        address: "box@example.org".to_owned(),
        login: Login::None,
        quota,
        bytes: 9,
        messages: 1,
    };
    let listed = it.listed(Operation::UserList).await;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1], Record::User(expected));

    it.done(Operation::UserQuota {
        address: "ann@example.org".to_owned(),
        quota,
    })
    .await;
    assert!(
        it.logs_in("ann@example.org", "secret").await,
        "the password is kept"
    );
    let Record::User(ann) = &it.listed(Operation::UserList).await[0] else {
        panic!("no user");
    };
    assert_eq!(ann.quota, quota);
}

#[tokio::test]
async fn targets_are_added_to_those_an_alias_has() {
    let it = Fixture::new().await;
    it.done(user("ann@example.org", "secret")).await;
    let text = it.done(alias("Info@example.org", &["ann@example.org"])).await;
    assert_eq!(text, "alias info@example.org leads to ann@example.org");
    let text = it
        .done(alias("info@example.org", &["ANN@example.org", "bob@example.org"]))
        .await;
    assert!(text.starts_with("alias info@example.org leads to ann@example.org, bob@example.org; bob@example.org does not exist yet"), "{text}");
    let text = it.done(alias("@example.org", &["x@example.com"])).await;
    assert!(text.contains("another host"), "{text}");

    for (operation, expected) in [
        (alias("ann@example.org", &["info@example.org"]), "is a user"),
        (alias("info@example.org", &["INFO@example.org"]), "itself"),
        (
            alias("info@example.com", &["ann@example.org"]),
            "domain add example.com",
        ),
        (alias("info", &["ann@example.org"]), "neither"),
        (alias("info@example.org", &["ann"]), "not an address"),
    ] {
        let refused = it.refused(operation).await;
        assert!(refused.contains(expected), "{refused}");
    }
    let listed = it.listed(Operation::AliasList).await;
    let keys: Vec<_> = listed
        .iter()
        .map(|record| match record {
            Record::Alias(alias) => (alias.address.as_str(), alias.targets.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys, [("@example.org", 1), ("info@example.org", 2)]);
}

/// Such mail was answered 451 until its senders gave up.
#[tokio::test]
async fn an_alias_that_leads_to_itself_by_any_way_is_refused_with_the_way() {
    let it = Fixture::new().await;
    it.done(domain("example.net", Some("example.org"))).await;
    it.done(alias("a@example.org", &["b@example.org"])).await;
    for (operation, way) in [
        (
            alias("b@example.org", &["a@example.org"]),
            "b@example.org -> a@example.org -> b@example.org;",
        ),
        (
            alias("b@example.org", &["a+x@example.net"]),
            "b@example.org -> a+x@example.net -> b@example.org;",
        ),
        (
            alias("c@example.org", &["c@example.net"]),
            "c@example.net -> c@example.net;",
        ),
        (
            alias("@example.org", &["any@example.org"]),
            "any@example.org -> any@example.org;",
        ),
        (
            alias("@example.org", &["a@example.org"]),
            "a@example.org -> b@example.org -> a@example.org;",
        ),
    ] {
        let refused = it.refused(operation).await;
        assert!(
            refused.contains("round for ever: ") && refused.contains(way),
            "{refused}"
        );
    }
    it.done(user("ann@example.org", "secret")).await;
    it.done(alias("b@example.org", &["ann@example.org", "ann+b@example.net"]))
        .await;
    it.done(alias("@example.org", &["a@example.org"])).await;
}

#[tokio::test]
async fn a_domain_that_makes_an_alias_lead_to_itself_is_refused_with_the_way() {
    let it = Fixture::new().await;
    it.done(alias("a@example.org", &["a@example.net"])).await;
    let refused = it.refused(domain("example.net", Some("example.org"))).await;
    assert!(refused.contains("a@example.net -> a@example.net;"), "{refused}");
    it.done(domain("example.net", None)).await;
}

#[tokio::test]
async fn two_thousand_users_are_imported_and_bad_lines_named() {
    let it = Fixture::new().await;
    it.done(user("user7@example.org", "mine")).await;
    let line = |line: u64| Imported {
        line,
        address: format!("user{line}@example.org"),
        proof: match line % 100 {
            0 => Proof::Password(Hidden(format!("secret{line}"))),
            _ => Proof::Hash(Hidden(BCRYPT.to_owned())),
        },
    };
    let mut users: Vec<Imported> = (1..=2000).map(line).collect();
    users[9].address = "user10@example.com".to_owned();
    users[19].proof = Proof::Hash(Hidden("{SSHA}abc".to_owned()));
    let (outcome, records) = it.ask(Operation::UserImport { users }).await;
    assert_eq!(outcome.unwrap(), "1997 users added");
    let mut faults: Vec<(u64, &str)> = records
        .iter()
        .map(|record| match record {
            Record::Fault { line, text } => (*line, text.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    faults.sort_unstable();
    assert_eq!(
        faults.iter().map(|fault| fault.0).collect::<Vec<_>>(),
        [7, 10, 20]
    );
    assert!(faults[2].1.contains("{SSHA}"), "{faults:?}");
    assert_eq!(it.listed(Operation::UserList).await.len(), 1998);
    assert!(it.logs_in("user2000@example.org", "secret2000").await);
    assert!(it.logs_in("user1999@example.org", "U*U").await);
    assert!(
        it.logs_in("user7@example.org", "mine").await,
        "who was there is left alone"
    );
}

#[test]
fn no_password_is_shown_by_debug() {
    let shown = format!(
        "{:?}{:?}",
        user("ann@example.org", "open sesame"),
        passwd("ann@example.org", "open sesame")
    );
    assert!(!shown.contains("sesame"), "{shown}");
}
