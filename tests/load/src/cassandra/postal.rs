//! Part e: Debian's `postal` sends and its `rabid` reads, as published and with a higher rate.

use super::Bench;
use super::lab::{self, Lab, Opened};
use crate::gateway::PASSWORD;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
/// Both say what they did once a minute; their first is not whole.
const LINES: usize = 2;
/// Free disk that a load leaves.
const DISK: u64 = 12 * 1024 * 1024 * 1024;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    for program in ["postal", "rabid"] {
        if Command::new(program).output().is_err() {
            bail!("{program} is missing: install Debian's package postal");
        }
    }
    for (name, arguments) in LOADS {
        let id = format!("e/{name}");
        if bench.runs.has(&id) {
            continue;
        }
        if !bench.fits(
            super::START + bench.warm * lab::WARM_AT_MOST + Duration::from_secs(60 * (LINES as u64 + 1)),
        ) {
            bench.left.push(id);
            continue;
        }
        // A cluster each: a load leaves some gigabytes.
        let Some((mut lab, site)) = Lab::with_one_gateway(bench, [id.clone()]).await? else {
            continue;
        };
        bench.say(&id);
        let figures = tokio::task::block_in_place(|| load(&mut lab, &site, arguments))?;
        let facts = json!({
            "part": "e", "subject": "postal", "nodes": NODES, "replication": NODES, "variant": name,
        });
        bench.runs.add(&id, &[&facts, &figures])?;
    }
    Ok(())
}

/// A program that says once a minute what it did; killed when it is dropped.
struct Talker {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Talker {
    fn start(program: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = BufReader::new(child.stdout.take().context("no stdout")?);
        let (said, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    /// The figures of the next minute.
    fn minute(&self) -> anyhow::Result<Vec<f64>> {
        loop {
            let line = self
                .lines
                .recv_timeout(Duration::from_secs(150))
                .context("nothing was said")?;
            // `17:33,9650,…`; the line of headings has no digits.
            if let Some((time, rest)) = line.split_once(',')
                && time.starts_with(|c: char| c.is_ascii_digit())
            {
                return Ok(rest
                    .split(',')
                    .filter_map(|figure| figure.trim().parse().ok())
                    .collect());
            }
        }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(lab: &mut Lab, site: &Opened, arguments: &[&str]) -> anyhow::Result<Value> {
    let gateway = site.gateways.first().context("a gateway")?;
    let folder = tempfile::tempdir()?;
    let (senders, readers) = (folder.path().join("senders"), folder.path().join("readers"));
    let users = lab::mailboxes("local-quorum-");
    std::fs::write(&senders, users.join("\n") + "\n")?;
    let with_password = |user: &String| format!("{user} {PASSWORD}\n");
    std::fs::write(&readers, users.iter().map(with_password).collect::<String>())?;
    let (mx, pop3) = (bracketed(gateway.mx), bracketed(gateway.pop3));
    let place = |path: &Path| path.to_string_lossy().into_owned();
    let (senders, readers) = (place(&senders), place(&readers));
    let sending: Vec<&str> = arguments.iter().copied().chain([mx.as_str(), &senders]).collect();
    let postal = Talker::start("postal", &sending)?;
    // Every message that it reads it deletes, as a client does, which keeps the disk from filling.
    let rabid = Talker::start(
        "rabid",
        &["-p", "4", "-r", "600", "-d", "100:100", &pop3, &readers],
    )?;
    postal.minute()?;
    rabid.minute()?;
    let meter = lab.meter(&site.gateways);
    let before = meter.read()?;
    let (mut sent, mut read) = (Vec::new(), Vec::new());
    for _ in 1..LINES {
        sent = postal.minute()?;
        read = rabid.minute()?;
        if free(folder.path())? < DISK {
            break;
        }
    }
    let figure = |all: &[f64], nth: usize| all.get(nth).copied().unwrap_or(f64::NAN);
    let messages = figure(&sent, 0);
    let octets = figure(&sent, 1) * 1024.0;
    let mut figures = meter.since(&before, messages as u64, octets as u64)?;
    crate::merge(
        &mut figures,
        json!({
            "messages": messages, "octets": octets, "seconds": 60, "rate": messages / 60.0,
            "errors": figure(&sent, 2), "read_messages": figure(&read, 0), "read_octets": figure(&read, 1) * 1024.0,
            "read_errors": figure(&read, 2), "said": { "postal": sent, "rabid": read },
        }),
    );
    Ok(figures)
}

/// A port other than the usual one is told so.
fn bracketed(address: std::net::SocketAddr) -> String {
    format!("[{}]:{}", address.ip(), address.port())
}

fn free(folder: &Path) -> anyhow::Result<u64> {
    let told = Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(folder)
        .output()?;
    let text = String::from_utf8_lossy(&told.stdout);
    let figure = text.lines().nth(1).and_then(|line| line.trim().parse().ok());
    figure.context("df says nothing")
}
