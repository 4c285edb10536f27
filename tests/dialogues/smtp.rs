//! The SMTP machine in dialogues: `smtp/*.txt`, in the language of [`support`].
//!
//! Settings: `role` (mx, submission, lmtp), `starttls`, `tls`, `mechanisms`, `plaintext_auth`,
//! `strict_8bitmime`, and the limits by their names. The sessions call themselves mx.example.org. Content is
//! observed when it is complete, before `Q: commit`.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a script that cannot be read fails the test"
)]

mod support;

use bytes::BytesMut;
use postern_proto::sasl::{self, Mechanism};
use postern_proto::smtp::{
    Answer, BodyType, ForwardPath, Limits, Question, Refusal, Reply, Role, Session, Settings, Step, TlsFacts,
};
use support::{Flow, Log, Peer, Script};

const KEYS: [&str; 12] = [
    "role",
    "starttls",
    "tls",
    "mechanisms",
    "plaintext_auth",
    "strict_8bitmime",
    "message_size",
    "line",
    "headers",
    "recipients",
    "bad_commands",
    "unknown_recipients",
];

#[test]
fn smtp_dialogues_are_the_same_in_any_pieces() {
    support::run_folder("smtp", |script| Connection {
        session: Session::new(settings(script)),
        body: BytesMut::new(),
        securing: false,
    });
}

fn settings(script: &Script) -> Settings {
    for key in script.keys() {
        assert!(KEYS.contains(&key), "unknown setting {key}");
    }
    let mechanisms = script
        .setting("mechanisms")
        .unwrap_or_default()
        .split_whitespace();
    Settings {
        role: match script.setting("role") {
            None | Some("mx") => Role::Mx,
            Some("submission") => Role::Submission,
            Some("lmtp") => Role::Lmtp,
            Some(other) => panic!("role: {other}"),
        },
        hostname: "mx.example.org".into(),
        limits: Limits {
            message_size: script.number("message_size", 1_000_000) as u64,
            line: script.number("line", 65_536),
            headers: script.number("headers", 2_097_152),
            recipients: script.number("recipients", 1000),
            bad_commands: script.number("bad_commands", 20),
            unknown_recipients: script.number("unknown_recipients", 20),
        },
        starttls: script.flag("starttls"),
        tls: script.flag("tls").then(tls),
        mechanisms: mechanisms
            .map(|name| Mechanism::named(name).expect("a mechanism"))
            .collect(),
        plaintext_auth: script.flag("plaintext_auth"),
        strict_8bitmime: script.flag("strict_8bitmime"),
    }
}

fn tls() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".into(),
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        exporter: None,
    }
}

/// A session, and what its driver keeps.
struct Connection {
    session: Session,
    body: BytesMut,
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
                    let mut wire = BytesMut::new();
                    reply.encode(&mut wire);
                    log.octets("S", &wire);
                }
                Step::Ask(question) => self.ask(&question, log),
                Step::Body(content) => self.body.extend_from_slice(&content),
                Step::Reset => {
                    self.body.clear();
                    log.event("RESET");
                }
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
        self.session.secured(tls());
    }
}

impl Connection {
    fn ask(&mut self, question: &Question, log: &mut Log) {
        if *question == Question::Commit {
            log.octets("B", &self.body.split());
        }
        let answer = log.ask(&describe(question));
        self.session.answer(parse(&answer));
    }
}

fn describe(question: &Question) -> String {
    match question {
        Question::Connect => "connect".into(),
        Question::Auth(sasl::Question::Password { login, password }) => {
            format!("password {login} {password}")
        }
        Question::Auth(sasl::Question::Keys { login }) => format!("keys {login}"),
        Question::Auth(sasl::Question::Proof { login, .. }) => format!("proof {login}"),
        Question::Mail(mail) => {
            let mut text = match &mail.sender {
                Some(address) => format!("mail <{address}>"),
                None => "mail <>".into(),
            };
            if let Some(size) = mail.size {
                text += &format!(" size={size}");
            }
            if mail.body == BodyType::EightBitMime {
                text += " 8bitmime";
            }
            if mail.smtputf8 {
                text += " smtputf8";
            }
            text
        }
        Question::Rcpt(rcpt) => match &rcpt.path {
            ForwardPath::Postmaster => "rcpt postmaster".into(),
            ForwardPath::Address(address) => format!("rcpt <{address}>"),
        },
        Question::Begin => "begin".into(),
        Question::Commit => "commit".into(),
    }
}

fn parse(answer: &str) -> Answer {
    let (verb, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    match verb {
        "proceed" => Answer::Proceed,
        "reply" => Answer::Reply(reply(rest)),
        "close" => Answer::Close(reply(rest)),
        "each" => Answer::Each(rest.split(" | ").map(reply).collect()),
        "granted" => Answer::Auth(sasl::Answer::Granted { account: rest.into() }),
        "denied" => Answer::Auth(sasl::Answer::Denied),
        "unavailable" => Answer::Auth(sasl::Answer::Unavailable),
        _ => panic!("what is the answer {answer:?}?"),
    }
}

/// `delivered ID`, or code, enhanced code and text of a refusal.
fn reply(text: &str) -> Reply {
    if let Some(id) = text.strip_prefix("delivered ") {
        return Reply::delivered(id);
    }
    let mut parts = text.splitn(3, ' ');
    let (Some(code), Some(enhanced), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        panic!("{text:?} is no reply");
    };
    let (reply, flaws) = Reply::from_policy(Refusal::Either, code.parse().expect("a code"), enhanced, text);
    assert_eq!(flaws, [], "{text:?} cannot be sent");
    reply
}
