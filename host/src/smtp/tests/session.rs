//! Sessions: their end, their times, TLS.

use super::*;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

/// A client's side of a handshake with the house's own certificate.
async fn secured(house: &House, tcp: TcpStream) -> tokio_rustls::client::TlsStream<TcpStream> {
    let folder = house.gateway.config.state.join("tls");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut roots = rustls::RootCertStore::empty();
    for file in files {
        roots.add_parsable_certificates(CertificateDer::from_pem_file(file));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(client))
        .connect(name, tcp)
        .await
        .unwrap()
}

#[tokio::test]
async fn behind_starttls_the_session_begins_anew_and_says_so_in_the_trace() {
    let house = House::mx().await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    // What is pipelined in clear behind STARTTLS is thrown away.
    let reply = client.say("STARTTLS\r\nQUIT").await;
    assert!(reply.starts_with("220 "), "{reply}");
    let mut client = Client {
        stream: BufReader::new(secured(&house, client.stream.into_inner()).await),
    };
    let reply = client.say("DATA").await;
    assert!(reply.starts_with("503 "), "the envelope is forgotten: {reply}");
    let hello = client.say("EHLO client.example").await;
    assert!(!hello.contains("STARTTLS"), "{hello}");
    client.envelope(&["ann"]).await;
    assert!(client.data("A: b\r\n\r\ntext\r\n").await.starts_with("250 "));
    let [message] = house.mailbox("ann").await.try_into().unwrap();
    assert!(
        message.contains(" with ESMTPS id ") && message.contains("\ttls TLS_"),
        "{message}"
    );
}

#[tokio::test]
async fn an_idle_session_is_told_421_when_the_gateway_shuts_down() {
    let house = House::mx().await;
    let (mut client, session) = house.connect().await;
    client.reply().await;
    house.shutdown.cancel();
    assert!(client.reply().await.starts_with("421 4.3.2 "));
    assert_eq!(client.reply().await, "");
    drop(client);
    session.await.unwrap();
}

#[tokio::test]
async fn a_running_transaction_finishes_before_the_421() {
    let house = House::mx().await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    assert!(client.say("DATA").await.starts_with("354 "));
    house.shutdown.cancel();
    assert!(
        client
            .say("A: b\r\n\r\ntext\r\n.")
            .await
            .starts_with("250 2.0.0 ")
    );
    assert!(client.reply().await.starts_with("421 4.3.2 "));
    assert_eq!(house.mailbox("ann").await.len(), 1);
}

#[tokio::test]
async fn at_the_end_of_the_drain_a_transaction_is_cut() {
    let house = House::mx().await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    assert!(client.say("DATA").await.starts_with("354 "));
    house.gateway.cut.cancel();
    assert!(client.reply().await.starts_with("421 4.3.2 "));
    assert_eq!(house.mailbox("ann").await.len(), 0);
}

#[tokio::test]
async fn a_client_that_speaks_before_the_greeting_is_refused_where_that_is_asked_for() {
    let house = House::open("role: mx, reject_early_talkers: true", "").await;
    let stream = TcpStream::connect(house.socket.local_addr().unwrap())
        .await
        .unwrap();
    let mut early = Client {
        stream: BufReader::new(stream),
    };
    early.send(b"EHLO client.example\r\n").await;
    let (tcp, peer) = house.socket.accept().await.unwrap();
    tcp.readable().await.unwrap();
    let listener = Arc::new(house.gateway.config.listeners[0].clone());
    let connection = Connection::uncounted(Stream::Plain(tcp), peer, listener);
    tokio::spawn(serve(
        connection,
        Arc::clone(&house.gateway),
        CancellationToken::new(),
    ));
    assert!(early.reply().await.starts_with("554 5.5.1 "));
    assert_eq!(early.reply().await, "");
}

#[tokio::test]
async fn a_silent_client_is_told_so_and_dropped() {
    let house = House::open("role: mx", "limits: { smtp_command: 1s }\n").await;
    let (mut client, _session) = house.connect().await;
    client.reply().await;
    assert!(client.reply().await.starts_with("421 4.4.2 "));
    assert_eq!(client.reply().await, "");
}

/// An attacker kept sessions for as long as it liked by an octet now and then.
#[tokio::test]
async fn a_line_has_the_time_of_one_command_however_steadily_it_drips() {
    for begin in ["", "AUTH LOGIN\r\n"] {
        let listener = "role: mx, auth: true, plaintext_auth: true";
        let house = House::open(listener, "limits: { smtp_command: 1s }\n").await;
        let mut client = house.client().await;
        if !begin.is_empty() {
            client.send(begin.as_bytes()).await;
            assert!(client.reply().await.starts_with("334 "));
        }
        let dripping = async {
            loop {
                client.send(b"x").await;
                if let Ok(reply) = timeout(Duration::from_millis(100), client.reply()).await {
                    return reply;
                }
            }
        };
        let reply = timeout(Duration::from_secs(10), dripping).await;
        let reply = reply.expect("the session is not kept by dripping");
        assert!(reply.starts_with("421 4.4.2 "), "{reply}");
    }
}

#[tokio::test]
async fn each_command_has_its_own_time() {
    let house = House::open("role: mx", "limits: { smtp_command: 1s }\n").await;
    let mut client = house.client().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert!(client.say("NOOP").await.starts_with("250 "));
    }
}

#[tokio::test]
async fn a_client_that_is_silent_within_content_has_a_time_of_its_own() {
    let house = House::open("role: mx", "limits: { smtp_data: 1s }\n").await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    assert!(client.say("DATA").await.starts_with("354 "));
    client.send(b"A: b\r\n").await;
    assert!(client.reply().await.starts_with("421 4.4.2 Time-out"));
    assert_eq!(client.reply().await, "");
    assert_eq!(house.mailbox("ann").await.len(), 0);
}

#[tokio::test]
async fn a_transfer_has_a_time_limit_however_steadily_it_drips() {
    let house = House::open("role: mx", "limits: { transfer: 1s }\n").await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    assert!(client.say("DATA").await.starts_with("354 "));
    let reply = loop {
        client.send(b"X: y\r\n").await;
        if let Ok(reply) = timeout(Duration::from_millis(100), client.reply()).await {
            break reply;
        }
    };
    assert!(reply.starts_with("421 4.4.2 "), "{reply}");
    assert_eq!(house.mailbox("ann").await.len(), 0);
}

#[tokio::test]
async fn a_transaction_has_the_time_of_one_transfer_however_many_commands_fill_it() {
    let house = House::open("role: mx", "limits: { transfer: 1s }\n").await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    let reply = loop {
        let reply = client.say("NOOP").await;
        if !reply.starts_with("250 ") {
            break reply;
        }
    };
    assert!(reply.starts_with("421 4.4.2 "), "{reply}");
}

#[tokio::test]
async fn each_of_many_pipelined_messages_has_the_time_of_one() {
    let house = House::open("role: mx", "limits: { transfer: 1s }\n").await;
    let mut client = house.client().await;
    let next = "MAIL FROM:<a@example.net>\r\nRCPT TO:<ann@example.org>\r\nBDAT 6 LAST\r\n";
    client.send(next.as_bytes()).await;
    let begun = Instant::now();
    // The session never waits but within the content of some message.
    while begun.elapsed() < Duration::from_millis(1500) {
        for expected in ["250 2.1.0 ", "250 2.1.5 "] {
            let reply = client.reply().await;
            assert!(reply.starts_with(expected), "{reply}");
        }
        client.send(format!("A: b\r\n{next}").as_bytes()).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    }
}
