//! What a session did: its metrics, and its one line in the log, however it ended.

use super::wire::Broken;
use crate::net::Connection;
use crate::store::Mailbox;
use postern_proto::pop3::Reply;
use std::net::SocketAddr;
use std::time::Instant;

/// How a session ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// QUIT, or what is another protocol.
    InOrder,
    /// `limits.bad_commands`.
    ByErrors,
    ByShutdown,
    /// The lease on the maildrop was not renewed.
    ByLoss,
}

/// Told when it is dropped.
#[derive(Debug)]
pub(super) struct Tally {
    client: SocketAddr,
    listener: String,
    began: Instant,
    account: Option<Mailbox>,
    retrieved: u64,
    octets: u64,
    deleted: usize,
    /// None until the end: a session that is cut never comes there.
    end: Option<Result<Closed, Broken>>,
}

impl Tally {
    pub(super) fn begin(connection: &Connection) -> Self {
        metrics::gauge!("postern_pop3_sessions").increment(1);
        Self {
            client: connection.client,
            listener: connection.listener.name.clone(),
            began: Instant::now(),
            account: None,
            retrieved: 0,
            octets: 0,
            deleted: 0,
            end: None,
        }
    }

    pub(super) fn replied(&self, verb: &'static str, reply: &Reply) {
        let class = if reply.is_positive() { "ok" } else { "err" };
        metrics::counter!("postern_pop3_replies_total", "verb" => verb, "class" => class).increment(1);
        // What has a code has a line of its own where its reason is known.
        if !reply.is_positive() && reply.code().is_none() {
            let (client, listener, reason) = (self.client.ip(), self.listener.as_str(), reply.text());
            tracing::info!(%client, listener, command = verb, reason, "refused");
        }
    }

    pub(super) fn opened(&mut self, mailbox: &Mailbox) {
        self.account = Some(Mailbox::clone(mailbox));
    }

    pub(super) fn retrieved(&mut self, octets: u64) {
        self.retrieved += 1;
        self.octets += octets;
        metrics::counter!("postern_pop3_retrieved_bytes_total").increment(octets);
    }

    pub(super) fn deleted(&mut self, messages: usize) {
        self.deleted = messages;
        metrics::counter!("postern_pop3_deleted_total").increment(messages as u64);
    }

    pub(super) fn end(&mut self, end: Result<Closed, Broken>) {
        if let Ok(Closed::ByErrors) = end {
            metrics::counter!("postern_limit_hits_total", "limit" => "bad_commands").increment(1);
        }
        self.end = Some(end);
    }

    /// As metrics name it.
    fn word(&self) -> &'static str {
        match &self.end {
            Some(Ok(Closed::InOrder)) => "closed",
            Some(Ok(Closed::ByErrors)) => "errors",
            Some(Ok(Closed::ByShutdown)) => "shutdown",
            Some(Ok(Closed::ByLoss)) => "lease_lost",
            Some(Err(Broken::Gone)) => "gone",
            Some(Err(Broken::Silent)) => "silent",
            Some(Err(Broken::Slow)) => "slow",
            Some(Err(Broken::Network(_))) => "network",
            Some(Err(Broken::Handshake(_))) => "tls_handshake",
            Some(Err(Broken::Store(_) | Broken::NothingToSend)) => "store",
            None => "cut",
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let end = self.word();
        metrics::gauge!("postern_pop3_sessions").decrement(1);
        metrics::counter!("postern_pop3_sessions_ended_total", "end" => end).increment(1);
        metrics::histogram!("postern_pop3_session_seconds").record(self.began.elapsed());
        let reason = match &self.end {
            Some(Err(broken)) => Some(broken.to_string()),
            Some(Ok(_)) | None => None,
        };
        tracing::info!(
            client = %self.client,
            listener = self.listener,
            account = self.account.as_deref(),
            end,
            reason,
            retrieved = self.retrieved,
            octets = self.octets,
            deleted = self.deleted,
            seconds = self.began.elapsed().as_secs_f64(),
            "POP3 session ended"
        );
    }
}
