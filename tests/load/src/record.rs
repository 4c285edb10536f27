//! The file of runs: one JSON line each, written when the run is over, so that a bench that was broken off goes
//! on where it was.

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct Runs {
    file: File,
    /// Each run's id, with its rate if it has one.
    known: HashMap<String, Option<f64>>,
    always: Map<String, Value>,
}

impl Runs {
    /// A line that is not whole is one that a kill cut off: its run is made again.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("no folder {}", folder.display()))?;
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let known = lines.filter_map(|line| Some((line.get("id")?.as_str()?.to_owned(), rate(&line))));
        let mut always = Map::new();
        always.insert("machine".to_owned(), machine().into());
        always.insert("command".to_owned(), command().into());
        Ok(Self {
            file,
            known: known.collect(),
            always,
        })
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// The rates of all rounds of a trial.
    pub(crate) fn rates(&self, trial: &str) -> Vec<f64> {
        let of_trial = |id: &str| id.rsplit_once('#').is_some_and(|(of, _)| of == trial);
        let rounds = self.known.iter().filter(|(id, _)| of_trial(id));
        rounds.filter_map(|(_, rate)| *rate).collect()
    }

    /// Writes one run: what was varied, then what came of it.
    pub(crate) fn add(&mut self, id: &str, parts: &[&Value]) -> anyhow::Result<()> {
        let mut line = Map::new();
        line.insert("id".to_owned(), id.into());
        for fields in parts.iter().filter_map(|part| part.as_object()) {
            line.extend(fields.clone());
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        line.insert("at".to_owned(), json!(at));
        line.insert("load_average".to_owned(), load_average().into());
        line.extend(self.always.clone());
        let line = Value::Object(line);
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.known.insert(id.to_owned(), rate(&line));
        Ok(())
    }
}

fn rate(line: &Value) -> Option<f64> {
    line.get("rate")?.as_f64()
}

/// Of the last minute: on a quiet machine it is this bench's own.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What was typed; what lies in this folder is named from here.
pub(crate) fn command() -> String {
    let here = std::env::current_dir().map_or_else(|_| String::new(), |here| format!("{}/", here.display()));
    let words = std::env::args().skip(1);
    let words: Vec<_> = words
        .map(|word| word.strip_prefix(&here).unwrap_or(&word).to_owned())
        .collect();
    format!("load {}", words.join(" "))
}

pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let gib = kib.unwrap_or_default() / (1024 * 1024);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {model}, {gib} GiB, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_when_its_line_is_whole_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/runs.jsonl");
        let mut runs = Runs::open(&path).unwrap();
        assert!(!runs.has("a 1"));
        runs.add("a 1", &[&json!({ "nodes": 1 }), &json!({ "rate": 2.5 })])
            .unwrap();
        assert!(runs.has("a 1"));
        let mut text = fs::read_to_string(&path).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["nodes"], &line["rate"]), (&json!(1), &json!(2.5)));
        text.push_str("{\"id\":\"a 2\",\"no");
        fs::write(&path, text).unwrap();
        let mut again = Runs::open(&path).unwrap();
        assert!(again.has("a 1") && !again.has("a 2"));
        again.add("a 2", &[]).unwrap();
        assert!(Runs::open(&path).unwrap().has("a 2"));
    }

    #[test]
    fn a_trial_s_rates_are_those_of_its_rounds_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        let mut runs = Runs::open(&path).unwrap();
        for (id, rate) in [("a/1#1", 10.0), ("a/1#2", 20.0), ("a/11#1", 99.0)] {
            runs.add(id, &[&json!({ "rate": rate })]).unwrap();
        }
        runs.add("a/1#3", &[]).unwrap();
        let mut rates = Runs::open(&path).unwrap().rates("a/1");
        rates.sort_by(f64::total_cmp);
        assert_eq!(rates, [10.0, 20.0]);
    }
}
