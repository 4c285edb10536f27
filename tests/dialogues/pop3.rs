//! POP3 dialogues: each file of `pop3/` turn by turn, whole, byte by byte and at random splits.
//!
//! `C` a line of the client, `R` its octets without a line end, `S` a line of the server, `Q` a question,
//! `A` its answer, `M` a message is sent, `U` TLS is to be started, `T` it was, `D` the driver ends the
//! session, `E` the session is over. Without settings a session runs on TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy spares only #[test] functions in an integration test"
)]

mod script;

use postern_proto::pop3::{
    Answer, Extent, Fetch, Form, Limits, Message, Question, Refusal, Reply, Session, Settings, Step, Trouble,
};
use postern_proto::sasl::{self, Mechanism, ScramKeys};
use postern_proto::smtp::TlsFacts;
use proptest::prelude::*;
use script::{Entry, Script, shown};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

fn dialogues() -> &'static [Script] {
    static ALL: OnceLock<Vec<Script>> = OnceLock::new();
    ALL.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dialogues/pop3");
        script::folder(&folder)
    })
}

/// What the world does to a session.
#[derive(Clone)]
enum Action {
    Input(Vec<u8>),
    Secured(Option<Vec<u8>>),
    Abort,
}

/// An action and what must come of it.
struct Turn {
    action: Action,
    expected: Vec<String>,
}

fn turns(script: &Script) -> Vec<Turn> {
    let greeting = Turn {
        action: Action::Input(Vec::new()),
        expected: Vec::new(),
    };
    let mut turns = vec![greeting];
    for entry in &script.entries {
        let action = match entry.speaker {
            'C' => Action::Input([&entry.said[..], b"\r\n"].concat()),
            'R' => Action::Input(entry.said.clone()),
            'T' => Action::Secured((entry.said == b"exporter").then(|| b"channel".to_vec())),
            'D' => Action::Abort,
            'A' => continue,
            'S' | 'Q' | 'M' | 'U' | 'E' => {
                turns.last_mut().unwrap().expected.push(entry.shown());
                continue;
            }
            other => panic!("{}: who is {other}?", script.name),
        };
        match (turns.last_mut().unwrap(), action) {
            // Lines without a reply between them are pipelined.
            (
                Turn {
                    action: Action::Input(before),
                    expected,
                },
                Action::Input(more),
            ) if expected.is_empty() && !before.is_empty() => {
                before.extend(more);
            }
            (_, action) => turns.push(Turn {
                action,
                expected: Vec::new(),
            }),
        }
    }
    turns
}

/// All input between two other actions as one.
fn merged(turns: &[Turn]) -> (Vec<Action>, Vec<String>) {
    let mut actions: Vec<Action> = Vec::new();
    for turn in turns {
        match (actions.last_mut(), &turn.action) {
            (Some(Action::Input(before)), Action::Input(more)) => before.extend(more),
            (_, action) => actions.push(action.clone()),
        }
    }
    let expected = turns.iter().flat_map(|turn| turn.expected.clone());
    (actions, expected.collect())
}

/// A session and the answers that its dialogue gives.
struct Stage {
    session: Session,
    answers: VecDeque<Answer>,
}

impl Stage {
    fn new(script: &Script) -> Self {
        let answers = script.entries.iter().filter(|entry| entry.speaker == 'A');
        Self {
            session: Session::new(settings(script)),
            answers: answers.map(answer).collect(),
        }
    }

    fn act(&mut self, action: &Action, sizes: &[usize]) -> Vec<String> {
        let mut heard = Vec::new();
        match action {
            Action::Input(input) if input.is_empty() => self.listen(&mut heard),
            Action::Input(input) => {
                for piece in script::pieces(input, sizes) {
                    self.session.feed(piece);
                    self.listen(&mut heard);
                }
            }
            Action::Secured(exporter) => {
                self.session.secured(tls(exporter.clone()));
                self.listen(&mut heard);
            }
            Action::Abort => {
                self.session.abort(Reply::shutting_down());
                self.listen(&mut heard);
            }
        }
        heard
    }

    /// Steps until more input is needed or the session is over.
    fn listen(&mut self, heard: &mut Vec<String>) {
        loop {
            match self.session.step() {
                Step::Read => return,
                Step::Write(reply) => hear(&reply, heard),
                Step::Ask(question) => {
                    heard.push(shown('Q', asked(&question).as_bytes()));
                    let answer = self.answers.pop_front().unwrap_or_else(|| panic!("{heard:#?}"));
                    self.session.answer(answer);
                }
                Step::Send(fetch) => heard.push(shown('M', fetched(&fetch).as_bytes())),
                Step::Upgrade => heard.push(shown('U', b"")),
                Step::Close => {
                    if heard.last().is_none_or(|last| last != "E: ") {
                        heard.push(shown('E', b""));
                    }
                    return;
                }
            }
        }
    }
}

fn hear(reply: &Reply, heard: &mut Vec<String>) {
    let mut octets = Vec::new();
    reply.encode(&mut octets);
    let text = octets.strip_suffix(b"\r\n").expect("a reply ends with CRLF");
    for line in text.split(|octet| *octet == b'\n') {
        heard.push(shown('S', line.strip_suffix(b"\r").unwrap_or(line)));
    }
}

fn asked(question: &Question) -> String {
    match question {
        Question::Auth(sasl::Question::Password { login, password }) => {
            format!("password {login} {password}")
        }
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

fn answer(entry: &Entry) -> Answer {
    let words = entry.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["granted", account] => Answer::Auth(sasl::Answer::Granted {
            account: account.to_owned(),
        }),
        ["denied"] => Answer::Auth(sasl::Answer::Denied),
        ["login-unavailable"] => Answer::Auth(sasl::Answer::Unavailable),
        ["keys", account] => Answer::Auth(keys(account)),
        ["opened", ref messages @ ..] => Answer::Opened(messages.iter().map(|text| message(text)).collect()),
        ["refused", why] => Answer::Refused(match why {
            "in-use" => Refusal::InUse,
            "login-delay" => Refusal::LoginDelay,
            "too-many-sessions" => Refusal::TooManySessions,
            "unavailable" => Refusal::Unavailable,
            other => panic!("refused {other}"),
        }),
        ["ready"] => Answer::Ready,
        ["removed"] => Answer::Removed,
        ["trouble", why] => Answer::Trouble(match why {
            "temporary" => Trouble::Temporary,
            "gone" => Trouble::Gone,
            "needs-utf8" => Trouble::NeedsUtf8,
            other => panic!("trouble {other}"),
        }),
        _ => panic!("no answer: {words:?}"),
    }
}

/// `uidl:size` or `uidl:size:downgraded size`.
fn message(text: &str) -> Message {
    let mut parts = text.split(':');
    let uidl = parts.next().unwrap().to_owned();
    let size = parts.next().unwrap().parse().unwrap();
    Message {
        size,
        downgraded_size: parts.next().map_or(size, |size| size.parse().unwrap()),
        uidl,
    }
}

/// The keys and the nonce of RFC 7677 §3.
fn keys(account: &str) -> sasl::Answer {
    let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81".to_vec();
    sasl::Answer::Keys {
        keys: ScramKeys::derive("pencil", salt, 4096),
        account: (account != "nobody").then(|| account.to_owned()),
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned(),
    }
}

fn settings(script: &Script) -> Settings {
    let mut settings = Settings {
        hostname: "mx.example.org".to_owned(),
        limits: Limits { bad_commands: 5 },
        stls: false,
        tls: Some(tls(None)),
        mechanisms: vec![Mechanism::Plain, Mechanism::Login],
        plaintext_auth: false,
        login_delay: None,
    };
    for words in &script.settings {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["clear"] => settings.tls = None,
            ["stls"] => settings.stls = true,
            ["exporter"] => settings.tls = Some(tls(Some(b"channel".to_vec()))),
            ["plaintext-auth"] => settings.plaintext_auth = true,
            ["login-delay", seconds] => {
                settings.login_delay = Some(Duration::from_secs(seconds.parse().unwrap()));
            }
            ["bad-commands", count] => settings.limits.bad_commands = count.parse().unwrap(),
            ["mechanisms", ref names @ ..] => {
                let named = names.iter().map(|name| Mechanism::named(name).unwrap());
                settings.mechanisms = named.collect();
            }
            _ => panic!("{}: no setting: {words:?}", script.name),
        }
    }
    settings
}

fn tls(exporter: Option<Vec<u8>>) -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        exporter,
    }
}

fn runs_in_pieces(script: &Script, sizes: &[usize]) {
    let (actions, expected) = merged(&turns(script));
    let mut stage = Stage::new(script);
    let mut heard = Vec::new();
    for action in &actions {
        heard.extend(stage.act(action, sizes));
    }
    // A session that is over says so for every piece that still comes.
    heard.dedup_by(|a, b| a == "E: " && b == "E: ");
    assert_eq!(heard, expected, "{} in pieces of {sizes:?}", script.name);
    assert!(stage.answers.is_empty(), "{}: an answer is left", script.name);
}

#[test]
fn there_are_dialogues() {
    assert!(dialogues().len() >= 25);
}

#[test]
fn each_line_of_the_client_has_its_own_answer() {
    for script in dialogues() {
        let mut stage = Stage::new(script);
        for turn in turns(script) {
            let heard = stage.act(&turn.action, &[usize::MAX]);
            assert_eq!(heard, turn.expected, "{}", script.name);
        }
    }
}

#[test]
fn pipelined_as_a_whole_each_dialogue_is_the_same() {
    for script in dialogues() {
        runs_in_pieces(script, &[usize::MAX]);
    }
}

#[test]
fn byte_by_byte_each_dialogue_is_the_same() {
    for script in dialogues() {
        runs_in_pieces(script, &[1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn at_random_splits_each_dialogue_is_the_same(sizes in prop::collection::vec(1_usize..40, 1..24)) {
        for script in dialogues() {
            runs_in_pieces(script, &sizes);
        }
    }
}
