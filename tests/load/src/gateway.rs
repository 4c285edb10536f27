//! Gateways as processes, each with a configuration of its own over one cluster.

use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// In one word, as `rabid` reads it.
pub(crate) const PASSWORD: &str = "correct-horse";

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
    read: Arc<Mutex<Read>>,
    _folder: tempfile::TempDir,
}

/// What POP3 sessions that ended had read, by the gateway's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) sessions: u64,
    /// Of them, those that did not end with QUIT.
    pub(crate) broken: u64,
    pub(crate) messages: u64,
    pub(crate) octets: u64,
}

impl Read {
    /// Adds what a line of the log says of a session's end; other lines say nothing.
    fn add(&mut self, line: &str) {
        let Some((_, fields)) = line.split_once("POP3 session ended ") else {
            return;
        };
        let field = |name: &str| fields.split(' ').find_map(|field| field.strip_prefix(name));
        let count = |name| field(name).and_then(|figure| figure.parse().ok()).unwrap_or(0);
        self.sessions += 1;
        self.broken += u64::from(field("end=") != Some("\"closed\""));
        self.messages += count("retrieved=");
        self.octets += count("octets=");
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            sessions: self.sessions - before.sessions,
            broken: self.broken - before.broken,
            messages: self.messages - before.messages,
            octets: self.octets - before.octets,
        }
    }
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
        let read = Arc::default();
        let [mx, pop3] = match ready(&mut child, &read) {
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
            read,
            _folder: folder,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn read(&self) -> Read {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log until it says that it is ready; of the rest only the ends of POP3 sessions are kept.
fn ready(child: &mut Child, read: &Arc<Mutex<Read>>) -> anyhow::Result<[SocketAddr; 2]> {
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
    let read = Arc::clone(read);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            read.lock().unwrap_or_else(PoisonError::into_inner).add(&line);
        }
    });
    Ok(places)
}

/// The gateway beside this program, unless another is named.
pub(crate) fn beside_this_program() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("postern")
}

#[cfg(test)]
mod tests {
    use super::Read;

    #[test]
    fn the_ends_of_sessions_are_added() {
        let mut read = Read::default();
        read.add("INFO postern::smtp::record: message id=01 size=401239 outcome=\"accepted\"");
        let end = |end: &str, figures: &str| {
            format!(
                "INFO postern::pop3::tally: POP3 session ended client=127.0.0.1:1 end={end:?} {figures} seconds=4.5"
            )
        };
        read.add(&end("closed", "retrieved=140 octets=38980339 deleted=140"));
        let before = read;
        read.add(&end(
            "gone",
            "reason=\"went away\" retrieved=2 octets=300 deleted=0",
        ));
        let all = Read {
            sessions: 2,
            broken: 1,
            messages: 142,
            octets: 38_980_639,
        };
        assert_eq!(read, all);
        let last = Read {
            sessions: 1,
            broken: 1,
            messages: 2,
            octets: 300,
        };
        assert_eq!(read.since(before), last);
    }
}
