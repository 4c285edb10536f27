//! What the modes are told, and what all of them answer.

use crate::pace::{self, Observer, Pace, Tally};
use crate::process::{Memory, Meter, files_for};
use crate::record;
use crate::target::Traffic;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Duration;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Load {
    /// Turns a second, due whatever became of those before; without it each connection goes on when it is
    /// answered
    #[arg(long, value_parser = above_zero, allow_negative_numbers = true)]
    pub(crate) rate: Option<f64>,
    /// Connections, or requests that are under way at once
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) telling: Telling,
}

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Telling {
    /// One line of JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// The server's processes, to tell what they use together
    #[arg(long, value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,
    /// Seconds between two lines that say how it goes
    #[arg(long, default_value_t = 10)]
    pub(crate) every: u64,
}

/// A rate, or a length. What is nearer to 0, or above, is no time between two turns any more.
pub(crate) fn above_zero(text: &str) -> Result<f64, String> {
    let figure = text.parse().ok().filter(|it| (1e-6..=1e9).contains(it));
    figure.ok_or_else(|| "it is to be above 0: a number from 0.000001 to 1000000000".to_owned())
}

impl Load {
    pub(crate) fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Closed, Pace::Open)
    }

    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The load with all that is told of it; Ctrl-C ends it early.
    pub(crate) async fn run<C: pace::Client>(
        &self,
        mut clients: Vec<C>,
        traffic: &Traffic,
    ) -> anyhow::Result<Value> {
        files_for(clients.len())?;
        pace::ready(&mut clients).await;
        let observer = pace::progress("load");
        observer.stop_at_interrupt();
        let work = pace::run(clients, self.pace(), self.length(), &observer);
        self.telling.measured(&observer, work, traffic).await
    }
}

impl Telling {
    /// A run, and what it cost whom.
    pub(crate) async fn measured(
        &self,
        observer: &Observer,
        work: impl Future<Output = anyhow::Result<Tally>>,
        traffic: &Traffic,
    ) -> anyhow::Result<Value> {
        let meter = Meter::of(self.pid.iter().map(|pid| ("server".to_owned(), *pid)));
        let before = meter.read()?;
        let every = Duration::from_secs(self.every.max(1));
        let (tally, lines) = observer.observing(every, || resident(&self.pid), work).await?;
        observer.finish_and_clear();
        let tally = tally?;
        let mut outcome = tally.json();
        merge(&mut outcome, meter.since(&before, tally.work(), tally.octets)?);
        merge(&mut outcome, traffic.json());
        if !lines.is_empty() {
            merge(&mut outcome, json!({ "lines": lines }));
        }
        Ok(outcome)
    }

    /// The outcome on stdout, with the machine and the command.
    pub(crate) fn show(&self, outcome: &Value) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        if self.json {
            let mut outcome = outcome.clone();
            merge(
                &mut outcome,
                json!({ "machine": record::machine(), "command": record::command() }),
            );
            writeln!(out, "{outcome}")?;
            return Ok(());
        }
        for (name, figure) in table("", outcome) {
            writeln!(out, "{name:>22}  {figure}")?;
        }
        Ok(())
    }
}

/// The memory of processes, as a line says it; nothing where there are none.
pub(crate) fn resident(pids: &[u32]) -> Value {
    let memory = Memory::of(pids).ok().flatten();
    json!({ "rss_kib": memory.map(|memory| memory.rss) })
}

/// Runs a load and measures who used what for it; answers all figures.
pub(crate) async fn measured<C: pace::Client>(
    meter: &Meter,
    mut clients: Vec<C>,
    pace: Pace,
    length: Duration,
) -> anyhow::Result<(Tally, Value)> {
    pace::ready(&mut clients).await;
    let before = meter.read()?;
    let bar = pace::progress("measured");
    let tally = pace::run(clients, pace, length, &bar).await?;
    bar.finish_and_clear();
    let mut figures = tally.json();
    merge(&mut figures, meter.since(&before, tally.work(), tally.octets)?);
    Ok((tally, figures))
}

pub(crate) fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// Of two loads at once: what a server used is not for the messages of one, so CPU is told in all alone.
pub(crate) fn of_both(outcome: &mut Value) {
    if let Some(outcome) = outcome.as_object_mut() {
        outcome.remove("cpu_ms");
    }
}

/// Names and figures, those of maps with the map's name before theirs.
fn table(before: &str, value: &Value) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = match before {
            "" => name.clone(),
            _ => format!("{before} {name}"),
        };
        match value {
            Value::Object(_) => rows.extend(table(&name, value)),
            // What was written line by line is on stderr.
            Value::Array(_) | Value::Null => {}
            Value::Number(figure) => rows.push((name, shown(figure))),
            other => rows.push((name, other.to_string())),
        }
    }
    rows
}

fn shown(figure: &serde_json::Number) -> String {
    match figure.as_f64() {
        Some(value) if figure.is_f64() => {
            let digits = if value.abs() >= 100.0 { 1 } else { 4 };
            format!("{value:.digits$}")
        }
        _ => figure.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        load: Load,
    }

    #[test]
    fn a_rate_is_above_zero() {
        let rate = |text| Line::try_parse_from(["load", "--rate", text]).map(|line| line.load.rate);
        assert_eq!(rate("0.5").unwrap(), Some(0.5));
        assert_eq!(rate("1e-6").unwrap(), Some(1e-6));
        for text in ["0", "-1", "9e-7", "1e-300", "1e10", "inf", "NaN", "x"] {
            let fault = rate(text).unwrap_err().to_string();
            assert!(fault.contains("it is to be above 0"), "{text}: {fault}");
        }
    }

    #[test]
    fn a_table_has_a_row_for_each_figure() {
        let outcome = json!({
            "failures": { "451 no": 2 }, "rate": 1234.5678, "p50_ms": 0.12345, "turns": 7, "lines": [1],
        });
        let rows = table("", &outcome);
        let row = |name: &str, figure: &str| (name.to_owned(), figure.to_owned());
        let expected = [
            row("failures 451 no", "2"),
            row("p50_ms", "0.1235"),
            row("rate", "1234.6"),
            row("turns", "7"),
        ];
        assert_eq!(rows, expected);
    }
}
