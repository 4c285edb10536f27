//! What processes use: CPU of all their threads, and octets that they caused to be written to disk.

use anyhow::Context as _;
use serde_json::{Map, Value};
use std::fs;

/// Linux counts CPU in hundredths of a second wherever it is shown to programs (`USER_HZ`).
const TICK_MS: f64 = 10.0;

/// Processes by name.
#[derive(Debug, Clone)]
pub(crate) struct Meter(Vec<(String, u32)>);

/// What one process has used since it began.
#[derive(Debug, Clone, Copy)]
struct Used {
    cpu_ms: f64,
    written: f64,
}

/// All of a meter's processes at one moment.
#[derive(Debug)]
pub(crate) struct Reading(Vec<Used>);

impl Meter {
    /// These, and this process as the generator.
    pub(crate) fn of(processes: impl IntoIterator<Item = (String, u32)>) -> Self {
        let own = ("generator".to_owned(), std::process::id());
        Self(processes.into_iter().chain([own]).collect())
    }

    pub(crate) fn read(&self) -> anyhow::Result<Reading> {
        let used = self
            .0
            .iter()
            .map(|(name, pid)| Used::of(*pid).with_context(|| format!("{name} cannot be measured")));
        used.collect::<anyhow::Result<_>>().map(Reading)
    }

    /// CPU-milliseconds for each message, and octets written for each octet of mail, process by process; several
    /// of one name are one.
    pub(crate) fn since(&self, before: &Reading, messages: u64, octets: u64) -> anyhow::Result<Value> {
        let now = self.read()?;
        let (mut cpu, mut written) = (Map::new(), Map::new());
        for ((name, _), (now, before)) in self.0.iter().zip(now.0.iter().zip(&before.0)) {
            add(
                &mut cpu,
                name,
                (now.cpu_ms - before.cpu_ms) / messages.max(1) as f64,
            );
            add(
                &mut written,
                name,
                (now.written - before.written) / octets.max(1) as f64,
            );
        }
        Ok(serde_json::json!({ "cpu_ms": cpu, "written": written }))
    }
}

fn add(sums: &mut Map<String, Value>, name: &str, figure: f64) {
    let sum = sums.get(name).and_then(Value::as_f64).unwrap_or_default();
    sums.insert(name.to_owned(), (sum + figure).into());
}

impl Used {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let cpu_ms = ticks(&stat).context("no times in stat")? * TICK_MS;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        let written = written.and_then(|octets| octets.parse().ok());
        Ok(Self {
            cpu_ms,
            written: written.context("no write_bytes in io")?,
        })
    }
}

/// User and system time. The name before them may hold blanks and brackets of its own.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// What a JVM's compilers have used so far, in milliseconds of CPU.
pub(crate) fn compiling(pid: u32) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while it is looked at.
        let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        if is_compiler(&stat) {
            sum += ticks(&stat).context("no times in stat")? * TICK_MS;
        }
    }
    Ok(sum)
}

/// Whether a thread's `stat` is that of one of HotSpot's two compilers.
fn is_compiler(stat: &str) -> bool {
    stat.contains(" (C1 Compiler") || stat.contains(" (C2 Compiler")
}

/// Begins to look for the highest resident memory of a process; answers what it has now, in KiB.
pub(crate) fn memory_from_now(pid: u32) -> anyhow::Result<u64> {
    // `proc_pid_clear_refs(5)`: 5 sets the highest to the present.
    fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    highest_memory(pid)
}

/// The highest resident memory of a process since then, in KiB.
pub(crate) fn highest_memory(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let figure = line.and_then(|rest| rest.split_whitespace().next());
    figure
        .and_then(|text| text.parse().ok())
        .context("no VmHWM in status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_blanks_and_brackets() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 40 0 0 20";
        assert_eq!(ticks(stat), Some(290.0));
        assert_eq!(ticks("12 (a) S 1"), None);
    }

    #[test]
    fn compilers_are_told_from_other_threads() {
        assert!(is_compiler("12 (C2 CompilerThre) S 1"));
        assert!(is_compiler("12 (C1 CompilerThre) R 1"));
        assert!(!is_compiler("12 (MutationStage-2) S 1"));
        assert!(compiling(std::process::id()).unwrap() == 0.0, "no JVM");
    }

    #[test]
    fn cpu_that_this_process_uses_is_seen() {
        let meter = Meter::of([]);
        let before = meter.read().unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_millis(120);
        while std::time::Instant::now() < end {
            std::hint::spin_loop();
        }
        let since = meter.since(&before, 1, 1).unwrap();
        assert!(since["cpu_ms"]["generator"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn processes_of_one_name_are_one_figure() {
        let mut sums = Map::new();
        add(&mut sums, "gateway", 0.25);
        add(&mut sums, "gateway", 0.5);
        assert_eq!(sums["gateway"], 0.75);
    }
}
