//! Submission: who may send as whom, and what is added to what they send.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

const LISTENER: &str = "role: submission, tls: none, plaintext_auth: true";

async fn house(more: &str) -> House {
    let house = House::open(LISTENER, more).await;
    let credentials = house.gateway.directory.credentials("secret").await.unwrap();
    let changed = house
        .gateway
        .directory
        .change_account("ann@example.org", |account| {
            account.password = Some(credentials.password.clone());
        });
    assert!(changed.await.unwrap());
    house
}

async fn logged_in(house: &House) -> Client {
    let mut client = house.client().await;
    let response = BASE64.encode("\0ann@example.org\0secret");
    let reply = client.say(&format!("AUTH PLAIN {response}")).await;
    assert!(reply.starts_with("235 2.7.0 "), "{reply}");
    client
}

#[tokio::test]
async fn without_a_login_there_is_no_mail() {
    let house = house("").await;
    let mut client = house.client().await;
    let reply = client.say("MAIL FROM:<ann@example.org>").await;
    assert!(reply.starts_with("530 5.7.0 "), "{reply}");
}

#[tokio::test]
async fn a_sender_is_an_address_of_the_account_or_nobody() {
    let house = house("").await;
    house.alias("sales@example.org", &["ann@example.org"]).await;
    let mut client = logged_in(&house).await;
    for (sender, expected) in [
        ("ann@example.org", "250 "),
        ("Ann+news@example.org", "250 "),
        ("sales@example.org", "250 "),
        ("", "250 "),
        ("bob@example.org", "553 5.7.1 "),
        ("ann@example.net", "553 5.7.1 "),
    ] {
        let reply = client.say(&format!("MAIL FROM:<{sender}>")).await;
        assert!(reply.starts_with(expected), "{sender}: {reply}");
        client.say("RSET").await;
    }
}

#[tokio::test]
async fn the_check_of_senders_can_be_turned_off() {
    let house = house("submission: { check_sender: false }\n").await;
    let mut client = logged_in(&house).await;
    assert!(
        client
            .say("MAIL FROM:<bob@example.org>")
            .await
            .starts_with("250 ")
    );
}

#[tokio::test]
async fn from_is_checked_where_that_is_asked_for() {
    let house = house("submission: { check_from: true }\n").await;
    let mut client = logged_in(&house).await;
    for (from, expected) in [("ann", "250 "), ("bob", "553 5.7.1 ")] {
        client.say("MAIL FROM:<ann@example.org>").await;
        client.say("RCPT TO:<bob@example.org>").await;
        let reply = client.data(&format!("From: {from}@example.org\r\n\r\n")).await;
        assert!(reply.starts_with(expected), "{from}: {reply}");
    }
    client.say("MAIL FROM:<ann@example.org>").await;
    client.say("RCPT TO:<bob@example.org>").await;
    let both = "From: bob@example.org\r\nFrom: ann@example.org\r\n\r\n";
    let reply = client.data(both).await;
    assert!(reply.starts_with("553 5.7.1 "), "each From counts: {reply}");
}

#[tokio::test]
async fn missing_date_and_message_id_are_added_and_present_ones_kept() {
    let house = house("").await;
    let mut client = logged_in(&house).await;
    client.say("MAIL FROM:<ann@example.org>").await;
    client.say("RCPT TO:<bob@example.org>").await;
    assert!(
        client
            .data("From: ann@example.org\r\n\r\ntext\r\n")
            .await
            .starts_with("250 ")
    );
    client.say("MAIL FROM:<ann@example.org>").await;
    client.say("RCPT TO:<bob@example.org>").await;
    let complete = "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <x@y>\r\n\r\ntext\r\n";
    assert!(client.data(complete).await.starts_with("250 "));
    let [bare, full] = house.mailbox("bob").await.try_into().unwrap();
    let id: MessageId = house.gateway.store.list("bob@example.org").await.unwrap()[0].id;
    assert!(bare.contains("From: ann@example.org\r\nDate: "), "{bare}");
    assert!(
        bare.ends_with(&format!("Message-ID: <{id}@mx.example.org>\r\n\r\ntext\r\n")),
        "{bare}"
    );
    assert!(bare.contains("with ESMTPA id"), "{bare}");
    assert!(full.ends_with(complete), "{full}");
    assert_eq!(full.matches("Message-ID").count(), 1);
}

/// What stands behind the empty line that was put before it is text.
#[tokio::test]
async fn a_body_without_a_header_section_has_no_fields() {
    let house = house("submission: { check_from: true }\nlimits: { hops: 1 }\n").await;
    let mut client = logged_in(&house).await;
    let body = "text: \r\nReceived: x\r\nFrom: bob@example.org\r\nDate: x\r\n\r\n";
    for (before, expected) in [("", "554 5.4.6 "), (" ", "250 "), ("no ", "250 ")] {
        client.say("MAIL FROM:<ann@example.org>").await;
        client.say("RCPT TO:<bob@example.org>").await;
        let reply = client.data(&format!("{before}{body}")).await;
        assert!(reply.starts_with(expected), "{before:?}: {reply}");
    }
    let ids = house.gateway.store.list("bob@example.org").await.unwrap();
    let mail = house.mailbox("bob").await;
    for ((message, line), before) in mail.iter().zip(ids).zip([" ", "no "]) {
        let added = format!("Message-ID: <{}@mx.example.org>\r\n\r\n{before}{body}", line.id);
        assert!(message.ends_with(&added), "{message}");
        assert!(message.contains(" +0000\r\nDate: "), "{message}");
    }
    assert_eq!(mail.len(), 2);
}

#[tokio::test]
async fn an_account_has_no_more_sessions_than_it_may_have() {
    let house = house("limits: { sessions_per_account: 1 }\n").await;
    let first = logged_in(&house).await;
    let mut second = house.client().await;
    let response = BASE64.encode("\0ann@example.org\0secret");
    let reply = second.say(&format!("AUTH PLAIN {response}")).await;
    assert!(reply.starts_with("454 4.7.0 "), "{reply}");
    drop(first);
}
