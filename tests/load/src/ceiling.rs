//! What this machine can do without a gateway: what the gateway's figures are divided by.
//!
//! A call of a WebAssembly guest is not here: its cost needs the host's own engine, and is the difference between
//! gateways with and without policies in `load bench`.

mod append;
mod echo;
mod handshakes;
mod hashes;

pub(crate) use append::append;
pub(crate) use echo::{Script, echo};
pub(crate) use hashes::hashes;

use crate::message::{LEAST, Pool, Size};
use crate::options::Telling;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Work that keeps a thread busy, of its own so that others go on.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Writers, and connections
    #[arg(long, value_delimiter = ',', default_value = "64,16,1")]
    connections: Vec<usize>,
    /// Octets of a message
    #[arg(long, default_value_t = 4096, value_parser = least)]
    size: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// On the disk that is measured
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// One line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn least(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| *size >= LEAST);
    size.ok_or_else(|| format!("`{text}` is no size of a message: {LEAST} octets or more"))
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let length = Duration::from_secs(options.seconds);
    let message = Pool::new().message(0, "user0@example.org", Size::Fixed(options.size));
    let mut all = Vec::new();
    let mut keep = |figures: Value| {
        say(&figures);
        all.push(figures);
    };
    for writers in &options.connections {
        keep(append(&options.folder, *writers, &message.octets, length)?);
    }
    for connections in &options.connections {
        for script in [Script::deliveries(options.size), Script::delivery(options.size)] {
            keep(echo(&script, *connections, length).await?);
        }
    }
    keep(echo(&Script::reading(options.size, 1), 1, length).await?);
    keep(echo(&Script::reading(options.size, 32), 1, length).await?);
    keep(echo(&Script::login(), 16, length).await?);
    for resumed in [false, true] {
        keep(handshakes::handshakes(resumed, length)?);
    }
    for threads in threads() {
        keep(hashes(threads, length)?);
    }
    let outcome = json!({ "ceilings": all });
    match options.json {
        true => Telling {
            json: true,
            ..Telling::default()
        }
        .show(&outcome),
        false => table(outcome.get("ceilings")),
    }
}

/// One, and as many as there are cores.
pub(crate) fn threads() -> impl Iterator<Item = usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    [1, cores].into_iter().take(cores.min(2))
}

fn say(figures: &Value) {
    // Nobody may read it, which does not stop a run.
    let _ = writeln!(std::io::stderr(), "{}", row(figures));
}

fn table(ceilings: Option<&Value>) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| what | at once | /s | p50 ms | p99 ms | CPU ms |\n|---|---|---|---|---|---|"
    )?;
    for figures in ceilings.and_then(Value::as_array).into_iter().flatten() {
        writeln!(out, "{}", row(figures))?;
    }
    Ok(())
}

fn row(figures: &Value) -> String {
    let figure = |name: &str, digits: usize| {
        let value = figures.get(name).and_then(Value::as_f64);
        value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let what = figures.get("what").and_then(Value::as_str).unwrap_or_default();
    format!(
        "| {what} | {} | {} | {} | {} | {} |",
        figure("connections", 0),
        figure("rate", 0),
        figure("p50_ms", 3),
        figure("p99_ms", 3),
        figure("cpu_ms", 4),
    )
}
