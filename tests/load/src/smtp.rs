//! An SMTP client that keeps its connection, pipelines what RFC 2920 allows and checks every reply.

use crate::ledger::Work;
use crate::lines::Lines;
use crate::pace::Client;
use anyhow::bail;
use std::net::SocketAddr;
use std::sync::Arc;

/// Sends the work's messages to one gateway.
#[derive(Debug)]
pub(crate) struct Sender {
    gateway: SocketAddr,
    work: Arc<Work>,
    connection: Option<Connection>,
}

impl Sender {
    pub(crate) fn new(gateway: SocketAddr, work: &Arc<Work>) -> Self {
        Self {
            gateway,
            work: Arc::clone(work),
            connection: None,
        }
    }
}

/// A clone has a connection of its own.
impl Clone for Sender {
    fn clone(&self) -> Self {
        Self::new(self.gateway, &self.work)
    }
}

impl Client for Sender {
    /// After a fault the next message goes over a new connection.
    async fn once(&mut self) -> anyhow::Result<usize> {
        let (message, to) = self.work.next();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.gateway).await?,
        };
        connection.deliver(to, &message.octets).await?;
        self.connection = Some(connection);
        self.work.acknowledged(&message);
        Ok(message.octets.len())
    }
}

#[derive(Debug)]
struct Connection(Lines);

impl Connection {
    async fn open(gateway: SocketAddr) -> anyhow::Result<Self> {
        let mut connection = Self(Lines::connect(gateway).await?);
        connection.expect("220").await?;
        connection.0.send(b"EHLO load.example.net\r\n").await?;
        connection.expect("250").await?;
        Ok(connection)
    }

    async fn deliver(&mut self, to: &str, octets: &[u8]) -> anyhow::Result<()> {
        let envelope = format!("MAIL FROM:<load@example.net>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        self.0.send(envelope.as_bytes()).await?;
        for code in ["250", "250", "354"] {
            self.expect(code).await?;
        }
        self.0.send(&[octets, b".\r\n"].concat()).await?;
        self.expect("250").await
    }

    /// One reply, all its lines.
    async fn expect(&mut self, code: &str) -> anyhow::Result<()> {
        loop {
            let line = self.0.text().await?;
            if !line.starts_with(code) {
                bail!("{line}");
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
