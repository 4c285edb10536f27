//! Against a DNS server on loopback, with signatures that are made here.

mod messages;

use super::*;
use crate::dns::server::{Records, Server};
use metrics_exporter_prometheus::PrometheusBuilder;
use postern_proto::Address;
use std::path::Path;

/// Looks at senders over this server. `more` is the inside of `sender_auth`.
fn senders(server: &Server, more: &str) -> Senders {
    over(server.address, more)
}

fn over(server: std::net::SocketAddr, more: &str) -> Senders {
    configured(server, "", more)
}

/// So many checks at the same time.
fn with_places(server: &Server, places: usize) -> Senders {
    configured(server.address, &format!(", in_flight: {places}"), "")
}

/// Where the time of one look-up matters: a second.
fn patient(server: &Server, more: &str) -> Senders {
    asking(server.address, "timeout: 1s, attempts: 1", more)
}

fn configured(server: std::net::SocketAddr, dns: &str, more: &str) -> Senders {
    asking(server, &format!("timeout: 100ms, attempts: 1{dns}"), more)
}

fn asking(server: std::net::SocketAddr, dns: &str, more: &str) -> Senders {
    let text = format!(
        "hostname: mx.example.org\npostmaster: a@example.org\n\
         listeners: [ {{ role: mx, address: \"127.0.0.1:0\" }} ]\n\
         trusted: [ 198.51.100.0/24 ]\ndns: {{ servers: [\"{server}\"], {dns} }}\n\
         sender_auth: {{ {more} }}\n"
    );
    let config = Config::parse(&text, Path::new("")).unwrap();
    let dns = Resolver::new(&config.dns);
    Senders::new(&config, dns)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A server that is not there.
async fn nobody() -> std::net::SocketAddr {
    let server = Records::default().serve().await;
    server.address
}

async fn spf_of(senders: &Senders, sender: &str) -> Spf {
    let sender = Address::parse(sender).ok();
    let envelope = Envelope {
        client: ip("192.0.2.1"),
        helo: "Helo.example",
        sender: sender.as_ref(),
    };
    senders.spf(envelope).await
}

/// How often this limit was met by what is awaited, and what came of it.
async fn met<T>(limit: &str, deed: impl Future<Output = T>) -> (bool, T) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counting = metrics::set_default_local_recorder(&recorder);
    let outcome = deed.await;
    drop(counting);
    let page = recorder.handle().render();
    let line = format!("postern_limit_hits_total{{limit=\"{limit}\"}} ");
    (page.contains(&line), outcome)
}

#[tokio::test]
async fn strangers_are_looked_at_and_nobody_else() {
    let server = Records::default().serve().await;
    let on = senders(&server, "");
    for (client, is_stranger) in [
        ("192.0.2.1", true),
        ("2001:db8::1", true),
        ("127.0.0.1", false),
        ("::1", false),
        ("198.51.100.7", false),
    ] {
        assert_eq!(on.looks_at(ip(client)), is_stranger, "{client}");
        assert!(!senders(&server, "enabled: false").looks_at(ip(client)));
    }
}

#[tokio::test]
async fn a_client_has_a_name_where_name_and_address_agree() {
    let server = Records::default()
        .ptr("192.0.2.1", "MX.Client.example.")
        .address("mx.client.example", "192.0.2.1")
        .ptr("2001:db8::1", "six.example.")
        .address("six.example", "2001:db8::1")
        .ptr("192.0.2.2", "other.example.")
        .ptr("192.0.2.2", "mine.example.")
        .address("other.example", "192.0.2.99")
        .address("mine.example", "192.0.2.2")
        .ptr("192.0.2.3", "other.example.")
        .ptr("192.0.2.4", "nowhere.example.")
        .ptr("192.0.2.5", "odd name.example.")
        .ptr("192.0.2.6", "broken.example.")
        .failing("broken.example")
        .failing("7.2.0.192.in-addr.arpa")
        .serve()
        .await;
    let senders = senders(&server, "");
    for (client, word, name) in [
        ("192.0.2.1", "pass", "mx.client.example"),
        ("::ffff:192.0.2.1", "pass", "mx.client.example"),
        ("2001:db8::1", "pass", "six.example"),
        ("192.0.2.2", "pass", "mine.example"),
        ("192.0.2.3", "fail", ""),
        ("192.0.2.4", "fail", ""),
        ("192.0.2.5", "fail", ""),
        ("192.0.2.6", "temperror", ""),
        ("192.0.2.7", "temperror", ""),
        ("192.0.2.8", "permerror", ""),
    ] {
        let found = senders.client_name(ip(client)).await;
        assert_eq!(
            (found.outcome.word, found.name.as_str()),
            (word, name),
            "{client}"
        );
    }
}

#[tokio::test]
async fn a_greeting_waits_so_long_for_a_name_and_no_longer() {
    let server = Records::default()
        .ptr("192.0.2.1", "mx.example.")
        .address("mx.example", "192.0.2.1")
        .silent("2.2.0.192.in-addr.arpa")
        .serve()
        .await;
    let senders = senders(&server, "client_name: 50ms");
    let limit = "sender_auth.client_name";
    let (is_met, found) = met(limit, senders.client_name(ip("192.0.2.2"))).await;
    assert_eq!((is_met, found.outcome), (true, Outcome::trouble(LATE)));
    let patient = over(server.address, "client_name: 60s");
    let (is_met, found) = met(limit, patient.client_name(ip("192.0.2.1"))).await;
    assert_eq!((is_met, found.outcome.word), (false, "pass"));
}

#[tokio::test]
async fn spf_says_every_word() {
    let server = Records::default()
        .txt("pass.example", "v=spf1 ip4:192.0.2.0/24 -all")
        .txt("fail.example", "v=spf1 ip4:198.51.100.1 -all")
        .txt("softfail.example", "v=spf1 ~all")
        .txt("neutral.example", "v=spf1 ?all")
        .txt("none.example", "something else")
        .txt("permerror.example", "v=spf1 include:nowhere.example -all")
        .failing("temperror.example")
        .txt("helo.example", "v=spf1 ip4:192.0.2.1 -all")
        .txt("xn--bcher-kva.example", "v=spf1 +all")
        .serve()
        .await;
    let senders = senders(&server, "");
    for word in [
        "pass",
        "fail",
        "softfail",
        "neutral",
        "none",
        "temperror",
        "permerror",
    ] {
        let spf = spf_of(&senders, &format!("ann@{word}.example")).await;
        let facts = spf.facts();
        assert_eq!(facts.spf, word);
        assert_eq!(facts.spf_domain, format!("{word}.example"));
    }
    let helo = spf_of(&senders, "").await.facts();
    assert_eq!(
        (helo.spf.as_str(), helo.spf_domain.as_str()),
        ("pass", "helo.example")
    );
    let labels = spf_of(&senders, "ann@bücher.example").await.facts();
    assert_eq!(labels.spf_domain, "xn--bcher-kva.example");
    assert_eq!(labels.spf, "pass");
}

#[tokio::test]
async fn one_session_has_so_many_checks() {
    let server = Records::default()
        .failing("broken.example")
        .txt("a.example", "v=spf1 +all")
        .serve()
        .await;
    let limit = "sender_auth.checks";
    let senders = senders(&server, "checks: 3");
    let checked = &mut Checked::default();
    for (sender, is_beyond) in [
        ("x@broken.example", false),
        ("x@a.example", false),
        ("x@a.example", false),
        ("x@broken.example", false),
        ("x@a.example", false),
        ("x@broken.example", true),
        ("y@a.example", true),
    ] {
        let sender = Address::parse(sender).unwrap();
        let envelope = Envelope {
            client: ip("192.0.2.1"),
            helo: "helo.example",
            sender: Some(&sender),
        };
        let (is_met, spf) = met(limit, senders.spf_once(envelope, checked)).await;
        assert_eq!((is_met, spf.is_none()), (is_beyond, is_beyond), "{sender}");
    }
}

#[tokio::test]
async fn an_address_literal_is_not_asked_about() {
    let server = Records::default().serve().await;
    let senders = senders(&server, "");
    let envelope = Envelope {
        client: ip("192.0.2.1"),
        helo: "[192.0.2.1]",
        sender: None,
    };
    assert_eq!(senders.spf(envelope).await.outcome.word, "none");
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn spf_that_takes_too_long_is_temperror() {
    let server = Records::default()
        .silent("slow.example")
        .txt("quick.example", "v=spf1 +all")
        .serve()
        .await;
    let limit = "sender_auth.timeout";
    let hasty = senders(&server, "timeout: 20ms");
    let (is_met, spf) = met(limit, spf_of(&hasty, "ann@slow.example")).await;
    assert_eq!((is_met, spf.outcome), (true, Outcome::trouble(LATE)));
    let patient = senders(&server, "");
    let (is_met, spf) = met(limit, spf_of(&patient, "ann@quick.example")).await;
    assert_eq!((is_met, spf.outcome.word), (false, "pass"));
}

#[tokio::test]
async fn without_a_server_everything_is_temperror() {
    let senders = over(nobody().await, "");
    assert_eq!(
        senders.client_name(ip("192.0.2.1")).await.outcome.word,
        "temperror"
    );
    assert_eq!(
        spf_of(&senders, "ann@example.net").await.outcome.word,
        "temperror"
    );
}
