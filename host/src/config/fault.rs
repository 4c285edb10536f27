//! Faults of a configuration, collected and reported all at once, and the lines they are on.

use saphyr_parser::{Event, Parser};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// One thing that is wrong: where, what, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `listeners[2].address`; empty for the file as a whole.
    pub path: String,
    /// From 1; None where the file could not be read that far.
    pub line: Option<usize>,
    /// What is wrong, and behind a semicolon how to mend it.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// All faults of one file, in the order of their lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Gathers faults while a configuration is decoded and checked.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    lines: BTreeMap<String, usize>,
    faults: Vec<Fault>,
}

impl Collector {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            lines: lines_of(text),
            faults: Vec::new(),
        }
    }

    /// A fault at the value `path`; a value that is not there is reported on its section's line.
    pub(crate) fn add(&mut self, path: impl Into<String>, text: impl Into<String>) {
        let path = path.into();
        let line = self.line_of(&path);
        self.faults.push(Fault {
            path,
            line,
            text: text.into(),
        });
    }

    /// Whether something at `path` or below it is wrong already.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.faults.iter().any(|fault| {
            fault
                .path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    fn line_of(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = path.rfind(['.', '[']).and_then(|end| path.get(..end))?;
        }
    }

    /// What was made, if nothing was wrong. Nothing is made only where something was.
    pub(crate) fn unless_any<T>(mut self, made: Option<T>) -> Result<T, Faults> {
        match made {
            Some(made) if self.faults.is_empty() => Ok(made),
            _ => {
                self.faults.sort_by_key(|fault| fault.line);
                Err(Faults(self.faults))
            }
        }
    }

    /// All that was found so far.
    pub(crate) fn give_up(&mut self) -> Faults {
        let mut faults = std::mem::take(&mut self.faults);
        faults.sort_by_key(|fault| fault.line);
        Faults(faults)
    }
}

/// What a node counts beside the octets of its text.
const NODE: usize = 16;
/// No decoder goes deeper.
const DEPTH: usize = 128;
/// Octets of all paths whose lines are kept; values behind them are told of without a line of their own.
const PATHS: usize = 16 << 20;

/// Octets that the aliases of a document stand for, each with all that it names; counted no further than beyond `most`.
pub(super) fn aliased(text: &str, most: usize) -> usize {
    let (mut sizes, mut open, mut sum): (HashMap<usize, usize>, Vec<(usize, usize)>, usize) =
        (HashMap::new(), Vec::new(), 0);
    for event in Parser::new_from_str(text) {
        let Ok((event, _)) = event else { break };
        // The anchor and the size of a node that is over.
        let (anchor, size) = match event {
            Event::Scalar(text, _, anchor, _) => (anchor, NODE + text.len()),
            Event::Alias(anchor) => {
                let size = sizes.get(&anchor).copied().unwrap_or(NODE);
                sum = sum.saturating_add(size);
                if sum > most {
                    return sum;
                }
                (0, size)
            }
            Event::MappingStart(anchor, _) | Event::SequenceStart(anchor, _) if open.len() < DEPTH => {
                open.push((anchor, NODE));
                continue;
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => break,
            Event::MappingEnd | Event::SequenceEnd => open.pop().unwrap_or_default(),
            _ => continue,
        };
        if anchor != 0 {
            sizes.insert(anchor, size);
        }
        if let Some((_, parent)) = open.last_mut() {
            *parent = parent.saturating_add(size);
        }
    }
    sum
}

/// Where the walk through the document is: the path of the open collection, and what comes next in it.
enum Open {
    Key { path: String },
    Value { path: String, key: String },
    Item { path: String, index: usize },
}

impl Open {
    /// Octets of what a path within it begins with.
    fn weight(&self) -> usize {
        match self {
            Self::Key { path } | Self::Item { path, .. } => path.len(),
            Self::Value { path, key } => path.len() + key.len(),
        }
    }

    /// The path of the node that begins now; None if it is a key.
    fn next_path(&self) -> Option<String> {
        match self {
            Self::Key { .. } => None,
            Self::Value { path, key } if path.is_empty() => Some(key.clone()),
            Self::Value { path, key } => Some(format!("{path}.{key}")),
            Self::Item { path, index } => Some(format!("{path}[{index}]")),
        }
    }

    /// The node is over.
    fn advance(&mut self) {
        match self {
            Self::Key { .. } => {}
            Self::Value { path, .. } => {
                *self = Self::Key {
                    path: std::mem::take(path),
                }
            }
            Self::Item { index, .. } => *index += 1,
        }
    }
}

/// The line of each value by its path; a map's value is where its key is. Stops quietly where the text is
/// no YAML: the decoder reports that.
fn lines_of(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    let mut open: Vec<Open> = Vec::new();
    let mut paths = 0;
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        paths += open.last().map_or(0, Open::weight);
        if open.len() > DEPTH || paths > PATHS {
            break;
        }
        let line = span.start.line();
        match event {
            Event::Scalar(text, ..) => scalar(&mut open, &mut lines, text.into_owned(), line),
            Event::Alias(_) => scalar(&mut open, &mut lines, String::new(), line),
            Event::MappingStart(..) => {
                let path = begin(&open, &mut lines, line);
                open.push(Open::Key { path });
            }
            Event::SequenceStart(..) => {
                let path = begin(&open, &mut lines, line);
                open.push(Open::Item { path, index: 0 });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                if let Some(parent) = open.last_mut() {
                    parent.advance();
                }
            }
            _ => {}
        }
    }
    lines
}

fn scalar(open: &mut [Open], lines: &mut BTreeMap<String, usize>, text: String, line: usize) {
    let Some(top) = open.last_mut() else { return };
    if let Open::Key { path } = top {
        *top = Open::Value {
            path: std::mem::take(path),
            key: text,
        };
        if let Some(path) = top.next_path() {
            lines.insert(path, line);
        }
        return;
    }
    begin(open, lines, line);
    if let Some(top) = open.last_mut() {
        top.advance();
    }
}

/// Notes where a node begins and answers its path.
fn begin(open: &[Open], lines: &mut BTreeMap<String, usize>, line: usize) -> String {
    let path = open.last().and_then(Open::next_path).unwrap_or_default();
    lines.entry(path.clone()).or_insert(line);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_on_the_line_of_its_key() {
        let lines =
            lines_of("# first\na: 1\nb:\n  c: { d: 2,\n    e: [x, y] }\nf:\n- g: 3\n  h: 4\n-\n  i: 5\n");
        for (path, line) in [
            ("a", 2),
            ("b", 3),
            ("b.c", 4),
            ("b.c.d", 4),
            ("b.c.e", 5),
            ("b.c.e[1]", 5),
            ("f", 6),
            ("f[0].g", 7),
            ("f[0].h", 8),
            ("f[1].i", 10),
        ] {
            assert_eq!(lines.get(path), Some(&line), "{path}");
        }
    }

    #[test]
    fn deep_and_long_winded_documents_cost_no_more_than_their_share() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(lines_of(&nested(DEPTH)).len(), DEPTH);
        assert_eq!(lines_of(&nested(DEPTH + 100)).len(), DEPTH + 1);
        assert!(lines_of(&"[".repeat(1 << 20)).len() <= DEPTH + 1);
        let (key, many) = ("k".repeat(1 << 19), "x, ".repeat(1 << 17));
        let lines = lines_of(&format!("? {key}\n: [{many}]\n"));
        assert!(lines.len() * key.len() <= 2 * PATHS, "{} lines", lines.len());
    }

    #[test]
    fn a_missing_value_is_reported_on_the_line_of_its_section() {
        let mut collector = Collector::new("x: 1\nlisteners:\n  - role: mx\n");
        collector.add("listeners[0].address", "missing");
        collector.add("hostname", "missing");
        let faults = collector.unless_any(Some(())).unwrap_err().to_string();
        assert_eq!(
            faults,
            "hostname: missing\nlisteners[0].address: missing (line 3)"
        );
    }
}
