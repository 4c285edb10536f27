//! `postal` and `rabid` beside what this generator makes of their command lines, on one gateway, in turn.

use super::{Bench, Trial, say};
use crate::gateway::{Gateway, PASSWORD};
use crate::modes::postal::{Clients, of_line};
use crate::options;
use crate::options::merge;
use crate::process::Meter;
use crate::programs::{self, Postal, bracketed};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Published, and one whose rate both reach.
const SENDING: [&str; 3] = ["-M50 -m500 -t32", "-M200 -m2000 -t32", "-M1 -m10 -t4 -c3 -r1200"];
const READING: &str = "-p 4 -r 600 -c 20";
/// What postal sums up.
const MINUTE: Duration = Duration::from_secs(60);

/// Each user's list, with passwords for rabid.
struct Users {
    folder: tempfile::TempDir,
    names: Vec<String>,
}

impl Users {
    fn new() -> anyhow::Result<Self> {
        let names: Vec<_> = (0..16).map(|nth| format!("user{nth}@example.org")).collect();
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("senders"), names.join("\n") + "\n")?;
        let with_password = |user: &String| format!("{user} {PASSWORD}\n");
        let readers: String = names.iter().map(with_password).collect();
        std::fs::write(folder.path().join("readers"), readers)?;
        Ok(Self { folder, names })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }
}

pub(super) async fn agreement(bench: &mut Bench) -> anyhow::Result<()> {
    programs::are_there()?;
    let users = Users::new()?;
    for line in SENDING {
        let trial = |subject| {
            Trial::new(
                "agreement",
                subject,
                json!({ "line": format!("postal {line}") }),
                1,
            )
        };
        if !bench.lacks(&[trial("real").id(), trial("gateway").id()]) {
            continue;
        }
        let gateway = bench.gateway(&users.names, &[])?;
        let (server, list) = (bracketed(gateway.mx), users.path("senders"));
        let words: Vec<_> = line.split(' ').chain([server.as_str(), list.as_str()]).collect();
        say(&trial("real").id());
        let figures = sent(&gateway, &words, users.folder.path()).await?;
        bench.add(&trial("real"), &figures)?;
        let own: Vec<_> = std::iter::once("postal").chain(words).collect();
        as_real(bench, &trial("gateway"), &gateway, &own).await?;
    }
    let trial = |subject| {
        Trial::new(
            "agreement",
            subject,
            json!({ "line": format!("rabid {READING}") }),
            1,
        )
    };
    if bench.lacks(&[trial("real").id(), trial("gateway").id()]) {
        for subject in ["real", "gateway"] {
            // As much to read for each.
            let gateway = filled(bench, &users).await?;
            let (server, list) = (bracketed(gateway.pop3), users.path("readers"));
            let words: Vec<_> = READING
                .split(' ')
                .chain([server.as_str(), list.as_str()])
                .collect();
            say(&trial(subject).id());
            if subject == "real" {
                let figures = read(&gateway, &words, users.folder.path()).await?;
                bench.add(&trial(subject), &figures)?;
            } else {
                let own: Vec<_> = std::iter::once("rabid").chain(words).collect();
                as_real(bench, &trial(subject), &gateway, &own).await?;
            }
        }
    }
    Ok(())
}

/// What postal does in its second minute, which is whole.
async fn sent(gateway: &Gateway, words: &[&str], folder: &Path) -> anyhow::Result<Value> {
    let mut postal = Postal::start(words, folder)?;
    postal.minute().await?;
    let meter = Meter::of([("gateway".to_owned(), gateway.pid())]);
    let (before, traffic) = (meter.read()?, gateway.traffic());
    let [messages, errors] = postal.minute().await?;
    let octets = gateway.traffic().since(traffic).received;
    anyhow::ensure!(octets > 0, "the gateway's log tells of no message");
    let mut figures = meter.since(&before, messages as u64, octets)?;
    let rate = messages / MINUTE.as_secs_f64();
    merge(
        &mut figures,
        json!({ "messages": messages, "octets": octets, "rate": rate, "failed": errors }),
    );
    Ok(figures)
}

/// What rabid reads, as the gateway's log tells it.
async fn read(gateway: &Gateway, words: &[&str], folder: &Path) -> anyhow::Result<Value> {
    let meter = Meter::of([("gateway".to_owned(), gateway.pid())]);
    let before = meter.read()?;
    let rabid = programs::rabid(words, folder)?;
    tokio::time::sleep(MINUTE).await;
    let read = gateway.traffic();
    let mut figures = meter.since(&before, read.messages, read.octets)?;
    drop(rabid);
    merge(
        &mut figures,
        json!({
            "turns": read.sessions, "messages": read.messages, "octets": read.octets, "failed": read.broken,
            "rate": read.sessions as f64 / MINUTE.as_secs_f64(),
        }),
    );
    Ok(figures)
}

/// What this generator makes of the same words.
async fn as_real(bench: &mut Bench, trial: &Trial, gateway: &Gateway, words: &[&str]) -> anyhow::Result<()> {
    say(&trial.id());
    let meter = Meter::of([("gateway".to_owned(), gateway.pid())]);
    let (_, figures) = match of_line(words)? {
        Clients::Send(clients, pace) => options::measured(&meter, clients, pace, MINUTE).await?,
        Clients::Read(clients, pace) => options::measured(&meter, clients, pace, MINUTE).await?,
    };
    bench.add(trial, &figures)
}

/// A gateway with more in each maildrop than readers take in a minute.
async fn filled(bench: &Bench, users: &Users) -> anyhow::Result<Gateway> {
    const EACH: u64 = 1000;
    let gateway = bench.gateway(&users.names, &[])?;
    super::maildrops::fill(
        &gateway,
        &users.names,
        EACH as usize * users.names.len(),
        super::SIZE,
    )
    .await?;
    Ok(gateway)
}
