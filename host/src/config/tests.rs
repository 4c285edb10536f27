//! The contract's names, the faults with their lines, and the file that operators start from.

use super::raw::Raw;
use super::*;
use serde_yaml::Value;
use std::net::IpAddr;

const MINIMAL: &str = "hostname: mx.example.org\npostmaster: admin@example.org\nlisteners:\n  - { role: mx, address: \"127.0.0.1:2525\" }\n";

const CONTRACT: &str = r#"hostname: mx.example.org
state: .postern
listeners:
  - { role: mx,         address: "127.0.0.1:2525" }
  - { role: submission, address: "127.0.0.1:2587" }
  - { role: submission, address: "127.0.0.1:2465", tls: implicit }
  - { role: lmtp,       address: "127.0.0.1:2424", tls: none }
  - { role: pop3,       address: "127.0.0.1:2110" }
  - { role: pop3,       address: "127.0.0.1:2995", tls: implicit }
  - { role: admin,      address: "127.0.0.1:2080", tls: none }
tls: { certificates: [ { chain: cert.pem, key: key.pem } ] }
store: embedded
policy: { folder: plugins.d }
postmaster: admin@example.org
limits: { message_size: 50MiB, recipients: 1000, sessions: 10000 }
"#;

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse(text, Path::new("/etc/postern"))
}

/// The lines of the report on `MINIMAL` with `more` behind it.
fn faults_with(more: &str) -> String {
    parse(&format!("{MINIMAL}{more}")).expect_err(more).to_string()
}

/// The report on the minimal configuration with this listener.
fn listener_faults(listener: &str) -> String {
    let text = format!("hostname: a.example\npostmaster: a@b.example\nlisteners:\n  - {listener}\n");
    parse(&text).expect_err(listener).to_string()
}

#[test]
fn the_names_of_the_contract_are_understood() {
    let config = parse(CONTRACT).unwrap();
    assert_eq!(config.hostname, "mx.example.org");
    assert_eq!(config.state, Path::new("/etc/postern/.postern"));
    let names: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| listener.name.as_str())
        .collect();
    let expected = [
        "mx-2525",
        "submission-2587",
        "submission-2465",
        "lmtp-2424",
        "pop3-2110",
        "pop3-2995",
        "admin-2080",
    ];
    assert_eq!(names, expected);
    let modes: Vec<_> = config.listeners.iter().map(|listener| listener.tls).collect();
    use TlsMode::{Implicit, None, StartTls};
    assert_eq!(
        modes,
        [StartTls, StartTls, Implicit, None, StartTls, Implicit, None]
    );
    let auth: Vec<_> = config.listeners.iter().map(|listener| listener.auth).collect();
    assert_eq!(auth, [false, true, true, false, true, true, false]);
    assert_eq!(config.certificates[0].chain, Path::new("/etc/postern/cert.pem"));
    assert_eq!(config.store, StoreConfig::Embedded { reserve: 512 << 20 });
    assert_eq!(
        config.policy_folder.as_deref(),
        Some(Path::new("/etc/postern/plugins.d"))
    );
    assert_eq!(config.limits.message_size, 50 << 20);
    assert_eq!(config.limits.transfer, Duration::from_secs(1800));
}

#[test]
fn the_store_has_a_short_and_a_long_spelling() {
    let reserve = |more: &str| parse(&format!("{MINIMAL}{more}")).unwrap().store;
    assert_eq!(reserve(""), reserve("store: embedded"));
    assert_eq!(reserve("store: embedded"), reserve("store: { embedded: {} }"));
    assert_eq!(
        reserve("store: { embedded: { reserve: 1GiB } }"),
        StoreConfig::Embedded { reserve: 1 << 30 }
    );
    assert!(faults_with("store: memory").contains("store: there is no store `memory`; write embedded or"));
    assert!(faults_with("store: cassandra").contains("store: cassandra needs its nodes; write {"));
    assert!(
        faults_with("store: { embedded: { reserv: 1GiB } }").contains("store.embedded.reserv: unknown field")
    );
}

#[test]
fn all_faults_are_reported_at_once_with_path_line_and_mend() {
    let text = "hostname: mx.example.org\n\
        listeners:\n\
        - { role: mx, address: \"127.0.0.1:2525\" }\n\
        - role: pop\n  address: \"127.0.0.1:2110\"\n\
        - role: lmtp\n  address: foo\n  colour: red\n\
        limits:\n  message_size: 50\n  transfer: 46m\n  recipients: 99\n  sessions: many\n\
        trusted: [10.0.0.0/8, nowhere, 10.0.0.1/8]\n\
        surprise: 1\n";
    let report = parse(text).unwrap_err().to_string();
    let expected = [
        ("postmaster: missing; write the local address", ""),
        (
            "listeners[1].role: unknown variant `pop`, expected one of `mx`",
            "(line 4)",
        ),
        (
            "listeners[2].address: `foo` is not an address with a port; write host:port",
            "(line 7)",
        ),
        (
            "listeners[2].colour: unknown field `colour`, expected one of `name`",
            "(line 8)",
        ),
        (
            "limits.message_size: `50` is not a size; write a whole number and B, KiB",
            "(line 10)",
        ),
        ("limits.transfer: 46m is too much; write 45m or less", "(line 11)"),
        (
            "limits.recipients: 99 is too little; write 100 or more",
            "(line 12)",
        ),
        (
            "limits.sessions: invalid type: string \"many\", expected usize",
            "(line 13)",
        ),
        (
            "trusted[1]: `nowhere` is not a network; write it like 10.0.0.0/8",
            "(line 14)",
        ),
        (
            "trusted[2]: `10.0.0.1/8` has bits behind its prefix; write 10.0.0.0/8",
            "(line 14)",
        ),
        ("surprise: unknown field `surprise`", "(line 15)"),
    ];
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{report}");
    for (line, (start, end)) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(start) && line.ends_with(end),
            "{line}\nshould be {start} … {end}"
        );
    }
}

#[test]
fn what_is_no_yaml_is_one_fault_with_its_line() {
    let report = parse("hostname: a\n\tb: c\n").unwrap_err();
    assert_eq!(report.0.len(), 1);
    assert_eq!(report.0[0].line, Some(2), "{report}");
    assert!(parse("").unwrap_err().to_string().contains("hostname: missing"));
    assert!(
        parse("[]").unwrap_err().to_string().contains("expected struct"),
        "{}",
        parse("[]").unwrap_err()
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault_that_names_it() {
    let report = Config::load(Path::new("/no/such/postern.yaml"))
        .unwrap_err()
        .to_string();
    assert!(
        report.starts_with("cannot read /no/such/postern.yaml"),
        "{report}"
    );
}

#[test]
fn both_edges_of_the_limits_that_standards_or_the_store_set() {
    for (good, bad) in [
        ("limits: { recipients: 100 }", "limits: { recipients: 99 }"),
        ("limits: { transfer: 45m }", "limits: { transfer: 2701s }"),
        (
            "limits: { message_size: 64KiB }",
            "limits: { message_size: 65535B }",
        ),
        ("limits: { line: 1000B }", "limits: { line: 999B }"),
        ("limits: { sessions: 1 }", "limits: { sessions: 0 }"),
        (
            "limits: { bytes_in_flight: 50MiB }",
            "limits: { bytes_in_flight: 49MiB }",
        ),
        ("limits: { drain: 0s }", "limits: { drain: 25h }"),
        ("policy: { trial: 60s }", "policy: { trial: 60001ms }"),
        ("policy: { trial: 1ms }", "policy: { trial: 0s }"),
        ("policy: { settle: 60s }", "policy: { settle: 60001ms }"),
        ("policy: { settle: 10ms }", "policy: { settle: 9ms }"),
        ("policy: { file: 64KiB }", "policy: { file: 65535B }"),
        ("policy: { file: 1GiB }", "policy: { file: 1025MiB }"),
        ("policy: { instances: 1 }", "policy: { instances: 0 }"),
        ("explain: { keep: 3650d }", "explain: { keep: 3651d }"),
        ("explain: { keep: 0s }", "explain: { keep: 0 }"),
        ("explain: { save: 1h }", "explain: { save: 3601s }"),
        ("explain: { save: 0s }", "explain: { save: 0 }"),
        ("explain: { max: 64KiB }", "explain: { max: 65535B }"),
        ("explain: { max: 16GiB }", "explain: { max: 17GiB }"),
        ("policy: { instances: 1000 }", "policy: { instances: 1001 }"),
        (
            "policy: { mime: { parameters: 10 } }",
            "policy: { mime: { parameters: 9 } }",
        ),
        (
            "policy: { mime: { parameters: 10000 } }",
            "policy: { mime: { parameters: 10001 } }",
        ),
        ("admin: { connections: 1 }", "admin: { connections: 0 }"),
        ("admin: { request: 10m }", "admin: { request: 11m }"),
        ("policy: { mime: { parts: 1 } }", "policy: { mime: { parts: 0 } }"),
        (
            "policy: { mime: { depth: 100 } }",
            "policy: { mime: { depth: 101 } }",
        ),
        (
            "policy: { mime: { text: 64KiB } }",
            "policy: { mime: { text: 65535B } }",
        ),
        (
            "policy: { mime: { room: 256MiB } }",
            "policy: { mime: { room: 255MiB } }",
        ),
        (
            "auth: { scram_iterations: 600000 }",
            "auth: { scram_iterations: 599999 }",
        ),
        ("auth: { hash_wait: 1s }", "auth: { hash_wait: 999ms }"),
        ("auth: { hash_wait: 5m }", "auth: { hash_wait: 300001ms }"),
        ("pop3: { login_delay: 1s }", "pop3: { login_delay: 999ms }"),
        ("detail_separator: \"-\"", "detail_separator: \"+-\""),
        ("log: { level: debug }", "log: { level: loud }"),
        (
            "log: { level: \"info,postern::net=debug\" }",
            "log: { level: \"info,postern::net=loud\" }",
        ),
    ] {
        assert!(parse(&format!("{MINIMAL}{good}")).is_ok(), "{good}");
        faults_with(bad);
    }
}

#[test]
fn both_edges_of_the_budget_of_candidates() {
    for (key, good, bad) in [
        ("shadow_instances", 1, 0),
        ("shadow_instances", 1000, 1001),
        ("shadow_queue", 0, -1),
        ("shadow_queue", 10_000, 10_001),
    ] {
        assert!(
            parse(&format!("{MINIMAL}policy: {{ {key}: {good} }}")).is_ok(),
            "{key}: {good}"
        );
        faults_with(&format!("policy: {{ {key}: {bad} }}"));
    }
}

#[test]
fn a_lease_on_maildrops_is_for_a_cluster_and_has_both_its_edges() {
    let refused = faults_with("pop3: { lease: 60s }");
    assert!(
        refused.contains("pop3.lease: is for several gateways over one Cassandra"),
        "{refused}"
    );
    let with = |lease: &str| {
        parse(&format!(
            "{MINIMAL}store: {{ cassandra: {{ nodes: [a] }} }}\npop3: {{ lease: {lease} }}"
        ))
    };
    assert_eq!(with("30s").unwrap().pop3.lease, Some(Duration::from_secs(30)));
    assert!(with("1h").is_ok());
    for bad in ["29999ms", "3601s"] {
        let faults = with(bad).unwrap_err().to_string();
        assert!(faults.contains(&format!("pop3.lease: {bad} is too")), "{faults}");
    }
    assert_eq!(parse(MINIMAL).unwrap().pop3.lease, None);
}

/// Kept for no time, mail that was answered 250 would be gone before anybody could look.
#[test]
fn quarantine_keeps_for_an_hour_at_least_and_has_room() {
    let with = |more: &str| parse(&format!("{MINIMAL}quarantine: {{ {more} }}\n"));
    assert!(with("keep: 1h, max: 1MiB").is_ok());
    assert!(with("keep: 36500d").is_ok());
    for (key, value, mend) in [
        ("keep", "3599s", "write 1h or more"),
        ("keep", "36501d", "write 36500d or less"),
        ("max", "1048575B", "write 1MiB or more"),
    ] {
        let faults = with(&format!("{key}: {value}")).unwrap_err().to_string();
        assert!(
            faults.contains(&format!("quarantine.{key}: ")) && faults.contains(mend),
            "{faults}"
        );
    }
}

#[test]
fn in_flight_always_holds_one_message_of_the_largest_size() {
    let config = parse(&format!("{MINIMAL}limits: {{ message_size: 2GiB }}")).unwrap();
    assert_eq!(config.limits.bytes_in_flight, 2 << 30);
}

#[test]
fn listeners_may_not_share_a_name_or_an_address_but_a_default_name_gives_way() {
    let two = |first: &str, second: &str| {
        parse(&format!(
            "hostname: a.example\npostmaster: a@b.example\nlisteners:\n  - {first}\n  - {second}\n"
        ))
    };
    let same = "{ role: mx, address: \"127.0.0.1:25\" }";
    assert!(
        two(same, same)
            .unwrap_err()
            .to_string()
            .contains("listeners[1].address: `127.0.0.1:25` is taken")
    );
    let config = two(same, "{ role: mx, address: \"[::1]:25\" }").unwrap();
    assert_eq!(
        (
            config.listeners[0].name.as_str(),
            config.listeners[1].name.as_str()
        ),
        ("mx-25", "mx-25-2")
    );
    let named = |port: u16| format!("{{ role: mx, address: \"127.0.0.1:{port}\", name: edge }}");
    assert!(
        two(&named(25), &named(26))
            .unwrap_err()
            .to_string()
            .contains("listeners[1].name: `edge` is taken")
    );
    assert!(
        two(&named(0), "{ role: mx, address: \"127.0.0.1:0\" }").is_ok(),
        "port 0 is a free port each time"
    );
}

#[test]
fn a_star_listens_on_every_ipv4_and_every_ipv6_address() {
    let config = parse(&MINIMAL.replace("127.0.0.1:2525", "*:25")).unwrap();
    let addresses: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| listener.address.to_string())
        .collect();
    assert_eq!(addresses, ["0.0.0.0:25", "[::]:25"]);
}

#[test]
fn a_listener_says_only_what_its_role_can_do() {
    for (listener, fault) in [
        (
            "{ role: admin, address: \"127.0.0.1:1\", tls: implicit }",
            "listeners[0].tls: the admin listener speaks plain",
        ),
        (
            "{ role: admin, address: \"127.0.0.1:1\", proxy: [10.0.0.0/8] }",
            "listeners[0].proxy:",
        ),
        (
            "{ role: submission, address: \"127.0.0.1:1\", tls: none }",
            "listeners[0].plaintext_auth: with tls: none nobody",
        ),
        (
            "{ role: pop3, address: \"127.0.0.1:1\", tls: none }",
            "listeners[0].plaintext_auth: with tls: none nobody",
        ),
        (
            "{ role: mx, address: \"127.0.0.1:1\", plaintext_auth: true }",
            "listeners[0].plaintext_auth: there are no logins",
        ),
        (
            "{ role: pop3, address: \"127.0.0.1:1\", tls: implicit, plaintext_auth: true }",
            "listeners[0].plaintext_auth: with tls: implicit",
        ),
        (
            "{ role: submission, address: \"127.0.0.1:1\", auth: false }",
            "listeners[0].auth:",
        ),
        (
            "{ role: lmtp, address: \"127.0.0.1:1\", auth: true }",
            "listeners[0].auth: this role has no logins",
        ),
        (
            "{ role: pop3, address: \"127.0.0.1:1\", reject_early_talkers: true }",
            "listeners[0].reject_early_talkers:",
        ),
        ("{ address: \"127.0.0.1:1\" }", "listeners[0].role: missing"),
        ("{ role: mx }", "listeners[0].address: missing"),
        ("", "listeners[0]: empty"),
    ] {
        let report = listener_faults(listener);
        assert!(
            report.contains(fault) && report.lines().count() == 1,
            "{listener}: {report}"
        );
    }
    let lawful = "{ role: submission, address: \"127.0.0.1:1\", tls: none, plaintext_auth: true }";
    assert!(
        parse(&format!(
            "hostname: a.example\npostmaster: a@b.example\nlisteners: [ {lawful} ]\n"
        ))
        .is_ok()
    );
}

#[test]
fn a_certificate_needs_both_its_files() {
    let report = faults_with("tls: { certificates: [ { chain: a.pem } ] }");
    assert!(
        report.contains("tls.certificates[0]: needs both files"),
        "{report}"
    );
}

#[test]
fn host_names_are_ascii_labels() {
    for bad in [
        "mx_1.example.org",
        "-mx.example.org",
        "mx..example.org",
        "mx.example.org.",
        "\"\"",
        "\"a b\"",
    ] {
        let text = MINIMAL.replace("mx.example.org", bad);
        assert!(
            parse(&text).unwrap_err().to_string().starts_with("hostname: `"),
            "{bad}"
        );
    }
}

#[test]
fn a_secret_comes_from_its_file_and_a_missing_one_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "abc\n").unwrap();
    let text = format!("{MINIMAL}admin: {{ token: \"file:token\" }}");
    let config = Config::parse(&text, folder.path()).unwrap();
    assert_eq!(config.admin.token.as_ref().map(Secret::reveal), Some("abc"));
    assert!(
        faults_with("admin: { token: \"file:nowhere\" }")
            .contains("admin.token: cannot read the secret in `nowhere`")
    );
    assert!(!faults_with("admin: { token: hunter2 }").contains("hunter2"));
}

#[test]
fn trusted_networks_hold_their_addresses() {
    let config = parse(&format!("{MINIMAL}trusted: [10.0.0.0/8]")).unwrap();
    assert!(config.trusted[0].contains(IpAddr::from([10, 1, 2, 3])));
}

const DEFAULT_FILE: &str = include_str!("../../../config/postern.yaml");

const CLUSTER_FILE: &str = include_str!("../../../config/cluster.yaml");

/// A file with every `#key:` (no space behind the `#`) taken in.
fn uncommented(file: &str) -> String {
    let mut text = String::new();
    for line in file.lines() {
        let indent = line.len() - line.trim_start().len();
        let is_key = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '-');
        match line.trim_start().strip_prefix('#').filter(is_key) {
            Some(key) => text.push_str(&format!("{}{key}\n", &line[..indent])),
            None => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

/// The same with one store of those that it shows.
fn with_store(kept: &str) -> String {
    let mut whole: Value = serde_yaml::from_str(&uncommented(DEFAULT_FILE)).unwrap();
    let stores = whole.get_mut("store").and_then(Value::as_mapping_mut).unwrap();
    stores.retain(|name, _| name.as_str() == Some(kept));
    if kept == "embedded" {
        // What only a cluster has.
        whole
            .get_mut("pop3")
            .and_then(Value::as_mapping_mut)
            .unwrap()
            .remove("lease");
    }
    serde_yaml::to_string(&whole).unwrap()
}

/// Paths below `value` at which nothing is said.
fn silent(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(path.to_owned()),
        Value::Mapping(map) => {
            for (key, value) in map {
                silent(value, &format!("{path}.{}", key.as_str().unwrap()), found);
            }
        }
        Value::Sequence(list) => {
            for value in list.iter().take(1) {
                silent(value, path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_default_file_loads_and_shows_every_key() {
    parse(DEFAULT_FILE).unwrap();
    let raw: Raw = serde_yaml::from_str(&uncommented(DEFAULT_FILE)).unwrap();
    let mut missing = Vec::new();
    silent(&serde_yaml::to_value(&raw).unwrap(), "", &mut missing);
    assert!(
        missing.is_empty(),
        "config/postern.yaml does not show {missing:?}"
    );
    assert!(!raw.listeners.is_empty() && !raw.tls.unwrap().certificates.is_empty());
}

#[test]
fn what_the_default_file_shows_as_a_default_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("admin-token"), "x").unwrap();
    let bare = Config::parse(DEFAULT_FILE, folder.path()).unwrap();
    std::fs::write(folder.path().join("cassandra-password"), "x").unwrap();
    let full = Config::parse(&with_store("embedded"), folder.path()).unwrap();
    let StoreConfig::Cassandra(shown) = Config::parse(&with_store("cassandra"), folder.path())
        .unwrap()
        .store
    else {
        panic!("another store");
    };
    let nodes = format!("{MINIMAL}store: {{ cassandra: {{ nodes: {:?} }} }}", shown.nodes);
    // Trust and login have no default; the file shows examples.
    let shown = CassandraConfig {
        ca: None,
        login: None,
        ..shown
    };
    assert_eq!(parse(&nodes).unwrap().store, StoreConfig::Cassandra(shown));
    // These three have no default; the file shows an example.
    let full = Config {
        certificates: Vec::new(),
        admin: AdminConfig {
            token: None,
            ..full.admin
        },
        pop3: Pop3Config::default(),
        ..full
    };
    assert_eq!(bare, full);
}

#[test]
fn paths_are_printed_without_the_way_up_that_the_files_folder_puts_into_them() {
    for (base, state, placed) in [
        ("config", "../.postern", ".postern"),
        ("config", "..", "."),
        ("", "./a/../../b", "../b"),
        ("../config", "../../x", "../../x"),
        ("/etc/postern", "../../../var/./postern", "/var/postern"),
        ("config", "/srv/mail", "/srv/mail"),
    ] {
        let text = format!(
            "hostname: a.example\npostmaster: a@b.example\nstate: {state}\n\
            listeners: [ {{ role: mx, address: \"127.0.0.1:0\" }} ]\n"
        );
        let config = Config::parse(&text, std::path::Path::new(base)).unwrap();
        assert_eq!(config.state.to_str(), Some(placed), "{state} beside {base}");
    }
}

#[test]
fn the_cluster_s_file_loads_and_shows_every_key_of_the_store_with_its_default() {
    let StoreConfig::Cassandra(bare) = parse(CLUSTER_FILE).unwrap().store else {
        panic!("another store");
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cassandra-password"), "x").unwrap();
    let whole = uncommented(CLUSTER_FILE);
    let StoreConfig::Cassandra(shown) = Config::parse(&whole, folder.path()).unwrap().store else {
        panic!("another store");
    };
    assert!(shown.ca.is_some() && shown.login.is_some());
    let shown = CassandraConfig {
        ca: None,
        login: None,
        ..shown
    };
    assert_eq!(bare, shown);
    let raw: Raw = serde_yaml::from_str(&whole).unwrap();
    let mut missing = Vec::new();
    silent(&serde_yaml::to_value(&raw.store).unwrap(), "store", &mut missing);
    assert_eq!(missing, ["store.embedded"]);
}
