//! `postern user import`: accounts by the thousand from a CSV file.
//!
//! The whole file is read first. Lines that are wrong are named with their number and do not stop the
//! others; a summary says how many accounts there are now, and any refused line makes the exit code 1. To
//! go on after a fault, run it again: accounts that are there are refused and stay as they are.

use crate::cli::client::Gateway;
use crate::cli::output;
use crate::config::Config;
use crate::control::{Access, Hidden, Imported, Operation, Proof, Record};
use crate::directory::is_hash;
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::process::ExitCode;

/// Accounts of one request: few enough to show progress.
const BATCH: usize = 64;

/// A line that was refused.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: u64,
    text: String,
}

pub(super) async fn run(config: &Config, file: &Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (users, mut faults) = read(&text);
    let unread = faults.len();
    let mut gateway = Gateway::to(config, Access::Begins).await?;
    let bar = ProgressBar::new(users.len() as u64).with_style(style());
    for batch in users.chunks(BATCH) {
        let operation = Operation::UserImport {
            users: batch.to_vec(),
        };
        let mut note = |record| {
            if let Record::Fault { line, text } = record {
                faults.push(Fault { line, text });
            }
            Ok(())
        };
        if let Err(error) = gateway.ask(&operation, &mut note).await {
            bar.abandon();
            show(&mut faults);
            let first = batch.first().map_or(0, |user| user.line);
            return Err(error).with_context(|| format!("broken off in the {BATCH} lines from line {first}"));
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    summary(users.len() + unread, faults)
}

fn summary(lines: usize, mut faults: Vec<Fault>) -> anyhow::Result<ExitCode> {
    show(&mut faults);
    let added = lines.saturating_sub(faults.len());
    output::say(&format!("{added} users added, {} lines refused", faults.len()))?;
    Ok(match faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn show(faults: &mut [Fault]) {
    faults.sort_by_key(|fault| fault.line);
    for fault in faults {
        output::note(&format!(
            "line {}: {}",
            fault.line,
            output::printable(&fault.text)
        ));
    }
}

/// Drawn on a terminal only.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} users, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

const MALFORMED: &str = "expected address,password or address,hash; quote a field that has a comma in it";

/// The accounts that the file names, and the lines that name none. A first line of headings is passed over.
fn read(text: &[u8]) -> (Vec<Imported>, Vec<Fault>) {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let (mut users, mut faults) = (Vec::new(), Vec::new());
    for record in reader.byte_records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                let text = error.to_string();
                faults.push(Fault { line, text });
                break;
            }
        };
        let line = record.position().map_or(0, |position| line(text, position));
        let fields: Vec<_> = record.iter().map(std::str::from_utf8).collect();
        match fields.as_slice() {
            [Ok("address"), Ok("password" | "hash")] if users.is_empty() => {}
            [Ok(address), Ok(secret)] => users.push(Imported {
                line,
                address: address.trim().to_owned(),
                proof: proof(secret),
            }),
            _ => faults.push(Fault {
                line,
                text: MALFORMED.to_owned(),
            }),
        }
    }
    (users, faults)
}

/// The line a record is on: its position is that of the blank lines before it.
fn line(text: &[u8], position: &csv::Position) -> u64 {
    let from = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let before = text.get(from..).unwrap_or_default().iter();
    let blank = before.take_while(|octet| matches!(octet, b'\r' | b'\n'));
    position.line() + blank.filter(|octet| **octet == b'\n').count() as u64
}

/// What looks like a hash is one: a hash of an unknown kind must not become a password.
fn proof(secret: &str) -> Proof {
    let hidden = Hidden(secret.to_owned());
    if is_hash(secret) {
        Proof::Hash(hidden)
    } else {
        Proof::Password(hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_headings_passed_over_and_hashes_told_from_passwords() {
        let text = "address,password\nann@example.org,secret\n\nbob@example.org\n\
                    eve@example.org,\"a,b\"\nkim@example.org,{BLF-CRYPT}$2y$05$abc\n\u{f6}@x,y,z\n";
        let (users, faults) = read(text.as_bytes());
        let found: Vec<_> = users
            .iter()
            .map(|user| (user.line, user.address.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (2, "ann@example.org"),
                (5, "eve@example.org"),
                (6, "kim@example.org")
            ]
        );
        assert_eq!(users[1].proof, Proof::Password(Hidden("a,b".to_owned())));
        assert!(matches!(users[2].proof, Proof::Hash(_)));
        let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [4, 7]);
    }
}
