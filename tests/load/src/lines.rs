//! A connection that speaks in lines.

use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a gateway tries a write again.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Lines(BufReader<TcpStream>);

impl Lines {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let tcp = timeout(PATIENCE, TcpStream::connect(address))
            .await
            .context("no connection in time")??;
        tcp.set_nodelay(true)?;
        Ok(Self(BufReader::with_capacity(32 * 1024, tcp)))
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(octets).await?)
    }

    /// One line with its end.
    pub(crate) async fn line(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut line = Vec::new();
        let read = timeout(PATIENCE, self.0.read_until(b'\n', &mut line));
        match read.await.context("no answer in time")?? {
            0 => bail!("the connection was closed"),
            _ => Ok(line),
        }
    }

    /// One line as text.
    pub(crate) async fn text(&mut self) -> anyhow::Result<String> {
        let line = self.line().await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// The octets up to the line that is a dot, unstuffed.
    pub(crate) async fn block(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut block = Vec::new();
        loop {
            let line = self.line().await?;
            match line.strip_prefix(b".") {
                Some(b"\r\n") => return Ok(block),
                Some(stuffed) => block.extend_from_slice(stuffed),
                None => block.extend_from_slice(&line),
            }
        }
    }
}
