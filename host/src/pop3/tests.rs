//! Whole sessions over real sockets on loopback.

mod house;
mod lease;

use crate::store::{Maildrops as _, MemoryStore};
use house::{House, embedded};
use std::sync::Arc;
use std::time::Duration;

const PLAIN: &str = "Subject: one\r\n\r\n.dot\r\n..two\r\nlast\r\n";

#[tokio::test]
async fn what_was_delivered_is_listed_and_comes_back_byte_for_byte_behind_its_trace() {
    for house in [House::memory(""), embedded("")] {
        let id = house.deliver("X-Trace: ann\r\n", PLAIN).await;
        let mut client = house.login().await;
        let size = "X-Trace: ann\r\n".len() + PLAIN.len();
        assert_eq!(client.say("STAT").await, format!("+OK 1 {size}"));
        assert_eq!(client.say("UIDL 1").await, format!("+OK 1 {id}"));
        assert_eq!(client.say("RETR 1").await, format!("+OK {size} octets"));
        assert_eq!(client.content().await, format!("X-Trace: ann\r\n{PLAIN}"));
    }
}

#[tokio::test]
async fn top_gives_the_headers_and_as_many_lines_as_asked_for() {
    let house = House::memory("");
    house.deliver("X-Trace: ann\r\n", PLAIN).await;
    let mut client = house.login().await;
    for (lines, text) in [(0, ""), (1, ".dot\r\n"), (9, ".dot\r\n..two\r\nlast\r\n")] {
        assert!(client.say(&format!("TOP 1 {lines}")).await.starts_with("+OK"));
        let expected = format!("X-Trace: ann\r\nSubject: one\r\n\r\n{text}");
        assert_eq!(client.content().await, expected, "{lines} lines");
    }
}

#[tokio::test]
async fn quit_removes_what_was_marked_and_an_end_without_it_removes_nothing() {
    for house in [House::memory(""), embedded("")] {
        house.deliver("", PLAIN).await;
        let kept = house.deliver("", PLAIN).await;
        let mut client = house.login().await;
        assert!(client.say("DELE 1").await.starts_with("+OK"));
        client.vanish().await;
        assert_eq!(house.listed().await.len(), 2);

        let mut client = house.login().await;
        assert!(client.say("DELE 1").await.starts_with("+OK"));
        assert!(client.say("QUIT").await.starts_with("+OK"));
        assert_eq!(house.listed().await, [kept]);
    }
}

#[tokio::test]
async fn a_maildrop_has_one_session_until_that_ends_in_any_way() {
    let house = House::memory("");
    let mut first = house.login().await;
    let mut second = house.connect().await;
    assert!(second.log_in("secret").await.starts_with("-ERR [IN-USE]"));
    assert!(first.say("QUIT").await.starts_with("+OK"));
    // Without a pause: it is free before QUIT is answered.
    assert!(second.log_in("secret").await.starts_with("+OK"));
    second.vanish().await;
    house.login().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_locks_nothing() {
    let house = House::memory("");
    let mut client = house.connect().await;
    assert!(client.log_in("wrong").await.starts_with("-ERR [AUTH]"));
    house.login().await;
}

#[tokio::test]
async fn a_login_too_soon_after_the_last_is_refused_and_the_delay_is_announced() {
    let house = House::memory("pop3: { login_delay: 1h }\n");
    let mut first = house.login().await;
    assert!(first.say("QUIT").await.starts_with("+OK"));
    let mut second = house.connect().await;
    assert!(second.say("CAPA").await.starts_with("+OK"));
    assert!(second.content().await.contains("LOGIN-DELAY 3600\r\n"));
    assert!(second.log_in("secret").await.starts_with("-ERR [LOGIN-DELAY]"));
}

#[tokio::test]
async fn unique_ids_are_the_messages_own_or_come_with_it_and_outlive_sessions_and_removals() {
    let house = embedded("");
    let gone = house.deliver("", PLAIN).await;
    house.import("", PLAIN, Some("old-server.7")).await;
    let kept = house.deliver("", PLAIN).await;
    let mut client = house.login().await;
    client.say("UIDL").await;
    let first = format!("1 {gone}\r\n2 old-server.7\r\n3 {kept}\r\n");
    assert_eq!(client.content().await, first);
    client.say("DELE 1").await;
    assert!(client.say("QUIT").await.starts_with("+OK"));
    let mut client = house.login().await;
    client.say("UIDL").await;
    assert_eq!(client.content().await, format!("1 old-server.7\r\n2 {kept}\r\n"));
}

#[tokio::test]
async fn an_account_has_no_more_sessions_than_it_may_have_over_both_protocols() {
    let house = House::memory("limits: { sessions_per_account: 1 }\n");
    let submitting = house.gateway.accounts.enter("ann@example.org").unwrap();
    let mut client = house.connect().await;
    assert_eq!(
        client.log_in("secret").await,
        "-ERR [SYS/TEMP] too many sessions of this account"
    );
    drop(submitting);
    assert!(client.log_in("secret").await.starts_with("+OK"));
}

#[tokio::test]
async fn sizes_are_those_of_what_is_sent_with_utf8_and_without() {
    let house = House::memory("");
    let (trace, content) = (
        "Return-Path: <\u{fc}@x>\r\n",
        "Subject: Gr\u{fc}\u{df}e\r\n\r\n\u{fc}\r\n",
    );
    house.deliver(trace, content).await;
    let mut bodies = Vec::new();
    for greeting in ["NOOP", "UTF8"] {
        let mut client = house.connect().await;
        client.say(greeting).await;
        assert!(client.log_in("secret").await.starts_with("+OK"));
        let announced = client.say("RETR 1").await;
        let body = client.content().await;
        assert_eq!(announced, format!("+OK {} octets", body.len()));
        assert_eq!(client.say("LIST 1").await, format!("+OK 1 {}", body.len()));
        assert!(client.say("QUIT").await.starts_with("+OK"));
        bodies.push(body);
    }
    let (head, text) = bodies[0].split_once("\r\n\r\n").unwrap();
    assert!(head.is_ascii());
    assert_eq!(text, "\u{fc}\r\n");
    assert_eq!(bodies[1], format!("{trace}{content}"));
}

#[tokio::test]
async fn a_message_of_many_chunks_is_streamed_whole() {
    let content = format!(
        "Subject: big\r\n\r\n{}",
        ".line of some length\r\n".repeat(250_000)
    );
    for house in [House::memory(""), embedded("")] {
        house.deliver("", &content).await;
        let mut client = house.login().await;
        assert_eq!(
            client.say("RETR 1").await,
            format!("+OK {} octets", content.len())
        );
        assert!(client.content().await == content);
        assert!(client.say("NOOP").await.starts_with("+OK"));
    }
}

#[tokio::test]
async fn a_message_that_is_shorter_than_listed_is_not_ended_as_if_it_were_whole() {
    for greeting in ["NOOP", "UTF8"] {
        let house = House::memory("limits: { pop3_idle: 5s }\n");
        house.keep("", PLAIN, None, 1).await;
        let mut client = house.connect().await;
        client.say(greeting).await;
        assert!(client.log_in("secret").await.starts_with("+OK"));
        client.send("RETR 1\r\n").await;
        let rest = client.rest().await;
        assert!(!rest.ends_with("\r\n.\r\n"), "{rest}");
        house.login().await;
    }
}

#[tokio::test]
async fn what_was_sent_in_clear_behind_stls_is_thrown_away() {
    let house = House::memory("");
    let mut client = house.connect().await;
    assert!(
        client
            .say("STLS\r\nUSER ann@example.org")
            .await
            .starts_with("+OK")
    );
    let mut client = client.secure(&house.gateway).await;
    assert_eq!(client.say("PASS secret").await, "-ERR USER comes before PASS");
    assert!(client.log_in("secret").await.starts_with("+OK"));
}

#[tokio::test]
async fn a_silent_client_is_closed_without_a_word_and_deletes_nothing() {
    let house = House::memory("limits: { pop3_idle: 500ms }\n");
    house.deliver("", PLAIN).await;
    let mut client = house.login().await;
    assert!(client.say("DELE 1").await.starts_with("+OK"));
    assert_eq!(client.rest().await, "");
    assert_eq!(house.listed().await.len(), 1);
}

/// More than the sockets hold.
fn large() -> String {
    format!(
        "Subject: big\r\n\r\n{}",
        "line of some length\r\n".repeat(500_000)
    )
}

#[tokio::test]
async fn a_client_that_takes_nothing_more_of_a_message_loses_its_maildrop_to_the_next() {
    for limit in ["pop3_idle", "transfer"] {
        let house = House::memory(&format!("limits: {{ {limit}: 500ms }}\n"));
        house.deliver("", &large()).await;
        let mut stalled = house.login().await;
        assert!(stalled.say("RETR 1").await.starts_with("+OK"));
        stalled.ended().await;
        house.login().await;
    }
}

#[tokio::test]
async fn what_is_sent_behind_quit_does_not_turn_the_end_into_a_reset() {
    let house = House::memory("");
    let mut client = house.login().await;
    assert_eq!(
        client.say(&format!("QUIT\r\n{}", "NOOP\r\n".repeat(2000))).await,
        "+OK bye"
    );
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn when_the_gateway_stops_idle_sessions_are_told_so_and_delete_nothing() {
    let house = House::memory("");
    house.deliver("", PLAIN).await;
    let mut client = house.login().await;
    assert!(client.say("DELE 1").await.starts_with("+OK"));
    house.shutdown.cancel();
    assert!(client.rest().await.starts_with("-ERR [SYS/TEMP]"));
    assert_eq!(house.listed().await.len(), 1);
}

#[tokio::test]
async fn a_transfer_that_runs_when_the_gateway_stops_is_finished() {
    let content = large();
    let house = House::memory("");
    house.deliver("", &content).await;
    let mut client = house.login().await;
    // It still runs when its first line is here.
    assert!(client.say("RETR 1").await.starts_with("+OK"));
    house.shutdown.cancel();
    assert!(client.content().await == content);
    assert!(client.rest().await.starts_with("-ERR [SYS/TEMP]"));
}

#[tokio::test]
async fn a_quit_that_has_come_is_done_though_the_gateway_stops() {
    let content = large();
    let house = House::memory("");
    house.deliver("", &content).await;
    let mut client = house.login().await;
    assert!(client.say("DELE 1").await.starts_with("+OK"));
    assert!(client.say("RSET").await.starts_with("+OK"));
    // All in one piece: the RETR still runs when the gateway stops, and the rest of it has been read.
    assert!(client.say("RETR 1\r\nDELE 1\r\nQUIT").await.starts_with("+OK"));
    house.shutdown.cancel();
    assert!(client.content().await == content);
    let rest = client.rest().await;
    assert!(rest.starts_with("+OK") && !rest.contains("-ERR"), "{rest}");
    assert_eq!(house.listed().await, []);
}

#[tokio::test]
async fn a_message_that_went_another_way_is_gone_and_the_session_lives() {
    let store = Arc::new(MemoryStore::new());
    let house = House::over(store.clone(), "");
    let id = house.deliver("", PLAIN).await;
    let mut client = house.login().await;
    store.remove("ann@example.org", &[id]).await.unwrap();
    assert!(client.say("RETR 1").await.starts_with("-ERR [SYS/PERM]"));
    assert!(client.say("NOOP").await.starts_with("+OK"));
}

/// An attacker kept sessions for as long as it liked by an octet now and then.
#[tokio::test]
async fn an_octet_now_and_then_is_no_command_and_does_not_renew_the_idle_time() {
    for begin in ["", "AUTH LOGIN\r\n"] {
        let house = House::memory("limits: { pop3_idle: 1s }\n");
        let mut client = house.connect().await;
        client.send(begin).await;
        // From here on nothing takes time but what waits for it.
        tokio::time::pause();
        let dripping = async {
            while client.send("x").await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let dripped = tokio::time::timeout(Duration::from_secs(10), dripping).await;
        tokio::time::resume();
        assert!(dripped.is_ok(), "the session was kept by dripping {begin:?}");
        client.ended().await;
    }
}

#[tokio::test]
async fn each_command_renews_the_idle_time() {
    let house = House::memory("limits: { pop3_idle: 1s }\n");
    let mut client = house.login().await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert!(client.say("NOOP").await.starts_with("+OK"));
    }
}
