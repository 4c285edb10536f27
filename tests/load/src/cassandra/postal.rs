//! Part e: Debian's `postal` sends and its `rabid` reads, as published and with a higher rate.

use super::Bench;
use super::lab::{self, Lab, Opened, Warm};
use crate::gateway::PASSWORD;
use crate::programs::{self, Postal, bracketed};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const NODES: usize = 3;
/// `-M` smallest and `-m` largest text in KiB, `-t` threads; then messages a minute where it is raised.
const LOADS: [(&str, &[&str]); 4] = [
    ("-M50 -m500 -t32", &["-M50", "-m500", "-t32"]),
    ("-M200 -m2000 -t32", &["-M200", "-m2000", "-t32"]),
    ("-M50 -m500 -t32 -r120000", &["-M50", "-m500", "-t32", "-r120000"]),
    (
        "-M200 -m2000 -t32 -r120000",
        &["-M200", "-m2000", "-t32", "-r120000"],
    ),
];
/// The minute that is measured, and the one that is not whole before it.
const MINUTES: Duration = Duration::from_secs(120);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    programs::are_there()?;
    for (name, arguments) in LOADS {
        let id = format!("e/{name}");
        if bench.runs.has(&id) {
            continue;
        }
        if !bench.fits(super::START + bench.warm * lab::WARM_AT_MOST + MINUTES) {
            bench.left.push(id);
            continue;
        }
        // A cluster each: a load leaves some gigabytes.
        let Some((mut lab, site)) = Warm::with_one_gateway(bench, [id.clone()]).await? else {
            continue;
        };
        bench.say(&id);
        let figures = load(&mut lab, &site, arguments).await?;
        let facts = json!({
            "part": "e", "subject": "postal", "nodes": NODES, "replication": NODES, "variant": name,
        });
        bench.runs.add(&id, &[&facts, &figures])?;
    }
    Ok(())
}

async fn load(lab: &mut Lab, site: &Opened, arguments: &[&str]) -> anyhow::Result<Value> {
    let gateway = site.gateways.first().context("a gateway")?;
    let folder = tempfile::tempdir()?;
    let (senders, readers) = (folder.path().join("senders"), folder.path().join("readers"));
    let users: Vec<_> = lab::visited().collect();
    std::fs::write(&senders, users.join("\n") + "\n")?;
    let with_password = |user: &String| format!("{user} {PASSWORD}\n");
    std::fs::write(&readers, users.iter().map(with_password).collect::<String>())?;
    let (mx, pop3) = (bracketed(gateway.mx), bracketed(gateway.pop3));
    let place = |path: &Path| path.to_string_lossy().into_owned();
    let (senders, readers) = (place(&senders), place(&readers));
    let sending: Vec<&str> = arguments.iter().copied().chain([mx.as_str(), &senders]).collect();
    let mut postal = Postal::start(&sending, folder.path())?;
    // It deletes every message that it reads, as a client does, which keeps the disk from filling. Two of its processes
    // may want one maildrop; the gateway's log tells what was read.
    let reading = ["-p", "4", "-r", "600", "-d", "100:100", &pop3, &readers];
    let _rabid = programs::rabid(&reading, folder.path())?;
    // Its first minute is not whole.
    postal.minute().await?;
    let meter = lab.meter(&site.gateways);
    let (before, traffic_before) = (meter.read()?, gateway.traffic());
    let [messages, errors] = postal.minute().await?;
    let traffic = gateway.traffic().since(traffic_before);
    let octets = traffic.received;
    anyhow::ensure!(octets > 0, "the gateway's log tells of no message");
    let mut figures = meter.since(&before, messages as u64, octets)?;
    crate::merge(
        &mut figures,
        json!({
            "messages": messages, "octets": octets, "seconds": 60, "rate": messages / 60.0, "errors": errors,
            "read_messages": traffic.messages, "read_octets": traffic.octets, "read_sessions": traffic.sessions,
            "read_broken": traffic.broken,
        }),
    );
    Ok(figures)
}
