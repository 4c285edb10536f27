//! The network: the same number of turns with the same octets over loopback, and nothing done with them.

use crate::pace::{self, Client, Did, Pace};
use crate::process;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Octets to the server and octets back.
type Turn = (usize, usize);

/// What goes over a connection.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) name: String,
    /// Before the first unit; a greeting is a turn of which nothing is sent.
    opening: Vec<Turn>,
    unit: Vec<Turn>,
    /// None: the connection is kept.
    closing: Option<Vec<Turn>>,
    /// Messages of a unit.
    messages: u64,
}

/// Octets of usual lines.
const GREETING: Turn = (0, 40);
const HELLO: Turn = (24, 160);
const LINE: Turn = (20, 24);
const ENVELOPE: Turn = (80, 90);
const REPLY: usize = 40;

impl Script {
    /// Over a connection that is kept: the envelope, then the message.
    pub(crate) fn deliveries(size: usize) -> Self {
        Self {
            name: "echo, SMTP's turns, kept".to_owned(),
            opening: vec![GREETING, HELLO],
            unit: vec![ENVELOPE, (size + 3, REPLY)],
            closing: None,
            messages: 1,
        }
    }

    /// Over a new connection for each message.
    pub(crate) fn delivery(size: usize) -> Self {
        Self {
            name: "echo, SMTP's turns, fresh".to_owned(),
            closing: Some(vec![LINE]),
            ..Self::deliveries(size)
        }
    }

    /// RETR of so many messages in one go.
    pub(crate) fn reading(size: usize, at_once: usize) -> Self {
        Self {
            name: format!("echo, RETR, {at_once} in one go"),
            opening: vec![GREETING, LINE, LINE, LINE],
            unit: vec![(8 * at_once, (size + 200) * at_once)],
            closing: None,
            messages: at_once as u64,
        }
    }

    /// USER, PASS, STAT and QUIT over a new connection.
    pub(crate) fn login() -> Self {
        Self {
            name: "echo, POP3 login and STAT, fresh".to_owned(),
            opening: vec![GREETING],
            unit: vec![LINE, LINE, LINE],
            closing: Some(vec![LINE]),
            messages: 0,
        }
    }

    fn longest(&self) -> usize {
        let turns = self.opening.iter().chain(&self.unit);
        turns
            .map(|(there, back)| *there.max(back))
            .max()
            .unwrap_or_default()
    }
}

/// Units a second of so many connections.
pub(crate) async fn echo(script: &Script, connections: usize, length: Duration) -> anyhow::Result<Value> {
    let script = Arc::new(script.clone());
    let (server, stop) = serve(&script)?;
    let client = Echo {
        server,
        script: Arc::clone(&script),
        kept: None,
    };
    let mut clients: Vec<_> = (0..connections).map(|_| client.fresh()).collect();
    pace::ready(&mut clients).await;
    let before = process::own_cpu_ms();
    let observer = pace::progress(&script.name);
    let tally = pace::run(clients, Pace::Closed, length, &observer).await?;
    observer.finish_and_clear();
    let cpu_ms = process::own_cpu_ms() - before;
    drop(stop);
    if let Some((told, _)) = tally.failures.first_key_value() {
        bail!("{}: {told}", script.name);
    }
    let each = tally.work().max(1);
    Ok(json!({
        "what": script.name, "connections": connections, "rate": each as f64 / tally.took.as_secs_f64(),
        "p50_ms": tally.percentile(50.0), "p99_ms": tally.percentile(99.0), "cpu_ms": cpu_ms / each as f64,
    }))
}

/// A thread of its own; it ends when what is answered is dropped.
fn serve(script: &Arc<Script>) -> anyhow::Result<(SocketAddr, impl Drop + use<>)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let (stopped, script) = (stop.clone(), Arc::clone(script));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return std::io::Result::Ok(()),
                    accepted = listener.accept() => {
                        tokio::spawn(answer(accepted?.0, Arc::clone(&script)));
                    }
                }
            }
        })
    });
    Ok((address, stop.drop_guard()))
}

/// Ends with the connection, whose faults end it.
async fn answer(mut stream: TcpStream, script: Arc<Script>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut octets = vec![b'x'; script.longest()];
    for turn in &script.opening {
        answer_turn(&mut stream, &mut octets, *turn).await?;
    }
    loop {
        for turn in script.unit.iter().chain(script.closing.iter().flatten()) {
            answer_turn(&mut stream, &mut octets, *turn).await?;
        }
        if script.closing.is_some() {
            return Ok(());
        }
    }
}

async fn answer_turn(stream: &mut TcpStream, octets: &mut [u8], (there, back): Turn) -> std::io::Result<()> {
    stream
        .read_exact(octets.get_mut(..there).unwrap_or_default())
        .await?;
    stream.write_all(octets.get(..back).unwrap_or_default()).await
}

#[derive(Debug)]
struct Echo {
    server: SocketAddr,
    script: Arc<Script>,
    kept: Option<(TcpStream, Vec<u8>)>,
}

impl Echo {
    fn fresh(&self) -> Self {
        Self {
            server: self.server,
            script: Arc::clone(&self.script),
            kept: None,
        }
    }

    async fn connect(&self) -> anyhow::Result<(TcpStream, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let mut octets = vec![b'y'; self.script.longest()];
        for turn in &self.script.opening {
            ask_turn(&mut stream, &mut octets, *turn).await?;
        }
        Ok((stream, octets))
    }
}

async fn ask_turn(stream: &mut TcpStream, octets: &mut [u8], (there, back): Turn) -> anyhow::Result<()> {
    stream.write_all(octets.get(..there).unwrap_or_default()).await?;
    let answer = octets.get_mut(..back).context("a turn longer than the script")?;
    stream.read_exact(answer).await?;
    Ok(())
}

impl Client for Echo {
    async fn begin(&mut self) {
        if self.script.closing.is_none() && self.kept.is_none() {
            self.kept = self.connect().await.ok();
        }
    }

    async fn once(&mut self) -> anyhow::Result<Did> {
        let (mut stream, mut octets) = match self.kept.take() {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let mut size = 0;
        for turn in &self.script.unit {
            ask_turn(&mut stream, &mut octets, *turn).await?;
            size += turn.0;
        }
        let did = Did::messages(self.script.messages, size);
        match &self.script.closing {
            Some(closing) => {
                for turn in closing {
                    ask_turn(&mut stream, &mut octets, *turn).await?;
                }
            }
            None => self.kept = Some((stream, octets)),
        }
        Ok(did)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn kept_and_fresh_connections_make_their_turns() {
        for script in [
            Script::deliveries(4096),
            Script::delivery(600),
            Script::reading(600, 4),
            Script::login(),
        ] {
            let figures = echo(&script, 3, Duration::from_millis(60)).await.unwrap();
            assert!(figures["rate"].as_f64().unwrap() > 0.0, "{figures}");
        }
    }
}
