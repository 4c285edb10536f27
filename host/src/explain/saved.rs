//! Attempts on disk, so that a restart forgets none: two files in the state folder, a line of JSON for each attempt.
//!
//! Sessions write nothing: what came since the last time is put behind the newer file every `explain.save` and at the
//! end. That file takes the older one's place when it has half of `explain.max`, or reaches as far back as
//! `explain.keep`. So both together have `explain.max` at most, and nothing is in them for more than twice
//! `explain.keep`. Nothing is synced: what a power cut takes is in the log.

use super::attempts::{Attempts, Line};
use crate::clock::unix_millis;
use crate::config::ExplainConfig;
use serde::Deserialize;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
        return forget(&folder);
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
    let Ok(mut saved) = loading.await else { return };
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
        let Ok((back, outcome)) = done.await else { return };
        saved = back;
        if let Err(error) = &outcome {
            metrics::counter!("postern_explain_save_failures_total").increment(1);
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

fn forget(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %folder.display(), "saved attempts are not removed");
        }
        _ => {}
    }
}

impl Saved {
    /// With all that is there, oldest first. What cannot be read is passed over.
    fn open(folder: PathBuf, config: ExplainConfig) -> (Self, Vec<Line>) {
        let mut saved = Self {
            folder,
            config,
            older: None,
            newer: None,
        };
        let (mut lines, older) = saved.read("older");
        let (newer, part) = saved.read("newer");
        lines.extend(newer);
        (saved.older, saved.newer) = (older, part);
        (saved, lines)
    }

    fn read(&self, name: &str) -> (Vec<Line>, Option<Part>) {
        let file = self.folder.join(name);
        let octets = match tail(&file, self.config.max) {
            Ok(octets) => octets,
            Err(error) if error.kind() == ErrorKind::NotFound => return (Vec::new(), None),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "saved attempts are not read");
                Vec::new()
            }
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
        (lines, Some(part))
    }

    /// Puts these behind the others, those that there is room for, and drops what is over.
    fn add(&mut self, lines: &[Line], now: u64) -> io::Result<()> {
        let keep = u64::try_from(self.config.keep.as_millis()).unwrap_or(u64::MAX);
        let is_over = |time: u64| time.saturating_add(keep) <= now;
        let most = self.config.max / 2;
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
            fs::rename(self.folder.join("newer"), self.folder.join("older"))?;
            self.older = self.newer.take();
        }
        if self.older.is_some_and(|part| is_over(part.last)) {
            fs::remove_file(self.folder.join("older"))?;
            self.older = None;
        }
        let (Some((first, _)), Some((last, _))) = (lines.first(), lines.last()) else {
            return Ok(());
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let before = self.newer.map_or(0, |part| part.octets);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.folder.join("newer"))?;
        if let Err(error) = file.write_all(&text) {
            // Half of it would be there twice.
            file.set_len(before)?;
            return Err(error);
        }
        self.newer = Some(Part {
            octets: before + text.len() as u64,
            first: self.newer.map_or(*first, |part| part.first),
            last: *last,
        });
        Ok(())
    }
}

/// The last `most` octets of a file.
fn tail(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    let octets = file.metadata()?.len();
    file.seek(SeekFrom::Start(octets.saturating_sub(most)))?;
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
