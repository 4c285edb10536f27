//! `postern plugin replay`: mail of the past, put to a candidate, and what would have been said otherwise.
//!
//! Nothing is written: `kv` is read as the store has it now, and what a policy writes is in memory and thrown away;
//! `http` answers the error `not in this mode`, the clock stands at the message's arrival, and randomness is drawn by
//! its id. Quota is not asked: how full a mailbox was then is not known.

mod active;
mod kv;
mod source;
mod summary;
mod verdicts;

use crate::cli::output;
use crate::config::units::Span;
use crate::policy::stand::{Seat, Setup, Stand};
use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use source::{Past, Source};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use summary::{Percent, Summary};
use verdicts::{Side, difference, recorded, said};

/// Messages at once, at most.
const AT_ONCE: usize = 8;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The candidate.
    file: PathBuf,
    /// `store`, or a folder whose *.eml are put to it.
    #[arg(long, value_name = "store|DIR")]
    from: String,
    /// Only what came so long ago or later; without it, 7d of the store and all of a folder.
    #[arg(long, value_name = "SPAN", value_parser = str::parse::<Span>)]
    since: Option<Span>,
    /// Compare with the policy of the same name in force; without it, with what was recorded when the mail came.
    #[arg(long, value_name = "active")]
    against: Option<Against>,
    /// The candidate's own file, with settings, grants and limits; without it, the .yaml beside it.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Exit code 1 where more messages would be judged otherwise; without it, only where the store could not be read.
    #[arg(long, value_name = "1%", value_parser = str::parse::<Percent>)]
    max_changed: Option<Percent>,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    Active,
}

pub(super) fn run(arguments: &Arguments, config: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let workers = available_parallelism().map_or(1, |count| count.get().min(AT_ONCE));
    // One that was given up may still be ending.
    let places = u32::try_from(2 * workers).unwrap_or(u32::MAX);
    let fault = |fault: crate::policy::Fault| anyhow::anyhow!("{fault}");
    let mut told = Vec::new();
    let mut open = |file: &Path, manifest: Option<&Path>, source: &mut Source| -> anyhow::Result<_> {
        let mut stand = Stand::for_calls(file, manifest, places).map_err(fault)?;
        let (beneath, of_kv) = kv::beneath(source, &stand)?;
        told.push(of_kv);
        let setup = Setup {
            beneath,
            ..Setup::default()
        };
        let seat = stand.seat(&setup).map_err(fault)?;
        Ok((stand, seat))
    };
    let mut source = Source::open(&arguments.from, config)?;
    let (stand, candidate) = open(&arguments.file, arguments.manifest.as_deref(), &mut source)?;
    let active = match arguments.against {
        None => None,
        Some(Against::Active) => {
            let file = active::file(&mut source, stand.name())?;
            let opened = open(&file, None, &mut source);
            Some(opened.with_context(|| format!("the policy in force, {}", file.display()))?)
        }
    };
    let listed = source.list(arguments.since.map(|span| span.0))?;
    let bar = ProgressBar::new(listed.len() as u64).with_style(style());
    let summary = Mutex::new(Summary::new(&stand, active.as_ref().map(|(stand, _)| stand)));
    let active = active.as_ref().map(|(_, seat)| seat);
    let (sender, receiver) = sync_channel::<(usize, Past)>(workers);
    let receiver = Mutex::new(receiver);
    let read = std::thread::scope(|scope| {
        // Moved in: where it is dropped, there is no more mail.
        let sender = sender;
        for _ in 0..workers {
            scope.spawn(|| judge(&receiver, (&candidate, active), &summary, &bar));
        }
        for (place, item) in listed.iter().enumerate() {
            match source.read(item)? {
                Ok(past) => {
                    if sender.send((place, past)).is_err() {
                        break;
                    }
                }
                Err(why) => {
                    bar.inc(1);
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.unread(why);
                }
            }
        }
        anyhow::Ok(())
    });
    bar.finish_and_clear();
    read?;
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.shares(&told);
    tell(&summary, listed.len(), arguments.json)?;
    let is_within = arguments.max_changed.is_none_or(|most| summary.is_within(most));
    Ok(match is_within && summary.is_whole() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What came of so many messages that there are.
fn tell(summary: &Summary, listed: usize, json: bool) -> anyhow::Result<()> {
    ensure!(
        listed > 0,
        "there is no mail to replay; name an earlier --since, or another folder"
    );
    if summary.messages == 0 {
        bail!(
            "none of {} messages could be read: {}",
            listed,
            summary.why_unread()
        );
    }
    let mut out = io::stdout().lock();
    match json {
        true => writeln!(out, "{}", output::text(summary)?)?,
        false => summary.write(&mut out)?,
    }
    out.flush()?;
    Ok(())
}

/// Puts mail to both until there is no more.
fn judge(
    mail: &Mutex<Receiver<(usize, Past)>>,
    (candidate, active): (&Seat, Option<&Seat>),
    summary: &Mutex<Summary>,
    bar: &ProgressBar,
) {
    loop {
        let next = mail.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((place, past)) = next else { return };
        let now = said(candidate, &past);
        let before: Option<Side> = match active {
            Some(active) => Some(said(active, &past)),
            None => recorded(&past, candidate.name()),
        };
        let changed = before.as_ref().map(|before| difference(before, &now));
        let failed = now.answers.iter().filter(|answer| answer.is_failure).count();
        let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
        summary.add((place, past.id), changed, failed);
        drop(summary);
        bar.inc(1);
    }
}

/// Drawn on a terminal only.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} messages, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
