//! Dialogues: scripts of what a client says, what is asked and answered, and what the client hears.
//!
//! A script has `#` comments, `key: value` settings, and then lines `MARK: text`. `C:` is sent with a CRLF,
//! `C+:` without; consecutive ones are sent together. Everything else is expected, in order and completely:
//! `S:` a line the client hears, `Q:` a question, `A:` the answer given to it, `B:` (`B+:` without CRLF)
//! content, and bare words such as `RESET`, `UPGRADE`, `CLOSE`. Texts know `\r \n \0 \\ \xNN` and
//! `\{100 x}`, which is x a hundred times.
//!
//! Each script is run with the input of each turn whole, octet by octet, and in pieces of random length:
//! what is observed must always be the same.

mod script;
mod split;

pub(crate) use script::{Script, escape};

use script::Turn;
use split::Split;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Random splits of each script.
const SEEDS: u64 = 48;

/// A session under test with all that its driver would keep.
pub(crate) trait Peer {
    /// Feeds `input` and takes steps, writing each into the log, until something else is needed.
    fn turn(&mut self, input: &[u8], log: &mut Log) -> Flow;
    /// TLS was started.
    fn secured(&mut self);
}

/// What a session needs before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Read,
    Upgrade,
    Close,
}

/// What was observed, and the answers still to be given.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Vec<String>,
    answers: VecDeque<String>,
}

impl Log {
    /// Octets in lines, each under this mark.
    pub(crate) fn octets(&mut self, mark: &str, octets: &[u8]) {
        for line in octets.split_inclusive(|&octet| octet == b'\n') {
            self.lines.push(match line.strip_suffix(b"\r\n") {
                Some(line) => format!("{mark}: {}", escape(line)),
                None => format!("{mark}+: {}", escape(line)),
            });
        }
    }

    pub(crate) fn event(&mut self, event: &str) {
        self.lines.push(event.to_owned());
    }

    /// Notes a question and gives the script's answer to it.
    pub(crate) fn ask(&mut self, question: &str) -> String {
        self.lines.push(format!("Q: {question}"));
        let answer = self.answers.pop_front().unwrap_or_else(|| {
            panic!(
                "no answer is left for this question; so far:\n{}",
                self.lines.join("\n")
            )
        });
        self.lines.push(format!("A: {answer}"));
        answer
    }
}

/// Runs every script of a folder in every split.
pub(crate) fn run_folder<P: Peer>(folder: &str, connect: impl Fn(&Script) -> P) {
    let scripts = scripts(folder);
    assert!(!scripts.is_empty(), "no scripts in {folder}");
    let mut failures = Vec::new();
    for path in &scripts {
        let text = std::fs::read_to_string(path).expect("a readable script");
        let script = Script::parse(&text);
        let splits = [Split::Whole, Split::Octets]
            .into_iter()
            .chain((1..=SEEDS).map(Split::Random));
        for split in splits {
            if let Err(fault) = run(&script, connect(&script), split) {
                failures.push(format!("{}:{fault} ({split:?})", path.display()));
                break;
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        scripts.len(),
        failures.join("\n")
    );
}

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/dialogues")
        .join(folder);
    let entries = std::fs::read_dir(&folder).expect("a folder of scripts");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut scripts: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|x| x == "txt"))
        .collect();
    scripts.sort();
    scripts
}

/// Line and description of the first difference.
fn run<P: Peer>(script: &Script, mut peer: P, mut split: Split) -> Result<(), String> {
    let mut log = Log {
        answers: script.answers().map(str::to_owned).collect(),
        ..Log::default()
    };
    let mut flow = Flow::Read;
    for turn in &script.turns {
        if flow == Flow::Close {
            return Err(format!("{}: the session is closed already", turn.line));
        }
        flow = play(turn, &mut peer, &mut split, &mut log);
        compare(turn, &std::mem::take(&mut log.lines))?;
    }
    Ok(())
}

fn play(turn: &Turn, peer: &mut impl Peer, split: &mut Split, log: &mut Log) -> Flow {
    let mut rest = turn.input.as_slice();
    loop {
        let (piece, behind) = rest.split_at(split.length(rest.len()));
        rest = behind;
        match peer.turn(piece, log) {
            Flow::Close => return Flow::Close,
            Flow::Upgrade => {
                // What was sent in clear behind the command arrives before TLS does.
                log.event("UPGRADE");
                assert_eq!(peer.turn(rest, log), Flow::Upgrade, "no step is due before TLS");
                peer.secured();
                rest = &[];
                if peer.turn(&[], log) == Flow::Close {
                    return Flow::Close;
                }
            }
            Flow::Read => {}
        }
        if rest.is_empty() {
            return Flow::Read;
        }
    }
}

fn compare(turn: &Turn, observed: &[String]) -> Result<(), String> {
    for (index, (line, expected)) in turn.expected.iter().enumerate() {
        match observed.get(index) {
            Some(observed) if observed == expected => {}
            other => {
                return Err(format!(
                    "{line}: expected\n    {expected}\n  observed\n    {}",
                    other.map_or("nothing", String::as_str)
                ));
            }
        }
    }
    match observed.get(turn.expected.len()..) {
        Some([more, ..]) => Err(format!("{}: observed behind this turn\n    {more}", turn.line)),
        _ => Ok(()),
    }
}
