//! `postern serve` and `postern check` as processes: readiness, signals, exit codes, what is left behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends by panicking"
)]

#[path = "senders.rs"]
mod senders;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../../host/src/dns/server.rs"]
mod server;

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

const POSTERN: &str = env!("CARGO_BIN_EXE_postern");
/// Nothing here takes as long; it ends a test that would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration in a folder of its own.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname: localhost\nstate: state\npostmaster: admin@example.org\nlisteners:\n\
             - {{ name: mx, role: mx, address: \"127.0.0.1:0\" }}\n\
             - {{ name: admin, role: admin, address: \"127.0.0.1:0\" }}\n{more}"
        );
        std::fs::write(folder.path().join("postern.yaml"), text).unwrap();
        Self { folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("postern.yaml")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn check(&self) -> Output {
        self.postern(&["check"])
    }

    /// A command other than serve, to its end.
    fn postern(&self, arguments: &[&str]) -> Output {
        Command::new(POSTERN)
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .output()
            .unwrap()
    }

    /// Starts a gateway by this command line and waits for its READY=1.
    fn serve_by(&self, mut command: Command) -> Running {
        let path = self.folder.path().join("notify");
        let _ = std::fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        command
            .env("NOTIFY_SOCKET", &path)
            .env_remove("POSTERN_LOG")
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut running = Running {
            child,
            log,
            manager,
            seen: String::new(),
        };
        running.told("READY=1");
        running
    }

    fn serve(&self) -> Running {
        let mut command = Command::new(POSTERN);
        command.arg("serve").arg("--config").arg(self.config());
        self.serve_by(command)
    }
}

struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
    manager: UnixDatagram,
    seen: String,
}

impl Running {
    /// Waits until the service manager hears this.
    fn told(&mut self, what: &str) {
        let mut datagram = [0; 4096];
        loop {
            let Ok(octets) = self.manager.recv(&mut datagram) else {
                self.child.kill().unwrap();
                let mut log = String::new();
                self.log.read_to_string(&mut log).unwrap();
                panic!("never told {what}:\n{log}");
            };
            if String::from_utf8_lossy(&datagram[..octets])
                .lines()
                .any(|line| line == what)
            {
                return;
            }
        }
    }

    /// The log up to and with the first line that has `word`; what was read before counts too.
    fn logged(&mut self, word: &str) -> String {
        loop {
            if let Some(line) = self.seen.lines().find(|line| line.contains(word)) {
                return line.to_owned();
            }
            assert!(
                self.log.read_line(&mut self.seen).unwrap() > 0,
                "no {word} in\n{}",
                self.seen
            );
        }
    }

    fn address(&mut self, listener: &str) -> String {
        let line = self.logged(&format!("listening name={listener} "));
        line.rsplit_once("address=").unwrap().1.to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn code(mut self) -> Option<i32> {
        // Read to its end, so that the process never waits for us.
        self.log.read_to_string(&mut self.seen).unwrap();
        self.child.wait().unwrap().code()
    }

    fn get(&mut self, path: &str) -> String {
        let mut tcp = TcpStream::connect(self.address("admin")).unwrap();
        write!(tcp, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn ready_is_told_when_everything_listens_and_sigterm_ends_with_code_0() {
    let site = Site::new("");
    let mut gateway = site.serve();
    let mut greeting = String::new();
    let mx = TcpStream::connect(gateway.address("mx")).unwrap();
    mx.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(&mx).read_line(&mut greeting).unwrap();
    assert!(greeting.starts_with("220 localhost "), "{greeting}");
    assert!(gateway.get("/readyz?verbose").contains("store: ready\n"));
    assert!(
        gateway
            .get("/metrics")
            .contains("postern_sessions_total{listener=\"mx\"} 1")
    );
    gateway.signal(Signal::TERM);
    gateway.told("STOPPING=1");
    let mut farewell = String::new();
    BufReader::new(&mx).read_line(&mut farewell).unwrap();
    assert!(farewell.starts_with("421 "), "{farewell}");
    drop(mx);
    assert_eq!(gateway.code(), Some(0));
}

#[test]
fn what_a_gateway_keeps_is_the_owners_alone() {
    let site = Site::new("");
    let gateway = site.serve();
    let mut folders = vec![site.state()];
    while let Some(path) = folders.pop() {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
        if path.is_dir() {
            folders.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    gateway.signal(Signal::INT);
    assert_eq!(gateway.code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once_with_code_1() {
    let site = Site::new("");
    let mut gateway = site.serve();
    let mut client = TcpStream::connect(gateway.address("mx")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut replies = BufReader::new(client.try_clone().unwrap());
    let mut reply = String::new();
    replies.read_line(&mut reply).unwrap();
    // postmaster is deliverable without an account only in the reply; a transaction is what keeps a session.
    client
        .write_all(b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\n")
        .unwrap();
    while !reply.starts_with("250 2.1.0") {
        reply.clear();
        assert!(replies.read_line(&mut reply).unwrap() > 0);
    }
    gateway.signal(Signal::TERM);
    gateway.told("STOPPING=1");
    gateway.signal(Signal::TERM);
    let code = gateway.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{code:?}: a session in a transaction may also be told 421 at once"
    );
}

#[test]
fn the_descriptor_limit_caps_the_sessions_with_a_line_in_the_log() {
    let site = Site::new("");
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 364 && exec \"$0\" serve --config \"$1\"",
            POSTERN,
        ])
        .arg(site.config());
    let mut gateway = site.serve_by(command);
    let line = gateway.logged("capped by the file-descriptor limit");
    // 256 are for files, 64 for the admin listener.
    assert!(line.contains("admitted=44 "), "{line}");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.code(), Some(0));
}

#[test]
fn sighup_loads_certificates_again() {
    let site = Site::new("");
    let mut gateway = site.serve();
    gateway.signal(Signal::HUP);
    gateway.logged("SIGHUP");
    gateway.logged("certificate loaded");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_named_and_ends_the_start_with_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let site = Site::new(&format!(
        "- {{ name: second, role: lmtp, tls: none, address: \"{address}\" }}\n"
    ));
    let output = Command::new(POSTERN)
        .arg("serve")
        .arg("--config")
        .arg(site.config())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains(&format!("listener second cannot listen on {address}")),
        "{error}"
    );
}

#[test]
fn check_prints_a_summary_or_every_fault() {
    let site = Site::new("");
    let good = site.check();
    assert_eq!(good.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&good.stdout).contains("abuse goes to admin@example.org"));
    assert!(!site.state().exists(), "check makes nothing");
    let bad = Site::new("colour: red\nlimits: { recipients: 5 }\n").check();
    assert_eq!(bad.status.code(), Some(1));
    let error = String::from_utf8_lossy(&bad.stderr);
    assert!(
        error.contains("colour: unknown field") && error.contains("(line 7)"),
        "{error}"
    );
    assert!(
        error.contains("limits.recipients: 5 is too little; write 100 or more (line 8)"),
        "{error}"
    );
}

#[test]
fn check_names_every_policy_that_does_not_load_and_serve_goes_on_without_it() {
    let site = Site::new("policy: { folder: plugins.d }\n");
    let folder = site.folder.path().join("plugins.d");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("10-text.wasm"), "text").unwrap();
    std::fs::write(folder.join("20-module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let checked = site.check();
    assert_eq!(checked.status.code(), Some(1));
    let error = String::from_utf8_lossy(&checked.stderr);
    assert!(
        error.contains("10-text.wasm: is no WebAssembly: it begins with \"text\""),
        "{error}"
    );
    assert!(
        error.contains("20-module.wasm: is a module, not a component; build it"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 2, "{error}");
    let listed = site.postern(&["plugin", "list"]);
    assert_eq!(listed.status.code(), Some(0));
    let note = String::from_utf8_lossy(&listed.stderr);
    assert!(
        note.starts_with("no gateway runs for ") && note.contains("(another: --config or POSTERN_CONFIG)"),
        "{note}"
    );
    assert!(!site.state().exists(), "neither makes anything");
    let json = || {
        let listed = site.postern(&["plugin", "list", "--json"]);
        serde_json::from_slice::<Vec<serde_json::Value>>(&listed.stdout).unwrap()
    };
    let stopped = json();
    let gateway = site.serve();
    assert_eq!(
        json(),
        stopped,
        "a gateway that runs and one that does not list the same"
    );
    assert_eq!(stopped.len(), 2);
    assert_eq!(stopped[1]["status"], "refused");
    let fault = stopped[1]["fault"].as_str().unwrap();
    assert!(fault.starts_with("is a module, not a component"), "{fault}");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.code(), Some(0));
}

#[test]
fn a_policy_folder_that_is_refused_itself_ends_the_start_with_one_line() {
    let site = Site::new("policy: { folder: plugins.d }\n");
    let folder = site.folder.path().join("plugins.d");
    std::os::unix::fs::symlink("nothing", &folder).unwrap();
    for command in ["serve", "check"] {
        let output = site.postern(&[command]);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8_lossy(&output.stderr);
        let last = error.lines().last().unwrap();
        let said = format!("{}: is a link to nothing; link it to a folder", folder.display());
        assert!(last.contains(&said), "{error}");
    }
}

#[test]
fn check_says_where_postmaster_and_abuse_of_each_domain_go() {
    let site = Site::new("");
    for arguments in [
        &["domain", "add", "example.org"][..],
        &["user", "add", "ann@example.org", "--no-login"],
        &["alias", "add", "abuse@example.org", "ann@example.org"],
    ] {
        assert_eq!(site.postern(arguments).status.code(), Some(0), "{arguments:?}");
    }
    let stopped = String::from_utf8(site.check().stdout).unwrap();
    assert!(
        stopped.contains("postmaster@example.org goes to admin@example.org\n"),
        "{stopped}"
    );
    assert!(
        stopped.contains("abuse@example.org goes to ann@example.org\n"),
        "{stopped}"
    );
    let gateway = site.serve();
    let running = String::from_utf8(site.check().stdout).unwrap();
    let domains = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("domain "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(domains(&running), domains(&stopped));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.code(), Some(0));
}

#[test]
fn a_transaction_that_outlasts_the_drain_is_told_421_and_the_code_is_0() {
    let site = Site::new("limits: { drain: 1s }\n");
    let mut gateway = site.serve();
    let mut client = TcpStream::connect(gateway.address("mx")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut replies = BufReader::new(client.try_clone().unwrap());
    client
        .write_all(b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\n")
        .unwrap();
    let mut reply = String::new();
    while !reply.starts_with("250 2.1.0") {
        reply.clear();
        assert!(replies.read_line(&mut reply).unwrap() > 0);
    }
    gateway.signal(Signal::TERM);
    gateway.told("STOPPING=1");
    gateway.logged("limits.drain is over");
    reply.clear();
    replies.read_line(&mut reply).unwrap();
    assert!(reply.starts_with("421 "), "{reply}");
    assert_eq!(gateway.code(), Some(0));
}

#[test]
fn systemd_accepts_the_unit() {
    let unit = include_str!("../../config/postern.service").replace("/usr/local/bin/postern", POSTERN);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postern.service");
    std::fs::write(&path, unit).unwrap();
    // Where systemd is not installed there is nobody to ask.
    if let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Idle connections to the admin listener took every file descriptor, and no mail came in any more.
#[test]
fn mail_is_taken_while_the_admin_listener_is_full() {
    let site = Site::new("");
    let mut command = Command::new("sh");
    let config = site.config();
    let serve = format!(
        "ulimit -n 400; exec {POSTERN} serve --config {}",
        config.display()
    );
    command.arg("-c").arg(serve);
    let mut gateway = site.serve_by(command);
    let (admin, mx) = (gateway.address("admin"), gateway.address("mx"));
    let mut idle = Vec::new();
    for _ in 0..420 {
        let mut tcp = TcpStream::connect(&admin).unwrap();
        // Half a request; one that is refused may be gone already.
        let _ = tcp.write_all(b"GET /metrics HTTP/1.1\r\n");
        idle.push(tcp);
    }
    let mx = TcpStream::connect(mx).unwrap();
    mx.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut greeting = String::new();
    let read = BufReader::new(&mx).read_line(&mut greeting);
    assert!(
        read.is_ok() && greeting.starts_with("220 "),
        "{read:?}: {greeting}"
    );
    drop(idle);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.code(), Some(0));
}
