//! `config/grafana-cassandra.json` against what a gateway exports: one that served, lost its cluster and refused.

use crate::cassandra::Cluster;
use crate::gateway::{Gateway, Site};
use crate::mail::{self, Fate, Pop3, message};
use crate::{ask_again, turn};
use serde_json::Value;
use std::collections::BTreeSet;

const DASHBOARD: &str = include_str!("../../config/grafana-cassandra.json");

/// The metrics that a query names.
fn named(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("postern_"))
}

/// Everything that has a value on `/metrics`.
fn exported(gateway: &Gateway) -> BTreeSet<String> {
    let page = gateway.page("/metrics");
    let samples = page.lines().filter(|line| line.starts_with("postern_"));
    samples
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().collect()
}

#[test]
fn the_dashboard_is_one_that_grafana_10_takes() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    // Of Grafana 10.0; older ones are brought up, newer ones are refused by it.
    assert!((38..=39).contains(&dashboard["schemaVersion"].as_u64().unwrap()));
    assert!(dashboard["title"].is_string() && dashboard["uid"].as_str().unwrap().len() <= 40);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "gateway"]);
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in panels(&dashboard) {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = &panel["gridPos"];
        let [x, y, w] = ["x", "y", "w"].map(|side| place[side].as_u64().unwrap());
        assert!(x + w <= 24 && places.insert((y, x)), "{place}");
        if panel["type"] == "row" {
            continue;
        }
        let known = ["timeseries", "stat", "state-timeline"];
        assert!(known.contains(&panel["type"].as_str().unwrap()), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            let expression = target["expr"].as_str().unwrap();
            assert_eq!(expression.matches('(').count(), expression.matches(')').count());
            assert!(expression.contains("instance=~\"$gateway\""), "{expression}");
        }
    }
}

#[test]
fn every_metric_of_the_dashboard_is_one_that_a_gateway_exports() {
    let _turn = turn();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let targets = panels(&dashboard)
        .into_iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let mut wanted: BTreeSet<&str> = targets
        .flat_map(|target| named(target["expr"].as_str().unwrap()))
        .collect();
    wanted.extend(named("label_values(postern_build, instance)"));
    assert!(wanted.len() > 15, "{wanted:?}");

    let mut cluster = Cluster::start(1);
    let nodes = cluster.contacts();
    let site = Site::with(&format!(
        "nodes: {nodes:?}, replication: 1, limits: {{ deadline: 4s }}"
    ));
    let gateway = site.serve();
    site.done(&["domain", "add", "example.org"], "");
    site.add_user("ann@example.org");
    let send = |token| mail::send(gateway.mx, &["ann@example.org"], &message(token, 2_000));
    assert!(matches!(send(1), Fate::Kept(_)));
    Pop3::login(gateway.pop3, "ann@example.org")
        .unwrap()
        .quit()
        .unwrap();
    let up = format!("postern_cassandra_node_up{{node=\"{}\"}} ", nodes[0]);
    await_line(&gateway, &format!("{up}1"));
    // It is connected as before and answers nothing: a request is sent again, and given up.
    cluster.stop(1);
    assert!(matches!(send(2), Fate::Refused(reply) if reply.starts_with('4')));
    cluster.kill(1);
    await_line(&gateway, &format!("{up}0"));
    ask_again(|| match gateway.page("/readyz") {
        page if page.starts_with("HTTP/1.1 503") => Ok(()),
        page => Err(page),
    });
    assert!(matches!(send(3), Fate::Refused(reply) if reply.starts_with('4')));
    await_line(&gateway, "postern_cassandra_probes_total{result=\"failed\"}");
    let exported = exported(&gateway);
    let missing: Vec<_> = wanted.iter().filter(|name| !exported.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {exported:?}");
}

/// Asks until a line of `/metrics` begins so.
fn await_line(gateway: &Gateway, line: &str) {
    ask_again(|| {
        let page = gateway.page("/metrics");
        let found = page.lines().any(|found| found.starts_with(line));
        found.then_some(()).ok_or_else(|| format!("no {line} in {page}"))
    });
}
