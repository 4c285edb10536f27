//! `dns` and `auth`.

use super::*;
use crate::dns::{Answer, Failure, Lookup};
use crate::policy::manifest::Manifest;
use crate::policy::{AuthFacts, SignatureFacts};
use std::collections::BTreeMap;
use std::net::IpAddr;

fn found(names: &[&str]) -> Result<Vec<String>, Failure> {
    Ok(names.iter().map(|name| (*name).to_owned()).collect())
}

fn zone() -> Zone {
    Zone {
        addresses: BTreeMap::from([("mx.example.org".to_owned(), found(&["192.0.2.1", "2001:db8::1"]))]),
        txt: BTreeMap::from([
            ("example.org".to_owned(), found(&["v=spf1 -all"])),
            ("down.example".to_owned(), Err(Failure("no answer".to_owned()))),
        ]),
        mx: BTreeMap::from([("example.org".to_owned(), found(&["mx.example.org"]))]),
        names: BTreeMap::from([("192.0.2.1".parse().unwrap(), found(&["mx.example.org"]))]),
    }
}

/// A guest with this grant; "" for none.
fn guest(grant: &str, lookups: u32) -> Guest {
    let text = match grant {
        "" => String::new(),
        grant => format!("grants: {{ dns: {grant} }}"),
    };
    let limits = Limits {
        dns: lookups,
        ..limits()
    };
    let manifest = Manifest::parse(&text, "test", limits).unwrap();
    Guest::new(Call {
        dns: manifest.dns,
        resolver: Arc::new(zone()),
        limits,
        ..call()
    })
}

async fn txt(guest: &mut Guest, name: &str) -> Result<Vec<String>, String> {
    dns::Host::txt(guest, name.to_owned()).await.unwrap()
}

#[tokio::test]
async fn what_was_granted_is_looked_up_and_what_is_not_there_is_an_empty_list() {
    let mut guest = guest("{}", 50);
    assert_eq!(txt(&mut guest, "Example.ORG.").await.unwrap(), ["v=spf1 -all"]);
    assert_eq!(txt(&mut guest, "nothing.example").await, Ok(Vec::new()));
    assert_eq!(txt(&mut guest, "down.example").await, Err("no answer".to_owned()));
    let name = || "mx.example.org".to_owned();
    let addresses = dns::Host::addresses(&mut guest, name()).await.unwrap();
    assert_eq!(addresses.unwrap(), ["192.0.2.1", "2001:db8::1"]);
    let exchanges = dns::Host::mx(&mut guest, "example.org".to_owned()).await.unwrap();
    assert_eq!(exchanges.unwrap(), [name()]);
    for address in ["192.0.2.1", "::ffff:192.0.2.1"] {
        let names = dns::Host::names(&mut guest, address.to_owned()).await.unwrap();
        assert_eq!(names.unwrap(), [name()], "{address}");
    }
}

#[tokio::test]
async fn what_is_outside_the_grant_says_so() {
    let mut none = guest("", 50);
    assert_eq!(txt(&mut none, "example.org").await, Err("not granted".to_owned()));
    let names = dns::Host::names(&mut none, "192.0.2.1".to_owned()).await;
    assert_eq!(names.unwrap(), Err("not granted".to_owned()));
    let mut some = guest(
        "{ types: [TXT, PTR], suffixes: [example.org, 2.0.192.in-addr.arpa] }",
        50,
    );
    assert!(txt(&mut some, "sub.example.org").await.is_ok());
    let other = txt(&mut some, "example.com").await.unwrap_err();
    assert_eq!(other, "`example.com` is below none of grants.dns.suffixes");
    let kind = dns::Host::mx(&mut some, "example.org".to_owned()).await.unwrap();
    assert_eq!(kind, Err("MX is not in grants.dns.types".to_owned()));
    let inside = dns::Host::names(&mut some, "192.0.2.1".to_owned()).await.unwrap();
    assert!(inside.is_ok());
    let outside = dns::Host::names(&mut some, "2001:db8::1".to_owned())
        .await
        .unwrap();
    assert!(
        outside
            .unwrap_err()
            .ends_with(".ip6.arpa` is below none of grants.dns.suffixes")
    );
}

#[tokio::test]
async fn what_is_no_name_is_an_error_and_no_look_up() {
    let mut guest = guest("{}", 1);
    for bad in ["", ".", "a..b", &"a".repeat(64), "ä..example"] {
        let told = txt(&mut guest, bad).await.unwrap_err();
        assert!(told.ends_with("is no name to ask for"), "{bad}: {told}");
    }
    let told = dns::Host::names(&mut guest, "192.0.2".to_owned()).await.unwrap();
    assert_eq!(told, Err("`192.0.2` is no address".to_owned()));
    assert!(
        txt(&mut guest, "example.org").await.is_ok(),
        "the one look-up is left"
    );
}

#[tokio::test]
async fn one_call_has_so_many_look_ups_and_the_next_one_is_an_error() {
    let mut guest = guest("{}", 2);
    let (met, found) = hits_of(Limit::Dns, async {
        txt(&mut guest, "example.org").await.is_ok() && txt(&mut guest, "example.org").await.is_ok()
    })
    .await;
    assert_eq!((met, found), (0, true), "the edge itself is not beyond it");
    let (met, told) = hits_of(Limit::Dns, txt(&mut guest, "example.org")).await;
    let text = "more look-ups than limits.dns lets one call have";
    assert_eq!((met, told), (1, Err(text.to_owned())));
}

/// A server that never answers; beside the decision there is one that does.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Lookup for Silent {
    async fn addresses(&self, _: &str) -> Answer {
        std::future::pending().await
    }

    async fn txt(&self, _: &str) -> Answer {
        std::future::pending().await
    }

    async fn mx(&self, _: &str) -> Answer {
        std::future::pending().await
    }

    async fn names(&self, _: IpAddr) -> Answer {
        std::future::pending().await
    }

    fn beside(&self) -> Option<Arc<dyn Lookup>> {
        Some(Arc::new(zone()))
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_are_silent_are_errors_and_the_call_has_time_left() {
    let limits = Limits {
        deadline: Duration::from_millis(500),
        ..limits()
    };
    let mut guest = Guest::new(Call {
        dns: guest("{}", 50).call.dns,
        resolver: Arc::new(Silent),
        limits,
        ..call()
    });
    for _ in 0..3 {
        let told = txt(&mut guest, "example.org").await.unwrap_err();
        assert!(told.starts_with("no answer within "), "{told}");
    }
    assert!(
        dns::Host::addresses(&mut guest, "a.example".to_owned())
            .await
            .unwrap()
            .is_err()
    );
    assert!(
        dns::Host::mx(&mut guest, "a.example".to_owned())
            .await
            .unwrap()
            .is_err()
    );
    assert!(
        dns::Host::names(&mut guest, "192.0.2.1".to_owned())
            .await
            .unwrap()
            .is_err()
    );
    assert!(guest.for_waiting() > Duration::ZERO);
}

#[tokio::test]
async fn beside_the_decision_the_places_are_others() {
    let mut guest = Guest::new(Call {
        dns: guest("{}", 50).call.dns,
        resolver: Arc::new(Silent),
        run: Run::Shadow,
        ..call()
    });
    assert_eq!(txt(&mut guest, "example.org").await.unwrap(), ["v=spf1 -all"]);
}

#[tokio::test]
async fn what_is_found_counts_as_read() {
    let mut guest = Guest::new(Call {
        dns: guest("{}", 50).call.dns,
        resolver: Arc::new(zone()),
        limits: Limits { read: 11, ..limits() },
        ..call()
    });
    let name = || "example.org".to_owned();
    assert!(dns::Host::txt(&mut guest, name()).await.is_ok(), "eleven octets");
    assert!(dns::Host::mx(&mut guest, name()).await.is_err());
}

#[test]
fn what_the_host_found_of_the_sender_is_told() {
    let signature = SignatureFacts {
        status: "pass".to_owned(),
        domain: "example.org".to_owned(),
        selector: "s".to_owned(),
    };
    let facts = Facts {
        auth: AuthFacts {
            spf: "softfail".to_owned(),
            spf_domain: "example.net".to_owned(),
            dkim: vec![signature],
            dmarc: "fail".to_owned(),
            dmarc_policy: "reject".to_owned(),
            arc: "none".to_owned(),
        },
        ..Facts::default()
    };
    let mut guest = Guest::new(Call { facts, ..call() });
    assert_eq!(auth::Host::spf(&mut guest).unwrap(), "softfail");
    assert_eq!(auth::Host::spf_domain(&mut guest).unwrap(), "example.net");
    let signatures = auth::Host::dkim(&mut guest).unwrap();
    let told: Vec<_> = signatures
        .iter()
        .map(|signature| {
            let types::Signature {
                status,
                domain,
                selector,
            } = signature;
            [status.as_str(), domain, selector]
        })
        .collect();
    assert_eq!(told, [["pass", "example.org", "s"]]);
    assert_eq!(auth::Host::dmarc(&mut guest).unwrap(), "fail");
    assert_eq!(auth::Host::dmarc_policy(&mut guest).unwrap(), "reject");
    assert_eq!(auth::Host::arc(&mut guest).unwrap(), "none");
}
