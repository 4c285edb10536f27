//! Connections: listeners, PROXY protocol, TLS, limits, drain.
//!
//! This module owns everything between `accept` and the first octet of a protocol. What it cannot admit it
//! tells so in one short line and closes; it never waits for a client longer than a configured time, and an
//! accept loop survives every error that `accept` can answer.

mod accept;
mod admission;
mod listen;
mod proxy;
#[cfg(test)]
mod tests;

pub use accept::{GRACE, Stop, serve};
pub use admission::{Admission, Admitted, Refusal, raise_descriptor_limit};
pub use listen::{Bound, bind};

use crate::config::Listener;
use postern_proto::smtp::TlsFacts;
use rustls::{CipherSuite, ProtocolVersion, ServerConnection};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long what a client still sends is read after our last word, so that it can read that word.
const LINGER: Duration = Duration::from_secs(1);

/// Most octets read at a time.
const READ: usize = 64 * 1024;

thread_local! {
    static INPUT: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// The bytes of a connection, in clear or encrypted.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Waits for input, shows up to `most` octets of it to `take`, and answers how many they were: none at its end. A
    /// stream that waits holds no buffer; all that are read on one thread share one.
    pub async fn read_to(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        poll_fn(|cx| {
            INPUT.with_borrow_mut(|input| {
                let room = most.min(input.len());
                let mut read = ReadBuf::new(input.get_mut(..room).unwrap_or_default());
                ready!(Pin::new(&mut *self).poll_read(cx, &mut read))?;
                take(read.filled());
                Poll::Ready(Ok(read.filled().len()))
            })
        })
        .await
    }
}

/// One accepted client, admitted by the limits; they count it until it is dropped.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    /// The client, as the PROXY protocol says where it is used. Mapped IPv4 is IPv4.
    pub client: SocketAddr,
    pub listener: Arc<Listener>,
    /// A handshake takes no longer.
    handshake: Duration,
    /// Counts the session; None in tests of what is behind the limits.
    _admitted: Option<Admitted>,
}

impl Connection {
    /// A connection that no limit counts: of a socket that somebody else accepts from.
    pub fn uncounted(stream: Stream, client: SocketAddr, listener: Arc<Listener>) -> Self {
        Self {
            stream,
            client,
            listener,
            handshake: Duration::from_secs(30),
            _admitted: None,
        }
    }

    /// Starts TLS on a plain connection (STARTTLS, STLS); bounded in time.
    pub async fn secure(self, acceptor: &TlsAcceptor) -> io::Result<Self> {
        match self.stream {
            Stream::Plain(tcp) => {
                let stream = shake_hands(tcp, acceptor, self.handshake).await?;
                Ok(Self { stream, ..self })
            }
            Stream::Tls(_) => Ok(self),
        }
    }

    /// What the handshake agreed on; None in clear.
    pub fn tls(&self) -> Option<TlsFacts> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(facts(tls.get_ref().1)),
        }
    }

    /// Ends it in good order, once all that is to be said is flushed. Octets that lie unread then would turn
    /// the end into a reset, and the client might not see our last word.
    pub async fn close(mut self) {
        let closing = async {
            self.stream.shutdown().await?;
            let mut rest = [0; 1024];
            while self.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // The session is over: what goes wrong here changes nothing any more.
        let _ = tokio::time::timeout(LINGER, closing).await;
    }

    /// Waits up to `patience` for the client to speak first, and answers whether it did. Reads nothing.
    pub async fn speaks_first(&self, patience: Duration) -> bool {
        let Stream::Plain(tcp) = &self.stream else {
            return false;
        };
        let peeked = tokio::time::timeout(patience, tcp.peek(&mut [0])).await;
        matches!(peeked, Ok(Ok(octets)) if octets > 0)
    }
}

/// A TLS handshake as server; the error says what the other side may have wanted.
async fn shake_hands(tcp: TcpStream, acceptor: &TlsAcceptor, patience: Duration) -> io::Result<Stream> {
    let shaken = match tokio::time::timeout(patience, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => Ok(Stream::Tls(Box::new(tls))),
        Ok(Err(error)) => Err(explained(error)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the TLS handshake took too long",
        )),
    };
    let result = if shaken.is_ok() { "completed" } else { "failed" };
    metrics::counter!("postern_tls_handshakes_total", "result" => result).increment(1);
    shaken
}

/// A client in clear on a TLS port shows as a message that is none.
fn explained(error: io::Error) -> io::Error {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => io::Error::new(
            io::ErrorKind::InvalidData,
            "the client does not speak TLS; does it want a port in clear (STARTTLS)?",
        ),
        _ => error,
    }
}

fn facts(tls: &ServerConnection) -> TlsFacts {
    let version = tls.protocol_version();
    let cipher = tls.negotiated_cipher_suite().map(|cipher| cipher.suite());
    // RFC 9266 §3: tls-exporter is only safe where the handshake binds its transcript, as 1.3 does.
    let exporter = (version == Some(ProtocolVersion::TLSv1_3))
        .then(|| {
            tls.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", None)
                .ok()
        })
        .flatten();
    TlsFacts {
        version: match version {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
            other => format!("{other:?}"),
        },
        cipher: cipher.and_then(registered_name).unwrap_or_default(),
        exporter,
    }
}

/// The name in IANA's registry, where TLS 1.3's suites begin with `TLS_` like all others.
fn registered_name(cipher: CipherSuite) -> Option<String> {
    let name = cipher.as_str()?;
    Some(match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name.to_owned(),
    })
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
