//! What is told afterwards of a message, as it is kept with it or remembered.

use super::verdicts::{filter, house_of, house_with, quarantined};
use super::*;
use crate::explain::{Attempt, Explanation, Search, Stored, kept_of};

/// Where no memory is: the answer cannot be read.
const TRAP: u32 = 1 << 20;

async fn house(place: u32, listener: &str) -> House {
    house_with(place, (listener, ""), u64::MAX).await
}

fn attempts(house: &House, address: &str) -> Vec<Attempt> {
    house.gateway.attempts.find(Search::Address(address), 10)
}

async fn stored(house: &House) -> Option<Explanation> {
    let store = &house.gateway.store;
    let entry = store.list("ann@example.org").await.unwrap().remove(0);
    let facts = store
        .facts(Holder::Mailbox("ann@example.org"), entry.id)
        .await
        .unwrap();
    serde_json::from_slice::<Stored>(&facts).unwrap().explained
}

/// Sends one message to ann; the reply.
async fn sent(house: &House) -> String {
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    client.data("A: b\r\n\r\n").await
}

#[tokio::test]
async fn an_accepted_message_has_its_explanation_in_its_facts() {
    let house = house(0, "role: mx").await;
    let reply = sent(&house).await;
    let told = stored(&house).await.unwrap();
    let [step] = &told.steps[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (step.policy.as_str(), step.question.as_str(), step.said.as_str()),
        ("10-filter", "message", "accept")
    );
    assert_eq!(
        (step.component.len(), step.manifest.len(), &step.failed),
        (12, 12, &None)
    );
    assert!(step.micros > 0);
    assert_eq!(told.outcomes, ["ann@example.org: deliver"]);
    assert_eq!(told.replies, [reply.trim_end()]);
    assert_eq!(
        attempts(&house, "sender@example.net"),
        [],
        "what is stored is not remembered besides"
    );
}

#[tokio::test]
async fn a_quarantined_message_says_what_held_it_back() {
    let house = house(192, "role: mx").await;
    assert!(sent(&house).await.starts_with("250 "));
    let held = quarantined(&house).await.remove(0);
    let facts = house
        .gateway
        .store
        .facts(Holder::Quarantine, held.id)
        .await
        .unwrap();
    let told = serde_json::from_slice::<Stored>(&facts)
        .unwrap()
        .explained
        .unwrap();
    assert_eq!(told.steps[0].said, "quarantine odd");
    assert_eq!(told.outcomes, ["ann@example.org: quarantine odd"]);
}

#[tokio::test]
async fn a_refused_message_is_remembered_by_each_address_and_its_id() {
    for (place, said, stage) in [
        (64, "reject 550 5.7.1 not today", "message"),
        (96, "defer 451 4.7.1 not today", "message"),
        (160, "discard", "message"),
    ] {
        let house = house(place, "role: mx").await;
        let reply = sent(&house).await;
        for address in ["sender@example.net", "ann@example.org", "127.0.0.1"] {
            let found = attempts(&house, address);
            assert_eq!((found.len(), found[0].stage.as_str()), (1, stage));
            assert_eq!(found[0].explained.steps[0].said, said);
            assert_eq!(found[0].explained.replies, [reply.trim_end()]);
            let outcomes: &[&str] = match said {
                "discard" => &["ann@example.org: discard"],
                _ => &[],
            };
            assert_eq!(found[0].explained.outcomes, outcomes);
            let by_id = house.gateway.attempts.find(Search::Id(&found[0].id), 10);
            assert_eq!(by_id, found);
        }
    }
}

#[tokio::test]
async fn a_message_that_was_discarded_before_it_came_is_told_for_each_recipient() {
    let at_mail = filter(160)
        .replace("on-message", "on-mail")
        .replace("message-filter", "sender-filter");
    let house = house_of(&at_mail, ("role: mx", ""), u64::MAX).await;
    let mut client = house.client().await;
    client.envelope(&["ann", "bob"]).await;
    assert!(client.data("A: b\r\n\r\n").await.starts_with("250 "));
    let found = attempts(&house, "bob@example.org");
    let outcomes = ["ann@example.org: discard", "bob@example.org: discard"];
    assert_eq!(found[0].explained.outcomes, outcomes);
}

/// The message goes round for ann, who is refused; one reply speaks for both.
#[tokio::test]
async fn a_refused_recipient_beside_others_is_told_with_what_became_of_the_copy() {
    let house = house(0, "role: mx").await;
    let mut client = house.client().await;
    client.envelope(&["ann", "bob"]).await;
    let reply = client.data("Delivered-To: ann@example.org\r\n\r\n").await;
    assert!(reply.starts_with("250 "), "{reply}");
    let held = quarantined(&house).await.remove(0);
    let facts = house.gateway.store.facts(Holder::Quarantine, held.id).await;
    let told = serde_json::from_slice::<Stored>(&facts.unwrap())
        .unwrap()
        .explained
        .unwrap();
    let refused = crate::policy::told::reply(&Reply::mail_loop());
    let kept = format!("ann@example.org: quarantine, refused with {refused}");
    assert_eq!(told.outcomes, [kept.as_str(), "bob@example.org: deliver"]);
}

/// In LMTP one that is full refuses its whole group.
#[tokio::test]
async fn a_copy_that_was_refused_with_its_group_is_not_told_as_delivered() {
    let house = house(0, "role: lmtp, tls: none").await;
    house
        .alias("both@example.org", &["bob@example.org", "small@example.org"])
        .await;
    let mut client = house.client().await;
    client.envelope(&["ann", "both"]).await;
    let content = format!("A: b\r\n\r\n{}\r\n", "x".repeat(2000));
    assert!(client.data(&content).await.starts_with("250 "));
    assert!(client.reply().await.starts_with("452 4.2.2 "));
    let full = crate::policy::told::reply(&Reply::mailbox_full());
    let outcomes = ["bob", "small"].map(|name| format!("{name}@example.org: refuse {full}"));
    let told = stored(&house).await.unwrap().outcomes;
    assert_eq!(told[0], "ann@example.org: deliver");
    assert_eq!(told[1..], outcomes);
}

#[tokio::test]
async fn a_trap_is_told_with_what_it_comes_to() {
    let house = house(TRAP, "role: mx").await;
    let reply = sent(&house).await;
    assert!(reply.starts_with("451 "), "{reply}");
    let found = attempts(&house, "ann@example.org");
    let step = &found[0].explained.steps[0];
    assert_eq!(step.said, "defer");
    assert!(
        step.failed
            .as_deref()
            .is_some_and(|failed| failed.starts_with("trap: ")),
        "{step:?}"
    );
}

#[tokio::test]
async fn a_refused_recipient_is_remembered_under_its_own_name() {
    let house = house(0, "role: mx").await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    assert!(
        client
            .say("RCPT TO:<nobody@example.org>")
            .await
            .starts_with("550 ")
    );
    let found = attempts(&house, "nobody@example.org");
    assert_eq!((found.len(), found[0].stage.as_str()), (1, "rcpt"));
    assert_eq!(found[0].rcpt_to, ["nobody@example.org"]);
    assert!(found[0].explained.replies[0].starts_with("550 "), "{found:?}");
    assert!(client.data("A: b\r\n\r\n").await.starts_with("250 "));
    assert!(stored(&house).await.is_some());
}

#[tokio::test]
async fn each_recipient_of_lmtp_has_its_reply() {
    let house = house_with(0, ("role: lmtp, tls: none", ""), u64::MAX).await;
    let mut client = house.client().await;
    client.envelope(&["ann", "bob"]).await;
    assert!(client.data("A: b\r\n\r\n").await.starts_with("250 "));
    assert!(client.reply().await.starts_with("250 "));
    let told = stored(&house).await.unwrap();
    assert_eq!((told.replies.len(), told.outcomes.len()), (2, 2));
}

#[tokio::test]
async fn a_recipient_of_lmtp_that_is_refused_is_remembered_beside_those_that_are_not() {
    let house = house_with(0, ("role: lmtp, tls: none", ""), u64::MAX).await;
    let mut client = house.client().await;
    client.envelope(&["ann", "small"]).await;
    let taken = client
        .data(&format!("A: b\r\n\r\n{}\r\n", "x".repeat(2000)))
        .await;
    assert!(taken.starts_with("250 "), "{taken}");
    let refused = client.reply().await;
    assert!(refused.starts_with("452 4.2.2 "), "{refused}");
    let found = attempts(&house, "small@example.org");
    assert_eq!((found.len(), found[0].stage.as_str()), (1, "message"));
    assert_eq!(found[0].explained.replies, [refused.trim_end()]);
    assert_eq!(found[0].explained.steps[0].question, "message");
    assert_eq!(
        attempts(&house, "ann@example.org"),
        [],
        "it was not refused for her"
    );
}

#[tokio::test]
async fn a_second_record_outlives_its_message_where_one_is_wanted() {
    for (more, is_kept) in [("", false), ("explain: { keep_deleted: true }\n", true)] {
        let house = house_with(0, ("role: mx", more), u64::MAX).await;
        assert!(sent(&house).await.starts_with("250 "));
        let store = &house.gateway.store;
        let id = store.list("ann@example.org").await.unwrap().remove(0).id;
        let explained = stored(&house).await.unwrap();
        store.remove("ann@example.org", &[id]).await.unwrap();
        let kept = kept_of(&**store, &id.to_string()).await.unwrap();
        assert_eq!(kept.map(|kept| kept.explained), is_kept.then_some(explained));
    }
}

#[tokio::test]
async fn nothing_is_recorded_where_it_is_off() {
    let house = house_with(0, ("role: mx", "explain: { keep: 0s }\n"), u64::MAX).await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    assert!(
        client
            .say("RCPT TO:<nobody@example.org>")
            .await
            .starts_with("550 ")
    );
    assert!(client.data("A: b\r\n\r\n").await.starts_with("250 "));
    assert_eq!(stored(&house).await, None);
    assert_eq!(attempts(&house, "nobody@example.org"), []);
}
