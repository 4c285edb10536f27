//! The questions of the contract: which of them a component answers, and how each is put.

use super::bindings::exports::postern::policy as exports;
use super::bindings::postern::policy::types;
use super::contract;
use super::guest::Guest;
use super::manifest::{FailurePolicies, OnFailure};
use crate::store::Usage;
use exports::{connection_filter, lifecycle, message_filter, quota, recipient_filter, router, sender_filter};
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre};

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    Connect,
    Mail,
    Rcpt,
    Message,
    Route,
    Quota,
    Validate,
}

/// A question with what it is about, apart from the facts of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Connect,
    Mail,
    Rcpt(String),
    Message,
    Route(String),
    Quota {
        mailbox: String,
        usage: Usage,
        incoming: u64,
    },
    Validate,
}

/// An answer as the guest gave it, not yet checked.
#[derive(Debug)]
pub(super) enum Said {
    Verdict(types::Verdict),
    Route(types::Route),
    Quota(types::QuotaDecision),
    Validated(Result<(), String>),
}

impl Question {
    /// In the order in which a message meets them.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Mail,
        Self::Rcpt,
        Self::Message,
        Self::Route,
        Self::Quota,
        Self::Validate,
    ];

    /// The interface of the contract.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Connect => "connection-filter",
            Self::Mail => "sender-filter",
            Self::Rcpt => "recipient-filter",
            Self::Message => "message-filter",
            Self::Route => "router",
            Self::Quota => "quota",
            Self::Validate => "lifecycle",
        }
    }

    /// As it is called in logs, metrics and the `failure` section of a policy's file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Message => "message",
            Self::Route => "router",
            Self::Quota => "quota",
            Self::Validate => "validate",
        }
    }

    pub(super) fn is_exported_by(self, component: &Component) -> bool {
        let name = contract::full_name(self.interface());
        component.get_export_index(None, name.as_str()).is_some()
    }

    /// What a failed call comes to. A policy that cannot be validated is not loaded.
    pub(super) fn on_failure(self, policies: &FailurePolicies) -> OnFailure {
        match self {
            Self::Connect => policies.connect,
            Self::Mail => policies.mail,
            Self::Rcpt => policies.rcpt,
            Self::Message => policies.message,
            Self::Route => policies.router,
            Self::Quota => policies.quota,
            Self::Validate => OnFailure::Reject,
        }
    }
}

impl Ask {
    pub fn question(&self) -> Question {
        match self {
            Self::Connect => Question::Connect,
            Self::Mail => Question::Mail,
            Self::Rcpt(_) => Question::Rcpt,
            Self::Message => Question::Message,
            Self::Route(_) => Question::Route,
            Self::Quota { .. } => Question::Quota,
            Self::Validate => Question::Validate,
        }
    }
}

/// Where a component's answers are; one that it does not answer is None.
#[derive(Default)]
pub(super) struct Answers {
    connect: Option<connection_filter::GuestIndices>,
    mail: Option<sender_filter::GuestIndices>,
    rcpt: Option<recipient_filter::GuestIndices>,
    message: Option<message_filter::GuestIndices>,
    route: Option<router::GuestIndices>,
    quota: Option<quota::GuestIndices>,
    validate: Option<lifecycle::GuestIndices>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let answered = Question::ALL.into_iter().filter(|question| self.has(*question));
        f.debug_list().entries(answered.map(Question::word)).finish()
    }
}

impl Answers {
    /// Fails where an interface of the contract is exported without its function.
    pub(super) fn of(pre: &InstancePre<Guest>) -> wasmtime::Result<Self> {
        let has = |question: Question| question.is_exported_by(pre.component());
        fn found<I>(has: bool, new: impl FnOnce() -> wasmtime::Result<I>) -> wasmtime::Result<Option<I>> {
            has.then(new).transpose()
        }
        Ok(Self {
            connect: found(has(Question::Connect), || {
                connection_filter::GuestIndices::new(pre)
            })?,
            mail: found(has(Question::Mail), || sender_filter::GuestIndices::new(pre))?,
            rcpt: found(has(Question::Rcpt), || recipient_filter::GuestIndices::new(pre))?,
            message: found(has(Question::Message), || message_filter::GuestIndices::new(pre))?,
            route: found(has(Question::Route), || router::GuestIndices::new(pre))?,
            quota: found(has(Question::Quota), || quota::GuestIndices::new(pre))?,
            validate: found(has(Question::Validate), || lifecycle::GuestIndices::new(pre))?,
        })
    }

    pub(super) fn has(&self, question: Question) -> bool {
        match question {
            Question::Connect => self.connect.is_some(),
            Question::Mail => self.mail.is_some(),
            Question::Rcpt => self.rcpt.is_some(),
            Question::Message => self.message.is_some(),
            Question::Route => self.route.is_some(),
            Question::Quota => self.quota.is_some(),
            Question::Validate => self.validate.is_some(),
        }
    }

    /// Whether every answer has the types of this contract: nothing before an instance tells.
    pub(super) fn fit(&self, mut store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<()> {
        macro_rules! loads {
            ($($answer:ident)+) => {
                $(if let Some(indices) = &self.$answer {
                    indices.load(&mut store, instance)?;
                })+
            };
        }
        loads!(connect mail rcpt message route quota validate);
        Ok(())
    }

    /// Puts the question to an instance.
    pub(super) async fn put(
        &self,
        ask: &Ask,
        mut store: &mut Store<Guest>,
        instance: &Instance,
    ) -> wasmtime::Result<Said> {
        macro_rules! put {
            ($answer:ident, $kind:ident, $call:ident $(, $argument:expr)*) => {{
                let Some(indices) = &self.$answer else {
                    wasmtime::bail!("{} is not answered", ask.question().interface());
                };
                let guest = indices.load(&mut store, instance)?;
                Ok(Said::$kind(guest.$call(&mut store $(, $argument)*).await?))
            }};
        }
        match ask {
            Ask::Connect => put!(connect, Verdict, call_on_connect),
            Ask::Mail => put!(mail, Verdict, call_on_mail),
            Ask::Rcpt(recipient) => put!(rcpt, Verdict, call_on_rcpt, recipient),
            Ask::Message => put!(message, Verdict, call_on_message),
            Ask::Route(recipient) => put!(route, Route, call_resolve, recipient),
            Ask::Quota {
                mailbox,
                usage,
                incoming,
            } => {
                let current = types::Usage {
                    bytes: usage.bytes,
                    messages: usage.messages,
                };
                put!(quota, Quota, call_check, mailbox, current, *incoming)
            }
            Ask::Validate => put!(validate, Validated, call_validate),
        }
    }
}
