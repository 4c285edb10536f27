//! When the next message begins, and how long it took.
//!
//! Closed loop: each connection sends its next message when the last one was answered, which finds the highest
//! rate. Open loop: messages are due at a fixed rate, whatever became of those before, and each one's latency
//! counts from when it was due, so that a server that stands still is not asked less. Capped: a closed loop that
//! never goes above a rate and does not make up for what it missed.

mod alarm;
mod observer;
mod tally;

pub(crate) use observer::{Observer, progress};
pub(crate) use tally::{Latencies, Tally};

use alarm::Alarm;
use observer::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What one turn of a client did.
#[derive(Debug)]
pub(crate) struct Did {
    /// Delivered or read.
    pub(crate) messages: u64,
    pub(crate) octets: usize,
    /// When the answer came that the turn was for.
    pub(crate) answered: Instant,
    /// A refusal that was expected: the turn counts as that and has no latency.
    pub(crate) refused: Option<String>,
}

impl Did {
    pub(crate) fn message(octets: usize) -> Self {
        Self::messages(1, octets)
    }

    pub(crate) fn messages(messages: u64, octets: usize) -> Self {
        Self {
            messages,
            octets,
            answered: Instant::now(),
            refused: None,
        }
    }

    pub(crate) fn refused(told: String) -> Self {
        Self {
            refused: Some(told),
            ..Self::messages(0, 0)
        }
    }
}

/// One connection's worth of work.
pub(crate) trait Client: Send + 'static {
    /// Before the first turn, and not in its time; once is enough. What fails here is tried again there.
    fn begin(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// One turn: a message to its acknowledgement, or a visit to a maildrop.
    fn once(&mut self) -> impl Future<Output = anyhow::Result<Did>> + Send;

    /// After the last turn.
    fn end(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    Closed,
    /// Messages a second.
    Open(f64),
    /// Messages a second at most.
    Capped(f64),
}

/// Runs `clients` for so long, or until the observer is told to stop. In an open loop they are the most messages
/// that are under way at once; what finds them all busy begins late, which its latency tells.
pub(crate) async fn run<C: Client>(
    mut clients: Vec<C>,
    pace: Pace,
    length: Duration,
    observer: &Observer,
) -> anyhow::Result<Tally> {
    ready(&mut clients).await;
    let shared = Arc::new(Shared::begin(pace));
    let end = shared.begun + length;
    let mut running = JoinSet::new();
    for mut client in clients {
        let (shared, observer) = (Arc::clone(&shared), observer.clone());
        running.spawn(async move {
            let mut alarm = observer.alarm()?;
            let mut tally = Tally::new()?;
            loop {
                let due = shared.due();
                if due >= end || !wait(&mut alarm, due, &observer).await? {
                    client.end().await;
                    return anyhow::Ok((client, tally));
                }
                let begun = Instant::now();
                let outcome = client.once().await;
                if outcome.is_err() && pace == Pace::Closed {
                    // Whoever is refused at once would ask without end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let since = match pace {
                    Pace::Open(_) => due,
                    Pace::Closed | Pace::Capped(_) => begun,
                };
                observer.note(since, &outcome);
                shared.note(&outcome);
                tally.add((since, begun), outcome);
            }
        });
    }
    // Clients live until the last is over: the connections stay open.
    let (mut all, mut clients) = (Tally::new()?, Vec::new());
    while let Some(ended) = running.join_next().await {
        let (client, tally) = ended??;
        all.merge(tally)?;
        clients.push(client);
    }
    all.took = shared.begun.elapsed();
    all.gap = shared.gap();
    Ok(all)
}

/// Makes clients ready for their first turn, where that is not to be measured.
pub(crate) async fn ready<C: Client>(clients: &mut [C]) {
    for client in clients {
        client.begin().await;
    }
}

/// False: it is to stop.
async fn wait(alarm: &mut Alarm, due: Instant, observer: &Observer) -> anyhow::Result<bool> {
    tokio::select! {
        biased;
        () = observer.stopped() => Ok(false),
        rung = alarm.until(due) => rung.map(|()| true),
    }
}

#[cfg(test)]
mod tests;
