//! The connection of one session: bounded buffers, bounded waiting.

use crate::net::Connection;
use postern_proto::pop3::Reply;
use postern_proto::smtp::TlsFacts;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Most octets read at a time.
const READ: usize = 4096;

/// What is to be sent is gathered to this many octets, replies to pipelined commands (RFC 2449 §6.6) among them.
const GATHER: usize = 32 * 1024;

/// Why a session ended in the middle.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the client is gone")]
    Gone,
    #[error("the client sent no command for limits.pop3_idle")]
    Silent,
    #[error("the client took longer than limits.transfer for one message")]
    Slow,
    #[error("network: {0}")]
    Network(#[from] io::Error),
    #[error("TLS: {0}")]
    Handshake(io::Error),
    #[error("a message broke off: {0}")]
    Store(crate::store::StoreError),
    #[error("a message was to be sent that nobody asked for")]
    NothingToSend,
}

/// What waiting for a command came to.
#[derive(Debug)]
pub(super) enum Read {
    Input,
    /// The gateway stops.
    Stopping,
}

/// The connection and what is to be sent on it.
#[derive(Debug)]
pub(super) struct Wire {
    connection: Connection,
    /// Longest waiting for the client, to speak or to take something.
    patience: Duration,
    out: Vec<u8>,
    /// Since when a whole command is awaited.
    awaited: Option<Instant>,
}

impl Wire {
    pub(super) fn new(connection: Connection, patience: Duration) -> Self {
        Self {
            connection,
            patience,
            out: Vec::new(),
            awaited: None,
        }
    }

    /// Where to put what is to be sent.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(super) fn tls(&self) -> Option<TlsFacts> {
        self.connection.tls()
    }

    /// Input of the client, for `take`. Octets that end no command do not renew its time (RFC 1939 §3); what it sends while the gateway stops is not waited for.
    pub(super) async fn read(
        &mut self,
        shutdown: &CancellationToken,
        take: impl FnMut(&[u8]),
    ) -> Result<Read, Broken> {
        let awaited = *self.awaited.get_or_insert_with(Instant::now);
        let reading = self.connection.stream.read_to(READ, take);
        let read = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(Read::Stopping),
            read = timeout_at(awaited + self.patience, reading) => read,
        };
        match read.map_err(|_| silent())?? {
            0 => Err(Broken::Gone),
            _ => Ok(Read::Input),
        }
    }

    pub(super) async fn reply(&mut self, reply: &Reply) -> Result<(), Broken> {
        self.awaited = None;
        reply.encode(&mut self.out);
        self.gather().await
    }

    /// Writes what is gathered where that is much; otherwise it goes with what follows.
    pub(super) async fn gather(&mut self) -> Result<(), Broken> {
        match self.out.len() < GATHER {
            true => Ok(()),
            false => self.write().await,
        }
    }

    /// Writes what is gathered. The client has its time for each part it takes.
    async fn write(&mut self) -> Result<(), Broken> {
        let mut from = 0;
        while let Some(rest) = self.out.get(from..).filter(|rest| !rest.is_empty()) {
            let writing = self.connection.stream.write(rest);
            match timeout(self.patience, writing).await.map_err(|_| silent())?? {
                0 => return Err(Broken::Gone),
                written => from += written,
            }
        }
        self.out.clear();
        Ok(())
    }

    /// Writes what is gathered, out of all buffers.
    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        self.write().await?;
        // A session that waits keeps no memory of the message before.
        self.out.shrink_to(0);
        let flushing = self.connection.stream.flush();
        Ok(timeout(self.patience, flushing).await.map_err(|_| silent())??)
    }

    /// TLS from here on; what was sent in clear behind STLS has been thrown away by the machine.
    pub(super) async fn secure(mut self, acceptor: &TlsAcceptor) -> Result<Self, Broken> {
        self.flush().await?;
        let connection = self
            .connection
            .secure(acceptor)
            .await
            .map_err(Broken::Handshake)?;
        Ok(Self { connection, ..self })
    }

    /// Writes what is gathered and closes.
    pub(super) async fn close(mut self) -> Result<(), Broken> {
        self.flush().await?;
        self.connection.close().await;
        Ok(())
    }
}

/// The end of a transfer that took too long.
pub(super) fn slow() -> Broken {
    metrics::counter!("postern_limit_hits_total", "limit" => "transfer").increment(1);
    Broken::Slow
}

fn silent() -> Broken {
    metrics::counter!("postern_limit_hits_total", "limit" => "pop3_idle").increment(1);
    Broken::Silent
}
