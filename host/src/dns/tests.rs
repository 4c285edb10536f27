//! Against a server on loopback.

use super::server::{Records, Server};
use super::*;
use metrics_exporter_prometheus::PrometheusBuilder;

fn resolver(server: &Server) -> Resolver {
    with(server, |_| {})
}

fn with(server: &Server, change: impl FnOnce(&mut DnsConfig)) -> Resolver {
    let mut config = DnsConfig {
        servers: vec![server.address],
        ..DnsConfig::default()
    };
    change(&mut config);
    Resolver::new(&config)
}

/// A silent name is given up at once.
fn hasty(config: &mut DnsConfig) {
    config.timeout = Duration::from_millis(50);
    config.attempts = 1;
}

fn some() -> Records {
    Records::default()
        .txt("example.org", "v=spf1 -all")
        .txt("example.org", "another")
        .address("mx.example.org", "192.0.2.1")
        .address("mx.example.org", "2001:db8::1")
        .mx("example.org", 20, "b.example.org.")
        .mx("example.org", 10, "Z.Example.org.")
        .mx("null.example", 0, ".")
        .ptr("192.0.2.1", "MX.example.org.")
        .ptr("2001:db8::1", "mx.example.org.")
        .failing("broken.example")
        .silent("silent.example")
}

#[tokio::test]
async fn each_kind_is_found() {
    let server = some().serve().await;
    let dns = resolver(&server);
    assert_eq!(dns.txt("Example.org").await.unwrap(), ["v=spf1 -all", "another"]);
    assert_eq!(
        dns.addresses("mx.example.org.").await.unwrap(),
        ["192.0.2.1", "2001:db8::1"]
    );
    assert_eq!(
        dns.mx("example.org").await.unwrap(),
        ["z.example.org", "b.example.org"]
    );
    assert_eq!(dns.mx("null.example").await.unwrap(), ["."]);
    for address in ["192.0.2.1", "2001:db8::1"] {
        let names = dns.names(address.parse().unwrap()).await.unwrap();
        assert_eq!(names, ["mx.example.org"], "{address}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_an_empty_list() {
    let server = some().serve().await;
    let dns = resolver(&server);
    assert_eq!(dns.txt("nothing.example").await, Ok(Vec::new()));
    assert_eq!(
        dns.mx("mx.example.org").await,
        Ok(Vec::new()),
        "another kind is there"
    );
    assert_eq!(dns.names("192.0.2.2".parse().unwrap()).await, Ok(Vec::new()));
    let searched = server
        .asked()
        .into_iter()
        .filter(|asked| asked.starts_with("TXT"));
    assert_eq!(
        searched.collect::<Vec<_>>(),
        ["TXT nothing.example"],
        "no search domains"
    );
}

#[tokio::test]
async fn trouble_is_a_failure() {
    let server = some().serve().await;
    let dns = with(&server, hasty);
    assert!(
        dns.txt("broken.example")
            .await
            .unwrap_err()
            .0
            .starts_with("no answer")
    );
    let silent = dns.addresses("silent.example").await.unwrap_err();
    assert!(silent.0.starts_with("no answer"), "{silent}");
    assert!(dns.txt("example.org").await.is_ok(), "the others are answered");
}

#[tokio::test]
async fn what_is_no_name_is_not_asked_for() {
    let server = some().serve().await;
    let dns = resolver(&server);
    assert!(
        dns.txt("a..b")
            .await
            .unwrap_err()
            .0
            .contains("is no name to ask for")
    );
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_too_long_for_udp_comes_by_tcp() {
    let long = "x".repeat(5000);
    let server = Records::default().txt("long.example", &long).serve().await;
    assert_eq!(resolver(&server).txt("long.example").await.unwrap(), [long]);
    assert_eq!(server.asked(), ["TXT long.example"; 2], "once by each");
}

#[tokio::test]
async fn an_answer_is_remembered_unless_the_cache_has_no_room() {
    let server = some().serve().await;
    let dns = resolver(&server);
    for _ in 0..2 {
        assert!(dns.txt("example.org").await.is_ok());
    }
    assert_eq!(server.asked().len(), 1);
    let forgetful = with(&server, |config| config.cache = 0);
    for _ in 0..2 {
        assert!(forgetful.txt("example.org").await.is_ok());
    }
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_server_that_is_silent_is_tried_so_often() {
    let server = some().serve().await;
    let dns = with(&server, |config| {
        config.timeout = Duration::from_millis(50);
        config.attempts = 3;
    });
    assert!(dns.txt("silent.example").await.is_err());
    let asked = server.asked();
    assert!(
        (2..=3).contains(&asked.len()),
        "the last one may be cut short: {asked:?}"
    );
}

#[tokio::test]
async fn beyond_so_many_at_once_others_wait() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counting = metrics::set_default_local_recorder(&recorder);
    let server = some().serve().await;
    let dns = with(&server, |config| config.in_flight = 1);
    let met = || recorder.handle().render().contains("limit=\"dns.in_flight\"");
    let held = place(&dns.places).await.unwrap();
    assert!(!met(), "the edge itself is not beyond it");
    let waiting = dns.txt("example.org");
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there is no place"),
        () = std::future::ready(()) => {}
    }
    assert!(met());
    drop(held);
    assert!(waiting.await.is_ok());
    drop(counting);
}

#[tokio::test]
async fn who_waits_for_a_place_in_vain_hears_that_it_is_late() {
    let server = some().serve().await;
    let dns = with(&server, |config| {
        hasty(config);
        config.in_flight = 1;
    });
    let _place = place(&dns.places).await.unwrap();
    let late = dns.txt("example.org").await.unwrap_err();
    assert_eq!(late.0, "no answer in time (dns.timeout)");
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn look_ups_checks_and_policies_beside_the_decision_keep_no_places_from_each_other() {
    let server = some().serve().await;
    let dns = with(&server, |config| {
        hasty(config);
        config.in_flight = 1;
    });
    let beside = dns.beside().unwrap();
    let check = dns.check().await.unwrap();
    assert!(dns.txt("example.org").await.is_ok());
    assert!(beside.txt("example.org").await.is_ok());
    drop(check);
    let look_up = place(&dns.places).await.unwrap();
    assert!(dns.check().await.is_ok());
    assert!(beside.txt("example.org").await.is_ok());
    drop(look_up);
    let _beside = place(&dns.inner.beside).await.unwrap();
    assert!(dns.txt("example.org").await.is_ok());
    let late = beside.txt("example.org").await.unwrap_err();
    assert_eq!(late.0, "no answer in time (dns.timeout)");
}

#[tokio::test]
async fn look_ups_are_counted_by_type_and_result() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counting = metrics::set_default_local_recorder(&recorder);
    let server = some().serve().await;
    let dns = resolver(&server);
    let _ = dns.txt("example.org").await;
    let _ = dns.txt("nothing.example").await;
    let _ = dns.mx("broken.example").await;
    drop(counting);
    let page = recorder.handle().render();
    for line in [
        "type=\"TXT\",result=\"found\"} 1",
        "type=\"TXT\",result=\"nothing\"} 1",
        "type=\"MX\",result=\"failed\"} 1",
    ] {
        assert!(
            page.contains(&format!("postern_dns_lookups_total{{{line}")),
            "{line}: {page}"
        );
    }
}

#[test]
fn a_name_is_below_a_domain_label_by_label() {
    for name in [
        "example.org",
        "a.Example.org.",
        "a.b.example.org",
        r"x\.y.example.org",
    ] {
        assert!(is_below(name, "example.org"), "{name}");
    }
    for name in [
        "org",
        "notexample.org",
        r"foo\.example.org",
        r"foo\046example.org",
        "a..b",
    ] {
        assert!(!is_below(name, "example.org"), "{name}");
    }
}

#[test]
fn names_are_asked_for_as_a_labels_in_lower_case() {
    for (name, asked) in [
        ("Example.ORG.", "example.org"),
        ("_dmarc.example.org", "_dmarc.example.org"),
        ("Bücher.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(asked_for(name).unwrap(), asked);
    }
    for none in ["", ".", "a..b", &"a".repeat(64), "ä..example"] {
        assert!(asked_for(none).is_err(), "{none}");
    }
    assert_eq!(
        reverse_name("192.0.2.7".parse().unwrap()),
        "7.2.0.192.in-addr.arpa"
    );
}
