//! What commands print: results on standard output, trouble on standard error.

use super::ListFormat;
use super::client::Gateway;
use crate::config::Config;
use crate::control::{Operation, Record};
use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// A line on standard output; nothing for an empty text.
pub(super) fn say(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout().lock(), "{}", lines(text))
}

/// A line on standard error. If even that is closed, there is nobody to tell.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "postern: {}", lines(text));
}

/// A note on standard error beside what goes to standard output; nothing for an empty text.
pub(super) fn note(text: &str) {
    if text.is_empty() {
        return;
    }
    let _ = writeln!(io::stderr().lock(), "{}", lines(text));
}

/// Whether somebody (`| head`) has read enough.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Without what a terminal would obey, and on one line: addresses and reasons come from strangers.
pub(super) fn printable(text: &str) -> String {
    escaped(text, |_| false)
}

/// Likewise, of our own lines: only what is in them was escaped where it came in.
fn lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match commands(c) && !is_kept(c) {
            true => shown.extend(c.escape_debug()),
            false => shown.push(c),
        }
    }
    shown
}

/// Control characters, line separators, what turns the order of letters around, and what nobody sees.
fn commands(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let unseen = matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}');
    c.is_control() || turns || unseen
}

/// A listing, written as it comes: lines, or one JSON array.
pub(super) struct Listing<W> {
    out: W,
    format: ListFormat,
    count: usize,
}

impl Listing<io::BufWriter<io::Stdout>> {
    pub(super) fn new(format: ListFormat) -> Self {
        Self::to(io::BufWriter::new(io::stdout()), format)
    }
}

impl<W: Write> Listing<W> {
    fn to(out: W, format: ListFormat) -> Self {
        Self {
            out,
            format,
            count: 0,
        }
    }

    pub(super) fn add(&mut self, record: &Record) -> io::Result<()> {
        // People read the figures in the answer behind the listing.
        if !self.format.json && matches!(record, Record::Checked(_)) {
            return Ok(());
        }
        self.count += 1;
        if !self.format.json {
            return writeln!(self.out, "{}", printable(&line(record)));
        }
        let before = if self.count == 1 { "[\n" } else { ",\n" };
        write!(self.out, "{before}{}", json(record)?)
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        match (self.format.json, self.count) {
            (false, _) => {}
            (true, 0) => writeln!(self.out, "[]")?,
            (true, _) => writeln!(self.out, "\n]")?,
        }
        self.out.flush()
    }
}

/// Prints the listing that an operation answers.
pub(super) async fn run_list(
    config: &Config,
    operation: &Operation,
    format: ListFormat,
) -> anyhow::Result<ExitCode> {
    list(&mut Gateway::of(config, operation).await?, operation, format).await
}

/// Has an operation without records carried out, and prints what it answers.
pub(super) async fn run_tell(config: &Config, operation: &Operation) -> anyhow::Result<ExitCode> {
    say(&Gateway::of(config, operation).await?.tell(operation).await?)?;
    Ok(ExitCode::SUCCESS)
}

/// The listing of a gateway that is reached already.
pub(super) async fn list(
    gateway: &mut Gateway,
    operation: &Operation,
    format: ListFormat,
) -> anyhow::Result<ExitCode> {
    let mut listing = Listing::new(format);
    let asked = gateway.ask(operation, &mut |record| listing.add(&record)).await;
    // What came is whole also where the answer is that something is wrong.
    listing.end()?;
    note(&asked?);
    Ok(ExitCode::SUCCESS)
}

/// A value in JSON, on one line.
pub(super) fn text(value: &impl Serialize) -> io::Result<String> {
    // JSON escapes controls of ASCII by itself; terminals obey others as well.
    let mut shown = String::new();
    for c in serde_json::to_string(value)?.chars() {
        match commands(c) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    Ok(shown)
}

/// The record itself, without the name of its kind.
pub(super) fn json(record: &Record) -> io::Result<String> {
    match record {
        Record::Domain(domain) => text(domain),
        Record::User(user) => text(user),
        Record::Alias(alias) => text(alias),
        Record::Quarantined(held) => text(held),
        Record::Plugin(plugin) => text(plugin),
        Record::Explained(told) => text(told),
        Record::Mail(mail) => text(mail),
        Record::Agreement(cell) => text(cell),
        Record::Content(octets) => text(octets),
        Record::Gone(id) => text(id),
        Record::Finding(finding) => text(finding),
        Record::Checked(report) => text(report),
        Record::Fault { line, text: why } => text(&serde_json::json!({ "line": line, "text": why })),
    }
}

/// The record on one line for people.
pub(super) fn line(record: &Record) -> String {
    match record {
        Record::Domain(domain) => super::domain::line(domain),
        Record::User(user) => super::user::line(user),
        Record::Alias(alias) => format!("{} -> {}", alias.address, alias.targets.join(", ")),
        Record::Quarantined(held) => super::quarantine::line(held),
        Record::Plugin(plugin) => super::plugin::line(plugin),
        Record::Explained(told) => super::explain::line(told),
        Record::Mail(mail) => mail.id.clone(),
        Record::Agreement(cell) => super::plugin::agreement(cell),
        Record::Content(octets) => octets.clone(),
        Record::Gone(id) => format!("{id} is not there any more"),
        Record::Finding(finding) => finding.clone(),
        Record::Checked(report) => format!("{} faults", report.faults),
        Record::Fault { line, text } => format!("line {line}: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Domain;

    fn listed(names: &[&str], json: bool) -> String {
        let mut out = Vec::new();
        let mut listing = Listing::to(&mut out, ListFormat { json });
        for name in names {
            let domain = Domain {
                name: (*name).to_owned(),
                alias_of: None,
            };
            listing.add(&Record::Domain(domain)).unwrap();
        }
        listing.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_json_listing_is_one_array_however_long() {
        for names in [&[][..], &["a.example"], &["a.example", "b.example"]] {
            let array: Vec<Domain> = serde_json::from_str(&listed(names, true)).unwrap();
            let found: Vec<&str> = array.iter().map(|domain| domain.name.as_str()).collect();
            assert_eq!(found, names);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_not_sent() {
        let name = "a\u{1b}[2J\r\nb\u{9b}31m\u{202e}\u{7f}\u{200b}\u{200f}.ex\u{e4}mple";
        let line = listed(&[name], false);
        assert_eq!(
            line,
            "a\\u{1b}[2J\\r\\nb\\u{9b}31m\\u{202e}\\u{7f}\\u{200b}\\u{200f}.ex\u{e4}mple\n"
        );
        let json = listed(&[name], true);
        assert!(
            !json.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}']),
            "{json}"
        );
        let read: Vec<Domain> = serde_json::from_str(&json).unwrap();
        assert_eq!(read[0].name, name, "a program reads what was there");
        assert_eq!(lines("two\nlines\u{1b}"), "two\nlines\\u{1b}");
    }

    #[test]
    fn a_listing_for_people_has_a_line_each_and_nothing_when_empty() {
        assert_eq!(
            listed(&["a.example", "b.example"], false),
            "a.example\nb.example\n"
        );
        assert_eq!(listed(&[], false), "");
    }
}
