//! Content on its way: large, in chunks, broken off, more than there is room for.

use super::*;

/// 5 MiB of lines that all differ, with dots at their beginnings.
fn large() -> String {
    let mut content = "Subject: large\r\n\r\n".to_owned();
    let mut line = 0_u64;
    while content.len() < 5 << 20 {
        content.push_str(&format!(".{line} {}\r\n", "payload ".repeat(8)));
        line += 1;
    }
    content
}

async fn comes_back(house: House) {
    let content = large();
    let mut client = house.client().await;
    client.envelope(&["ann", "bob"]).await;
    let reply = client.data(&content.replace("\r\n.", "\r\n..")).await;
    assert!(reply.starts_with("250 "), "{reply}");
    client.envelope(&["bob"]).await;
    for chunk in content.as_bytes().chunks(1_000_001) {
        client.send(format!("BDAT {}\r\n", chunk.len()).as_bytes()).await;
        client.send(chunk).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let reply = client.say("BDAT 0 LAST").await;
    assert!(reply.starts_with("250 "), "{reply}");
    for (name, count) in [("ann", 1), ("bob", 2)] {
        let mail = house.mailbox(name).await;
        assert_eq!(mail.len(), count);
        assert!(
            mail.iter().all(|message| message.ends_with(&content)),
            "byte for byte"
        );
    }
    assert_eq!(house.gateway.in_flight.used(), 0);
}

#[tokio::test]
async fn a_large_message_comes_back_byte_for_byte() {
    comes_back(House::mx().await).await;
}

#[tokio::test]
async fn a_large_message_comes_back_byte_for_byte_from_the_embedded_store() {
    comes_back(House::embedded("role: mx").await).await;
}

/// It was in no figure at all: a sender whose mail never gets in is looked for there.
#[tokio::test]
async fn a_message_that_is_refused_for_its_content_is_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let refused = || {
        let page = recorder.handle().render();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("postern_messages_total{outcome=\"refused\"} "));
        line.map(str::to_owned)
    };
    let house = House::mx().await;
    let mut client = house.client().await;
    let long = format!("A: {}\r\n\r\n", "x".repeat(house.gateway.config.limits.line));
    client.envelope(&["ann"]).await;
    assert!(client.data(&long).await.starts_with('5'));
    assert_eq!(refused().as_deref(), Some("1"));
    client.envelope(&["ann"]).await;
    client.send(b"BDAT 3\r\nA: ").await;
    assert!(client.reply().await.starts_with("250 "));
    assert!(client.say("RSET").await.starts_with("250 "));
    assert_eq!(refused().as_deref(), Some("1"), "given up is not refused");
    client.envelope(&["ann"]).await;
    assert!(client.data("A: b\r\n\r\n").await.starts_with("250 "));
    assert_eq!(refused().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_client_that_vanishes_in_data_leaves_nothing() {
    let house = House::mx().await;
    let (mut client, session) = house.connect().await;
    client.reply().await;
    client.say("EHLO client.example").await;
    client.envelope(&["ann"]).await;
    assert!(client.say("DATA").await.starts_with("354 "));
    client.send(large().replace("\r\n.", "\r\n..").as_bytes()).await;
    drop(client);
    session.await.unwrap();
    assert_eq!(house.mailbox("ann").await.len(), 0);
    assert_eq!(house.gateway.in_flight.used(), 0);
}

#[tokio::test]
async fn what_is_over_the_octets_in_flight_is_deferred_at_data_and_in_content() {
    let house = House::mx().await;
    let budget = &house.gateway.in_flight;
    let most = house.gateway.config.limits.bytes_in_flight;
    let mut client = house.client().await;
    client.say("MAIL FROM:<a@example.net> SIZE=1000").await;
    client.say("RCPT TO:<ann@example.org>").await;
    let others = budget.claim(most - 999).unwrap();
    let reply = client.say("DATA").await;
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    let reply = client.say("RSET").await;
    assert!(reply.starts_with("250 "), "{reply}");
    client.envelope(&["ann"]).await;
    let reply = client.data(&format!("A: b\r\n\r\n{}\r\n", "x".repeat(990))).await;
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    client.envelope(&["ann"]).await;
    let reply = client.data(&format!("A: b\r\n\r\n{}\r\n", "x".repeat(989))).await;
    assert!(reply.starts_with("250 "), "exactly what is left is room: {reply}");
    drop(others);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn odd_messages_come_back_behind_their_trace() {
    let house = House::mx().await;
    let many = format!("{}\r\n", "X: y\r\n".repeat(10_000));
    for content in ["", "\r\n", "A: b\r\n", "A: ü\r\n\r\nü\r\n", many.as_str()] {
        let mut client = house.client().await;
        client.envelope(&["ann"]).await;
        let reply = client.data(content).await;
        assert!(reply.starts_with("250 "), "{reply}");
        let mail = house.mailbox("ann").await;
        assert_eq!(behind_trace(mail.last().unwrap()), content);
    }
}

/// Behind this hop's `Received`.
fn behind_trace(message: &str) -> &str {
    message.split_once(" +0000\r\n").unwrap().1
}

/// A stranger could write into our trace.
pub(super) async fn content_stays_out_of_the_trace(house: &House) {
    let long = format!(" evil\r\nA: b\r\n\r\n{}", "0123456789abcdef\r\n".repeat(40_000));
    let mbox = "From a@b.example Thu Jan  1 00:00:00 1970\r\nA: b\r\n\r\nx\r\n";
    for (content, before) in [
        (" by evil.example; today\r\nA: b\r\n\r\ntext\r\n", "\r\n"),
        ("\tevil\r\n", "\r\n"),
        ("Hello\r\n", "\r\n"),
        ("two words: x\r\n\r\ny\r\n", "\r\n"),
        (long.as_str(), "\r\n"),
        (mbox, "X-Mailbox-Line: "),
    ] {
        let mut client = house.client().await;
        client.envelope(&["ann"]).await;
        assert!(client.data(content).await.starts_with("250 "), "{content:.20}");
        client.envelope(&["ann"]).await;
        let (first, rest) = content.split_at(1);
        client.send(format!("BDAT 1\r\n{first}").as_bytes()).await;
        assert!(client.reply().await.starts_with("250 "), "{content:.20}");
        client
            .send(format!("BDAT {} LAST\r\n{rest}", rest.len()).as_bytes())
            .await;
        assert!(client.reply().await.starts_with("250 "), "{content:.20}");
        let mail = house.mailbox("ann").await;
        for message in mail.iter().rev().take(2) {
            assert!(
                behind_trace(message) == format!("{before}{content}"),
                "{content:.20}"
            );
        }
    }
}

#[tokio::test]
async fn content_that_begins_with_no_field_is_a_body_and_none_of_our_trace() {
    content_stays_out_of_the_trace(&House::embedded("role: mx").await).await;
    content_stays_out_of_the_trace(&House::open("role: lmtp, tls: none", "").await).await;
}
