//! `make demo-cluster`: three Cassandra nodes and two gateways on this machine, one mail server together.
//!
//! Prints how to send to one gateway and read from the other, how to kill what runs and how to watch, and stays
//! until Ctrl-C. What it started ends with it, however it ends; the mail goes with the nodes. Refused: a second
//! one in the same folder.
#![allow(clippy::print_stdout, reason = "it speaks to the person at the terminal")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the nodes are started by what the tests have for it, which ends by panicking"
)]

#[path = "../support/cassandra.rs"]
mod cassandra;

use anyhow::Context as _;
use cassandra::{Cluster, Life, ask_again};
use std::fs::{self, File};
use std::io::BufRead as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

const NODES: usize = 3;
const HOME: &str = ".postern-cluster";
const ACCOUNT: &str = "demo@example.org";
/// For a gateway to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let postern = std::env::args_os()
        .nth(1)
        .context("usage: demo-cluster POSTERN")?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(HOME)?;
    let lock = File::create(Path::new(HOME).join("lock"))?;
    if lock.try_lock().is_err() {
        anyhow::bail!("a demo runs in this folder already");
    }
    println!("Three Cassandra nodes start; that takes half a minute.");
    let nodes = Cluster::begin(NODES, &[], Life::Long).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(Demo::new(nodes, relative(Path::new(&postern))).run())?;
    // The thread that reads the terminal cannot be told to end.
    runtime.shutdown_background();
    Ok(())
}

/// As it is typed in this folder.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_owned()
}

struct Demo {
    nodes: Cluster,
    gateways: [Gateway; 2],
    postern: PathBuf,
    /// Nodes that were told of as gone.
    gone: [bool; NODES],
}

impl Demo {
    fn new(nodes: Cluster, postern: PathBuf) -> Self {
        Self {
            nodes,
            gateways: [Gateway::new("one", 3000), Gateway::new("two", 4000)],
            postern,
            gone: [false; NODES],
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut an_end = signal(SignalKind::child())?;
        let contacts = self.nodes.contacts();
        for gateway in &mut self.gateways {
            gateway.configure(&contacts)?;
            gateway.start(&self.postern)?;
            gateway.await_ready()?;
        }
        let password = self.account()?;
        self.tell(&password);
        let mut lines = typed();
        loop {
            self.look();
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                Some(()) = lines.recv() => self.start_again()?,
                _ = an_end.recv() => {}
            }
        }
        println!("\nThe gateways end, then the nodes.");
        for gateway in &mut self.gateways {
            gateway.end();
        }
        Ok(())
    }

    /// Makes the demo account; answers its password.
    fn account(&self) -> anyhow::Result<String> {
        let [one, _] = &self.gateways;
        one.command(&self.postern, &["domain", "add", "example.org"])?;
        let added = one.command(&self.postern, &["user", "add", ACCOUNT, "--generate"])?;
        let password = added.lines().last();
        Ok(password.context("no password was generated")?.to_owned())
    }

    fn tell(&mut self, password: &str) {
        let [one, two] = &self.gateways;
        println!(
            "
Three Cassandra nodes and two gateways run. Account {ACCOUNT}, password {password}
From another terminal in this folder, send to one gateway and read from the other:

  printf 'From: {ACCOUNT}\\nTo: {ACCOUNT}\\nSubject: hello\\n\\nIt works.\\n' | curl --crlf --cacert {one_cert} --ssl-reqd --url smtp://localhost:{submission} --user '{ACCOUNT}:{password}' --mail-from {ACCOUNT} --mail-rcpt {ACCOUNT} --upload-file -
  curl --cacert {two_cert} --user '{ACCOUNT}:{password}' pop3s://localhost:{pop3s}/1

Kill one of these, and do both again. A message is on two nodes before it is acknowledged: with one away
mail flows; with two away it is refused for now, and told so (451; curl says only that it failed), until one is back.
",
            one_cert = one.certificate(),
            two_cert = two.certificate(),
            submission = one.ports + 587,
            pop3s = two.ports + 995,
        );
        for index in 1..=NODES {
            self.tell_node(index);
        }
        let [one, two] = &self.gateways;
        for gateway in [one, two] {
            gateway.tell();
        }
        println!(
            "\nWatch:

  curl 'http://127.0.0.1:{admin}/readyz?verbose'
  curl -s http://127.0.0.1:{admin}/metrics | grep ^postern_cassandra
  tail -f {log}
  {postern} user list --config {config}

Enter, here, starts again what was killed. Ctrl-C ends everything; the mail goes with it.",
            admin = one.ports + 80,
            log = one.log().display(),
            postern = self.postern.display(),
            config = one.config().display(),
        );
    }

    fn tell_node(&mut self, index: usize) {
        if let Some(pid) = self.nodes.pid(index) {
            println!("  kill -9 {pid:<8} # node {index}, {}", self.nodes.contact(index));
        }
    }

    /// Says once what has ended.
    fn look(&mut self) {
        for index in 1..=NODES {
            if self.nodes.pid(index).is_none() && !std::mem::replace(&mut self.gone[index - 1], true) {
                println!("Node {index} is gone; Enter starts it again.");
            }
        }
        for gateway in &mut self.gateways {
            if gateway.has_ended() {
                println!("Gateway {} is gone; Enter starts it again.", gateway.name);
            }
        }
    }

    fn start_again(&mut self) -> anyhow::Result<()> {
        self.look();
        for index in 1..=NODES {
            if std::mem::take(&mut self.gone[index - 1]) {
                self.nodes.launch(index).map_err(anyhow::Error::msg)?;
                self.tell_node(index);
            }
        }
        for gateway in &mut self.gateways {
            if gateway.process.is_none() {
                gateway.start(&self.postern)?;
                gateway.tell();
            }
        }
        Ok(())
    }
}

/// Tells of each line that is typed; of none where there is no terminal.
fn typed() -> mpsc::Receiver<()> {
    let (tell, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(()).is_err() {
                return;
            }
        }
    });
    lines
}

struct Gateway {
    name: &'static str,
    /// Added to the usual number of each port.
    ports: u16,
    process: Option<Child>,
}

impl Gateway {
    fn new(name: &'static str, ports: u16) -> Self {
        Self {
            name,
            ports,
            process: None,
        }
    }

    fn at(&self, suffix: &str) -> PathBuf {
        Path::new(HOME).join(format!("{}{suffix}", self.name))
    }

    fn config(&self) -> PathBuf {
        self.at(".yaml")
    }

    fn log(&self) -> PathBuf {
        self.at(".log")
    }

    fn certificate(&self) -> String {
        self.at("/tls/cert.pem").display().to_string()
    }

    fn configure(&self, nodes: &[String]) -> std::io::Result<()> {
        let (name, ports) = (self.name, self.ports);
        let text = format!(
            "# Made by `make demo-cluster`. The two gateways share the cluster and nothing else.
hostname: localhost
state: {name}
postmaster: {ACCOUNT}
listeners:
  - {{ role: mx,         address: \"127.0.0.1:{}\" }}
  - {{ role: submission, address: \"127.0.0.1:{}\" }}
  - {{ role: pop3,       address: \"127.0.0.1:{}\", tls: implicit }}
  - {{ role: admin,      address: \"127.0.0.1:{}\", tls: none }}
store: {{ cassandra: {{ nodes: {nodes:?}, keyspace: mail }} }}
limits: {{ drain: 5s }}
",
            ports + 25,
            ports + 587,
            ports + 995,
            ports + 80,
        );
        fs::write(self.config(), text)
    }

    /// In a process group of its own: Ctrl-C is for this program, which then ends the gateways before the nodes.
    fn start(&mut self, postern: &Path) -> anyhow::Result<()> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(postern);
        command.arg("serve").arg("--config").arg(self.config());
        command.process_group(0).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(File::create(self.log())?);
        self.process = Some(command.spawn().context("setpriv does not start")?);
        Ok(())
    }

    fn await_ready(&mut self) -> anyhow::Result<()> {
        let read = |gateway: &Self| fs::read_to_string(gateway.log()).unwrap_or_default();
        let is_ready = ask_again(PATIENCE, || {
            let ready = read(self).lines().any(|line| line.contains("ready version="));
            (ready || self.has_ended()).then_some(ready)
        });
        match is_ready {
            Some(true) => Ok(()),
            _ => anyhow::bail!("gateway {} does not start:\n{}", self.name, read(self).trim_end()),
        }
    }

    /// A command of the administrator; answers what it says.
    fn command(&self, postern: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(postern);
        command.args(arguments).arg("--config").arg(self.config());
        let said = command.output()?;
        if !said.status.success() {
            anyhow::bail!(
                "{arguments:?}: {}",
                String::from_utf8_lossy(&said.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    fn tell(&self) {
        if let Some(process) = &self.process {
            println!("  kill -9 {:<8} # gateway {}", process.id(), self.name);
        }
    }

    /// Whether it ended since it was asked the last time.
    fn has_ended(&mut self) -> bool {
        let ended = |process: &mut Child| !matches!(process.try_wait(), Ok(None));
        self.process.take_if(ended).is_some()
    }

    fn end(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let pid = rustix::process::Pid::from_child(&process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        ask_again(PATIENCE, || process.try_wait().transpose());
        let _ = process.kill();
        let _ = process.wait();
    }
}
