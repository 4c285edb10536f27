//! POP3 sessions.

use crate::choice::{Choice, each_way};
use crate::login;
use postern_proto::pop3::{
    Answer, Limits, Message, Question, Refusal, Reply, Session, Settings, Step, Trouble, UniqueId,
};
use postern_proto::sasl::{self, Mechanism};
use postern_proto::smtp::TlsFacts;

/// Ways to each state: whether TLS is there from the start, and what the client says.
const STATES: [(bool, &str); 9] = [
    (false, ""),
    (true, ""),
    (false, "STLS\r\n"),
    (true, "USER ann\r\n"),
    (true, "AUTH PLAIN\r\n"),
    (true, "AUTH SCRAM-SHA-256\r\n"),
    (true, "USER ann\r\nPASS secret\r\n"),
    (true, "UTF8\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\n"),
    (true, "USER ann\r\nPASS secret\r\nDELE 2\r\nRETR 1\r\n"),
];

/// What a driver would notice.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Heard(Vec<u8>),
    Asked(Question),
    Sent(String),
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
    over: bool,
}

impl Driver {
    fn bring_to(state: u8) -> Self {
        let (tls, said) = STATES[usize::from(state) % STATES.len()];
        let mut driver = Self {
            session: Session::new(settings(tls)),
            answers: None,
            events: Vec::new(),
            over: false,
        };
        driver.play(&[said.as_bytes()], said.len());
        assert!(!driver.over, "state {state} is reached");
        driver.events.clear();
        driver
    }

    fn play(&mut self, pieces: &[&[u8]], length: usize) {
        let mut fuel = 16 * (length + 2) + pieces.len();
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
                Step::Send(fetch) => self.events.push(Event::Sent(format!("{fetch:?}"))),
                Step::Upgrade => {
                    self.events.push(Event::Upgrade);
                    self.session.secured(tls_facts());
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

fn settings(tls: bool) -> Settings {
    Settings {
        hostname: "s.example".into(),
        limits: Limits { bad_commands: 6 },
        stls: true,
        tls: tls.then(tls_facts),
        mechanisms: vec![Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256],
        plaintext_auth: false,
        login_delay: Some(60),
    }
}

fn tls_facts() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".into(),
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        exporter: None,
    }
}

/// Mostly yes.
fn answer(question: &Question, choice: usize) -> Answer {
    match (question, choice) {
        (_, 15) => Answer::Trouble(Trouble::Temporary),
        (_, 14) => Answer::Refused(Refusal::InUse),
        (Question::Auth(_), 13) => Answer::Auth(sasl::Answer::Denied),
        (Question::Auth(_), 12) => Answer::Auth(sasl::Answer::Unavailable),
        (Question::Auth(question), _) => Answer::Auth(login::granted(question)),
        (Question::Open { .. }, _) => Answer::Opened(messages()),
        (Question::Fetch(fetch), _) => {
            assert!(fetch.place < messages().len(), "a message of the listing");
            Answer::Ready
        }
        (Question::Remove(places), _) => {
            assert!(
                places.iter().all(|place| *place < messages().len()),
                "messages of the listing"
            );
            Answer::Removed
        }
    }
}

fn messages() -> Vec<Message> {
    (1..=3)
        .map(|number| Message {
            size: number * 100,
            downgraded_size: number * 100 + 7,
            uidl: UniqueId::Text(format!("uid-{number}").into()),
        })
        .collect()
}

/// RFC 1939 §3 and RFC 2449 §4: lines of at most 512 octets with CRLF, `+OK`, `-ERR` or a challenge first,
/// and a dot alone at the end of what has several.
fn encode(reply: &Reply) -> Vec<u8> {
    let mut wire = Vec::new();
    reply.encode(&mut wire);
    let text = std::str::from_utf8(&wire).expect("UTF-8");
    let body = text.strip_suffix("\r\n").expect("a CRLF at the end");
    let mut lines = body.split("\r\n");
    let first = lines.next().expect("a line");
    let challenge = first.starts_with("+ ");
    assert!(
        challenge || first.starts_with("+OK") || first.starts_with("-ERR"),
        "{text:?}"
    );
    for line in body.split("\r\n") {
        assert!(
            !line.contains(|c: char| c.is_control() || !c.is_ascii()),
            "{text:?}"
        );
        assert!(line.len() <= 510 || challenge, "{text:?}");
    }
    let rest: Vec<&str> = lines.collect();
    if let Some((last, listed)) = rest.split_last() {
        assert!(first.starts_with("+OK") && *last == ".", "{text:?}");
        assert!(listed.iter().all(|line| !line.starts_with('.')), "{text:?}");
    }
    wire
}
