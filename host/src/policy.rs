//! Policies: WebAssembly components that decide about mail.
//!
//! This file is the face that the rest of the gateway sees; no wasmtime type leaves this module. A
//! component that traps, loops or hoards ends its own call, and its failure policy decides.

use crate::store::{Ceiling, Usage};
use async_trait::async_trait;
use bytes::Bytes;
use postern_proto::smtp::Reply;
use std::sync::Arc;
use std::time::Duration;

/// What is known about session and envelope at the moment of a question. Unknown is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    pub queue_id: String,
    pub listener: String,
    /// `smtp`, `esmtp`, `lmtp`, with `s` for TLS and `a` for authenticated behind it.
    pub protocol: String,
    pub client_ip: String,
    pub client_name: String,
    pub helo: String,
    pub tls_version: Option<String>,
    pub tls_cipher: Option<String>,
    pub auth_user: Option<String>,
    /// Empty for `<>`.
    pub mail_from: String,
    pub rcpt_to: Vec<String>,
    pub tags: Vec<String>,
}

/// What is to become of a connection, an envelope or a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Reject(Reply),
    Defer(Reply),
    Discard,
    Quarantine(String),
}

/// A change that a policy made. Header names and addresses were checked as client input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    AddHeader { name: String, value: String },
    InsertHeader { name: String, value: String },
    RemoveHeader { name: String },
    AddRecipient(String),
    RemoveRecipient(String),
    Redirect(String),
    Tag(String),
    RecipientVerdict { recipient: String, verdict: Verdict },
}

/// One policy's part in a decision, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opinion {
    pub policy: String,
    /// `accept`, `reject`, `trap`, …
    pub word: &'static str,
    pub took: Duration,
}

/// The folded answer of all filters of one stage: the first reject, defer or discard ends it;
/// quarantine and edits accumulate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    /// In the order they were made; empty unless the verdict is accept or quarantine.
    pub edits: Vec<Edit>,
    pub opinions: Vec<Opinion>,
}

/// Where mail for an address goes, as a router said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// No router claims it: ask the host's own tables.
    Pass,
    Local(String),
    Rewrite(Vec<String>),
    Discard,
    Reject(Reply),
    Defer(Reply),
}

/// May this message be added to that mailbox?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaDecision {
    Allow(Ceiling),
    Warn {
        text: String,
        ceiling: Ceiling,
    },
    /// 4xx or 5xx, as the policy said.
    Deny(Reply),
}

/// The message as filters see it: as it was received, with `edits` not yet applied.
#[async_trait]
pub trait MessageSource: Send + Sync + std::fmt::Debug {
    /// The header section as received, trace of this hop included, with its empty line.
    fn head(&self) -> Bytes;
    /// Octets of header section and text.
    fn size(&self) -> u64;
    /// Up to `len` octets of the text (behind the header section) from `offset`; fewer only at the end.
    /// The error is our own trouble.
    async fn read_text(&self, offset: u64, len: usize) -> crate::store::Result<Bytes>;
}

/// The set of policies in force. A session keeps the one it began with.
#[derive(Debug, Default)]
pub struct Policies {}

impl Policies {
    /// Asked when a client has connected.
    pub async fn connect(&self, facts: &Facts) -> Decision {
        let _ = facts;
        Decision {
            verdict: Verdict::Accept,
            edits: Vec::new(),
            opinions: Vec::new(),
        }
    }

    /// Asked at MAIL FROM.
    pub async fn mail(&self, facts: &Facts) -> Decision {
        self.connect(facts).await
    }

    /// Asked at RCPT TO about `recipient`, before it is routed.
    pub async fn rcpt(&self, facts: &Facts, recipient: &str) -> Decision {
        let _ = recipient;
        self.connect(facts).await
    }

    /// Asked when the message is complete. `edits` are those of the earlier stages: filters see the message
    /// with them applied. The answer's edits do not repeat them.
    pub async fn message(&self, facts: &Facts, message: Arc<dyn MessageSource>, edits: &[Edit]) -> Decision {
        let _ = (message, edits);
        self.connect(facts).await
    }

    /// Asked where mail for `recipient` goes: the first router that does not pass decides.
    pub async fn route(&self, facts: &Facts, recipient: &str) -> (Route, Vec<Opinion>) {
        let _ = (facts, recipient);
        (Route::Pass, Vec::new())
    }

    /// Asked before a message of `incoming` octets is added to `mailbox`. Ceilings of several policies
    /// fold to the lowest; the first denial ends it.
    pub async fn quota(
        &self,
        facts: &Facts,
        mailbox: &str,
        usage: Usage,
        incoming: u64,
    ) -> (QuotaDecision, Vec<Opinion>) {
        let _ = (facts, mailbox, usage, incoming);
        (QuotaDecision::Allow(Ceiling::default()), Vec::new())
    }
}
