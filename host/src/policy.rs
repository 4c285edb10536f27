//! Policies: WebAssembly components that decide about mail.
//!
//! This file is the face that the rest of the gateway sees; no wasmtime type leaves this module. A
//! component that traps, loops or hoards ends its own call, and its failure policy decides.

mod agreement;
mod auth;
mod bindings;
mod breaker;
mod cache;
mod canary;
mod capabilities;
mod contract;
mod engine;
mod fold;
mod folder;
mod grants;
mod guest;
mod health;
mod http;
mod imports;
mod limits;
mod load;
mod manifest;
mod observer;
mod overlay;
mod plugin;
mod questions;
mod report;
mod reuse;
mod runtime;
#[cfg(test)]
mod sample;
mod shadow;
mod shelf;
mod slot;
mod standing;
pub(crate) mod told;
mod trail;
mod watch;
mod words;

pub use agreement::Agreed;
pub use auth::{AuthFacts, SignatureFacts};
pub use cache::{Keep, Notice, Whose};
pub use grants::{Attribute, DirectorySource};
pub(crate) use load::{Compiling, short};
pub use load::{Ended, Fault, Listed, LoadOptions, State, stand};
pub use slot::Versions;
pub use watch::Watch;

use crate::store::{Ceiling, Usage};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use fold::{Filters, Next, Quotas};
use guest::Letter;
use plugin::{Plugin, Services};
use postern_proto::smtp::Reply;
use questions::{Ask, Question};
use shelf::Shelf;
use slot::Slot;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    #[serde(default, skip_serializing_if = "AuthFacts::is_empty")]
    pub auth: AuthFacts,
    /// Of policies that have several. It is no fact.
    #[serde(skip)]
    pub versions: Versions,
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
    /// For `postern explain`, where it is on.
    pub step: Option<Box<crate::explain::Step>>,
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

/// Whether mail for an address can be delivered here; asked about addresses that policies put in.
#[async_trait]
pub trait AddressCheck: Send + Sync + std::fmt::Debug {
    /// `policies` is the set that asks, about this session and envelope: its own routers have their say. The error is
    /// the store's.
    async fn deliverable(
        &self,
        policies: &Policies,
        facts: &Facts,
        address: &str,
    ) -> crate::store::Result<bool>;
}

/// The place of the set in force. A session takes the set once, where it begins; all others take it anew
/// each time.
#[derive(Debug, Default)]
pub struct InForce {
    set: ArcSwap<Policies>,
    looks: AtomicBool,
    pub(crate) compiling: Compiling,
}

/// A look at the folder and what it leaves to the compiler, until it is dropped.
#[derive(Debug)]
pub(crate) struct Looking<'a>(&'a AtomicBool);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl InForce {
    pub fn new(policies: Arc<Policies>) -> Self {
        Self::over(policies, Compiling::default())
    }

    fn over(policies: Arc<Policies>, compiling: Compiling) -> Self {
        Self {
            set: ArcSwap::new(policies),
            looks: AtomicBool::new(false),
            compiling,
        }
    }

    pub fn now(&self) -> Arc<Policies> {
        self.set.load_full()
    }

    /// From here on this set is in force, as a whole.
    pub fn put(&self, policies: Arc<Policies>) {
        self.set.store(policies);
    }

    /// Whether a look at the folder is under way, or what it found is being compiled.
    #[doc(hidden)]
    pub fn is_looking(&self) -> bool {
        self.looks.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_look(&self) -> Looking<'_> {
        self.looks.store(true, Ordering::Relaxed);
        Looking(&self.looks)
    }
}

/// One set of policies. It never changes: another one takes its place.
#[derive(Debug, Default)]
pub struct Policies {
    /// All that run, in the order of their names.
    plugins: Vec<Arc<Plugin>>,
    /// In the order in which they are asked.
    slots: Vec<Arc<Slot>>,
    /// All files of the folder, refused and disabled ones included.
    listed: Vec<Listed>,
    /// None where there is nothing to run.
    services: Option<Services>,
}

impl Policies {
    /// Loads all `*.wasm` of a folder in the order of their names. A folder that is not there has none. Err
    /// only where nothing can be run at all.
    pub fn load(folder: &Path, options: LoadOptions) -> anyhow::Result<(Arc<Self>, Vec<Fault>)> {
        let (_, look) = Shelf::open(folder, options)?;
        Ok((look.policies, look.faults))
    }

    /// Asked when a client has connected.
    pub async fn connect(&self, facts: &Facts) -> Decision {
        self.filter(&Ask::Connect, facts, None, &[]).await
    }

    /// Asked at MAIL FROM.
    pub async fn mail(&self, facts: &Facts) -> Decision {
        self.filter(&Ask::Mail, facts, None, &[]).await
    }

    /// Asked at RCPT TO about `recipient`, before it is routed.
    pub async fn rcpt(&self, facts: &Facts, recipient: &str) -> Decision {
        self.filter(&Ask::Rcpt(recipient.to_owned()), facts, None, &[])
            .await
    }

    /// Asked when the message is complete. `edits` are those of the earlier stages: filters see the message
    /// with them applied. The answer's edits do not repeat them.
    pub async fn message(&self, facts: &Facts, message: Arc<dyn MessageSource>, edits: &[Edit]) -> Decision {
        self.filter(&Ask::Message, facts, Some(message), edits).await
    }

    /// Asked where mail for `recipient` goes: the first router that does not pass decides.
    pub async fn route(&self, facts: &Facts, recipient: &str) -> (Route, Vec<Opinion>) {
        let ask = Ask::Route(recipient.to_owned());
        let mut opinions = Vec::new();
        for (slot, services) in self.asked(Question::Route) {
            let Some((plugin, call)) = slot.call(services, &ask, facts.clone(), None, Vec::new()) else {
                continue;
            };
            let outcome = report::route(&plugin, ask.clone(), call, &mut opinions).await;
            let route = match outcome {
                Ok(route) => route,
                Err(()) => match fold::refusal(plugin.on_failure(Question::Route)) {
                    Some(reply) if reply.is_permanent() => Route::Reject(reply),
                    Some(reply) => Route::Defer(reply),
                    None => Route::Pass,
                },
            };
            if route != Route::Pass {
                return (route, opinions);
            }
        }
        (Route::Pass, opinions)
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
        let ask = Ask::Quota {
            mailbox: mailbox.to_owned(),
            usage,
            incoming,
        };
        let (mut quotas, mut opinions) = (Quotas::default(), Vec::new());
        for (slot, services) in self.asked(Question::Quota) {
            let Some((plugin, call)) = slot.call(services, &ask, facts.clone(), None, Vec::new()) else {
                continue;
            };
            let decision = match report::quota(&plugin, ask.clone(), call, &mut opinions).await {
                Ok(decision) => decision,
                Err(()) => match fold::refusal(plugin.on_failure(Question::Quota)) {
                    Some(reply) => QuotaDecision::Deny(reply),
                    None => continue,
                },
            };
            if quotas.take(decision) == Next::Stop {
                break;
            }
        }
        (quotas.decision(), opinions)
    }

    /// Whether any policy has a say about quota: where none has, usage need not be looked up for it.
    pub fn asks_quota(&self) -> bool {
        self.slots.iter().any(|slot| slot.decides(Question::Quota))
    }

    /// Every file of the folder in the order of their names.
    pub fn list(&self) -> &[Listed] {
        &self.listed
    }

    fn asked(&self, question: Question) -> impl Iterator<Item = (&Arc<Slot>, &Services)> {
        let slots = self.slots.iter().filter(move |slot| slot.answers(question));
        slots.zip(std::iter::repeat(self.services.as_ref()).flatten())
    }

    /// The filters of one stage, one after the other.
    async fn filter(
        &self,
        ask: &Ask,
        facts: &Facts,
        message: Option<Arc<dyn MessageSource>>,
        earlier: &[Edit],
    ) -> Decision {
        let question = ask.question();
        let mut filters = Filters::after(earlier);
        let letter = self.letter(message);
        for (slot, services) in self.asked(question) {
            // At RCPT edits of recipients concern the one that is asked about, not those before it.
            let recipients = match question {
                Question::Rcpt => &[],
                _ => filters.edits(),
            };
            let seen = fold::seen(facts, recipients, filters.own());
            let edits = filters.edits().to_vec();
            let Some((plugin, call)) = slot.call(services, ask, seen, letter.clone(), edits) else {
                continue;
            };
            let next = match report::verdict(&plugin, ask.clone(), call, &mut filters.opinions).await {
                Ok((verdict, edits)) => filters.take(verdict, edits),
                Err(()) => filters.fail(plugin.on_failure(question)),
            };
            if next == Next::Stop {
                break;
            }
        }
        filters.decision()
    }

    /// The message for all filters of the stage: parsed once, if at all.
    fn letter(&self, message: Option<Arc<dyn MessageSource>>) -> Option<Arc<Letter>> {
        let room = self.services.as_ref()?.room.clone();
        Some(Arc::new(Letter::new(message?, room)))
    }
}
