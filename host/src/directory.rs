//! Accounts, addresses, domains and logins over the store's [`Directory`](crate::store::Directory).

use crate::config::Config;
use crate::store::{Account, Mailbox, Result, Store};
use postern_proto::{Address, sasl};
use std::net::IpAddr;
use std::sync::Arc;

/// Where the host's own tables say an address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    Mailbox(Mailbox),
    /// An alias or group; each target is resolved again.
    Targets(Vec<Address>),
    /// The domain is ours, the address is not.
    UnknownUser,
    /// Not our domain.
    Elsewhere,
}

/// The directory as sessions see it: cached hashes, throttled logins.
#[derive(Debug)]
pub struct Directory {
    store: Arc<dyn Store>,
}

impl Directory {
    pub fn new(store: Arc<dyn Store>, config: &Config) -> Self {
        let _ = config;
        Self { store }
    }

    /// Looks an address up: account, alias, without its `+detail`, catch-all, then `postmaster` and `abuse`.
    pub async fn resolve(&self, address: &Address) -> Result<Resolution> {
        let _ = (address, &self.store);
        Ok(Resolution::Elsewhere)
    }

    /// The address that the configuration names for `postmaster` without a domain.
    pub fn postmaster(&self) -> Address {
        unimplemented!("until the directory is written")
    }

    /// Whether `domain` is one of ours.
    pub async fn is_local(&self, domain: &str) -> Result<bool> {
        let _ = domain;
        Ok(false)
    }

    /// The account of a mailbox.
    pub async fn account(&self, mailbox: &str) -> Result<Option<Account>> {
        self.store.account(mailbox).await
    }

    /// Whether `account` may send as `address`: its own, or an alias that leads to it.
    pub async fn may_send_as(&self, account: &str, address: &Address) -> Result<bool> {
        let _ = (account, address);
        Ok(false)
    }

    /// Judges credentials for a client at `client`, at the same cost and with the same answer whether the
    /// login exists or not; delayed by the throttle.
    pub async fn authenticate(&self, question: sasl::Question, client: IpAddr) -> sasl::Answer {
        let _ = (question, client);
        sasl::Answer::Unavailable
    }
}
