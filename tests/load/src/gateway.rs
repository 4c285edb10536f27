//! Gateways as processes, each with a configuration of its own over one cluster.

use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) const PASSWORD: &str = "correct horse";

/// What a gateway is to the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) nodes: Vec<String>,
    pub(crate) keyspace: String,
    pub(crate) replication: usize,
    pub(crate) consistency: &'static str,
}

/// A gateway that runs; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) mx: SocketAddr,
    pub(crate) pop3: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Makes the mailboxes where they are not there yet, and serves.
    pub(crate) fn start(postern: &Path, place: &Place, mailboxes: &[String]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("postern-load-").tempdir()?;
        let config = folder.path().join("postern.yaml");
        let Place {
            nodes,
            keyspace,
            replication,
            consistency,
        } = place;
        let text = format!(
            "hostname: localhost\nstate: state\npostmaster: postmaster@example.org\nlisteners:\n\
             - {{ name: mx, role: mx, tls: none, address: \"127.0.0.1:0\" }}\n\
             - {{ name: pop3, role: pop3, tls: none, plaintext_auth: true, address: \"127.0.0.1:0\" }}\n\
             limits: {{ sessions_per_address: 2000 }}\n\
             store: {{ cassandra: {{ nodes: {nodes:?}, keyspace: {keyspace}, replication: {replication}, consistency: {consistency} }} }}\n"
        );
        std::fs::write(&config, text)?;
        let accounts = folder.path().join("accounts.csv");
        let lines: String = mailboxes.iter().map(|to| format!("{to},{PASSWORD}\n")).collect();
        std::fs::write(&accounts, lines)?;
        let command = |words: &[&str]| {
            let mut command = Command::new(postern);
            command.args(words).arg("--config").arg(&config);
            command
        };
        // Both say no where another gateway of this keyspace has made them.
        command(&["domain", "add", "example.org"]).output()?;
        let file = accounts.to_string_lossy().into_owned();
        let imported = command(&["user", "import", &file]).output();
        imported.with_context(|| format!("{} does not start", postern.display()))?;
        let mut serve = command(&["serve"]);
        serve.env_remove("POSTERN_LOG").env_remove("NOTIFY_SOCKET");
        let mut child = serve.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let places = ready(&mut child);
        let [mx, pop3] = match places {
            Ok(places) => places,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        Ok(Self {
            child,
            mx,
            pop3,
            _folder: folder,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log until it says that it is ready; the rest is passed over.
fn ready(child: &mut Child) -> anyhow::Result<[SocketAddr; 2]> {
    let stderr = child.stderr.take().context("no stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut log = Vec::new();
    loop {
        let Some(line) = lines.next() else {
            bail!("the gateway ended:\n{}", log.join("\n"));
        };
        let line = line?;
        let is_ready = line.contains("ready version=");
        log.push(line);
        if is_ready {
            break;
        }
    }
    let place = |name: &str| -> anyhow::Result<SocketAddr> {
        let name = format!("listening name={name} ");
        let line = log.iter().find(|line| line.contains(&name));
        let address = line.and_then(|line| line.rsplit_once("address="));
        Ok(address.context("no listener in the log")?.1.parse()?)
    };
    let places = [place("mx")?, place("pop3")?];
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(places)
}

/// The gateway beside this program, unless another is named.
pub(crate) fn beside_this_program() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("postern")
}
