//! Listening sockets and how accepted ones are tuned.

use crate::config::Listener;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Connections that wait for `accept`; a restart or a burst fills it, the kernel caps it (`somaxconn`).
const BACKLOG: i32 = 1024;

/// A socket that listens for what its listener says.
#[derive(Debug)]
pub struct Bound {
    /// With the port that was given, where the configuration left it to the system.
    pub listener: Arc<Listener>,
    pub(super) socket: TcpListener,
}

impl Bound {
    /// The socket itself, for a server that accepts on its own.
    pub fn into_socket(self) -> TcpListener {
        self.socket
    }
}

/// Binds and listens. Needs a runtime.
pub fn bind(listener: &Listener) -> io::Result<Bound> {
    let socket = Socket::new(
        Domain::for_address(listener.address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the process before it to time out.
    socket.set_reuse_address(true)?;
    if listener.address.is_ipv6() {
        // So that `[::]:25` and `0.0.0.0:25` stand beside each other whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    socket.bind(&listener.address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from_std(socket.into())?;
    let listener = Listener {
        address: socket.local_addr()?,
        ..listener.clone()
    };
    Ok(Bound {
        listener: Arc::new(listener),
        socket,
    })
}

/// A client that vanished holds its session (and its maildrop) for 60 seconds at most: after 20 idle ones
/// the kernel asks three times, ten seconds apart, and what it sent unanswered counts the same.
pub(super) fn tune(tcp: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(50)))?;
    tcp.set_nodelay(true)
}
