use super::hashing::Hashing;
use super::password::{Cost, Memory};
use super::*;
use crate::store::{Alias, Directory as _, MemoryStore};
use futures_util::FutureExt as _;
use postern_proto::sasl::{Answer, Question};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// A configuration with all defaults; `more` adds to it.
pub(crate) fn config(state: &Path, more: &str) -> Config {
    let text = format!(
        "hostname: mx.example.org\nstate: {}\nlisteners:\n  - {{ role: pop3, address: \"127.0.0.1:0\" }}\n\
         postmaster: ann@example.org\n{more}",
        state.display()
    );
    Config::parse(&text, Path::new("")).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A directory whose hashes are cheap and counted.
pub(crate) fn directory(store: Arc<dyn Store>, config: &Config) -> (Directory, Arc<AtomicUsize>) {
    let computed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&computed);
    let observer = Arc::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let hashing = Hashing::new(&config.auth, observer);
    let logins = Logins::with(config, hashing, Cost::least());
    (Directory::with(store, config, logins), computed)
}

struct Fixture {
    directory: Directory,
    store: Arc<MemoryStore>,
    computed: Arc<AtomicUsize>,
    _state: tempfile::TempDir,
}

impl Fixture {
    async fn new(more: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let (directory, computed) = directory(store.clone(), &config(state.path(), more));
        let fixture = Self {
            directory,
            store,
            computed,
            _state: state,
        };
        fixture.domain("example.org", None).await;
        fixture.domain("example.net", Some("example.org")).await;
        fixture.domain("bücher.example", None).await;
        fixture.account("Ann@example.org", Some("secret")).await;
        fixture
    }

    async fn domain(&self, name: &str, alias_of: Option<&str>) {
        let domain = Domain {
            name: name.to_owned(),
            alias_of: alias_of.map(str::to_owned),
        };
        self.store.create_domain(domain).await.unwrap();
    }

    async fn account(&self, address: &str, password: Option<&str>) {
        let password = password.map(|it| {
            PasswordHash::create(it, &Cost::least(), &mut Memory::default())
                .unwrap()
                .text()
        });
        self.account_with_hash(address, password).await;
    }

    async fn account_with_hash(&self, address: &str, password: Option<String>) {
        let account = Account {
            address: address.to_owned(),
            password,
            scram: None,
            quota_bytes: None,
            quota_messages: None,
        };
        self.store.create_account(account).await.unwrap();
    }

    async fn alias(&self, address: &str, targets: &[&str]) {
        let alias = Alias {
            address: address.to_owned(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        self.store.create_alias(alias).await.unwrap();
    }

    async fn resolve(&self, text: &str) -> Resolution {
        self.directory.resolve(&address(text)).await.unwrap()
    }

    async fn login(&self, login: &str, password: &str) -> Answer {
        let question = Question::Password {
            login: login.to_owned(),
            password: password.to_owned(),
        };
        self.directory.authenticate(question, CLIENT).await
    }

    async fn stored(&self, key: &str) -> Account {
        self.store.account(key).await.unwrap().unwrap()
    }

    fn computed(&self) -> usize {
        self.computed.load(Ordering::SeqCst)
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn mailbox(text: &str) -> Resolution {
    Resolution::Mailbox(text.into())
}

fn leads_to(texts: &[&str]) -> Resolution {
    Resolution::Targets(texts.iter().map(|text| address(text)).collect())
}

fn granted(account: &str) -> Answer {
    Answer::Granted {
        account: account.to_owned(),
    }
}

#[tokio::test]
async fn an_address_is_found_in_any_case_and_with_any_detail() {
    let it = Fixture::new("").await;
    for text in [
        "ann@example.org",
        "ANN@EXAMPLE.ORG",
        "Ann+news@example.org",
        "ann+a+b@example.net",
    ] {
        assert_eq!(it.resolve(text).await, mailbox("ann@example.org"), "{text}");
    }
    assert_eq!(it.resolve("anna@example.org").await, Resolution::UnknownUser);
    assert_eq!(it.resolve("+news@example.org").await, Resolution::UnknownUser);
    assert_eq!(it.resolve("ann@example.com").await, Resolution::Elsewhere);
}

#[tokio::test]
async fn the_exact_address_comes_before_detail_and_both_before_the_catch_all() {
    let it = Fixture::new("").await;
    it.alias("ann+work@example.org", &["bob@example.org"]).await;
    it.alias("@example.org", &["rest@example.org"]).await;
    assert_eq!(
        it.resolve("Ann+Work@example.org").await,
        leads_to(&["bob@example.org"])
    );
    assert_eq!(
        it.resolve("ann+home@example.org").await,
        mailbox("ann@example.org")
    );
    assert_eq!(
        it.resolve("whoever@example.net").await,
        leads_to(&["rest@example.org"])
    );
}

/// A catch-all is no address of that name, and its target may be gone: then mail for postmaster was refused.
#[tokio::test]
async fn postmaster_and_abuse_come_before_the_catch_all() {
    let it = Fixture::new("").await;
    it.alias("@example.org", &["nobody@example.org"]).await;
    for text in ["postmaster@example.org", "Abuse+x@example.net"] {
        assert_eq!(it.resolve(text).await, leads_to(&["ann@example.org"]), "{text}");
    }
    it.alias("abuse@example.org", &["bob@example.org"]).await;
    assert_eq!(
        it.resolve("abuse@example.org").await,
        leads_to(&["bob@example.org"])
    );
}

#[tokio::test]
async fn the_separator_is_the_one_that_is_configured() {
    let it = Fixture::new("detail_separator: \"-\"\n").await;
    assert_eq!(
        it.resolve("ann-news@example.org").await,
        mailbox("ann@example.org")
    );
    assert_eq!(it.resolve("ann+news@example.org").await, Resolution::UnknownUser);
}

#[tokio::test]
async fn postmaster_and_abuse_of_each_domain_reach_the_configured_person() {
    let it = Fixture::new("").await;
    for text in [
        "postmaster@example.org",
        "Abuse@example.net",
        "abuse@bücher.example",
        "postmaster+x@example.org",
    ] {
        assert_eq!(it.resolve(text).await, leads_to(&["ann@example.org"]), "{text}");
    }
    it.account("abuse@example.org", None).await;
    assert_eq!(
        it.resolve("abuse@example.org").await,
        mailbox("abuse@example.org")
    );
    assert_eq!(it.resolve("postmaster@example.com").await, Resolution::Elsewhere);
}

#[tokio::test]
async fn a_postmaster_that_is_nobody_does_not_lead_to_itself() {
    let state = tempfile::tempdir().unwrap();
    let mut config = config(state.path(), "");
    config.postmaster = address("postmaster@example.org");
    let store = Arc::new(MemoryStore::new());
    let (directory, _) = directory(store.clone(), &config);
    let domain = Domain {
        name: "example.org".to_owned(),
        alias_of: None,
    };
    store.create_domain(domain).await.unwrap();
    let found = directory
        .resolve(&address("Postmaster@example.org"))
        .await
        .unwrap();
    assert_eq!(found, Resolution::UnknownUser);
}

#[tokio::test]
async fn domains_are_ours_in_any_case_and_by_their_other_names() {
    let it = Fixture::new("").await;
    for ours in ["example.org", "Example.NET", "bücher.example"] {
        assert!(it.directory.is_local(ours).await.unwrap(), "{ours}");
    }
    assert!(!it.directory.is_local("example.com").await.unwrap());
}

#[tokio::test]
async fn an_account_sends_as_itself_and_as_what_leads_to_it() {
    let it = Fixture::new("").await;
    it.account("bob@example.org", None).await;
    it.alias("info@example.org", &["team@example.org"]).await;
    it.alias(
        "team@example.org",
        &["bob@example.org", "Ann@example.org", "info@example.org"],
    )
    .await;
    let may = async |text: &str| {
        let address = address(text);
        it.directory
            .may_send_as("ann@example.org", &address)
            .await
            .unwrap()
    };
    for own in [
        "Ann@example.org",
        "ann+x@example.net",
        "info@example.org",
        "postmaster@example.org",
    ] {
        assert!(may(own).await, "{own}");
    }
    for other in ["bob@example.org", "nobody@example.org", "ann@example.com"] {
        assert!(!may(other).await, "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_is_a_whole_address_in_any_case_and_under_any_name_of_its_domain() {
    let it = Fixture::new("").await;
    for login in ["ann@example.org", "ANN@example.net"] {
        assert_eq!(
            it.login(login, "secret").await,
            granted("ann@example.org"),
            "{login}"
        );
    }
    for login in ["ann", "ann+x@example.org", "ann@example.com", "", "@"] {
        assert_eq!(it.login(login, "secret").await, Answer::Denied, "{login}");
    }
    assert_eq!(it.login("ann@example.org", "Secret").await, Answer::Denied);
}

/// The mailbox has the name with its quotes; without them it was found by nobody, and by the name of another.
#[tokio::test(start_paused = true)]
async fn a_name_that_needs_quotes_is_found_with_them_and_is_no_other() {
    let it = Fixture::new("").await;
    for local in [r#""a b""#, r#""\";\"""#, r#""a@b""#] {
        let address = format!("{local}@example.org");
        it.account(&address, Some("secret")).await;
        assert_eq!(it.resolve(&address).await, mailbox(&address));
        assert_eq!(it.login(&address, "secret").await, granted(&address));
    }
    let other = r#""\"a b\""@example.org"#;
    assert_eq!(it.resolve(other).await, Resolution::UnknownUser);
}

#[tokio::test(start_paused = true)]
async fn known_unknown_and_barred_logins_cost_the_same_hashes_and_the_same_time() {
    let it = Fixture::new("").await;
    it.account("barred@example.org", None).await;
    it.account_with_hash("old@example.org", Some(BCRYPT.to_owned()))
        .await;
    let mut seen = Vec::new();
    for login in [
        "ann@example.org",
        "old@example.org",
        "barred@example.org",
        "x@example.org",
        "x@y.example",
        "x",
    ] {
        for password in ["wrong", "wr\u{aa}ng"] {
            // A client of its own each time, so that the throttle has no say.
            let client = IpAddr::from([10, 0, 0, u8::try_from(seen.len()).unwrap()]);
            let (before, begun) = (it.computed(), Instant::now());
            let question = Question::Password {
                login: login.to_owned(),
                password: password.to_owned(),
            };
            assert_eq!(it.directory.authenticate(question, client).await, Answer::Denied);
            seen.push((
                it.computed() - before,
                begun.elapsed() >= Duration::from_millis(500),
            ));
        }
    }
    // One hash for each form of the password: SASLprep changes the second one.
    assert_eq!(seen, [(1, true), (2, true)].repeat(6));
}

#[tokio::test(start_paused = true)]
async fn a_right_password_is_remembered_until_another_is_set() {
    let it = Fixture::new("").await;
    for _ in 0..5 {
        assert_eq!(
            it.login("ann@example.org", "secret").await,
            granted("ann@example.org")
        );
    }
    assert_eq!(it.computed(), 1);
    let new = it.directory.credentials("changed").await.unwrap();
    let set = |account: &mut Account| account.password = Some(new.password.clone());
    assert!(it.directory.change_account("ann@example.org", set).await.unwrap());
    assert_eq!(it.login("ann@example.org", "secret").await, Answer::Denied);
    assert_eq!(
        it.login("ann@example.org", "changed").await,
        granted("ann@example.org")
    );
}

/// A quota set at one gateway while a password is set at another once brought the old password back.
#[tokio::test(start_paused = true)]
async fn what_two_gateways_change_at_once_both_lasts() {
    let it = Fixture::new("").await;
    let (other, _) = directory(it.store.clone(), &config(Path::new("elsewhere"), ""));
    let calls = AtomicUsize::new(0);
    let set_quota = |account: &mut Account| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            let set = |account: &mut Account| account.password = Some("new".to_owned());
            let changed = other.change_account("ann@example.org", set).now_or_never();
            assert!(changed.unwrap().unwrap(), "memory answers at once");
        }
        account.quota_messages = Some(7);
    };
    assert!(
        it.directory
            .change_account("ann@example.org", set_quota)
            .await
            .unwrap()
    );
    let stored = it.stored("ann@example.org").await;
    assert_eq!(stored.password.as_deref(), Some("new"));
    assert_eq!(stored.quota_messages, Some(7));
    assert_eq!(calls.into_inner(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_others_are_always_before_is_given_up() {
    let it = Fixture::new("").await;
    let (other, _) = directory(it.store.clone(), &config(Path::new("elsewhere"), ""));
    let calls = AtomicUsize::new(0);
    let set = |account: &mut Account| {
        let nth = calls.fetch_add(1, Ordering::SeqCst) as u64;
        let more = |account: &mut Account| account.quota_bytes = Some(nth);
        other
            .change_account("ann@example.org", more)
            .now_or_never()
            .unwrap()
            .unwrap();
        account.quota_messages = Some(7);
    };
    let given_up = it
        .directory
        .change_account("ann@example.org", set)
        .await
        .unwrap_err();
    assert!(given_up.to_string().contains("changed by others"), "{given_up}");
    assert_eq!(calls.into_inner(), CHANGED_AT_MOST);
}

#[tokio::test(start_paused = true)]
async fn a_hash_from_elsewhere_becomes_argon2id_at_the_first_login_and_nothing_else_changes() {
    let it = Fixture::new("").await;
    it.account_with_hash("old@example.org", Some(BCRYPT.to_owned()))
        .await;
    let set = |account: &mut Account| account.quota_messages = Some(7);
    it.directory.change_account("old@example.org", set).await.unwrap();
    assert_eq!(it.login("old@example.org", "wrong").await, Answer::Denied);
    assert_eq!(
        it.stored("old@example.org").await.password.as_deref(),
        Some(BCRYPT)
    );

    assert_eq!(
        it.login("old@example.org", "U*U").await,
        granted("old@example.org")
    );
    let stored = it.stored("old@example.org").await;
    assert!(stored.password.unwrap().starts_with("$argon2id$"));
    assert_eq!(stored.quota_messages, Some(7));
    assert_eq!(stored.scram, None, "SCRAM is off");
    assert_eq!(
        it.login("old@example.org", "U*U").await,
        granted("old@example.org")
    );
}

#[tokio::test(start_paused = true)]
async fn a_hash_of_every_kind_becomes_argon2id_at_the_first_login() {
    let it = Fixture::new("").await;
    for (nth, (hash, password)) in password::tests::KNOWN.into_iter().enumerate() {
        let login = format!("user{nth}@example.org");
        it.account_with_hash(&login, Some(hash.to_owned())).await;
        for _ in 0..2 {
            assert_eq!(it.login(&login, password).await, granted(&login), "{hash}");
            let stored = it.stored(&login).await.password.unwrap();
            let kept = PasswordHash::parse(&stored).unwrap();
            assert!(kept.is_current(&Cost::least()), "{hash} became {stored}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_cache_every_login_is_computed() {
    let it = Fixture::new("auth: { cache: 0s }\n").await;
    for computed in 1..=3 {
        assert_eq!(
            it.login("ann@example.org", "secret").await,
            granted("ann@example.org")
        );
        assert_eq!(it.computed(), computed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_remembered_ends_with_its_account() {
    let it = Fixture::new("").await;
    for _ in 0..2 {
        assert_eq!(
            it.login("ann@example.org", "secret").await,
            granted("ann@example.org")
        );
    }
    it.store.remove_account("ann@example.org").await.unwrap();
    assert_eq!(it.login("ann@example.org", "secret").await, Answer::Denied);
    it.account("ann@example.org", Some("other")).await;
    assert_eq!(it.login("ann@example.org", "secret").await, Answer::Denied);
    assert_eq!(
        it.login("ann@example.org", "other").await,
        granted("ann@example.org")
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_are_delayed_more_and_more() {
    let it = Fixture::new("").await;
    let mut waits = Vec::new();
    for _ in 0..6 {
        let begun = Instant::now();
        it.login("ann@example.org", "wrong").await;
        waits.push(begun.elapsed().as_secs());
    }
    assert_eq!(waits, [0, 0, 0, 1, 2, 4]);
    assert_eq!(
        it.login("ann@example.org", "secret").await,
        granted("ann@example.org"),
        "never locked"
    );
}

#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_be_judged_in_time_is_unavailable_and_counts_nothing() {
    let it = Fixture::new("auth: { parallel_hashes: 1, hash_wait: 3s }\n").await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let logins = Arc::clone(&it.directory.logins);
    let (started, running) = tokio::sync::oneshot::channel();
    let holder = tokio::spawn(async move {
        let hold = move |_: &mut hashing::Meter<'_>| {
            started.send(()).unwrap();
            let _ = held.recv();
        };
        logins.hold(hold).await
    });
    running.await.unwrap();
    // Time does not pass by itself while a thread computes.
    let login = it.login("ann@example.org", "secret");
    let (answer, ()) = tokio::join!(login, tokio::time::advance(Duration::from_secs(4)));
    assert_eq!(answer, Answer::Unavailable);
    release.send(()).unwrap();
    holder.await.unwrap();
    assert_eq!(
        it.login("ann@example.org", "secret").await,
        granted("ann@example.org")
    );
}

mod scram {
    use super::*;
    use postern_proto::sasl::ScramKeys;

    const ON: &str = "auth: { scram: true }\n";

    async fn keys(it: &Fixture, login: &str) -> (ScramKeys, Option<String>) {
        let login = login.to_owned();
        match it.directory.authenticate(Question::Keys { login }, CLIENT).await {
            Answer::Keys { keys, account, .. } => (keys, account),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_made_at_a_login_and_fit_the_password() {
        let it = Fixture::new(ON).await;
        assert_eq!(it.directory.scram_missing().await.unwrap(), 1);
        assert_eq!(
            it.login("ann@example.org", "secret").await,
            granted("ann@example.org")
        );
        assert_eq!(it.directory.scram_missing().await.unwrap(), 0);
        let (kept, account) = keys(&it, "ANN@example.net").await;
        assert_eq!(account.as_deref(), Some("ann@example.org"));
        assert_eq!(kept.iterations, 600_000);
        assert_eq!(
            ScramKeys::derive("secret", kept.salt.clone(), kept.iterations),
            kept
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_login_has_keys_that_stay_the_same_over_a_restart() {
        let it = Fixture::new(ON).await;
        let (first, account) = keys(&it, "nobody@example.org").await;
        assert_eq!(account, None);
        let config = config(it._state.path(), ON);
        let (again, _) = directory(it.store.clone(), &config);
        let restarted = Fixture {
            directory: again,
            store: it.store.clone(),
            computed: Arc::default(),
            _state: it._state,
        };
        assert_eq!(keys(&restarted, "Nobody@example.org").await.0, first);
        assert_ne!(keys(&restarted, "nobody2@example.org").await.0.salt, first.salt);
    }

    /// Only made-up salts come from it: an unknown login may be told by theirs, and nobody is locked out.
    #[tokio::test(start_paused = true)]
    async fn a_lost_key_changes_made_up_salts_and_no_login() {
        let it = Fixture::new(ON).await;
        it.login("ann@example.org", "secret").await;
        let (ann, unknown) = (
            keys(&it, "ann@example.org").await,
            keys(&it, "x@example.org").await,
        );
        std::fs::remove_file(it._state.path().join("scram.key")).unwrap();
        let (again, _) = directory(it.store.clone(), &config(it._state.path(), ON));
        let restarted = Fixture {
            directory: again,
            store: it.store.clone(),
            computed: Arc::default(),
            _state: it._state,
        };
        assert_eq!(keys(&restarted, "ann@example.org").await, ann);
        assert_ne!(keys(&restarted, "x@example.org").await.0.salt, unknown.0.salt);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_offered_while_an_account_has_no_keys() {
        let it = Fixture::new(ON).await;
        it.account("bob@example.org", Some("secret")).await;
        it.account("barred@example.org", None).await;
        let refused = it.directory.require_scram_keys().await.unwrap_err().to_string();
        assert!(refused.contains("2 accounts"), "{refused}");
        let off = Fixture::new("").await;
        off.directory.require_scram_keys().await.unwrap();
        let login = "ann@example.org".to_owned();
        let answer = off.directory.authenticate(Question::Keys { login }, CLIENT).await;
        assert_eq!(answer, Answer::Denied);
    }

    #[tokio::test(start_paused = true)]
    async fn failed_proofs_are_delayed_and_right_ones_cost_nothing() {
        let it = Fixture::new(ON).await;
        let attempt = async |account: Option<&str>| {
            let begun = Instant::now();
            let login = "ann@example.org".to_owned();
            keys(&it, &login).await;
            let account = account.map(str::to_owned);
            let proof = Question::Proof { login, account };
            (
                it.directory.authenticate(proof, CLIENT).await,
                begun.elapsed().as_secs(),
            )
        };
        for _ in 0..6 {
            let right = attempt(Some("ann@example.org")).await;
            assert_eq!(right, (granted("ann@example.org"), 0));
        }
        let mut waits = Vec::new();
        for _ in 0..5 {
            let (answer, waited) = attempt(None).await;
            assert_eq!(answer, Answer::Denied);
            waits.push(waited);
        }
        assert_eq!(waits, [0, 0, 0, 1, 2]);
    }
}
