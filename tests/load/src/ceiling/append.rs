//! The disk: so many writers append the same octets through one committer, which syncs whole batches.

use crate::pace::Latencies;
use crate::process;
use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Appends of one batch.
const BATCH: usize = 256;

pub(crate) fn append(
    folder: &Path,
    writers: usize,
    message: &[u8],
    length: Duration,
) -> anyhow::Result<Value> {
    let file = tempfile::tempfile_in(folder)
        .with_context(|| format!("{} cannot be written to", folder.display()))?;
    let (before, begun) = (process::own_cpu_ms(), Instant::now());
    let latencies = threads(file, writers, message, begun + length)?;
    // The last appends of all end behind the length.
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_ms = process::own_cpu_ms() - before;
    Ok(json!({
        "what": "append + fdatasync", "connections": writers, "size": message.len(),
        "messages": latencies.count(), "seconds": seconds, "rate": latencies.count() as f64 / seconds,
        "p50_ms": latencies.percentile(50.0), "p99_ms": latencies.percentile(99.0),
        "cpu_ms": cpu_ms / latencies.count().max(1) as f64,
    }))
}

fn threads(file: File, writers: usize, message: &[u8], end: Instant) -> anyhow::Result<Latencies> {
    let (queue, requests) = mpsc::channel();
    std::thread::scope(|scope| {
        let committer = scope.spawn(|| commit(file, requests, message));
        let writers: Vec<_> = (0..writers)
            .map(|_| {
                let queue = queue.clone();
                scope.spawn(move || write(&queue, end))
            })
            .collect();
        drop(queue);
        let mut all = Latencies::new()?;
        for writer in writers {
            let own = writer.join().map_err(|_| anyhow!("a writer panicked"))?;
            all.merge(&own?)?;
        }
        committer
            .join()
            .map_err(|_| anyhow!("the committer panicked"))??;
        anyhow::Ok(all)
    })
}

/// Who is told that an append is on the disk.
type Request = mpsc::Sender<()>;

fn commit(mut file: File, requests: mpsc::Receiver<Request>, message: &[u8]) -> std::io::Result<()> {
    let mut octets = Vec::new();
    while let Ok(first) = requests.recv() {
        let batch: Vec<_> = std::iter::once(first)
            .chain(requests.try_iter().take(BATCH - 1))
            .collect();
        octets.clear();
        for _ in &batch {
            octets.extend_from_slice(message);
        }
        file.write_all(&octets)?;
        file.sync_data()?;
        for done in batch {
            // A writer waits for each of its own.
            let _ = done.send(());
        }
    }
    Ok(())
}

fn write(queue: &mpsc::Sender<Request>, end: Instant) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new()?;
    let (done, acknowledged) = mpsc::channel();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(latencies);
        }
        if queue.send(done.clone()).is_err() || acknowledged.recv().is_err() {
            // The committer says why.
            return Ok(latencies);
        }
        latencies.add(begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_share_the_syncs_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let length = Duration::from_millis(60);
        let figures = append(folder.path(), 8, &[b'x'; 600], length).unwrap();
        let [messages, seconds, rate] =
            ["messages", "seconds", "rate"].map(|name| figures[name].as_f64().unwrap());
        assert!(messages >= 8.0 && seconds > length.as_secs_f64(), "{figures}");
        assert!((rate * seconds - messages).abs() < 0.001, "{figures}");
        assert!(figures["p50_ms"].as_f64().unwrap() <= figures["p99_ms"].as_f64().unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
