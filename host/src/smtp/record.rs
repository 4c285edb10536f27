//! What is told of a session: one log line a message, one for each refusal, and the figures.
//!
//! No line has a password or content in it.

use super::answer::Client;
use super::envelope::Transaction;
use crate::policy::Opinion;
use crate::store::NewQuarantined;
use metrics::Histogram;
use postern_proto::smtp::{Answer, Reply};
use std::time::Instant;

/// How long each stage of a message takes. A gateway's own: to find a histogram by its name costs more than to record.
#[derive(Debug, Clone)]
pub struct Stages {
    pub(super) connect: Histogram,
    pub(super) auth: Histogram,
    pub(super) mail: Histogram,
    pub(super) rcpt: Histogram,
    pub(super) begin: Histogram,
    transfer: Histogram,
    /// The filters of the whole message.
    pub(super) message: Histogram,
    pub(super) store: Histogram,
    pub(super) commit: Histogram,
}

impl Default for Stages {
    fn default() -> Self {
        let named = |stage: &'static str| metrics::histogram!("postern_smtp_stage_seconds", "stage" => stage);
        Self {
            connect: named("connect"),
            auth: named("auth"),
            mail: named("mail"),
            rcpt: named("rcpt"),
            begin: named("begin"),
            transfer: named("transfer"),
            message: named("message"),
            store: named("store"),
            commit: named("commit"),
        }
    }
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
    if reply.is_positive() {
        return;
    }
    if let Some(limit) = limit(reply) {
        metrics::counter!("postern_limit_hits_total", "limit" => limit).increment(1);
    }
    let about = match about {
        About::Message => return,
        About::Address(address) => Some(address.as_str()),
        About::Nothing => None,
    };
    let (code, reason) = (reply.code(), reply.text());
    let listener = client.listener.name.as_str();
    tracing::info!(client = %client.address.ip(), listener, command = verb, address = about, code, reason, "refused");
}

/// The limit of the machine's that a refusal tells of: its key in the configuration.
fn limit(refusal: &Reply) -> Option<&'static str> {
    let limits = [
        (Reply::too_big(), "message_size"),
        (Reply::content_line_too_long(), "line"),
        (Reply::headers_too_long(), "headers"),
        (Reply::too_many_recipients(), "recipients"),
        (Reply::too_many_errors(), "bad_commands"),
        (Reply::too_many_unknown_recipients(), "unknown_recipients"),
    ];
    let told = limits.into_iter().find(|(reply, _)| reply == refusal);
    told.map(|(_, limit)| limit)
}

/// A message whose content the machine refused: too long, or not as the RFCs have it.
pub(super) fn refused_content() {
    metrics::counter!("postern_messages_total", "outcome" => "refused").increment(1);
}

/// A message's one line.
pub(super) fn message(
    (client, stages): (&Client, &Stages),
    transaction: &Transaction,
    size: u64,
    complete: Instant,
    answer: &Answer,
) {
    let outcome = outcome(answer);
    metrics::counter!("postern_messages_total", "outcome" => outcome).increment(1);
    metrics::counter!("postern_received_bytes_total").increment(size);
    let transfer = complete.duration_since(transaction.begun);
    stages.transfer.record(transfer);
    tracing::info!(
        id = %transaction.id,
        client = %client.address.ip(),
        listener = client.listener.name.as_str(),
        from = transaction.facts.mail_from.as_str(),
        to = transaction.facts.rcpt_to.join(", "),
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
pub(super) fn outcome(answer: &Answer) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Role};
    use crate::smtp::answer::Manners;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use std::sync::Arc;

    fn client() -> Client {
        let text = "hostname: a.example\npostmaster: a@b.example\nlisteners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n";
        let mut config = Config::parse(text, std::path::Path::new("")).unwrap();
        let listener = config.listeners.remove(0);
        let Role::Smtp(role) = listener.role else {
            unreachable!("the listener is for mail");
        };
        Client {
            address: "192.0.2.1:1".parse().unwrap(),
            listener: Arc::new(listener),
            role,
            manners: Manners::Waits,
        }
    }

    #[test]
    fn each_limit_of_the_machine_is_counted_under_its_key_when_it_is_met() {
        let client = client();
        let recorder = PrometheusBuilder::new().build_recorder();
        let counted = |told: &Reply| {
            metrics::with_local_recorder(&recorder, || reply(&client, "RCPT", &About::Nothing, told));
            recorder.handle().render()
        };
        assert!(!counted(&Reply::no_such_user()).contains("postern_limit_hits_total"));
        for (told, limit) in [
            (Reply::too_big(), "message_size"),
            (Reply::content_line_too_long(), "line"),
            (Reply::headers_too_long(), "headers"),
            (Reply::too_many_recipients(), "recipients"),
            (Reply::too_many_errors(), "bad_commands"),
            (Reply::too_many_unknown_recipients(), "unknown_recipients"),
        ] {
            let metric = format!("postern_limit_hits_total{{limit=\"{limit}\"}} 1");
            let page = counted(&told);
            assert!(page.contains(&metric), "{limit}: {page}");
        }
    }
}
