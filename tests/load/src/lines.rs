//! A connection that speaks in lines, in clear or over TLS.

use crate::target::{Target, Traffic, When};
use anyhow::{Context as _, bail};
use memchr::memmem;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// Longer than a gateway tries a write again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a line that is a reply or an answer.
const LONGEST_LINE: usize = 64 * 1024;

pub(crate) struct Lines {
    stream: BufReader<Stream>,
    traffic: Arc<Traffic>,
    line: Vec<u8>,
    block: Vec<u8>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Lines {
    /// TLS is begun here where it comes first.
    pub(crate) async fn connect(target: &Target) -> anyhow::Result<Self> {
        let tcp = timeout(PATIENCE, TcpStream::connect(target.address))
            .await
            .context("no connection in time")??;
        tcp.set_nodelay(true)?;
        let plain = Self::over(Stream::Clear(tcp), target);
        match target.when {
            When::Implicit => plain.secured(target).await,
            When::None | When::Starttls => Ok(plain),
        }
    }

    fn over(stream: Stream, target: &Target) -> Self {
        Self {
            stream: BufReader::with_capacity(target.room, stream),
            traffic: Arc::clone(&target.traffic),
            line: Vec::new(),
            block: Vec::new(),
        }
    }

    /// The same connection over TLS.
    pub(crate) async fn secured(self, target: &Target) -> anyhow::Result<Self> {
        if !self.stream.buffer().is_empty() {
            bail!("octets in clear behind the answer to STARTTLS");
        }
        let Stream::Clear(tcp) = self.stream.into_inner() else {
            bail!("TLS is there already");
        };
        let secure = target.secure()?;
        let handshake = secure.connector.connect(secure.name.clone(), tcp);
        let tls = timeout(PATIENCE, handshake).await.context("no TLS in time")??;
        Ok(Self::over(Stream::Tls(Box::new(tls)), target))
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        timeout(PATIENCE, async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        })
        .await
        .context("nothing is taken in time")??;
        self.traffic
            .sent
            .fetch_add(octets.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// One line without its end.
    pub(crate) async fn line(&mut self) -> anyhow::Result<&[u8]> {
        self.line.clear();
        let read = async {
            loop {
                let available = self.stream.fill_buf().await?;
                if available.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the connection was closed",
                    ));
                }
                let end = memchr::memchr(b'\n', available).map(|at| at + 1);
                let taken = available
                    .get(..end.unwrap_or(available.len()))
                    .unwrap_or_default();
                self.line.extend_from_slice(taken);
                let count = taken.len();
                self.stream.consume(count);
                self.traffic.received.fetch_add(count as u64, Ordering::Relaxed);
                if end.is_some() {
                    return Ok(());
                }
                if self.line.len() > LONGEST_LINE {
                    return Err(io::Error::other("a line without an end"));
                }
            }
        };
        timeout(PATIENCE, read).await.context("no answer in time")??;
        Ok(self.line.trim_ascii_end())
    }

    /// The octets up to the line that is a dot, unstuffed.
    pub(crate) async fn block(&mut self) -> anyhow::Result<&[u8]> {
        self.block.clear();
        // So that a block of no lines ends as others do.
        self.block.extend_from_slice(b"\r\n");
        loop {
            let searched = self.block.len().saturating_sub(END.len() - 1);
            let available = timeout(PATIENCE, self.stream.fill_buf())
                .await
                .context("no answer in time")??;
            if available.is_empty() {
                bail!("the connection was closed");
            }
            let (before, count) = (self.block.len(), available.len());
            self.block.extend_from_slice(available);
            let fresh = self.block.get(searched..).unwrap_or_default();
            let Some(at) = memmem::find(fresh, END) else {
                self.stream.consume(count);
                self.traffic.received.fetch_add(count as u64, Ordering::Relaxed);
                continue;
            };
            // What lies behind it is the next answer.
            let end = searched + at + END.len();
            self.stream.consume(end - before);
            self.traffic
                .received
                .fetch_add((end - before) as u64, Ordering::Relaxed);
            self.block.truncate(end - b".\r\n".len());
            unstuff(&mut self.block);
            return Ok(self.block.get(2..).unwrap_or_default());
        }
    }
}

const END: &[u8] = b"\r\n.\r\n";

/// Takes the first dot of each line that begins with one (RFC 1939 §3).
fn unstuff(block: &mut Vec<u8>) {
    const STUFFED: &[u8] = b"\r\n.";
    let Some(mut at) = memmem::find(block, STUFFED) else {
        return;
    };
    let mut bare = Vec::with_capacity(block.len());
    let mut rest = block.as_slice();
    loop {
        let (kept, dotted) = rest.split_at(at + STUFFED.len() - 1);
        bare.extend_from_slice(kept);
        rest = dotted.get(1..).unwrap_or_default();
        match memmem::find(rest, STUFFED) {
            Some(next) => at = next,
            None => break,
        }
    }
    bare.extend_from_slice(rest);
    *block = bare;
}

/// Puts a dot before each line that begins with one (RFC 5321 §4.5.2).
pub(crate) fn stuff(text: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(text.len() + 16);
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// What a client reads of a server that sends these pieces, one after another.
    async fn reading(pieces: &'static [&'static [u8]]) -> Lines {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::from(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for piece in pieces {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        Lines::connect(&target).await.unwrap()
    }

    #[tokio::test]
    async fn blocks_end_at_their_dot_wherever_they_are_cut() {
        let mut lines = reading(&[b"+OK\r\na\r\n.", b".b\r\n\r\n.\r", b"\n.\r\n+OK next\r\n", b"x"]).await;
        assert_eq!(lines.line().await.unwrap(), b"+OK");
        assert_eq!(lines.block().await.unwrap(), b"a\r\n.b\r\n\r\n");
        assert_eq!(lines.block().await.unwrap(), b"", "a block of no lines");
        assert_eq!(lines.line().await.unwrap(), b"+OK next");
        assert!(lines.line().await.unwrap_err().to_string().contains("closed"));
    }

    #[test]
    fn stuffing_and_unstuffing_are_inverse() {
        for text in ["", ".\r\n", "..\r\n.a\r\n", "a\r\n\r\n.\r\nb.\r\n"] {
            let mut block = [b"\r\n".as_slice(), &stuff(text.as_bytes())].concat();
            unstuff(&mut block);
            assert_eq!(block, [b"\r\n", text.as_bytes()].concat(), "{text:?}");
        }
        assert_eq!(stuff(b".a\r\nb\r\n..\r\n"), b"..a\r\nb\r\n...\r\n");
    }
}
