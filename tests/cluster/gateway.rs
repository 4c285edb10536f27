//! A gateway's configuration and its process.

use crate::{PATIENCE, ask_again};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

pub(crate) const POSTERN: &str = env!("CARGO_BIN_EXE_postern");
pub(crate) const PASSWORD: &str = "correct horse";

/// A configuration in a folder of its own; nothing but the cluster is shared with others.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new(nodes: &[String], keyspace: &str, replication: usize) -> Self {
        Self::with(&format!(
            "nodes: {nodes:?}, keyspace: {keyspace}, replication: {replication}"
        ))
    }

    /// The same with these keys of `store.cassandra`.
    pub(crate) fn with(cassandra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname: localhost\nstate: state\npostmaster: admin@example.org\nlisteners:\n\
             - {{ name: mx, role: mx, tls: none, address: \"127.0.0.1:0\" }}\n\
             - {{ name: pop3, role: pop3, tls: none, plaintext_auth: true, address: \"127.0.0.1:0\" }}\n\
             - {{ name: admin, role: admin, address: \"127.0.0.1:0\" }}\n\
             store: {{ cassandra: {{ {cassandra} }} }}\n"
        );
        std::fs::write(folder.path().join("postern.yaml"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("postern.yaml")
    }

    /// A command other than serve, to its end.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(POSTERN)
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// A command that succeeds; answers what it says.
    pub(crate) fn done(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn add_user(&self, address: &str) {
        let line = format!("{PASSWORD}\n");
        self.done(&["user", "add", address, "--password-stdin"], &line);
    }

    /// Octets and messages of a mailbox, as this site's gateway, or its own look, knows them.
    pub(crate) fn usage(&self, address: &str) -> (u64, u64) {
        self.usages()[address]
    }

    /// The same of all.
    pub(crate) fn usages(&self) -> HashMap<String, (u64, u64)> {
        let listed = self.done(&["user", "list", "--json"], "");
        let users: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
        let figure = |user: &serde_json::Value, name| user[name].as_u64().unwrap();
        let line = |user: &serde_json::Value| {
            let address = user["address"].as_str().unwrap().to_owned();
            (address, (figure(user, "bytes"), figure(user, "messages")))
        };
        users.iter().map(line).collect()
    }

    pub(crate) fn serve(&self) -> Gateway {
        let mut command = Command::new(POSTERN);
        command.arg("serve").arg("--config").arg(self.config());
        Gateway::start(command)
    }
}

/// A gateway that runs; killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    pub(crate) mx: SocketAddr,
    pub(crate) pop3: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts it by this command line and waits until it says that it is ready.
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .env_remove("POSTERN_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, lines) = mpsc::channel();
        // To its end, so that the process never waits for us.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut gateway = Self {
            child,
            lines,
            log: Vec::new(),
            mx: nowhere,
            pop3: nowhere,
            admin: nowhere,
        };
        gateway.logged("ready version=");
        for (name, place) in [
            ("mx", &mut gateway.mx),
            ("pop3", &mut gateway.pop3),
            ("admin", &mut gateway.admin),
        ] {
            let name = format!("listening name={name} ");
            let line = gateway.log.iter().find(|line| line.contains(&name)).unwrap();
            *place = line.rsplit_once("address=").unwrap().1.parse().unwrap();
        }
        gateway
    }

    /// The first line of the log with this in it, once it is there.
    pub(crate) fn logged(&mut self, word: &str) -> String {
        self.logged_times(word, 1)
    }

    /// The line that is the `nth` with this in it, once it is there.
    pub(crate) fn logged_times(&mut self, word: &str, nth: usize) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut found = self.log.iter().filter(|line| line.contains(word));
            if let Some(line) = found.nth(nth - 1) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.log.push(line),
                Err(_) => panic!("no `{word}` in\n{}", self.log.join("\n")),
            }
        }
    }

    /// The lines of the log so far that have this in them.
    pub(crate) fn lines(&mut self, word: &str) -> Vec<&String> {
        self.log.extend(self.lines.try_iter());
        self.log.iter().filter(|line| line.contains(word)).collect()
    }

    pub(crate) fn page(&self, path: &str) -> String {
        let mut tcp = TcpStream::connect(self.admin).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(tcp, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks `/readyz` until it answers with this status.
    pub(crate) fn await_ready(&self, status: &str) -> String {
        let wanted = format!("HTTP/1.1 {status}");
        ask_again(|| {
            let page = self.page("/readyz?verbose");
            match page.starts_with(&wanted) {
                true => Ok(page),
                false => Err(format!("not {status}: {page}")),
            }
        })
    }

    /// SIGSTOP.
    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; answers the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}
