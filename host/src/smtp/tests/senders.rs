//! Senders as a session looks at them: the field, the facts, and who is left alone.

use super::*;
use crate::dns::server::{Records, Server};
use crate::message::Draft;
use crate::policy::Facts;
use crate::smtp::envelope::{Standing, Transaction};
use postern_proto::smtp::{BodyType, Mail};

/// A house whose DNS is this server.
async fn house(listener: &str, server: &Server) -> House {
    house_with(listener, server, "").await
}

/// `more` is the inside of `sender_auth`.
async fn house_with(listener: &str, server: &Server, more: &str) -> House {
    let more = format!(
        "trusted: [ 198.51.100.0/24 ]\nsender_auth: {{ {more} }}\n\
         dns: {{ servers: [\"{}\"], timeout: 100ms, attempts: 1, cache: 0 }}\n",
        server.address
    );
    House::open(listener, &more).await
}

impl House {
    /// A client that comes from this address and has said hello.
    async fn client_of(&self, address: &str) -> Client {
        let stream = TcpStream::connect(self.socket.local_addr().unwrap())
            .await
            .unwrap();
        let (tcp, _) = self.socket.accept().await.unwrap();
        let listener = Arc::new(self.gateway.config.listeners[0].clone());
        let peer = format!("{address}:1234").parse().unwrap();
        let connection = Connection::uncounted(Stream::Plain(tcp), peer, listener);
        tokio::spawn(serve(
            connection,
            Arc::clone(&self.gateway),
            self.shutdown.clone(),
        ));
        let mut client = Client {
            stream: BufReader::new(stream),
        };
        assert!(client.reply().await.starts_with("220 "));
        assert!(client.say("EHLO client.example").await.starts_with("250"));
        client
    }

    /// What was kept with ann's only message.
    async fn facts(&self) -> Facts {
        let entries = self.gateway.store.list("ann@example.org").await.unwrap();
        let holder = Holder::Mailbox("ann@example.org");
        let kept = self.gateway.store.facts(holder, entries[0].id).await.unwrap();
        serde_json::from_slice(&kept).unwrap()
    }
}

fn known() -> Records {
    Records::default()
        .ptr("192.0.2.1", "client.example.")
        .address("client.example", "192.0.2.1")
        .txt("example.net", "v=spf1 ip4:192.0.2.1 -all")
        .txt("_dmarc.example.net", "v=DMARC1; p=reject")
}

const CLAIM: &str = "Authentication-Results: mx.example.org;\r\n dmarc=pass\r\n";
const REST: &str = "From: ann@example.net\r\nSubject: x\r\n\r\ntext\r\n";

#[tokio::test]
async fn a_stranger_s_mail_has_our_results_on_top_and_no_others_that_claim_to_be_ours() {
    let server = known().serve().await;
    let house = house("role: mx", &server).await;
    let mut client = house.client_of("192.0.2.1").await;
    client.envelope(&["ann"]).await;
    let foreign = "Authentication-Results: mx.example.net; spf=fail\r\n";
    assert!(
        client
            .data(&format!("{CLAIM}{foreign}{REST}"))
            .await
            .starts_with("250 ")
    );
    let mail = house.mailbox("ann").await.remove(0);
    let top = "Return-Path: <sender@example.net>\r\nDelivered-To: ann@example.org\r\n\
               Authentication-Results: mx.example.org;\r\n\
               \tiprev=pass policy.iprev=192.0.2.1 (client.example);\r\n\
               \tspf=pass smtp.mailfrom=sender@example.net;\r\n\
               \tdkim=none;\r\n\
               \tdmarc=pass (p=reject) header.from=example.net;\r\n\
               \tarc=none\r\n\
               Received: from client.example (client.example [192.0.2.1])\r\n";
    assert!(mail.starts_with(top), "{mail}");
    assert!(mail.ends_with(&format!("\r\n{foreign}{REST}")), "{mail}");
    let facts = house.facts().await;
    assert_eq!(facts.client_name, "client.example");
    assert_eq!(
        (facts.auth.spf.as_str(), facts.auth.dmarc.as_str()),
        ("pass", "pass")
    );
}

#[tokio::test]
async fn what_has_no_claim_stays_byte_for_byte_behind_the_trace() {
    let server = known().serve().await;
    let house = house("role: mx", &server).await;
    let mut client = house.client_of("192.0.2.1").await;
    client.envelope(&["ann", "bob"]).await;
    let odd = format!("authentication-results :  (x)other.example  1; none \r\nX:  y \r\n{REST}");
    assert!(client.data(&odd).await.starts_with("250 "));
    for name in ["ann", "bob"] {
        let mail = house.mailbox(name).await.remove(0);
        assert!(mail.ends_with(&format!(" +0000\r\n{odd}")), "{mail}");
    }
}

#[tokio::test]
async fn a_session_checks_each_sender_once_and_so_many_of_them() {
    let server = known().serve().await;
    let house = house_with("role: mx", &server, "checks: 2").await;
    let mut client = house.client_of("192.0.2.1").await;
    for (sender, code) in [
        ("ann@example.net", "250"),
        ("ann@example.net", "250"),
        ("bob@example.net", "250"),
        ("carl@example.net", "451 4.7.0"),
        ("ann@example.net", "250"),
        ("", "451 4.7.0"),
    ] {
        let reply = client.say(&format!("MAIL FROM:<{sender}>")).await;
        assert!(reply.starts_with(code), "{sender}: {reply}");
        assert!(client.say("RSET").await.starts_with("250"));
    }
    let asked = server.asked();
    let checks = asked.iter().filter(|asked| *asked == "TXT example.net");
    assert_eq!(checks.count(), 2, "{asked:?}");
}

#[tokio::test]
async fn without_dns_mail_is_taken_and_the_results_say_temperror() {
    let server = known().serve().await;
    let house = house("role: mx", &server).await;
    drop(server);
    let mut client = house.client_of("192.0.2.1").await;
    client.envelope(&["ann"]).await;
    assert!(client.data(REST).await.starts_with("250 "));
    let mail = house.mailbox("ann").await.remove(0);
    for word in [
        "iprev=temperror",
        "spf=temperror",
        "dkim=none",
        "dmarc=temperror",
        "arc=none",
    ] {
        assert!(mail.contains(&format!(";\r\n\t{word}")), "{word}: {mail}");
    }
    assert!(
        mail.contains("Received: from client.example ([192.0.2.1])\r\n"),
        "{mail}"
    );
}

#[tokio::test]
async fn who_is_ours_is_left_alone_and_believed() {
    let server = known().serve().await;
    let house = house("role: mx", &server).await;
    for client in ["127.0.0.1", "198.51.100.1"] {
        let mut client = house.client_of(client).await;
        client.envelope(&["ann"]).await;
        assert!(client.data(&format!("{CLAIM}{REST}")).await.starts_with("250 "));
    }
    for mail in house.mailbox("ann").await {
        assert_eq!(mail.matches("Authentication-Results").count(), 1, "{mail}");
        assert!(mail.ends_with(&format!("{CLAIM}{REST}")), "{mail}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    assert!(house.facts().await.auth.is_empty());
}

#[tokio::test]
async fn mail_of_users_is_not_checked_and_may_claim_nothing() {
    let server = known().serve().await;
    let house = house("role: submission, tls: none, plaintext_auth: true", &server).await;
    let answers = house.answers();
    let store = &house.gateway.store;
    let message = {
        let id = MessageId::new();
        let mut draft = Draft::begin(id, store, &house.gateway.in_flight, 0).unwrap();
        draft.push(format!("{CLAIM}{REST}").as_bytes()).await.unwrap();
        draft.seal().await.unwrap()
    };
    let mail = Mail {
        sender: None,
        size: None,
        body: BodyType::SevenBit,
        smtputf8: false,
    };
    let decided = (Standing::Deliver, Vec::new());
    let mut transaction = Transaction::new(MessageId::new(), mail, decided, Facts::default());
    let (message, results) = answers.check_message(&mut transaction, message).await;
    assert_eq!(results, "");
    assert_eq!(
        message.content().head,
        "From: ann@example.net\r\nSubject: x\r\n\r\n"
    );
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_record_of_before_there_were_results_is_read() {
    let old = r#"{"queue_id":"q","listener":"mx","protocol":"esmtp","client_ip":"192.0.2.1","client_name":"",
        "helo":"h","tls_version":null,"tls_cipher":null,"auth_user":null,"mail_from":"","rcpt_to":[],"tags":[]}"#;
    let facts: Facts = serde_json::from_str(old).unwrap();
    assert!(facts.auth.is_empty());
    let written = serde_json::to_string(&facts).unwrap();
    assert!(
        !written.contains("auth\":{"),
        "an older gateway reads it too: {written}"
    );
}
