//! Part e: Debian's `postal` sends and its `rabid` reads, as published and with a higher rate.

use super::Bench;
use super::lab::{self, Lab, Opened, Warm};
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
/// The minute that is measured, and the one that is not whole before it.
const MINUTES: Duration = Duration::from_secs(120);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    // Both leave a log where they run.
    let folder = tempfile::tempdir()?;
    for program in ["postal", "rabid"] {
        if Command::new(program).current_dir(&folder).output().is_err() {
            bail!("{program} is missing: install Debian's package postal");
        }
    }
    folder.close()?;
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
        let figures = tokio::task::block_in_place(|| load(&mut lab, &site, arguments))?;
        let facts = json!({
            "part": "e", "subject": "postal", "nodes": NODES, "replication": NODES, "variant": name,
        });
        bench.runs.add(&id, &[&facts, &figures])?;
    }
    Ok(())
}

/// A program that works in a folder, where it leaves its log, and dies with this one, however that ends.
fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", name])
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// A program that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `postal`, which says once a minute what it did.
struct Postal {
    _running: Running,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Postal {
    fn start(arguments: &[&str], folder: &Path) -> anyhow::Result<Self> {
        let mut command = program("postal", folder);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().context("no stdout")?);
        let (said, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let _running = Running(child);
        Ok(Self { _running, lines })
    }

    /// The next minute's messages, KiB and errors.
    fn minute(&self) -> anyhow::Result<[f64; 3]> {
        loop {
            let line = self
                .lines
                .recv_timeout(Duration::from_secs(150))
                .context("postal says nothing")?;
            if let Some(figures) = figures(&line) {
                return Ok(figures);
            }
        }
    }
}

/// Of a line such as `17:33,9650,…`; the line of headings has none.
fn figures(line: &str) -> Option<[f64; 3]> {
    let (time, rest) = line.split_once(',')?;
    if !time.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut figures = rest.split(',').map_while(|figure| figure.trim().parse().ok());
    Some([figures.next()?, figures.next()?, figures.next()?])
}

fn load(lab: &mut Lab, site: &Opened, arguments: &[&str]) -> anyhow::Result<Value> {
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
    let postal = Postal::start(&sending, folder.path())?;
    // It deletes every message that it reads, as a client does, which keeps the disk from filling. What it says of a
    // minute stays in its buffer, and two of its processes may want one maildrop; the gateway's log tells what was read.
    let reading = ["-p", "4", "-r", "600", "-d", "100:100", &pop3, &readers];
    let rabid = program("rabid", folder.path())
        .args(reading)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let _rabid = Running(rabid);
    // Its first minute is not whole.
    postal.minute()?;
    let meter = lab.meter(&site.gateways);
    let (before, read_before) = (meter.read()?, gateway.read());
    let [messages, kib, errors] = postal.minute()?;
    let read = gateway.read().since(read_before);
    let octets = kib * 1024.0;
    let mut figures = meter.since(&before, messages as u64, octets as u64)?;
    crate::merge(
        &mut figures,
        json!({
            "messages": messages, "octets": octets, "seconds": 60, "rate": messages / 60.0, "errors": errors,
            "read_messages": read.messages, "read_octets": read.octets, "read_sessions": read.sessions,
            "read_broken": read.broken,
        }),
    );
    Ok(figures)
}

/// The host in brackets, then the port: how both name one that is not the usual.
fn bracketed(address: std::net::SocketAddr) -> String {
    format!("[{}]{}", address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::{bracketed, figures};

    #[test]
    fn lines_of_postal_are_read() {
        assert_eq!(
            figures("time,messages,data(K),errors,connections,SSL connections"),
            None
        );
        assert_eq!(
            figures("11:12,3854,1059343,0,3853,0"),
            Some([3854.0, 1_059_343.0, 0.0])
        );
        assert_eq!(figures("Can't connect to 127.0.0.1 port 0."), None);
    }

    #[test]
    fn a_port_follows_the_bracket() {
        assert_eq!(bracketed(([127, 0, 0, 1], 2525).into()), "[127.0.0.1]2525");
    }
}
