//! `postern quarantine`.

use super::client::Gateway;
use super::{ListFormat, output};
use crate::config::Config;
use crate::control::{Operation, QuarantineRecord, Record};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use mail_parser::DateTime;
use std::io::{self, Write as _};
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists the messages that are held, oldest first.
    List(#[command(flatten)] ListFormat),
    /// Shows why a message is held, and its header.
    Show {
        id: String,
        /// Write the whole message instead, as it was received.
        #[arg(long)]
        raw: bool,
    },
    /// Delivers a message to the mailboxes it was held back from.
    Release { id: String },
    /// Drops a message for ever.
    Drop { id: String },
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    let operation = match command {
        Command::List(format) => return output::run_list(config, &Operation::QuarantineList, format).await,
        Command::Show { id, raw: false } => Operation::QuarantineShow { id },
        Command::Show { id, raw: true } => Operation::QuarantineContent { id },
        Command::Release { id } => Operation::QuarantineRelease { id },
        Command::Drop { id } => Operation::QuarantineDrop { id },
    };
    let mut gateway = Gateway::of(config, &operation).await?;
    let mut out = io::BufWriter::new(io::stdout());
    let text = gateway
        .ask(&operation, &mut |record| write(&mut out, record))
        .await?;
    out.flush()?;
    drop(out);
    output::say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Facts as lines and an empty one; content as it is.
fn write(out: &mut impl io::Write, record: Record) -> io::Result<()> {
    match record {
        Record::Content(octets) => out.write_all(&BASE64.decode(octets).map_err(io::Error::other)?),
        Record::Quarantined(held) => {
            writeln!(out, "id: {}", held.id)?;
            writeln!(out, "time: {}", time(&held))?;
            writeln!(out, "size: {} octets", held.bytes)?;
            writeln!(out, "for: {}", output::printable(&held.mailboxes.join(", ")))?;
            writeln!(out, "reason: {}\n", output::printable(&held.reason))
        }
        _ => Ok(()),
    }
}

fn time(held: &QuarantineRecord) -> String {
    DateTime::from_timestamp(i64::try_from(held.time).unwrap_or_default()).to_rfc3339()
}

pub(super) fn line(held: &QuarantineRecord) -> String {
    let QuarantineRecord {
        id,
        mailboxes,
        reason,
        bytes,
        ..
    } = held;
    format!(
        "{id}  {}  {bytes}B  {}  {reason}",
        time(held),
        mailboxes.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_message_is_one_line_and_its_content_comes_out_as_it_went_in() {
        let held = QuarantineRecord {
            id: "01".to_owned(),
            time: 1_700_000_000,
            mailboxes: vec!["ann@example.org".to_owned()],
            reason: "an attachment".to_owned(),
            bytes: 10,
        };
        assert_eq!(
            line(&held),
            "01  2023-11-14T22:13:20Z  10B  ann@example.org  an attachment"
        );
        let mut out = Vec::new();
        write(&mut out, Record::Content(BASE64.encode(b"\xff\r\n"))).unwrap();
        assert_eq!(out, b"\xff\r\n");
    }
}
