//! `grants: { directory: {} }`: the gateway's own domains, accounts and aliases, to be read.

use crate::store;
use async_trait::async_trait;
use postern_proto::Address;
use serde::Deserialize;

/// Nothing is written in it yet.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct RawDirectory {}

/// What policies may ask of the directory. An error is our own trouble.
#[async_trait]
pub trait DirectorySource: Send + Sync + std::fmt::Debug {
    /// Whether mail for a domain is ours. `domain` is as addresses have it.
    async fn is_local_domain(&self, domain: &str) -> store::Result<bool>;
    /// The one mailbox that an address leads to by the host's own tables.
    async fn mailbox_of(&self, address: &Address) -> store::Result<Option<String>>;
    /// What an alias or a group stands for, one step on.
    async fn aliases_of(&self, address: &Address) -> store::Result<Vec<String>>;
    /// None: there is no such mailbox, or it has nothing of the kind.
    async fn attribute(&self, mailbox: &Address, attribute: Attribute) -> store::Result<Option<String>>;
}

/// What is told of a mailbox. Secrets are none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// Its address as it was written when the account was made.
    Address,
    /// `password`, or `none` where nobody can log in.
    Login,
    /// The account's own bounds.
    QuotaBytes,
    QuotaMessages,
    /// What the mailbox holds.
    Bytes,
    Messages,
}

impl Attribute {
    pub const ALL: [Self; 6] = [
        Self::Address,
        Self::Login,
        Self::QuotaBytes,
        Self::QuotaMessages,
        Self::Bytes,
        Self::Messages,
    ];

    /// As policies call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Login => "login",
            Self::QuotaBytes => "quota-bytes",
            Self::QuotaMessages => "quota-messages",
            Self::Bytes => "bytes",
            Self::Messages => "messages",
        }
    }

    /// None where there is none of that name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.word() == word)
    }

    /// All of them, for who asked for another.
    pub fn words() -> String {
        Self::ALL.map(Self::word).join(", ")
    }
}
