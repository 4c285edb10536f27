//! Who gets a message, with which trace, and what the client is told.

use super::super::delivery::{Consignment, Target, Written};
use super::super::envelope::{Share, Standing, Transaction};
use super::super::outcome::Fate;
use super::*;
use crate::message::Draft;
use crate::policy::Facts;
use crate::store::{Ceiling, Content, Mailbox, Text};
use postern_proto::Address;
use postern_proto::smtp::{Answer, BodyType, Mail};

const MESSAGE: &str = "From: a@example.net\r\nSubject: x\r\n\r\ntext\r\n";

async fn arrives(house: House) {
    let mut client = house.client().await;
    client.envelope(&["Ann"]).await;
    let reply = client.data(MESSAGE).await;
    let [message] = house.mailbox("ann").await.try_into().unwrap();
    let id = house.gateway.store.list("ann@example.org").await.unwrap()[0].id;
    assert_eq!(reply, format!("250 2.0.0 Delivered as {id}\r\n"));
    let trace = format!(
        "Return-Path: <sender@example.net>\r\nDelivered-To: ann@example.org\r\n\
         Received: from client.example ([127.0.0.1])\r\n\tby mx.example.org with ESMTP id {id}\r\n\
         \tfor <Ann@example.org>;\r\n\t"
    );
    assert!(message.starts_with(&trace), "{message}");
    assert!(message.ends_with(&format!(" +0000\r\n{MESSAGE}")), "{message}");
    let facts = house
        .gateway
        .store
        .facts(crate::store::Holder::Mailbox("ann@example.org"), id)
        .await
        .unwrap();
    let facts: crate::policy::Facts = serde_json::from_slice(&facts).unwrap();
    assert_eq!(facts.mail_from, "sender@example.net");
    assert_eq!(facts.rcpt_to, ["Ann@example.org"]);
    assert_eq!(facts.protocol, "esmtp");
    assert_eq!(house.gateway.in_flight.used(), 0);
}

#[tokio::test]
async fn a_message_arrives_behind_its_trace_and_the_reply_names_it() {
    arrives(House::mx().await).await;
}

#[tokio::test]
async fn a_message_arrives_in_the_embedded_store() {
    arrives(House::embedded("role: mx").await).await;
}

#[tokio::test]
async fn with_several_recipients_nobody_sees_another() {
    let house = House::mx().await;
    let mut client = house.client().await;
    client.envelope(&["ann", "bob"]).await;
    assert!(client.data(MESSAGE).await.starts_with("250 "));
    for (name, other) in [("ann", "bob"), ("bob", "ann")] {
        let [message] = house.mailbox(name).await.try_into().unwrap();
        assert!(message.contains(&format!("Delivered-To: {name}@example.org\r\n")));
        assert!(!message.contains(&format!("{other}@")), "{message}");
        assert!(!message.contains("for <"), "{message}");
    }
}

#[tokio::test]
async fn recipients_that_are_unknown_or_elsewhere_are_refused_and_the_others_are_served() {
    let house = House::mx().await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    let unknown = client.say("RCPT TO:<nobody@example.org>").await;
    assert!(unknown.starts_with("550 5.1.1 "), "{unknown}");
    let elsewhere = client.say("RCPT TO:<ann@example.com>").await;
    assert!(elsewhere.starts_with("550 5.7.1 "), "{elsewhere}");
    assert!(client.data(MESSAGE).await.starts_with("250 "));
    assert_eq!(house.mailbox("ann").await.len(), 1);
}

#[tokio::test]
async fn a_group_reaches_all_its_targets_and_is_refused_if_one_is_unknown() {
    let house = House::mx().await;
    house
        .alias("all@example.org", &["ann@example.org", "bob@example.org"])
        .await;
    house
        .alias("half@example.org", &["ann@example.org", "nobody@example.org"])
        .await;
    let mut client = house.client().await;
    client.envelope(&["all"]).await;
    let half = client.say("RCPT TO:<half@example.org>").await;
    assert!(half.starts_with("550 5.1.1 "), "{half}");
    assert!(client.data(MESSAGE).await.starts_with("250 "));
    for name in ["ann", "bob"] {
        let [message] = house.mailbox(name).await.try_into().unwrap();
        assert!(
            message.contains("for <all@example.org>"),
            "the only recipient is the group"
        );
    }
}

#[tokio::test]
async fn postmaster_with_and_without_domain_and_abuse_reach_a_person() {
    let house = House::mx().await;
    for path in ["Postmaster", "postmaster@example.org", "abuse@example.org"] {
        let mut client = house.client().await;
        client.say("MAIL FROM:<>").await;
        let reply = client.say(&format!("RCPT TO:<{path}>")).await;
        assert!(reply.starts_with("250 "), "{path}: {reply}");
        assert!(client.data(MESSAGE).await.starts_with("250 "));
    }
    let mail = house.mailbox("ann").await;
    assert_eq!(mail.len(), 3);
    assert!(
        mail.iter()
            .all(|message| message.starts_with("Return-Path: <>\r\n"))
    );
}

#[tokio::test]
async fn quota_is_asked_at_rcpt_with_the_declared_size() {
    let house = House::mx().await;
    let mut client = house.client().await;
    client.say("MAIL FROM:<a@example.net> SIZE=1001").await;
    let reply = client.say("RCPT TO:<small@example.org>").await;
    assert!(reply.starts_with("452 4.2.2 "), "{reply}");
    client.say("MAIL FROM:<a@example.net> SIZE=1000").await;
    client.say("RSET").await;
    client.say("MAIL FROM:<a@example.net> SIZE=1000").await;
    let reply = client.say("RCPT TO:<small@example.org>").await;
    assert!(reply.starts_with("250 "), "{reply}");
}

#[tokio::test]
async fn in_smtp_one_full_mailbox_at_the_dot_defers_all() {
    let house = House::mx().await;
    let mut client = house.client().await;
    client.envelope(&["ann", "small"]).await;
    let reply = client.data(&format!("{MESSAGE}{}\r\n", "x".repeat(900))).await;
    assert!(reply.starts_with("452 4.2.2 "), "{reply}");
    assert_eq!(house.mailbox("ann").await.len(), 0);
    assert_eq!(house.mailbox("small").await.len(), 0);
}

#[tokio::test]
async fn in_lmtp_each_recipient_has_its_own_reply() {
    let house = House::open("role: lmtp, tls: none", "").await;
    house
        .alias("both@example.org", &["bob@example.org", "small@example.org"])
        .await;
    let mut client = house.client().await;
    client.envelope(&["ann", "small", "bob", "both"]).await;
    let first = client.data(&format!("{MESSAGE}{}\r\n", "x".repeat(900))).await;
    assert!(first.starts_with("250 "), "{first}");
    for expected in ["452 4.2.2 ", "250 2.0.0 ", "452 4.2.2 "] {
        let reply = client.reply().await;
        assert!(reply.starts_with(expected), "{reply}");
    }
    assert!(
        client.say("NOOP").await.starts_with("250 "),
        "there is no fifth reply"
    );
    assert_eq!(house.mailbox("ann").await.len(), 1);
    assert_eq!(house.mailbox("bob").await.len(), 1);
    assert_eq!(house.mailbox("small").await.len(), 0);
}

/// Fifty deliveries whose content ends at once; how many were accepted, the others for want of room.
async fn fifty_at_once(house: &House, to: &str) -> usize {
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = house.client().await;
        client.envelope(&[to]).await;
        assert!(client.say("DATA").await.starts_with("354 "));
        clients.push(client);
    }
    let ends = clients
        .into_iter()
        .map(|mut client| tokio::spawn(async move { client.say(&format!("{MESSAGE}.")).await }));
    let mut accepted = 0;
    for end in ends.collect::<Vec<_>>() {
        let reply = end.await.unwrap();
        match reply.get(..4) {
            Some("250 ") => accepted += 1,
            _ => assert!(reply.starts_with("452 4.2.2 "), "{reply}"),
        }
    }
    accepted
}

#[tokio::test]
async fn fifty_deliveries_at_once_end_exactly_at_the_quota() {
    let house = Arc::new(House::embedded("role: mx").await);
    let accepted = fifty_at_once(&house, "small").await;
    let mail = house.mailbox("small").await;
    assert_eq!(mail.len(), accepted);
    let sizes: Vec<usize> = mail.iter().map(String::len).collect();
    let used: usize = sizes.iter().sum();
    assert!(
        used <= 1000 && used + sizes[0] > 1000,
        "{used} with messages of {sizes:?}"
    );
    let usage = house.gateway.store.usage("small@example.org").await.unwrap();
    assert_eq!(usage.bytes, used as u64);
}

#[tokio::test]
async fn in_lmtp_a_group_is_never_told_to_try_again_what_one_of_it_has() {
    let house = Arc::new(House::embedded("role: lmtp, tls: none").await);
    house
        .alias("both@example.org", &["bob@example.org", "small@example.org"])
        .await;
    let accepted = fifty_at_once(&house, "both").await;
    assert_eq!(house.mailbox("bob").await.len(), accepted);
    let held = house.gateway.store.quarantined(None, 100).await.unwrap();
    assert!(held.iter().all(|held| held.reason.starts_with("refused: 452 ")));
    let small = house.mailbox("small").await.len();
    assert!(small > 0 && small < 50, "{small}");
    assert_eq!(small + held.len(), accepted, "what had no room is in quarantine");
}

#[tokio::test]
async fn a_message_that_passed_a_hundred_hosts_is_looping() {
    let house = House::mx().await;
    for (hops, expected) in [(99, "250 "), (100, "554 5.4.6 ")] {
        let mut client = house.client().await;
        client.envelope(&["ann"]).await;
        let trace = "Received: by somebody; today\r\n".repeat(hops);
        let reply = client.data(&format!("{trace}{MESSAGE}")).await;
        assert!(reply.starts_with(expected), "{hops}: {reply}");
    }
}

#[tokio::test]
async fn a_message_that_was_in_this_mailbox_before_is_looping() {
    let house = House::mx().await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    let reply = client
        .data(&format!("Delivered-To: ann@example.org\r\n{MESSAGE}"))
        .await;
    assert!(reply.starts_with("554 5.4.6 "), "{reply}");
    // Beside one that takes it the copy is not lost.
    client.envelope(&["ann", "bob"]).await;
    let reply = client
        .data(&format!("Delivered-To: ann@example.org\r\n{MESSAGE}"))
        .await;
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(house.mailbox("bob").await.len(), 1);
    let [held] = house
        .gateway
        .store
        .quarantined(None, 10)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(&*held.mailboxes, ["ann@example.org".into()]);
    assert!(held.reason.starts_with("refused: 554 "), "{}", held.reason);
}

/// A message to ann, and to bob because a policy added him, whose mailbox turns out to be full in the commit.
async fn with_full_bob(house: &House, ann: Fate) -> (Transaction, Consignment) {
    let mail = Mail {
        sender: None,
        size: None,
        body: BodyType::SevenBit,
        smtputf8: false,
    };
    let transaction = Transaction::new(MessageId::new(), mail, Default::default(), Facts::default());
    let written = Written::new(Content {
        head: MESSAGE.into(),
        text: Text::Inline(bytes::Bytes::new()),
    });
    let (store, budget) = (&house.gateway.store, &house.gateway.in_flight);
    let draft = Draft::begin(transaction.id, store, budget, 0).unwrap();
    let full = Fate::Deliver(Ceiling {
        bytes: Some(1),
        messages: None,
    });
    let mut targets = Vec::new();
    for (name, answers_for, fate) in [("ann", vec![0], ann), ("bob", vec![], full)] {
        let address = format!("{name}@example.org");
        let share = Share {
            address: Address::parse(&address).unwrap(),
            answers_for,
            standing: Standing::Deliver,
            refusal: None,
            mailboxes: None,
        };
        let mut target = Target::new(&share, Mailbox::from(address), (&transaction, ""), &written);
        target.fate = fate;
        targets.push(target);
    }
    let consignment = Consignment {
        message: Arc::new(draft.seal().await.unwrap()),
        written,
        facts: bytes::Bytes::new(),
        targets,
        recipients: 1,
    };
    (transaction, consignment)
}

#[tokio::test]
async fn in_smtp_all_is_deferred_where_only_the_mailbox_that_a_policy_added_is_full_in_the_commit() {
    let house = House::mx().await;
    let (transaction, consignment) = with_full_bob(&house, Fate::Quarantine("odd".to_owned())).await;
    let answer = house.answers().consign(&transaction, consignment).await;
    assert_eq!(answer, Answer::Reply(Reply::mailbox_full()));
    assert_eq!(house.gateway.store.quarantined(None, 10).await.unwrap(), []);
    assert_eq!(house.mailbox("bob").await.len(), 0);
}

#[tokio::test]
async fn in_lmtp_a_copy_that_a_policy_added_is_quarantined_where_its_mailbox_is_full_in_the_commit() {
    for ann in [
        Fate::Deliver(Ceiling::default()),
        Fate::Quarantine("odd".to_owned()),
    ] {
        let house = House::open("role: lmtp, tls: none", "").await;
        let (delivered, quarantined) = match &ann {
            Fate::Deliver(_) => (1, vec!["bob@example.org"]),
            _ => (0, vec!["ann@example.org", "bob@example.org"]),
        };
        let (transaction, consignment) = with_full_bob(&house, ann).await;
        let answer = house.answers().consign(&transaction, consignment).await;
        let accepted = Reply::delivered(&transaction.id.to_string());
        assert_eq!(answer, Answer::Each(vec![accepted]));
        assert_eq!(house.mailbox("ann").await.len(), delivered);
        assert_eq!(house.mailbox("bob").await.len(), 0);
        let mut held = house.gateway.store.quarantined(None, 10).await.unwrap();
        held.sort_by(|one, other| one.mailboxes.cmp(&other.mailboxes));
        let mailboxes: Vec<&str> = held.iter().map(|copy| &*copy.mailboxes[0]).collect();
        assert_eq!(mailboxes, quarantined);
        assert!(
            held.last().unwrap().reason.starts_with("refused: 452 "),
            "{held:?}"
        );
    }
}
