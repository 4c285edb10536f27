//! Attempts on disk, so that a restart forgets none: two files in the state folder, a line of JSON for each attempt.
//!
//! Sessions write nothing: what came since the last time is put behind the newer file every `explain.save` and at the
//! end. That file takes the older one's place when it has half of `explain.max`, or reaches as far back as
//! `explain.keep`. So both together have `explain.max` at most, and nothing is in them for more than twice
//! `explain.keep`. Nothing is synced: what a power cut takes is in the log. A file that cannot be read stays as it is, and
//! nothing is saved until it can be.

use super::attempts::{Attempts, Line};
use crate::clock::unix_millis;
use crate::config::ExplainConfig;
use serde::Deserialize;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// Of the state folder.
const FOLDER: &str = "attempts";

/// Both files.
#[derive(Debug)]
struct Saved {
    folder: PathBuf,
    config: ExplainConfig,
    older: Option<Part>,
    newer: Option<Part>,
    /// Whether it is known what is there.
    is_read: bool,
}

/// What one file has: octets, and the times of its first and last attempt.
#[derive(Debug, Clone, Copy)]
struct Part {
    octets: u64,
    first: u64,
    last: u64,
}

#[derive(Deserialize)]
struct Timed {
    time: u64,
}

/// Remembers what an earlier process saved, then saves what comes: every `explain.save`, and at `end`. Where nothing is
/// to be saved, what is there goes.
pub async fn save(attempts: Arc<Attempts>, state: PathBuf, end: CancellationToken) {
    let (config, folder) = (attempts.config(), state.join(FOLDER));
    if config.save.is_zero() || config.keep.is_zero() {
        told(tokio::task::spawn_blocking(move || forget(&folder)).await);
        return;
    }
    let loaded = Arc::clone(&attempts);
    let loading = tokio::task::spawn_blocking(move || {
        let (saved, lines) = Saved::open(folder, config);
        match loaded.remember(lines) {
            0 => {}
            attempts => tracing::info!(attempts, "what was refused before this start is remembered"),
        }
        saved
    });
    let Some(mut saved) = told(loading.await) else {
        return;
    };
    let mut is_well = true;
    loop {
        let is_over = end
            .run_until_cancelled(tokio::time::sleep(config.save))
            .await
            .is_none();
        let saving = Arc::clone(&attempts);
        let done = tokio::task::spawn_blocking(move || {
            let fresh = saving.fresh();
            let outcome = saved.add(&fresh, unix_millis());
            if outcome.is_err() {
                saving.again(fresh.len());
            }
            (saved, outcome)
        });
        let Some((back, outcome)) = told(done.await) else {
            return;
        };
        saved = back;
        if let Err(error) = &outcome {
            failed();
            if is_well {
                tracing::warn!(%error, folder = %saved.folder.display(),
                    "refused attempts are not saved, and a restart forgets them; trying again");
            }
        }
        is_well = outcome.is_ok();
        if is_over {
            return;
        }
    }
}

/// What was done where blocking is allowed. None where it panicked: then nothing is saved any more, and that is told.
fn told<T>(done: Result<T, JoinError>) -> Option<T> {
    done.inspect_err(|error| {
        failed();
        tracing::error!(%error, "refused attempts are no longer saved, and a restart forgets them");
    })
    .ok()
}

fn failed() {
    metrics::counter!("postern_explain_save_failures_total").increment(1);
}

fn forget(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %folder.display(), "saved attempts are not removed");
        }
        _ => {}
    }
}

impl Saved {
    /// With all that is there, oldest first. Lines that cannot be read are passed over.
    fn open(folder: PathBuf, config: ExplainConfig) -> (Self, Vec<Line>) {
        let mut saved = Self {
            folder,
            config,
            older: None,
            newer: None,
            is_read: false,
        };
        let (lines, outcome) = saved.load();
        if let Err(error) = outcome {
            tracing::warn!(%error, folder = %saved.folder.display(), "saved attempts are not read");
        }
        (saved, lines)
    }

    /// Finds out what is there. What can be read is answered even if something else cannot.
    fn load(&mut self) -> (Vec<Line>, io::Result<()>) {
        let (older, newer) = (self.read("older"), self.read("newer"));
        let mut lines = Vec::new();
        let mut outcome = Ok(());
        for (read, part) in [(older, &mut self.older), (newer, &mut self.newer)] {
            match read {
                Ok((of_file, found)) => {
                    lines.extend(of_file);
                    *part = found;
                }
                Err(error) => outcome = Err(error),
            }
        }
        self.is_read = outcome.is_ok();
        (lines, outcome)
    }

    /// What one file may have. One that was written when there was more room is cut.
    fn most(&self) -> u64 {
        self.config.max / 2
    }

    fn read(&self, name: &str) -> io::Result<(Vec<Line>, Option<Part>)> {
        let file = self.folder.join(name);
        let octets = match tail(&file, self.most()) {
            Ok((octets, false)) => octets,
            Ok((octets, true)) => {
                let cut = octets.iter().position(|octet| *octet == b'\n');
                let whole = cut.and_then(|line| octets.get(line + 1..)).unwrap_or_default();
                self.replace(&file, whole)?;
                whole.to_vec()
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), None)),
            Err(error) => return Err(error),
        };
        let timed = |line: &[u8]| {
            let Timed { time } = serde_json::from_slice(line).ok()?;
            Some((time, Arc::from(line)))
        };
        let lines: Vec<Line> = octets.split(|octet| *octet == b'\n').filter_map(timed).collect();
        let time = |line: Option<&Line>| line.map_or(0, |(time, _)| *time);
        let part = Part {
            // One that ends in the middle of a line takes no more.
            octets: match octets.last() {
                Some(b'\n') | None => octets.len() as u64,
                Some(_) => u64::MAX,
            },
            first: time(lines.first()),
            last: time(lines.last()),
        };
        Ok((lines, Some(part)))
    }

    /// In one step: a crash leaves the one or the other.
    fn replace(&self, file: &Path, text: &[u8]) -> io::Result<()> {
        let aside = self.folder.join("cut");
        let mut how = OpenOptions::new();
        let how = how.create(true).truncate(true).write(true).mode(0o600);
        how.open(&aside)?.write_all(text)?;
        fs::rename(aside, file)
    }

    /// Puts these behind the others, those that there is room for, and drops what is over. Files that somebody removed
    /// are begun anew.
    fn add(&mut self, lines: &[Line], now: u64) -> io::Result<()> {
        if !self.is_read {
            self.load().1?;
        }
        let keep = u64::try_from(self.config.keep.as_millis()).unwrap_or(u64::MAX);
        let is_over = |time: u64| time.saturating_add(keep) <= now;
        let most = self.most();
        let mut octets = 0;
        let fitting = lines.iter().rev().take_while(|(_, text)| {
            octets += text.len() as u64 + 1;
            octets <= most
        });
        let fitting = fitting.count();
        let lines = lines.get(lines.len() - fitting..).unwrap_or_default();
        let text: Vec<u8> = lines
            .iter()
            .flat_map(|(_, text)| text.iter().chain(b"\n"))
            .copied()
            .collect();
        let is_full = |part: Part| part.octets.saturating_add(text.len() as u64) > most;
        if self
            .newer
            .is_some_and(|part| is_full(part) || is_over(part.first))
        {
            let moved = fs::rename(self.folder.join("newer"), self.folder.join("older"));
            let newer = self.newer;
            if is_done(moved)? {
                self.older = newer;
            }
            self.newer = None;
        }
        if self.older.is_some_and(|part| is_over(part.last)) {
            is_done(fs::remove_file(self.folder.join("older")))?;
            self.older = None;
        }
        let (Some((first, _)), Some((last, _))) = (lines.first(), lines.last()) else {
            return Ok(());
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.folder.join("newer"))?;
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(&text) {
            // Half of it would be there twice.
            file.set_len(before)?;
            return Err(error);
        }
        self.newer = Some(Part {
            octets: before + text.len() as u64,
            first: self
                .newer
                .filter(|_| before > 0)
                .map_or(*first, |part| part.first),
            last: *last,
        });
        Ok(())
    }
}

/// False where the file is not there, which is as good.
fn is_done(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// The last `most` octets of a file, and whether that is not all of it.
fn tail(file: &Path, most: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(file)?;
    let octets = file.metadata()?.len();
    file.seek(SeekFrom::Start(octets.saturating_sub(most)))?;
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text)?;
    Ok((text, octets > most))
}

#[cfg(test)]
mod tests;
