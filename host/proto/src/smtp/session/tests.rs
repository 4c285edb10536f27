//! The session's own rules; whole conversations are in `tests/dialogues`.

mod envelopes;
mod hellos;
mod splits;
mod transfers;

use super::*;
use crate::smtp::{Mail, Rcpt};
use crate::{sasl, smtp::ForwardPath};
use bytes::BufMut as _;

fn settings(role: Role) -> Settings {
    Settings {
        role,
        hostname: "mx.example".to_owned(),
        limits: Limits {
            message_size: 1000,
            line: 100,
            headers: 500,
            recipients: 3,
            bad_commands: 3,
            unknown_recipients: 2,
        },
        starttls: true,
        tls: None,
        mechanisms: Vec::new(),
        plaintext_auth: false,
        strict_8bitmime: false,
    }
}

fn tls() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        exporter: None,
    }
}

/// A driver that knows a few recipients: `no-…` and `later-…` are refused, `bye-…` closes, and so for
/// senders. The password is `secret`.
struct Driver {
    session: Session,
    /// What went out, and `[reset]`, `[commit]`, `[upgrade]`, `[close]` where those steps came.
    log: String,
    body: Vec<u8>,
    begin: Answer,
    commit: Answer,
}

impl Driver {
    fn new(settings: Settings) -> Self {
        Self {
            session: Session::new(settings),
            log: String::new(),
            body: Vec::new(),
            begin: Answer::Proceed,
            commit: Answer::Proceed,
        }
    }

    /// Goes on until input is needed or the end has come.
    fn run(&mut self) {
        loop {
            match self.session.step() {
                Step::Read => return,
                Step::Close => return self.log.push_str("[close]"),
                Step::Write(reply) => {
                    let mut out = bytes::BytesMut::new();
                    reply.encode(&mut out);
                    self.log.push_str(std::str::from_utf8(&out).unwrap());
                }
                Step::Ask(question) => {
                    let answer = self.answer(question);
                    self.session.answer(answer);
                }
                Step::Body(octets) => self.body.put_slice(&octets),
                Step::Reset => self.log.push_str("[reset]"),
                Step::Upgrade => {
                    self.log.push_str("[upgrade]");
                    self.session.feed(b"QUIT\r\n");
                    self.session.secured(tls());
                }
            }
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        let by_name = |name: &str| match name.split('-').next() {
            Some("no") => Answer::Reply(Reply::no_such_user()),
            Some("later") => Answer::Reply(Reply::our_trouble()),
            Some("bye") => Answer::Close(Reply::shutting_down()),
            _ => Answer::Proceed,
        };
        match question {
            Question::Connect => Answer::Proceed,
            Question::Mail(Mail { sender, .. }) => {
                by_name(sender.map_or(String::new(), |s| s.key()).as_str())
            }
            Question::Rcpt(Rcpt { path }) => match path {
                ForwardPath::Postmaster => Answer::Proceed,
                ForwardPath::Address(address) => by_name(address.local()),
            },
            Question::Begin => self.begin.clone(),
            Question::Commit => {
                self.log.push_str("[commit]");
                self.commit.clone()
            }
            Question::Auth(sasl::Question::Password { login, password }) => {
                let account = login;
                Answer::Auth(match password.as_str() {
                    "secret" => sasl::Answer::Granted { account },
                    _ => sasl::Answer::Denied,
                })
            }
            Question::Auth(_) => Answer::Auth(sasl::Answer::Unavailable),
        }
    }

    fn feed(&mut self, input: &[u8]) {
        self.session.feed(input);
        self.run();
    }

    /// Feeds unless the connection is closed.
    fn feed_open(&mut self, input: &[u8]) {
        if !self.log.ends_with("[close]") {
            self.feed(input);
        }
    }
}

/// What a driver says to the whole input, fed in pieces of `size`.
fn converse(settings: &Settings, arrange: fn(&mut Driver), input: &[u8], size: usize) -> (String, Vec<u8>) {
    let mut driver = Driver::new(settings.clone());
    arrange(&mut driver);
    driver.run();
    for piece in input.chunks(size) {
        driver.feed_open(piece);
    }
    (driver.log, driver.body)
}

/// The codes and marks of a conversation, which is the same in pieces of any size.
fn arranged(settings: &Settings, arrange: fn(&mut Driver), input: &[u8]) -> (String, Vec<u8>) {
    let whole = converse(settings, arrange, input, usize::MAX);
    for size in [1, 2, 3, 7, 50] {
        assert_eq!(
            converse(settings, arrange, input, size),
            whole,
            "in pieces of {size}"
        );
    }
    (codes(&whole.0), whole.1)
}

fn said(settings: &Settings, input: &str) -> String {
    arranged(settings, |_| {}, input.as_bytes()).0
}

/// The last lines of replies, as far as their codes, and the marks.
fn codes(log: &str) -> String {
    let marked = log.replace('[', "\r\n[").replace(']', "]\r\n");
    let lines = marked.split("\r\n").filter(|line| !line.is_empty());
    let last = lines.filter(|line| line.as_bytes().get(3) != Some(&b'-'));
    let short = last.map(|line| line.split(' ').next().unwrap_or(line));
    short.collect::<Vec<_>>().join(" ")
}
