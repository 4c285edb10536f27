//! The POP3 machine in dialogues: `pop3/*.txt`, in the language of [`support`].
//!
//! Settings: `tls` (true unless it is said), `exporter`, `stls`, `plaintext_auth`, `mechanisms` (PLAIN and LOGIN
//! unless they are said), `login_delay`, `bad_commands`. The sessions call themselves mx.example.org. Content is
//! the message that is to be sent: place, form and extent.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a script that cannot be read fails the test"
)]

mod support;

use postern_proto::pop3::{
    Answer, Extent, Fetch, Form, Limits, Message, Question, Refusal, Session, Settings, Step, Trouble,
    UniqueId,
};
use postern_proto::sasl::{self, Mechanism, ScramKeys};
use postern_proto::smtp::TlsFacts;
use support::{Flow, Log, Peer, Script};

const KEYS: [&str; 7] = [
    "tls",
    "exporter",
    "stls",
    "plaintext_auth",
    "mechanisms",
    "login_delay",
    "bad_commands",
];

#[test]
fn pop3_dialogues_are_the_same_in_any_pieces() {
    support::run_folder("pop3", |script| Connection {
        session: Session::new(settings(script)),
        securing: false,
    });
}

fn settings(script: &Script) -> Settings {
    for key in script.keys() {
        assert!(KEYS.contains(&key), "unknown setting {key}");
    }
    let mechanisms = script.setting("mechanisms").unwrap_or("PLAIN LOGIN");
    let clear = script.setting("tls") == Some("false");
    let delay = script.number("login_delay", 0);
    Settings {
        hostname: "mx.example.org".to_owned(),
        limits: Limits {
            bad_commands: script.number("bad_commands", 5),
        },
        stls: script.flag("stls"),
        tls: (!clear).then(|| tls(script.flag("exporter"))),
        mechanisms: mechanisms
            .split_whitespace()
            .map(|name| Mechanism::named(name).expect("a mechanism"))
            .collect(),
        plaintext_auth: script.flag("plaintext_auth"),
        login_delay: (delay > 0).then_some(delay as u64),
    }
}

fn tls(exporter: bool) -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        exporter: exporter.then(|| b"channel".to_vec()),
    }
}

/// A session, and what its driver keeps.
struct Connection {
    session: Session,
    securing: bool,
}

impl Peer for Connection {
    fn turn(&mut self, input: &[u8], log: &mut Log) -> Flow {
        self.session.feed(input);
        if self.securing {
            return Flow::Upgrade;
        }
        loop {
            match self.session.step() {
                Step::Read => return Flow::Read,
                Step::Write(reply) => {
                    let mut wire = Vec::new();
                    reply.encode(&mut wire);
                    log.octets("S", &wire);
                }
                Step::Ask(question) => {
                    let answer = log.ask(&describe(&question));
                    self.session.answer(parse(&answer));
                }
                Step::Send(fetch) => log.octets("B", format!("{}\r\n", fetched(&fetch)).as_bytes()),
                Step::Upgrade => {
                    self.securing = true;
                    return Flow::Upgrade;
                }
                Step::Close => {
                    log.event("CLOSE");
                    return Flow::Close;
                }
            }
        }
    }

    fn secured(&mut self) {
        self.securing = false;
        self.session.secured(tls(false));
    }
}

fn describe(question: &Question) -> String {
    match question {
        Question::Auth(sasl::Question::Password { login, password }) => match password.len() {
            0..=100 => format!("password {login} {password}"),
            long => format!("password {login} of {long} octets"),
        },
        Question::Auth(sasl::Question::Keys { login }) => format!("keys {login}"),
        Question::Auth(sasl::Question::Proof { login, account }) => {
            format!("proof {login} {}", account.as_deref().unwrap_or("wrong"))
        }
        Question::Open { account } => format!("open {account}"),
        Question::Fetch(fetch) => format!("fetch {}", fetched(fetch)),
        Question::Remove(places) => format!("remove {places:?}"),
    }
}

fn fetched(fetch: &Fetch) -> String {
    let form = match fetch.form {
        Form::Downgraded => "downgraded",
        Form::Utf8 => "utf8",
    };
    match fetch.extent {
        Extent::Whole => format!("{} {form} whole", fetch.place),
        Extent::Top(lines) => format!("{} {form} top {lines}", fetch.place),
    }
}

fn parse(answer: &str) -> Answer {
    let (verb, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    match verb {
        "granted" => Answer::Auth(sasl::Answer::Granted { account: rest.into() }),
        "denied" => Answer::Auth(sasl::Answer::Denied),
        "login-unavailable" => Answer::Auth(sasl::Answer::Unavailable),
        "keys" => Answer::Auth(keys(rest)),
        "opened" => Answer::Opened(rest.split_whitespace().map(message).collect()),
        "refused" => Answer::Refused(refusal(rest)),
        "ready" => Answer::Ready,
        "removed" => Answer::Removed,
        "trouble" => Answer::Trouble(trouble(rest)),
        _ => panic!("what is the answer {answer:?}?"),
    }
}

fn refusal(why: &str) -> Refusal {
    match why {
        "in-use" => Refusal::InUse,
        "login-delay" => Refusal::LoginDelay,
        "too-many-sessions" => Refusal::TooManySessions,
        "unavailable" => Refusal::Unavailable,
        _ => panic!("refused {why}"),
    }
}

fn trouble(which: &str) -> Trouble {
    match which {
        "temporary" => Trouble::Temporary,
        "gone" => Trouble::Gone,
        _ => panic!("trouble {which}"),
    }
}

/// `uidl:size`, or `uidl:size:downgraded size`.
fn message(text: &str) -> Message {
    let mut parts = text.split(':');
    let uidl = UniqueId::Text(parts.next().expect("a UIDL").into());
    let sizes: Vec<u64> = parts.map(|size| size.parse().expect("a size")).collect();
    let (size, downgraded_size) = match sizes[..] {
        [size] => (size, size),
        [size, downgraded] => (size, downgraded),
        _ => panic!("no message: {text}"),
    };
    Message {
        size,
        downgraded_size,
        uidl,
    }
}

/// Salt, password and nonce of RFC 7677 §3; `nobody` has no account.
fn keys(account: &str) -> sasl::Answer {
    let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81".to_vec();
    sasl::Answer::Keys {
        keys: ScramKeys::derive("pencil", salt, 4096),
        account: (account != "nobody").then(|| account.to_owned()),
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned(),
    }
}
