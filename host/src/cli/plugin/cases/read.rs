//! From a folder to cases: what is wrong is named with file and line, all of it at once.

use super::given;
use super::raw::{RawAsk, RawCase, RawExpect};
use crate::cli::plugin::session::{self, Session};
use crate::config::decode::{mirror, value};
use crate::config::fault::{Collector, Faults};
use crate::policy::Facts;
use crate::policy::stand::{self, Ask, Question, Settings, Setup};
use crate::store::Usage;
use anyhow::Context as _;
use mail_parser::DateTime;
use std::path::{Path, PathBuf};

/// One question and what is to be answered.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) setup: Setup,
    pub(super) ask: Ask,
    pub(super) facts: Facts,
    pub(super) message: Option<Vec<u8>>,
    pub(super) expect: RawExpect,
}

const FILTER: [&str; 5] = ["accept", "reject", "defer", "discard", "quarantine"];
const ROUTE: [&str; 6] = ["pass", "local", "rewrite", "discard", "reject", "defer"];
const QUOTA: [&str; 3] = ["allow", "warn", "deny"];
const FAILURE: [&str; 4] = ["trap", "timeout", "start", "unfit"];

/// What came of reading a folder.
pub(super) type Reading = Result<Vec<Case>, Vec<String>>;

/// Reads one file, or all `*.yaml` of a folder in the order of their names: cases, or a line for each fault of any
/// of them.
pub(super) fn folder(folder: &Path) -> anyhow::Result<Reading> {
    let files = match folder.is_file() {
        true => vec![folder.to_owned()],
        false => within(folder)?,
    };
    let (mut cases, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        let text = match stand::text(&file) {
            Ok(text) => text,
            Err(fault) => {
                faults.push(fault.to_string());
                continue;
            }
        };
        match read(&file, &text) {
            Ok(read) => cases.extend(read),
            Err(Faults(found)) => {
                faults.extend(found.iter().map(|fault| format!("{}: {fault}", file.display())));
            }
        }
    }
    Ok(match faults.is_empty() {
        true => Ok(cases),
        false => Err(faults),
    })
}

fn within(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unread = || format!("cannot read the folder of cases {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unread)? {
        let path = entry.with_context(unread)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The cases of one file: one, or a list of them.
fn read(file: &Path, text: &str) -> Result<Vec<Case>, Faults> {
    let mut faults = Collector::new(text);
    let value = value(text)?;
    let raw: Vec<(String, Option<RawCase>)> = match value.is_sequence() {
        true => {
            let list: Vec<Option<RawCase>> = mirror(value, &mut faults)?;
            let places = (0..).map(|place| format!("[{place}]"));
            places.zip(list).collect()
        }
        false => vec![(String::new(), Some(mirror(value, &mut faults)?))],
    };
    let mut cases = Vec::new();
    for (place, raw) in raw {
        match raw {
            Some(raw) => cases.extend(Reader::new(file, &place, &mut faults).case(raw)),
            // What was cut out is a fault already.
            None if faults.has(&place) => {}
            None => faults.add(place, "nothing is written; write a case"),
        }
    }
    faults.unless_any(Some(cases)).map_err(|Faults(mut faults)| {
        // What is missing may only be misspelt, which its own fault says.
        faults.sort_by_key(|fault| (place(&fault.path), fault.text.starts_with("missing; ")));
        Faults(faults)
    })
}

/// Which case of a list a fault is in, by its path: `[2].ask`.
fn place(path: &str) -> usize {
    let index = path.strip_prefix('[').and_then(|rest| rest.split(']').next());
    index.and_then(|index| index.parse().ok()).unwrap_or(0)
}

/// Where a case is, and what is wrong with it.
pub(super) struct Reader<'a> {
    file: &'a Path,
    place: &'a str,
    faults: &'a mut Collector,
}

impl<'a> Reader<'a> {
    fn new(file: &'a Path, place: &'a str, faults: &'a mut Collector) -> Self {
        Self { file, place, faults }
    }

    /// `key` is from the case on.
    pub(super) fn fault(&mut self, key: &str, text: impl Into<String>) {
        let path = self.path(key);
        self.faults.add(path, text);
    }

    fn path(&self, key: &str) -> String {
        match self.place {
            "" => key.to_owned(),
            place => format!("{place}.{key}"),
        }
    }

    fn missing(&mut self, key: &str, mend: &str) {
        if !self.faults.has(&self.path(key)) {
            self.fault(key, format!("missing; write {mend}"));
        }
    }

    /// None where something is wrong, which has been said.
    fn case(&mut self, raw: RawCase) -> Option<Case> {
        let mut session = self.session(raw.session.unwrap_or_default());
        session.auth = self.auth(raw.auth.unwrap_or_default());
        let dns = self.zone(raw.dns.unwrap_or_default());
        if raw.name.is_none() {
            self.missing("name", "what the case is about");
        }
        let now = raw.now.as_deref().and_then(|text| self.now(text));
        let Some(ask) = raw.ask.map(|ask| self.ask(ask)) else {
            self.missing("ask", "a question: connect, mail, { rcpt: ADDRESS }, message, …");
            return None;
        };
        let question = ask.question();
        let message = self.message(question, (raw.message, raw.message_file));
        let expect = raw.expect.unwrap_or_default();
        self.expected(question, &expect);
        let kv = raw.kv.unwrap_or_default().into_iter();
        let mut wrong = (Vec::new(), Vec::new());
        let directory = raw.directory.unwrap_or_default().read(&mut wrong.0);
        let http = given::answers(raw.http.unwrap_or_default(), &mut wrong.1);
        for (at, text) in wrong.0 {
            self.fault(&format!("directory.{at}"), text);
        }
        for (at, text) in wrong.1 {
            self.fault(&format!("http{at}"), text);
        }
        Some(Case {
            file: self.file.to_owned(),
            name: raw.name.unwrap_or_default(),
            setup: Setup {
                settings: raw.settings.map(|values| Settings {
                    values,
                    file: self.file.to_owned(),
                }),
                kv: kv.map(|(key, value)| (key, value.0)).collect(),
                beneath: None,
                dns,
                directory,
                http,
                now,
            },
            facts: session.facts(question),
            ask,
            message,
            expect,
        })
    }

    fn session(&mut self, written: Session) -> Session {
        let client_ip = written
            .client_ip
            .map(|text| self.checked("session.client-ip", session::client(&text)));
        let mail_from = written
            .mail_from
            .map(|text| self.checked("session.mail-from", session::sender(&text)));
        let rcpt_to = written.rcpt_to.map(|named| {
            let places = (0..).map(|place| format!("session.rcpt-to[{place}]"));
            let checked = places
                .zip(named)
                .map(|(key, text)| self.checked(&key, session::address(&text)));
            checked.collect()
        });
        Session {
            client_ip,
            mail_from,
            rcpt_to,
            ..written
        }
    }

    fn checked(&mut self, key: &str, checked: Result<String, String>) -> String {
        checked.unwrap_or_else(|text| {
            self.fault(key, text);
            String::new()
        })
    }

    fn now(&mut self, text: &str) -> Option<u64> {
        let time = DateTime::parse_rfc3339(text).filter(DateTime::is_valid);
        let seconds = time.and_then(|time| u64::try_from(time.to_timestamp()).ok());
        if seconds.is_none() {
            self.fault(
                "now",
                format!("`{text}` is no time; write one like 2026-01-31T12:00:00Z"),
            );
        }
        Some(seconds?.saturating_mul(1000))
    }

    fn ask(&mut self, raw: RawAsk) -> Ask {
        match raw {
            RawAsk::Connect => Ask::Connect,
            RawAsk::Mail => Ask::Mail,
            RawAsk::Message => Ask::Message,
            RawAsk::Validate => Ask::Validate,
            RawAsk::Rcpt(recipient) => Ask::Rcpt(self.checked("ask.rcpt", session::address(&recipient))),
            RawAsk::Route(recipient) => Ask::Route(self.checked("ask.route", session::address(&recipient))),
            RawAsk::Quota(quota) => Ask::Quota {
                mailbox: self.checked("ask.quota.mailbox", session::address(&quota.mailbox)),
                usage: Usage {
                    bytes: quota.bytes.map_or(0, |size| size.0),
                    messages: quota.messages.unwrap_or(0),
                },
                incoming: quota.incoming.map_or(0, |size| size.0),
            },
        }
    }

    fn message(
        &mut self,
        question: Question,
        (text, file): (Option<String>, Option<PathBuf>),
    ) -> Option<Vec<u8>> {
        let key = if text.is_some() { "message" } else { "message-file" };
        match (question, text, file) {
            (Question::Message, Some(text), None) => Some(text.into_bytes()),
            (Question::Message, None, Some(file)) => {
                let path = self.file.parent().unwrap_or(Path::new("")).join(file);
                let read = stand::message(&path);
                read.map_err(|fault| self.fault(key, fault.to_string())).ok()
            }
            (Question::Message, Some(_), Some(_)) => {
                self.fault("message-file", "there is a message already; write one of both");
                None
            }
            (Question::Message, None, None) => {
                self.missing("message", "its text, or message-file");
                None
            }
            (_, None, None) => None,
            (_, _, _) => {
                self.fault(key, "only the question message is about one; take it out");
                None
            }
        }
    }

    /// What is expected must be what the question can come to.
    fn expected(&mut self, question: Question, expect: &RawExpect) {
        let (main, words, others): (_, &[&str], &[&str]) = match question {
            Question::Route => ("route", &ROUTE, &["reply", "to"]),
            Question::Quota => ("quota", &QUOTA, &["reply", "ceiling", "warning"]),
            Question::Validate => ("valid", &[], &["error"]),
            Question::Connect | Question::Mail | Question::Rcpt | Question::Message => {
                ("verdict", &FILTER, &["reply", "reason", "edits"])
            }
        };
        let keys = [
            ("verdict", expect.verdict.is_some()),
            ("route", expect.route.is_some()),
            ("quota", expect.quota.is_some()),
            ("valid", expect.valid.is_some()),
            ("failure", expect.failure.is_some()),
            ("reply", expect.reply.is_some()),
            ("reason", expect.reason.is_some()),
            ("to", expect.to.is_some()),
            ("ceiling", expect.ceiling.is_some()),
            ("warning", expect.warning.is_some()),
            ("error", expect.error.is_some()),
            ("edits", expect.edits.is_some()),
        ];
        let fits = |key: &str| {
            key == main || others.contains(&key) || (key == "failure" && question != Question::Validate)
        };
        for (key, _) in keys.iter().filter(|(key, is_written)| *is_written && !fits(key)) {
            let text = format!("is nothing that {} can come to; write {main}", question.word());
            self.fault(&format!("expect.{key}"), text);
        }
        let said = [&expect.verdict, &expect.route, &expect.quota];
        for word in said.into_iter().flatten() {
            self.one_of(&format!("expect.{main}"), word, words);
        }
        if let Some(word) = &expect.failure {
            self.one_of("expect.failure", word, &FAILURE);
        }
        let is_written = |wanted: &str| keys.iter().any(|(key, is_written)| *key == wanted && *is_written);
        if !is_written(main) && !is_written("failure") && !self.faults.has(&self.path("expect")) {
            self.fault(&format!("expect.{main}"), "missing; write what is to be answered");
        }
    }

    pub(super) fn one_of(&mut self, key: &str, word: &str, words: &[&str]) {
        if !words.is_empty() && !words.contains(&word) && !self.faults.has(&self.path(key)) {
            self.fault(
                key,
                format!("`{word}` is none; write one of {}", words.join(", ")),
            );
        }
    }
}

#[cfg(test)]
mod tests;
