//! Real sockets on loopback: who is admitted as whom, and what those hear who are not.

use super::accept::{Desk, Turned};
use super::*;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::store::memory::MemoryStore;
use socket2::SockRef;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One listener with its gateway; connections are admitted but nothing serves them.
struct Door {
    desk: Desk,
    socket: tokio::net::TcpListener,
    _state: tempfile::TempDir,
}

impl Door {
    /// `listener` and `limits` are the insides of YAML maps.
    fn open(listener: &str, limits: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname: mx.example.org\nstate: state\npostmaster: a@example.org\n\
             listeners: [ {{ address: \"127.0.0.1:0\", {listener} }} ]\nlimits: {{ {limits} }}\n"
        );
        let config = Arc::new(Config::parse(&text, state.path()).unwrap());
        let bound = bind(&config.listeners[0]).unwrap();
        let gateway = Gateway::new(config, Arc::new(MemoryStore::new()), Arc::default(), 10_000).unwrap();
        let (desk, socket) = Desk::of(&Arc::new(gateway), bound, &Stop::default());
        Self {
            desk,
            socket,
            _state: state,
        }
    }

    /// A client that says `first` at once, and what the desk makes of it.
    async fn knock(&self, first: &str) -> (TcpStream, Result<Connection, Turned>) {
        let mut client = TcpStream::connect(self.socket.local_addr().unwrap())
            .await
            .unwrap();
        client.write_all(first.as_bytes()).await.unwrap();
        let (tcp, mut peer) = self.socket.accept().await.unwrap();
        let admitted = self.desk.admit(tcp, &mut peer).await;
        (client, admitted)
    }

    async fn admitted(&self, first: &str) -> (TcpStream, Connection) {
        let (client, admitted) = self.knock(first).await;
        (client, admitted.unwrap())
    }

    /// Why a client is turned away, and all that it hears.
    async fn turned(&self, first: &str) -> (&'static str, String) {
        let (mut client, turned) = self.knock(first).await;
        let mut heard = String::new();
        // What the client sent may lie unread, and then its end is a reset.
        let _ = client.read_to_string(&mut heard).await;
        (turned.unwrap_err().word(), heard)
    }
}

fn proxied(client: &str) -> String {
    format!("PROXY TCP4 {client} 10.0.0.1 1000 25\r\n")
}

#[tokio::test]
async fn a_client_in_clear_is_itself() {
    let door = Door::open("role: mx", "");
    let (client, connection) = door.admitted("").await;
    assert_eq!(connection.client, client.local_addr().unwrap());
    assert_eq!(
        connection.listener.address,
        door.socket.local_addr().unwrap(),
        "port 0 became a real one"
    );
    assert!(connection.tls().is_none());
}

#[tokio::test]
async fn a_configured_proxy_says_who_the_client_is() {
    let door = Door::open("role: mx, proxy: [127.0.0.0/8]", "");
    let (_client, mut connection) = door
        .admitted("PROXY TCP4 192.0.2.7 10.0.0.1 1000 25\r\nEHLO")
        .await;
    assert_eq!(connection.client.to_string(), "192.0.2.7:1000");
    let mut rest = [0; 4];
    connection.stream.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"EHLO", "what is behind the header is the session's");
    assert_eq!(
        door.turned("EHLO client.example\r\n").await.0,
        "proxy_header",
        "from a proxy the header is required"
    );
}

#[tokio::test]
async fn a_header_from_elsewhere_is_not_believed() {
    let door = Door::open("role: mx, proxy: [10.0.0.0/8]", "");
    let (_client, mut connection) = door.admitted("PROXY TCP4 192.0.2.7 10.0.0.1 1000 25\r\n").await;
    assert_eq!(connection.client.ip(), IpAddr::from([127, 0, 0, 1]));
    let mut read = [0; 6];
    connection.stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"PROXY ", "the session gets it, and knows no such command");
}

#[tokio::test]
async fn a_proxy_that_is_silent_is_not_waited_for() {
    let door = Door::open("role: mx, proxy: [127.0.0.0/8]", "proxy_header: 20ms");
    let (_client, turned) = door.knock("PROXY TCP4").await;
    let turned = turned.unwrap_err();
    assert_eq!(
        (turned.word(), turned.to_string().as_str()),
        ("proxy_header", "the PROXY header took too long")
    );
}

#[tokio::test]
async fn over_the_limit_of_sessions_the_client_is_told_and_a_free_place_is_taken_again() {
    let door = Door::open("role: mx", "sessions: 2");
    let first = door.admitted("").await;
    let _second = door.admitted("").await;
    let (reason, heard) = door.turned("").await;
    assert_eq!(reason, "sessions");
    assert!(
        heard.starts_with("421 4.3.2 ") && heard.ends_with("\r\n"),
        "{heard}"
    );
    drop(first);
    let _third = door.admitted("").await;
    assert_eq!(door.turned("").await.0, "sessions");
}

#[tokio::test]
async fn pop3_says_it_in_its_own_words_and_tls_in_none() {
    let door = Door::open("role: pop3", "sessions: 1");
    let _first = door.admitted("").await;
    assert!(door.turned("").await.1.starts_with("-ERR [SYS/TEMP] "));
    let door = Door::open("role: pop3, tls: implicit", "sessions: 1, tls_handshake: 20ms");
    let _place = door.desk.gateway().admission.enter().unwrap();
    assert_eq!(door.turned("").await, ("sessions", String::new()));
}

/// The log named the proxy, which says nothing about who was turned away.
#[tokio::test]
async fn who_is_refused_behind_a_proxy_is_the_client_it_named() {
    let door = Door::open("role: mx, proxy: [127.0.0.0/8]", "sessions_per_address: 1");
    let _first = door.admitted(&proxied("192.0.2.1")).await;
    let mut client = TcpStream::connect(door.socket.local_addr().unwrap())
        .await
        .unwrap();
    client.write_all(proxied("192.0.2.1").as_bytes()).await.unwrap();
    let (tcp, mut named) = door.socket.accept().await.unwrap();
    let turned = door.desk.admit(tcp, &mut named).await.unwrap_err();
    assert_eq!(turned.word(), "sessions_per_address");
    assert_eq!(named.to_string(), "192.0.2.1:1000");
}

#[tokio::test]
async fn over_the_limit_of_an_address_only_that_address_is_refused() {
    let door = Door::open("role: mx, proxy: [127.0.0.0/8]", "sessions_per_address: 2");
    let first = door.admitted(&proxied("192.0.2.1")).await;
    let _second = door.admitted(&proxied("192.0.2.1")).await;
    let (reason, heard) = door.turned(&proxied("192.0.2.1")).await;
    assert_eq!(reason, "sessions_per_address");
    assert!(heard.starts_with("421 "), "{heard}");
    let _other = door.admitted(&proxied("192.0.2.2")).await;
    assert_eq!(
        door.desk.gateway().admission.running(),
        3,
        "who is refused is not counted"
    );
    drop(first);
    let _again = door.admitted(&proxied("192.0.2.1")).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends() {
    let door = Door::open("role: mx, tls: implicit", "tls_handshake: 20ms");
    let (_client, turned) = door.knock("").await;
    let turned = turned.unwrap_err();
    assert_eq!(
        (turned.word(), turned.to_string().as_str()),
        ("tls_handshake", "the TLS handshake took too long")
    );
    assert_eq!(door.desk.gateway().admission.running(), 0);
}

#[tokio::test]
async fn a_vanished_client_is_noticed_within_a_minute() {
    let door = Door::open("role: pop3", "");
    let (_client, connection) = door.admitted("").await;
    let Stream::Plain(tcp) = &connection.stream else {
        panic!("in clear")
    };
    let socket = SockRef::from(tcp);
    assert!(socket.keepalive().unwrap() && tcp.nodelay().unwrap());
    let probes = socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
    assert!(socket.tcp_keepalive_time().unwrap() + probes < Duration::from_secs(60));
    assert!(socket.tcp_user_timeout().unwrap().unwrap() < Duration::from_secs(60));
}

#[tokio::test]
async fn who_speaks_first_is_seen_and_nothing_is_read() {
    let door = Door::open("role: mx", "");
    let (_quiet, connection) = door.admitted("").await;
    assert!(!connection.speaks_first(Duration::from_millis(10)).await);
    let (_early, mut connection) = door.admitted("EHLO x\r\n").await;
    assert!(connection.speaks_first(Duration::from_secs(60)).await);
    let mut read = [0; 8];
    connection.stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"EHLO x\r\n");
}

#[tokio::test]
async fn ipv4_and_ipv6_stand_beside_each_other_on_one_port() {
    let door = Door::open("role: mx", "");
    let four = door.socket.local_addr().unwrap();
    let listener = Listener {
        address: SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), four.port()),
        ..door.desk.gateway().config.listeners[0].clone()
    };
    match bind(&listener) {
        Ok(six) => {
            let address = SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), four.port());
            let connected = TcpStream::connect(address);
            let socket = six.into_socket();
            let (connected, accepted) = tokio::join!(connected, socket.accept());
            assert!(connected.is_ok() && accepted.unwrap().1.is_ipv6());
        }
        // A machine without IPv6 has nothing to show; anything else is a fault.
        Err(error) => assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        ),
    }
    let mut taken = listener;
    taken.address = four;
    assert_eq!(bind(&taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn when_accepting_stops_the_port_is_closed_and_the_tracker_empties() {
    let door = Door::open("role: mx", "");
    let address = door.socket.local_addr().unwrap();
    let bound = Bound {
        listener: Arc::new(door.desk.gateway().config.listeners[0].clone()),
        socket: door.socket,
    };
    let stop = Stop::default();
    let sessions = serve(door.desk.gateway(), vec![bound], &stop);
    assert!(TcpStream::connect(address).await.is_ok());
    stop.accepting.cancel();
    stop.sessions.cancel();
    sessions.wait().await;
    assert!(TcpStream::connect(address).await.is_err());
}
