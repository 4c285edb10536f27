//! `postern plugin bench`: what one call of each question takes.
//!
//! Calls come one after the other, each with a fresh instance, and where the policy's file has `reuse` then again with
//! instances that last as it says. Nothing watches those that are timed; what they do is counted in one call more.

use super::session::{RECIPIENT, Session};
use crate::cli::{output, policies};
use crate::config::units::ByteSize;
use crate::policy::stand::{self, Ask, Keep, Mail, Seat, Setup, Stand};
use crate::policy::{Fault, MessageSource};
use crate::store::Usage;
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Calls before those that count: the first ones fetch code and memory.
const WARM: usize = 10;
const MESSAGE: &[u8] =
    b"From: <sender@example.com>\nTo: <recipient@example.org>\nSubject: lunch\n\nAt noon?\n";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component.
    file: PathBuf,
    /// The message that is asked about; without it, one of four lines.
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// Calls of each question.
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// Its own file, with settings, grants and limits; without it, the .yaml beside the component.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// One JSON object instead of a table for people.
    #[arg(long)]
    json: bool,
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    sha256: String,
    /// Octets of the component.
    bytes: u64,
    compile_ms: f64,
    /// The most that one call had, in octets.
    memory_peak: usize,
    questions: Vec<Measured>,
}

/// The policy, and how its calls come by their instances.
struct Trial {
    instance: &'static str,
    watched: Seat,
    unwatched: Seat,
}

/// One question, in milliseconds.
#[derive(Debug, Serialize)]
struct Measured {
    question: &'static str,
    /// What answered: `fresh`, an instance of its own for each call, or `reused`, one that lasts as the file says.
    instance: &'static str,
    calls: usize,
    failed: usize,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Calls of capabilities in one of them.
    host_calls: usize,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let fault = |fault: Fault| anyhow::anyhow!("{fault}");
    let message = arguments
        .message
        .as_deref()
        .map(stand::message)
        .transpose()
        .map_err(fault)?;
    let message: Arc<dyn MessageSource> = Mail::new(message.as_deref().unwrap_or(MESSAGE));
    let uncached = Keep {
        hear: policies::tell,
        ..Keep::default()
    };
    let mut stand = Stand::open(&arguments.file, arguments.manifest.as_deref(), &uncached).map_err(fault)?;
    let trials = trials(&mut stand).map_err(fault)?;
    let questions = asks(&message).into_iter().flat_map(|ask| {
        let asked = trials
            .iter()
            .filter(|trial| trial.watched.answers(ask.question()));
        let measured = asked.map(|trial| measured(trial, &ask, &message, arguments.calls as usize));
        measured.collect::<Vec<_>>()
    });
    let questions = questions.collect();
    let peaks = trials.iter().map(|trial| trial.watched.memory_peak());
    let report = Report {
        file: arguments.file.clone(),
        sha256: stand.digest().to_owned(),
        bytes: stand.size(),
        compile_ms: millis(stand.compiling()),
        memory_peak: peaks.max().unwrap_or_default(),
        questions,
    };
    let mut out = io::stdout().lock();
    match arguments.json {
        true => writeln!(out, "{}", output::text(&report)?)?,
        false => table(&report, &mut out)?,
    }
    out.flush()?;
    Ok(
        match report.questions.iter().any(|measured| measured.failed > 0) {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        },
    )
}

/// With fresh instances, then with those that its file lets it have.
fn trials(stand: &mut Stand) -> Result<Vec<Trial>, Fault> {
    let reused = match stand.reuses() {
        true => Some(stand.seat(&Setup::default())?),
        false => None,
    };
    stand.never_reuse();
    let fresh = stand.seat(&Setup::default())?;
    let trial = |instance, seat: Seat| Trial {
        instance,
        unwatched: seat.unwatched(false),
        watched: seat,
    };
    let reused = reused.map(|seat| trial("reused", seat));
    Ok([trial("fresh", fresh)].into_iter().chain(reused).collect())
}

/// All but that about settings.
pub(super) fn asks(message: &Arc<dyn MessageSource>) -> [Ask; 6] {
    [
        Ask::Connect,
        Ask::Mail,
        Ask::Rcpt(RECIPIENT.to_owned()),
        Ask::Route(RECIPIENT.to_owned()),
        Ask::Message,
        Ask::Quota {
            mailbox: RECIPIENT.to_owned(),
            usage: Usage::default(),
            incoming: message.size(),
        },
    ]
}

fn measured(trial: &Trial, ask: &Ask, message: &Arc<dyn MessageSource>, calls: usize) -> Measured {
    let facts = Session::default().facts(ask.question());
    let put = |seat: &Seat| seat.ask(ask, &facts, Some(Arc::clone(message)), &[]);
    (0..WARM).for_each(|_| drop(put(&trial.unwatched)));
    let mut took: Vec<Duration> = (0..calls).map(|_| put(&trial.unwatched).took).collect();
    took.sort_unstable();
    let seen = put(&trial.watched).seen;
    Measured {
        question: ask.question().word(),
        instance: trial.instance,
        calls,
        // What fails once under these settings fails each time.
        failed: if seen.failure.is_some() { calls } else { 0 },
        p50_ms: percentile(&took, 50),
        p90_ms: percentile(&took, 90),
        p99_ms: percentile(&took, 99),
        max_ms: took.last().copied().map_or(0.0, millis),
        host_calls: seen.calls.len() + seen.more,
    }
}

/// The least time within which so many of a hundred calls were over.
fn percentile(sorted: &[Duration], of_hundred: usize) -> f64 {
    let place = (sorted.len() * of_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().map_or(0.0, millis)
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn table(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let mut line = |key: &str, text: &str| writeln!(out, "{key:<10}{}", output::printable(text));
    line("file", &report.file.display().to_string())?;
    line("sha256", &report.sha256)?;
    line("size", &format!("{} octets", report.bytes))?;
    line(
        "compiled",
        &format!("in {:.0} ms, without a cache", report.compile_ms),
    )?;
    let peak = ByteSize((report.memory_peak as u64).next_multiple_of(1024));
    line("memory", &format!("{peak} at most in one call"))?;
    writeln!(
        out,
        "question  instance     calls    p50 ms    p90 ms    p99 ms    max ms  host calls"
    )?;
    for told in &report.questions {
        let Measured {
            question,
            instance,
            calls,
            failed,
            p50_ms,
            p90_ms,
            p99_ms,
            max_ms,
            host_calls,
        } = told;
        writeln!(
            out,
            "{question:<10}{instance:<8}{calls:>10}{p50_ms:>10.3}{p90_ms:>10.3}{p99_ms:>10.3}{max_ms:>10.3}{host_calls:>12}{}",
            if *failed > 0 {
                "  failed: see `postern plugin run`"
            } else {
                ""
            }
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_least_time_that_holds_for_so_many() {
        let times = |count: u64| -> Vec<Duration> { (1..=count).map(Duration::from_millis).collect() };
        assert_eq!(percentile(&times(100), 50), 50.0);
        assert_eq!(percentile(&times(100), 99), 99.0);
        assert_eq!(percentile(&times(1), 99), 1.0);
        assert_eq!(percentile(&times(3), 50), 2.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }
}
