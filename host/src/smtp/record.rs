//! What is told of a session: one log line a message, one for each refusal, and the figures.
//!
//! No line has a password or content in it.

use super::answer::Client;
use super::envelope::Transaction;
use crate::policy::Opinion;
use crate::store::NewQuarantined;
use postern_proto::smtp::{Answer, Reply};
use std::time::Instant;

/// How long a stage took.
pub(super) fn stage(stage: &'static str, begun: Instant) {
    metrics::histogram!("postern_smtp_stage_seconds", "stage" => stage).record(begun.elapsed().as_secs_f64());
}

/// What a reply is about.
#[derive(Debug)]
pub(super) enum About {
    Nothing,
    /// Whom MAIL or RCPT named.
    Address(String),
    /// A message, whose one line has said all.
    Message,
}

/// A reply that is written: counted by command and class; a refusal has its line, with the address it is
/// about.
pub(super) fn reply(client: &Client, verb: &'static str, about: &About, reply: &Reply) {
    let class = match reply.code() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("postern_smtp_replies_total", "command" => verb, "class" => class).increment(1);
    let about = match about {
        _ if reply.is_positive() => return,
        About::Message => return,
        About::Address(address) => Some(address.as_str()),
        About::Nothing => None,
    };
    let (code, reason) = (reply.code(), reply.text());
    let listener = client.listener.name.as_str();
    tracing::info!(client = %client.address.ip(), listener, command = verb, address = about, code, reason, "refused");
}

/// A message's one line.
pub(super) fn message(
    client: &Client,
    transaction: &Transaction,
    size: u64,
    complete: Instant,
    answer: &Answer,
) {
    let outcome = outcome(answer);
    metrics::counter!("postern_messages_total", "outcome" => outcome).increment(1);
    metrics::counter!("postern_received_bytes_total").increment(size);
    let transfer = complete.duration_since(transaction.begun);
    metrics::histogram!("postern_smtp_stage_seconds", "stage" => "transfer").record(transfer.as_secs_f64());
    tracing::info!(
        id = %transaction.id,
        client = %client.address.ip(),
        listener = client.listener.name.as_str(),
        from = transaction.sender(),
        to = recipients(transaction),
        size,
        outcome,
        reply = replies(answer),
        policies = opinions(&transaction.opinions),
        transfer_ms = transfer.as_millis() as u64,
        commit_ms = complete.elapsed().as_millis() as u64,
        "message"
    );
}

/// Copies that go to quarantine, each with its reason.
pub(super) fn held(transaction: &Transaction, copies: &[NewQuarantined]) {
    for copy in copies {
        let to = copy.mailboxes.join(", ");
        tracing::info!(id = %transaction.id, to, reason = copy.reason, "kept in quarantine");
        metrics::counter!("postern_quarantined_total").increment(1);
    }
}

/// The best that became of it.
fn outcome(answer: &Answer) -> &'static str {
    let replies: Vec<&Reply> = match answer {
        Answer::Reply(reply) | Answer::Close(reply) => vec![reply],
        Answer::Each(replies) => replies.iter().collect(),
        Answer::Proceed | Answer::Auth(_) => Vec::new(),
    };
    if replies.iter().any(|reply| reply.is_positive()) {
        "accepted"
    } else if replies.iter().any(|reply| reply.is_transient()) {
        "deferred"
    } else {
        "rejected"
    }
}

fn recipients(transaction: &Transaction) -> String {
    let addresses = transaction
        .recipients
        .iter()
        .map(|recipient| recipient.address.to_string());
    addresses.collect::<Vec<_>>().join(", ")
}

fn replies(answer: &Answer) -> String {
    let text = |reply: &Reply| format!("{} {}", reply.code(), reply.text());
    match answer {
        Answer::Reply(reply) | Answer::Close(reply) => text(reply),
        Answer::Each(replies) => replies.iter().map(text).collect::<Vec<_>>().join("; "),
        Answer::Proceed | Answer::Auth(_) => String::new(),
    }
}

fn opinions(opinions: &[Opinion]) -> String {
    let each = opinions.iter().map(|opinion| {
        let took = opinion.took.as_secs_f64() * 1000.0;
        format!("{}={} {took:.1}ms", opinion.policy, opinion.word)
    });
    each.collect::<Vec<_>>().join(", ")
}
