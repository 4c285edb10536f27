//! Accept loops, and what is done with a connection before its protocol begins.

use super::admission::{Admitted, Refusal};
use super::listen::{Bound, tune};
use super::{Connection, Stream, proxy, shake_hands};
use crate::config::{Listener, Role, TlsMode};
use crate::gateway::Gateway;
use postern_proto::{pop3, smtp};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After an error of `accept` that another try at once would only repeat (no descriptors, no memory).
const PAUSE: Duration = Duration::from_millis(200);

/// What a session has for its 421 once the time to finish is over; then it is dropped.
pub const GRACE: Duration = Duration::from_secs(2);

/// The moments at which a gateway stops; that at which sessions are cut is [`Gateway::cut`].
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// No new sessions from here on.
    pub accepting: CancellationToken,
    /// Sessions say 421 and end as soon as nothing of theirs is under way.
    pub sessions: CancellationToken,
}

/// Serves these sockets until `stop.accepting`; the tracker holds accept loops and sessions, is closed, and
/// is empty when the last session has ended.
pub fn serve(gateway: &Arc<Gateway>, sockets: Vec<Bound>, stop: &Stop) -> TaskTracker {
    let tracker = TaskTracker::new();
    for bound in sockets {
        let (desk, socket) = Desk::of(gateway, bound, stop);
        let tracker = tracker.clone();
        tracker.clone().spawn(async move {
            let accepting = desk.stop.accepting.clone();
            accepting.run_until_cancelled(desk.accept(socket, &tracker)).await;
        });
    }
    tracker.close();
    tracker
}

/// What one listener's clients meet first.
#[derive(Clone)]
pub(super) struct Desk {
    gateway: Arc<Gateway>,
    listener: Arc<Listener>,
    stop: Stop,
}

impl Desk {
    pub(super) fn of(gateway: &Arc<Gateway>, bound: Bound, stop: &Stop) -> (Self, TcpListener) {
        let desk = Self {
            gateway: Arc::clone(gateway),
            listener: bound.listener,
            stop: stop.clone(),
        };
        (desk, bound.socket)
    }

    #[cfg(test)]
    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    async fn accept(&self, socket: TcpListener, tracker: &TaskTracker) {
        loop {
            match socket.accept().await {
                Ok((tcp, peer)) => {
                    let desk = self.clone();
                    tracker.spawn(async move { desk.receive(tcp, peer).await });
                }
                Err(error) => self.after(error).await,
            }
        }
    }

    /// Outlives an error of `accept`: one of the client's is its own trouble, one of ours gets a pause.
    async fn after(&self, error: io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        metrics::counter!("postern_accept_errors_total", "listener" => self.listener.name.clone())
            .increment(1);
        tracing::error!(listener = %self.listener.name, %error, "cannot accept; trying again");
        tokio::time::sleep(PAUSE).await;
    }

    async fn receive(self, tcp: TcpStream, peer: SocketAddr) {
        let mut client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        match Box::pin(self.admit(tcp, &mut client)).await {
            Ok(connection) => Box::pin(self.serve(connection)).await,
            Err(turned) => self.note(&turned, client),
        }
    }

    async fn serve(self, connection: Connection) {
        let listener = self.listener.name.clone();
        metrics::counter!("postern_sessions_total", "listener" => listener).increment(1);
        let (gateway, stop) = (self.gateway, self.stop);
        let cut = gateway.cut.clone();
        let session = async {
            match self.listener.role {
                Role::Smtp(_) => crate::smtp::serve(connection, gateway, stop.sessions).await,
                Role::Pop3 => crate::pop3::serve(connection, gateway, stop.sessions).await,
                // The admin listener accepts by itself.
                Role::Admin => {}
            }
        };
        let over = async {
            cut.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = session => {}
            () = over => {}
        }
    }

    /// Counts the client, learns who it is, starts TLS where it is implicit. `client` is the peer until a proxy has
    /// named another.
    pub(super) async fn admit(
        &self,
        mut tcp: TcpStream,
        client: &mut SocketAddr,
    ) -> Result<Connection, Turned> {
        let mut admitted = match self.gateway.admission.enter() {
            Ok(admitted) => admitted,
            Err(refusal) => return Err(self.refuse(tcp, refusal).await),
        };
        tune(&tcp).map_err(Turned::Network)?;
        *client = self.client(&mut tcp, *client).await.map_err(Turned::Proxy)?;
        if let Err(refusal) = admitted.count_for(client.ip()) {
            return Err(self.refuse(tcp, refusal).await);
        }
        self.connect(tcp, *client, admitted)
            .await
            .map_err(Turned::Handshake)
    }

    /// Who the client is: the peer, or whom the proxy names.
    async fn client(&self, tcp: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
        if !self
            .listener
            .proxy
            .iter()
            .any(|network| network.contains(peer.ip()))
        {
            return Ok(peer);
        }
        let patience = self.gateway.config.limits.proxy_header;
        let header = self
            .until_stopped(tokio::time::timeout(patience, proxy::read(tcp)))
            .await?;
        let named = header
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the PROXY header took too long"))??;
        Ok(named.unwrap_or(peer))
    }

    async fn connect(
        &self,
        tcp: TcpStream,
        client: SocketAddr,
        admitted: Admitted,
    ) -> io::Result<Connection> {
        let handshake = self.gateway.config.limits.tls_handshake;
        let stream = match self.listener.tls {
            TlsMode::Implicit => {
                let acceptor = self.gateway.tls.acceptor();
                self.until_stopped(shake_hands(tcp, &acceptor, handshake))
                    .await??
            }
            TlsMode::StartTls | TlsMode::None => Stream::Plain(tcp),
        };
        Ok(Connection {
            stream,
            client,
            listener: Arc::clone(&self.listener),
            handshake,
            _admitted: Some(admitted),
        })
    }

    async fn until_stopped<T>(&self, future: impl Future<Output = T>) -> io::Result<T> {
        let stopped = self.stop.sessions.run_until_cancelled(future).await;
        stopped.ok_or_else(|| io::Error::new(io::ErrorKind::ConnectionAborted, "the gateway is stopping"))
    }

    /// Says so in one line that must fit the socket's buffer, and closes. A TLS client could not read it.
    async fn refuse(&self, mut tcp: TcpStream, refusal: Refusal) -> Turned {
        if self.listener.tls != TlsMode::Implicit {
            let _ = tcp.try_write(&self.refusal_line());
            let _ = tcp.shutdown().await;
        }
        Turned::Limit(refusal)
    }

    fn refusal_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        match self.listener.role {
            Role::Smtp(_) => {
                smtp::Reply::too_many_sessions(&self.gateway.config.hostname).encode(&mut line);
            }
            Role::Pop3 | Role::Admin => pop3::Reply::too_many_sessions().encode(&mut line),
        }
        line
    }

    fn note(&self, turned: &Turned, client: SocketAddr) {
        let listener = self.listener.name.clone();
        let reason = turned.word();
        metrics::counter!("postern_sessions_refused_total", "listener" => listener, "reason" => reason)
            .increment(1);
        tracing::info!(listener = %self.listener.name, %client, reason, detail = %turned, "connection refused");
    }
}

/// Why a connection did not become a session.
#[derive(Debug, thiserror::Error)]
pub(super) enum Turned {
    #[error("over limits.{}", .0.word())]
    Limit(Refusal),
    #[error("{0}")]
    Network(io::Error),
    #[error("{0}")]
    Proxy(io::Error),
    #[error("{0}")]
    Handshake(io::Error),
}

impl Turned {
    /// As metrics name it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Limit(refusal) => refusal.word(),
            Self::Network(_) => "network",
            Self::Proxy(_) => "proxy_header",
            Self::Handshake(_) => "tls_handshake",
        }
    }
}
