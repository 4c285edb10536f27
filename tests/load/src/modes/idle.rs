//! `idle`: sessions that are open and silent, what the server keeps for them, and whether they live.

use crate::options::Telling;
use crate::pop3::Session;
use crate::process::{Memory, most_files};
use crate::smtp::{Connection, Manner, Protocol};
use crate::target::{Target, Tls};
use anyhow::bail;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Speaks {
    Smtp,
    Lmtp,
    Pop3,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// host:port
    server: String,
    #[arg(long, value_enum, default_value = "smtp")]
    protocol: Speaks,
    #[arg(long, default_value_t = 1000)]
    sessions: usize,
    /// How long they are held when all are open
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[command(flatten)]
    tls: Tls,
    #[command(flatten)]
    telling: Telling,
}

/// Handshakes that are under way.
const AT_ONCE: usize = 64;

#[derive(Debug)]
enum Held {
    Mail(Connection),
    Maildrop(Session),
}

impl Held {
    async fn open(target: &Target, speaks: Speaks) -> anyhow::Result<Self> {
        let protocol = match speaks {
            Speaks::Smtp => Protocol::Smtp,
            Speaks::Lmtp => Protocol::Lmtp,
            Speaks::Pop3 => return Ok(Self::Maildrop(Session::connect(target).await?)),
        };
        let manner = Manner {
            protocol,
            ..Manner::default()
        };
        Ok(Self::Mail(Connection::open(target, &manner).await?))
    }

    /// One command that has an answer whatever the state.
    async fn lives(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Mail(connection) => connection.command(b"NOOP\r\n", 250).await,
            Self::Maildrop(session) => session.block("CAPA").await.map(drop),
        }
    }
}

/// Opens sessions, holds them, and asks each whether it lives.
pub(crate) async fn hold(
    target: &Target,
    speaks: Speaks,
    sessions: usize,
    seconds: u64,
    pids: &[u32],
) -> anyhow::Result<Value> {
    if most_files() < sessions as u64 + 64 {
        bail!("{sessions} sessions need as many open files: raise `ulimit -Hn`");
    }
    let before = Memory::of(pids)?;
    let begun = Instant::now();
    let mut opened = stream::iter(0..sessions)
        .map(|_| Held::open(target, speaks))
        .buffer_unordered(AT_ONCE);
    let (mut held, mut failures) = (Vec::with_capacity(sessions), BTreeMap::<String, u64>::new());
    while let Some(session) = opened.next().await {
        match session {
            Ok(session) => held.push(session),
            Err(error) => *failures.entry(error.to_string()).or_default() += 1,
        }
    }
    drop(opened);
    let took = begun.elapsed().as_secs_f64();
    let open = held.len();
    // Nobody may read it, which does not stop a run.
    let _ = writeln!(std::io::stderr(), "{open} sessions are open after {took:.1} s");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let with = Memory::of(pids)?;
    let asked = stream::iter(held)
        .map(async |mut session| (session.lives().await, session))
        .buffer_unordered(AT_ONCE);
    let answers: Vec<_> = asked.collect().await;
    let alive = answers.iter().filter(|(answer, _)| answer.is_ok()).count();
    for (answer, _) in answers {
        if let Err(error) = answer {
            *failures.entry(error.to_string()).or_default() += 1;
        }
    }
    let each = |with: u64, before: u64| (with as f64 - before as f64) / open.max(1) as f64;
    let memory = before.zip(with).map(|(before, with)| {
        json!({
            "rss_before_kib": before.rss, "rss_with_kib": with.rss,
            "rss_each_kib": each(with.rss, before.rss), "pss_each_kib": each(with.pss, before.pss),
        })
    });
    Ok(json!({
        "sessions": open, "alive": alive, "opened_s": took, "opened_rate": open as f64 / took,
        "memory": memory, "failures": failures,
    }))
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let target = Target::new(&options.server, &options.tls)?.frugal();
    let pids = &options.telling.pid;
    let outcome = hold(&target, options.protocol, options.sessions, options.seconds, pids).await?;
    options.telling.show(&outcome)
}
