//! `postern explain`: why a message fared as it did, step by step.

mod brief;

use super::client::Gateway;
use super::{ListFormat, output};
use crate::config::Config;
use crate::control::{ExplainRecord, Operation, Record, Source};
use crate::explain::{Explanation, Fact, Step};
use mail_parser::DateTime;
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The queue id: in the 250, in the log and in `Received`.
    #[arg(required_unless_present = "address")]
    id: Option<String>,
    /// Instead, the last refused attempts by this sender or client, or to this recipient.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "id")]
    address: Option<String>,
    /// Look for a stored message in this mailbox alone: over Cassandra quicker than in all of them.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "address")]
    mailbox: Option<String>,
    /// Only the reply, what became of it, and who decided so and why, in a few lines.
    #[arg(long, conflicts_with = "json")]
    brief: bool,
    #[command(flatten)]
    format: ListFormat,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let operation = match (arguments.id, arguments.address) {
        (Some(id), _) => Operation::Explain {
            id,
            mailbox: arguments.mailbox,
        },
        (None, address) => Operation::ExplainAddress {
            address: address.unwrap_or_default(),
        },
    };
    let mut gateway = Gateway::of(config, &operation).await?;
    if arguments.format.json {
        return output::list(&mut gateway, &operation, arguments.format).await;
    }
    let mut out = io::BufWriter::new(io::stdout());
    let mut first = true;
    let mut each = |record: Record| -> io::Result<()> {
        if let Record::Explained(told) = record {
            if !std::mem::take(&mut first) {
                writeln!(out)?;
            }
            match arguments.brief {
                true => brief::write(&mut out, &told)?,
                false => write(&mut out, &told)?,
            }
        }
        Ok(())
    };
    let told = gateway.ask(&operation, &mut each).await;
    out.flush()?;
    output::note(&told?);
    Ok(ExitCode::SUCCESS)
}

fn write(out: &mut impl Write, told: &ExplainRecord) -> io::Result<()> {
    key(out, "id", &told.id)?;
    key(out, "time", &time(told))?;
    key(out, "known", source(&told.source))?;
    key(out, "client", &client(told))?;
    key(out, "from", &format!("<{}>", told.mail_from))?;
    key(
        out,
        "to",
        &listed((&told.rcpt_to, told.rcpt_cut), usize::MAX, ", "),
    )?;
    let Some(explained) = &told.explained else {
        return unexplained(out);
    };
    for outcome in &explained.outcomes {
        key(out, "outcome", outcome)?;
    }
    if explained.outcomes_cut > 0 {
        let cut = explained.outcomes_cut;
        key(out, "outcome", &format!("… {cut} more were not recorded"))?;
    }
    for reply in &explained.replies {
        key(out, "reply", reply)?;
    }
    steps(out, explained)
}

/// The first ones, and how many there are besides, with those that are left out.
fn listed((all, cut): (&[String], usize), shown: usize, between: &str) -> String {
    let more = all.len().saturating_sub(shown) + cut;
    let more = (more > 0).then(|| format!("and {more} more"));
    let parts: Vec<String> = all.iter().take(shown).cloned().chain(more).collect();
    parts.join(between)
}

fn key(out: &mut impl Write, key: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{key:<10}{}", output::printable(text))
}

fn unexplained(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "nothing was recorded when it came: it was taken by an older version, or with explain.keep: 0s"
    )
}

/// `rcpt ann@example.org`
fn asked(step: &Step) -> String {
    match step.about.as_str() {
        "" => step.question.clone(),
        about => format!("{} {about}", step.question),
    }
}

fn steps(out: &mut impl Write, explained: &Explanation) -> io::Result<()> {
    for step in &explained.steps {
        let title = format!("{}  {}", asked(step), step.policy);
        writeln!(out, "{}", output::printable(&title))?;
        for (key, text) in lines(step) {
            writeln!(out, "  {key:<9}{}", output::printable(&text))?;
        }
    }
    match explained.cut {
        0 => Ok(()),
        cut => writeln!(out, "… {cut} more steps and replies were not recorded"),
    }
}

/// What is printed of one step, a key and its text each.
fn lines(step: &Step) -> Vec<(&'static str, String)> {
    let mut lines = vec![(
        "version",
        format!("{} with settings {}", step.component, step.manifest),
    )];
    match &step.failed {
        None => lines.push(("said", step.said.clone())),
        Some(failed) => {
            lines.push(("failed", failed.clone()));
            lines.push(("comes to", step.said.clone()));
        }
    }
    lines.extend(step.edits.iter().map(|edit| ("edit", edit.clone())));
    // What it changed is above, with what it wrote.
    let facts = step.facts.iter().filter(|fact| !fact.call.starts_with("edit."));
    lines.extend(facts.map(|fact| ("read", read(fact))));
    if step.cut > 0 {
        lines.push((
            "read",
            format!("… {} more reads and edits were not recorded", step.cut),
        ));
    }
    lines.push(("time", format!("{:.1} ms", step.micros as f64 / 1000.0)));
    lines
}

/// `session.helo -> "h.example" (3 times)`
fn read(fact: &Fact) -> String {
    let value = fact.value.as_ref().map(|value| format!(" -> {value}"));
    let times = (fact.times > 1).then(|| format!(" ({} times)", fact.times));
    format!(
        "{}{}{}",
        fact.call,
        value.unwrap_or_default(),
        times.unwrap_or_default()
    )
}

fn client(told: &ExplainRecord) -> String {
    let helo = match told.helo.as_str() {
        "" => String::new(),
        helo => format!(", which says {helo}"),
    };
    format!("{}{helo}, at {}", told.client_ip, told.listener)
}

fn source(source: &Source) -> &str {
    match source {
        Source::Stored => "from the stored message",
        Source::Deleted => "from the record of a deleted message",
        Source::Attempt(stage) => match stage.as_str() {
            "connect" => "from memory: it ended when it connected",
            "mail" => "from memory: it ended at MAIL",
            "rcpt" => "from memory: it ended at RCPT",
            _ => "from memory: it ended with its message",
        },
    }
}

fn time(told: &ExplainRecord) -> String {
    DateTime::from_timestamp(i64::try_from(told.time).unwrap_or_default()).to_rfc3339()
}

/// One line, where several records are listed.
pub(super) fn line(told: &ExplainRecord) -> String {
    let explained = told.explained.as_ref();
    let replies = explained.map_or_else(String::new, |explained| explained.replies.join("; "));
    let to = told.rcpt_to.join(",");
    format!(
        "{}  {}  <{}>  {to}  {replies}",
        told.id,
        time(told),
        told.mail_from
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn record(explained: Option<Explanation>) -> ExplainRecord {
        ExplainRecord {
            id: "Q".to_owned(),
            time: 1_700_000_000,
            source: Source::Attempt("rcpt".to_owned()),
            listener: "mx".to_owned(),
            client_ip: "192.0.2.1".to_owned(),
            helo: "h\u{1b}".to_owned(),
            mail_from: String::new(),
            rcpt_to: vec!["ann@example.org".to_owned()],
            rcpt_cut: 0,
            explained,
        }
    }

    fn told(explained: Option<Explanation>) -> String {
        let mut out = Vec::new();
        write(&mut out, &record(explained)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_attempt_is_told_step_by_step() {
        let step = Step {
            policy: "10-one".to_owned(),
            component: "0123".to_owned(),
            manifest: "4567".to_owned(),
            question: "rcpt".to_owned(),
            about: "ann@example.org".to_owned(),
            said: "defer".to_owned(),
            failed: Some("trap: unreachable".to_owned()),
            micros: 1234,
            facts: vec![
                Fact {
                    call: "session.helo".to_owned(),
                    value: Some("\"h\"".to_owned()),
                    times: 2,
                },
                Fact {
                    call: "edit.tag".to_owned(),
                    value: None,
                    times: 1,
                },
            ],
            edits: vec!["tag odd".to_owned()],
            cut: 3,
        };
        let explained = Explanation {
            steps: vec![step],
            outcomes: vec!["ann@example.org: deliver".to_owned()],
            outcomes_cut: 2,
            replies: vec!["451 4.7.1 later".to_owned()],
            cut: 1,
        };
        let expected = "\
id        Q
time      2023-11-14T22:13:20Z
known     from memory: it ended at RCPT
client    192.0.2.1, which says h\\u{1b}, at mx
from      <>
to        ann@example.org
outcome   ann@example.org: deliver
outcome   … 2 more were not recorded
reply     451 4.7.1 later
rcpt ann@example.org  10-one
  version  0123 with settings 4567
  failed   trap: unreachable
  comes to defer
  edit     tag odd
  read     session.helo -> \"h\" (2 times)
  read     … 3 more reads and edits were not recorded
  time     1.2 ms
… 1 more steps and replies were not recorded
";
        assert_eq!(told(Some(explained)), expected);
        let mut many = record(None);
        many.rcpt_cut = 3;
        let mut out = Vec::new();
        write(&mut out, &many).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("to        ann@example.org, and 3 more\n"), "{out}");
        assert!(
            told(None).ends_with("older version, or with explain.keep: 0s\n"),
            "{}",
            told(None)
        );
    }
}
