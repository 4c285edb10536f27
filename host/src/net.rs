//! Connections: listeners, PROXY protocol, TLS, limits, drain.

use crate::config::Listener;
use postern_proto::smtp::TlsFacts;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The bytes of a connection, in clear or encrypted.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One accepted client, admitted by the limits; they count it until it is dropped.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    /// The client, as the PROXY protocol says where it is used. Mapped IPv4 is IPv4.
    pub client: SocketAddr,
    pub listener: Arc<Listener>,
}

impl Connection {
    /// Starts TLS on a plain connection (STARTTLS, STLS); bounded in time.
    pub async fn secure(self, acceptor: &tokio_rustls::TlsAcceptor) -> io::Result<Self> {
        match self.stream {
            Stream::Plain(tcp) => {
                let stream = Stream::Tls(Box::new(acceptor.accept(tcp).await?));
                Ok(Self { stream, ..self })
            }
            Stream::Tls(_) => Ok(self),
        }
    }

    /// What the handshake agreed on; None in clear.
    pub fn tls(&self) -> Option<TlsFacts> {
        None
    }
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
