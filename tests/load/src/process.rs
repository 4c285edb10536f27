//! What processes use: CPU of all their threads, and octets that they caused to be written to disk.

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};
use std::fs;

/// Linux counts CPU in hundredths of a second wherever it is shown to programs (`USER_HZ`).
const TICK_MS: f64 = 10.0;

/// What this process has used of CPU, in milliseconds, to the nanosecond.
pub(crate) fn own_cpu_ms() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1000.0 + used.tv_nsec as f64 / 1_000_000.0
}

/// Lets this process have as many open files as it may; answers how many.
pub(crate) fn most_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where it may not, what it has counts.
    let _ = setrlimit(Resource::Nofile, most);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// For so many connections, each with the timer that it waits by; a fault where fewer are allowed.
pub(crate) fn files_for(connections: usize) -> anyhow::Result<()> {
    let wanted = (connections as u64).saturating_mul(2).saturating_add(64);
    let most = most_files();
    ensure!(
        most >= wanted,
        "{connections} connections need {wanted} open files and {most} are allowed: raise `ulimit -Hn`"
    );
    Ok(())
}

/// What processes have resident together, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss: u64,
    /// Pages that it shares, each by the number of those who do.
    pub(crate) pss: u64,
}

impl Memory {
    /// None where there are none.
    pub(crate) fn of(pids: &[u32]) -> anyhow::Result<Option<Self>> {
        let all: Vec<_> = pids
            .iter()
            .map(|pid| Self::of_one(*pid))
            .collect::<anyhow::Result<_>>()?;
        Ok(all.into_iter().reduce(|one, other| Self {
            rss: one.rss + other.rss,
            pss: one.pss + other.pss,
        }))
    }

    fn of_one(pid: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("the memory of process {pid} cannot be read"))?;
        Ok(Self {
            rss: kib(&text, "Rss:").context("no Rss")?,
            pss: kib(&text, "Pss:").context("no Pss")?,
        })
    }
}

/// The figure of a line such as `Rss:   1234 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

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

    /// CPU-milliseconds for each message, CPU-seconds of all, and octets written for each octet of mail, process by process; several
    /// of one name are one.
    pub(crate) fn since(&self, before: &Reading, messages: u64, octets: u64) -> anyhow::Result<Value> {
        let now = self.read()?;
        let (mut cpu, mut whole, mut written) = (Map::new(), Map::new(), Map::new());
        for ((name, _), (now, before)) in self.0.iter().zip(now.0.iter().zip(&before.0)) {
            add(
                &mut cpu,
                name,
                (now.cpu_ms - before.cpu_ms) / messages.max(1) as f64,
            );
            add(&mut whole, name, (now.cpu_ms - before.cpu_ms) / 1000.0);
            add(
                &mut written,
                name,
                (now.written - before.written) / octets.max(1) as f64,
            );
        }
        Ok(serde_json::json!({ "cpu_ms": cpu, "cpu_s": whole, "written": written }))
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
        let cpu_ms = match pid == std::process::id() {
            true => own_cpu_ms(),
            false => ticks(&stat).context("no times in stat")? * TICK_MS,
        };
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
    kib(&status, "VmHWM:").context("no VmHWM in status")
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
    fn memory_of_this_process_is_read() {
        let own = std::process::id();
        let memory = Memory::of(&[own]).unwrap().unwrap();
        assert!(memory.pss > 0 && memory.rss >= memory.pss);
        assert!(Memory::of(&[own, own]).unwrap().unwrap().rss > memory.rss, "both");
        assert!(Memory::of(&[]).unwrap().is_none());
        assert_eq!(kib("Rss:    12 kB\nPss: 7 kB\n", "Pss:"), Some(7));
    }

    #[test]
    fn connections_beyond_the_files_that_are_allowed_are_refused() {
        files_for(8).unwrap();
        let fault = files_for(usize::MAX).unwrap_err().to_string();
        assert!(fault.ends_with("raise `ulimit -Hn`"), "{fault}");
    }

    #[test]
    fn processes_of_one_name_are_one_figure() {
        let mut sums = Map::new();
        add(&mut sums, "gateway", 0.25);
        add(&mut sums, "gateway", 0.5);
        assert_eq!(sums["gateway"], 0.75);
    }
}
