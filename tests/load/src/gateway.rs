//! Gateways as processes, each with a configuration of its own.

use anyhow::{Context as _, bail};
use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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

/// Octets that the log's pipe holds before the gateway waits.
const PIPE: usize = 64 * 1024;
/// In which it takes in lines. Beyond 13 MB of them a second (30,000 messages) the gateway would wait for its log.
const LOG_GATHERS: Duration = Duration::from_millis(5);

/// Where a gateway keeps mail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keeps<'a> {
    In(&'a Place),
    /// In a folder of its own inside this one, which tells what disk is measured.
    Embedded(&'a Path),
}

/// A policy's component, and its YAML.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) component: PathBuf,
    pub(crate) settings: PathBuf,
}

/// A gateway that runs; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) mx: SocketAddr,
    pub(crate) pop3: SocketAddr,
    /// All listeners by name.
    places: HashMap<String, SocketAddr>,
    traffic: Arc<Mutex<Traffic>>,
    folder: tempfile::TempDir,
}

/// The POP3 listeners let in with a password in clear; `mxs` is after STARTTLS.
const LISTENERS: &str = "\
    listeners:
    - { name: mx, role: mx, tls: none, address: \"127.0.0.1:0\" }
    - { name: mxs, role: mx, address: \"127.0.0.1:0\" }
    - { name: lmtp, role: lmtp, tls: none, address: \"127.0.0.1:0\" }
    - { name: pop3, role: pop3, tls: none, plaintext_auth: true, address: \"127.0.0.1:0\" }
    - { name: pop3s, role: pop3, tls: implicit, address: \"127.0.0.1:0\" }
";

/// What messages brought and POP3 sessions that ended had read, by the gateway's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Octets of messages that came, whatever became of them.
    pub(crate) received: u64,
    pub(crate) sessions: u64,
    /// Of them, those that did not end with QUIT.
    pub(crate) broken: u64,
    pub(crate) messages: u64,
    pub(crate) octets: u64,
}

impl Traffic {
    /// Adds what a line of the log says of a message or of a session's end; other lines say nothing.
    fn add(&mut self, line: &str) {
        if let Some((_, fields)) = line.split_once("smtp::record: message ") {
            let size = fields.split(' ').find_map(|field| field.strip_prefix("size="));
            self.received += size.and_then(|octets| octets.parse().ok()).unwrap_or(0);
            return;
        }
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
            received: self.received - before.received,
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
        Self::launch(postern, Keeps::In(place), mailboxes, &[], "")
    }

    /// `more` is behind the usual configuration.
    pub(crate) fn launch(
        postern: &Path,
        keeps: Keeps<'_>,
        mailboxes: &[String],
        policies: &[Policy],
        more: &str,
    ) -> anyhow::Result<Self> {
        let mut named = tempfile::Builder::new();
        let named = named.prefix("postern-load-");
        let folder = match keeps {
            Keeps::Embedded(inside) => named.tempdir_in(inside),
            Keeps::In(_) => named.tempdir(),
        }?;
        let config = folder.path().join("postern.yaml");
        std::fs::write(&config, configuration(keeps) + more)?;
        install(policies, &folder.path().join("plugins.d"))?;
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
        let traffic = Arc::default();
        let serves = ready(&mut child, &traffic, policies.len()).and_then(|places| {
            let place = |name: &str| places.get(name).copied().context("no listener in the log");
            Ok((place("mx")?, place("pop3")?, places))
        });
        let (mx, pop3, places) = match serves {
            Ok(serves) => serves,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        Ok(Self {
            mx,
            pop3,
            child,
            places,
            traffic,
            folder,
        })
    }

    pub(crate) fn listener(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let place = self.places.get(name).copied();
        place.with_context(|| format!("the gateway has no listener {name}"))
    }

    /// With its configuration and, where it is embedded, its mail.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(keeps: Keeps<'_>) -> String {
    let store = match keeps {
        Keeps::Embedded(_) => "embedded".to_owned(),
        Keeps::In(Place {
            nodes,
            keyspace,
            replication,
            consistency,
        }) => format!(
            "{{ cassandra: {{ nodes: {nodes:?}, keyspace: {keyspace}, replication: {replication}, consistency: {consistency} }} }}"
        ),
    };
    format!(
        "hostname: localhost\nstate: state\npostmaster: postmaster@example.org\n{LISTENERS}\
         limits: {{ sessions_per_address: 20000, sessions: 20000 }}\n\
         policy: {{ folder: plugins.d }}\nstore: {store}\n"
    )
}

/// In their order.
fn install(policies: &[Policy], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (nth, policy) in policies.iter().enumerate() {
        for (file, extension) in [(&policy.component, "wasm"), (&policy.settings, "yaml")] {
            let copy = folder.join(format!("{:02}-policy-{nth}.{extension}", nth + 10));
            std::fs::copy(file, copy).with_context(|| format!("{} cannot be copied", file.display()))?;
        }
    }
    Ok(())
}

/// A log that is read in large pieces: to wake for each line would cost the generator a sixth of its time.
struct Log(ChildStderr);

impl io::Read for Log {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let octets = self.0.read(buffer)?;
        if octets < buffer.len() {
            std::thread::sleep(LOG_GATHERS);
        }
        Ok(octets)
    }
}

/// Reads the log until it says that it is ready, with so many policies; of the rest only what it tells of the traffic
/// is kept.
fn ready(
    child: &mut Child,
    traffic: &Arc<Mutex<Traffic>>,
    policies: usize,
) -> anyhow::Result<HashMap<String, SocketAddr>> {
    let stderr = child.stderr.take().context("no stderr")?;
    let mut lines = BufReader::with_capacity(PIPE, Log(stderr)).lines();
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
    all_loaded(&log, policies)?;
    let places = log.iter().filter_map(|line| listening(line)).collect();
    let traffic = Arc::clone(traffic);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            traffic.lock().unwrap_or_else(PoisonError::into_inner).add(&line);
        }
    });
    Ok(places)
}

/// A gateway serves without a policy that it refused, which would be measured as one that costs nothing.
fn all_loaded(log: &[String], policies: usize) -> anyhow::Result<()> {
    let loaded = log
        .iter()
        .filter(|line| line.contains(": policy loaded policy="))
        .count();
    if loaded != policies {
        let faults = log.iter().filter_map(|line| line.split_once(" ERROR "));
        let faults: Vec<_> = faults.map(|(_, fault)| fault).collect();
        bail!(
            "{loaded} of {policies} policies were loaded: {}",
            faults.join("; ")
        );
    }
    Ok(())
}

/// Name and address of a listener, of the line that tells of it.
fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let (_, fields) = line.split_once("listening name=")?;
    let (name, rest) = fields.split_once(' ')?;
    let (_, address) = rest.rsplit_once("address=")?;
    Some((name.to_owned(), address.parse().ok()?))
}

/// The gateway beside this program, unless another is named.
pub(crate) fn beside_this_program() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("postern")
}

#[cfg(test)]
mod tests {
    use super::{Traffic, all_loaded, listening};

    #[test]
    fn listeners_are_found_in_the_log() {
        let line = "INFO postern::net: listening name=pop3s role=pop3 tls=implicit address=127.0.0.1:4711";
        assert_eq!(
            listening(line),
            Some(("pop3s".to_owned(), ([127, 0, 0, 1], 4711).into()))
        );
        assert_eq!(listening("INFO postern: ready version=\"0.1.0\""), None);
    }

    #[test]
    fn a_policy_that_was_refused_is_named() {
        let loaded =
            "INFO postern::policy::watch: policy loaded policy=\"10-a\" answers=\"message\"".to_owned();
        let refused =
            "9:41 ERROR postern::policy::watch: a policy was not loaded fault=plugins.d/11-b.yaml: no"
                .to_owned();
        all_loaded(&[], 0).unwrap();
        all_loaded(std::slice::from_ref(&loaded), 1).unwrap();
        let fault = all_loaded(&[loaded, refused], 2).unwrap_err().to_string();
        assert!(fault.starts_with("1 of 2 policies were loaded: "), "{fault}");
        assert!(fault.ends_with("fault=plugins.d/11-b.yaml: no"), "{fault}");
    }

    #[test]
    fn messages_and_the_ends_of_sessions_are_added() {
        let mut traffic = Traffic::default();
        traffic.add("INFO postern::smtp::record: message id=01 size=401239 outcome=\"accepted\"");
        let end = |end: &str, figures: &str| {
            format!(
                "INFO postern::pop3::tally: POP3 session ended client=127.0.0.1:1 end={end:?} {figures} seconds=4.5"
            )
        };
        traffic.add(&end("closed", "retrieved=140 octets=38980339 deleted=140"));
        let before = traffic;
        traffic.add(&end(
            "gone",
            "reason=\"went away\" retrieved=2 octets=300 deleted=0",
        ));
        let all = Traffic {
            received: 401_239,
            sessions: 2,
            broken: 1,
            messages: 142,
            octets: 38_980_639,
        };
        assert_eq!(traffic, all);
        let last = Traffic {
            received: 0,
            sessions: 1,
            broken: 1,
            messages: 2,
            octets: 300,
        };
        assert_eq!(traffic.since(before), last);
    }
}
