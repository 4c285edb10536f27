//! SMTP and LMTP sessions.

use crate::choice::{Choice, each_way};
use crate::login;
use bytes::BytesMut;
use postern_proto::sasl::{self, Mechanism};
use postern_proto::smtp::{
    Answer, Limits, Question, Refusal, Reply, Role, Session, Settings, Step, TlsFacts,
};

/// Ways to each state: role, whether TLS is there from the start, and what the client says.
const STATES: [(Role, bool, &str); 16] = [
    (Role::Mx, false, ""),
    (Role::Mx, false, "EHLO c.example\r\n"),
    (Role::Mx, false, "HELO c.example\r\nMAIL FROM:<>\r\n"),
    (Role::Mx, false, "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n"),
    (
        Role::Mx,
        false,
        "EHLO c.example\r\nMAIL FROM:<a@c.example> SMTPUTF8\r\nRCPT TO:<b@s.example>\r\n",
    ),
    (
        Role::Mx,
        false,
        "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n",
    ),
    (
        Role::Mx,
        false,
        "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\nA: b\r\n",
    ),
    (
        Role::Mx,
        false,
        "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nBDAT 9\r\n",
    ),
    (
        Role::Mx,
        false,
        "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nBDAT 4\r\nA: b",
    ),
    (
        Role::Mx,
        false,
        "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nBDAT 3\r\na\nb",
    ),
    (Role::Submission, true, "EHLO c.example\r\nAUTH PLAIN\r\n"),
    (Role::Submission, true, "EHLO c.example\r\nAUTH LOGIN YW5u\r\n"),
    (Role::Submission, true, "EHLO c.example\r\nAUTH SCRAM-SHA-256\r\n"),
    (
        Role::Submission,
        true,
        "EHLO c.example\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
    ),
    (Role::Submission, false, "EHLO c.example\r\nSTARTTLS\r\n"),
    (
        Role::Lmtp,
        false,
        "LHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@s.example>\r\nRCPT TO:<c@s.example>\r\n",
    ),
];

/// What a driver would notice.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Heard(Vec<u8>),
    Asked(Question),
    /// Content, when it is complete.
    Content(Vec<u8>),
    Reset,
    Upgrade,
    Closed,
}

/// Runs one input.
pub fn run(input: &[u8]) {
    each_way(input, |state, answers, pieces, length| {
        let mut driver = Driver::bring_to(state);
        driver.answers = Some(answers);
        driver.play(pieces, length);
        driver.events
    });
}

struct Driver {
    session: Session,
    /// None while the session is brought to its state: whatever is asked is granted.
    answers: Option<Choice>,
    events: Vec<Event>,
    content: Vec<u8>,
    over: bool,
}

impl Driver {
    fn bring_to(state: u8) -> Self {
        let (role, tls, said) = STATES[usize::from(state) % STATES.len()];
        let mut driver = Self {
            session: Session::new(settings(role, tls, state)),
            answers: None,
            events: Vec::new(),
            content: Vec::new(),
            over: false,
        };
        driver.play(&[said.as_bytes()], said.len());
        assert!(!driver.over, "state {state} is reached");
        driver.events.clear();
        driver
    }

    fn play(&mut self, pieces: &[&[u8]], length: usize) {
        // A step a command and some for each, however the input is cut; a piece costs one Read.
        let mut fuel = 64 * (length + 2) + pieces.len();
        self.drive(&mut fuel);
        for piece in pieces {
            if self.over {
                break;
            }
            self.session.feed(piece);
            if self.drive(&mut fuel) == Flow::Upgraded {
                break;
            }
        }
    }

    fn drive(&mut self, fuel: &mut usize) -> Flow {
        loop {
            *fuel = fuel.checked_sub(1).expect("the session comes to rest");
            match self.session.step() {
                Step::Read => return Flow::Read,
                Step::Write(reply) => self.events.push(Event::Heard(encode(&reply))),
                Step::Ask(question) => self.ask(question),
                Step::Body(content) => self.content.extend_from_slice(&content),
                Step::Reset => {
                    self.content.clear();
                    self.events.push(Event::Reset);
                }
                Step::Upgrade => {
                    self.events.push(Event::Upgrade);
                    self.session.secured(tls_facts());
                    assert!(self.session.facts().helo.is_empty(), "nothing is known any more");
                    self.drive(fuel);
                    return Flow::Upgraded;
                }
                Step::Close => {
                    self.events.push(Event::Closed);
                    self.over = true;
                    return Flow::Read;
                }
            }
        }
    }

    fn ask(&mut self, question: Question) {
        if question == Question::Commit {
            let content = std::mem::take(&mut self.content);
            check_content(&content);
            self.events.push(Event::Content(content));
        }
        let choice = self.answers.as_mut().map_or(0, |answers| answers.below(16));
        let answer = answer(&question, choice);
        self.events.push(Event::Asked(question));
        self.session.answer(answer);
    }
}

/// Whether input is of use still.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Read,
    /// What was sent in clear is of no use.
    Upgraded,
}

fn settings(role: Role, tls: bool, state: u8) -> Settings {
    Settings {
        role,
        hostname: "s.example".into(),
        // Narrow, so that short inputs reach them.
        limits: Limits {
            message_size: 200,
            line: 40,
            headers: 60,
            recipients: 3,
            bad_commands: 6,
            unknown_recipients: 2,
        },
        starttls: true,
        tls: tls.then(tls_facts),
        mechanisms: vec![
            Mechanism::Plain,
            Mechanism::Login,
            Mechanism::ScramSha256,
            Mechanism::ScramSha256Plus,
        ],
        plaintext_auth: false,
        strict_8bitmime: state >= 128,
    }
}

fn tls_facts() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".into(),
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        exporter: Some(vec![7; 32]),
    }
}

/// Mostly yes.
fn answer(question: &Question, choice: usize) -> Answer {
    let (refusal, _) = Reply::from_policy(Refusal::Either, 550, "5.7.1", "no\nnein: größer");
    match (question, choice) {
        (_, 15) => Answer::Close(Reply::shutting_down()),
        (_, 13 | 14) => Answer::Reply(refusal),
        (_, 12) => Answer::Each(vec![Reply::ok(), refusal, Reply::ok(), Reply::ok()]),
        (Question::Auth(_), 11) => Answer::Auth(sasl::Answer::Denied),
        (Question::Auth(_), 10) => Answer::Auth(sasl::Answer::Unavailable),
        (Question::Auth(question), _) => Answer::Auth(login::granted(question)),
        (Question::Commit, 6..) => Answer::Each(vec![Reply::ok(), refusal]),
        _ => Answer::Proceed,
    }
}

/// RFC 5321 §4.2: code, separator, text, CRLF; the last line and no other has the space.
fn encode(reply: &Reply) -> Vec<u8> {
    let mut wire = BytesMut::new();
    reply.encode(&mut wire);
    let text = std::str::from_utf8(&wire).expect("UTF-8");
    let body = text.strip_suffix("\r\n").expect("a CRLF at the end");
    let lines: Vec<&str> = body.split("\r\n").collect();
    for (index, line) in lines.iter().enumerate() {
        let (code, rest) = line.split_at(3);
        assert_eq!(code, reply.code().to_string(), "{text:?}");
        let last = index + 1 == lines.len();
        assert!(rest.starts_with(if last { ' ' } else { '-' }), "{text:?}");
        assert!(!line.contains(char::is_control), "{text:?}");
        // RFC 5321 §4.5.3.1.5; RFC 4954 §4 lets challenges be longer.
        assert!(line.len() <= 510 || code == "334", "{text:?}");
    }
    wire.to_vec()
}

/// Content that is offered to be kept obeys every rule.
fn check_content(content: &[u8]) {
    assert!(content.is_empty() || content.ends_with(b"\r\n"));
    assert!(!content.contains(&0));
    for line in content.split_inclusive(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("no bare LF");
        assert!(!line.contains(&b'\r'), "no bare CR");
        assert!(line.len() <= 38);
    }
    // With the CRLF that a last chunk may lack.
    assert!(content.len() <= 202);
}
