//! Accounts, addresses, domains and logins over the store's [`Directory`](crate::store::Directory).
//!
//! Addresses keep the case they were written in and are looked up in lower case. A login is a full
//! address; one without a domain is answered as an unknown one is. The store's failures come through as
//! they are (4xx); a login that cannot be judged is [`sasl::Answer::Unavailable`].

mod asked;
mod hashing;
mod login;
mod password;
mod scram;
mod secret;
mod throttle;

pub use asked::Accounts;

use crate::config::Config;
use crate::store::{Account, Addressed, Alias, Domain, Mailbox, Result, Store, StoreError, pages};
use futures_util::stream::TryStreamExt as _;
use login::Logins;
pub use login::{Credentials, LoginError};
pub use password::{HashError, PasswordHash, is_hash};
use postern_proto::{Address, sasl};
use std::collections::HashSet;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Addresses looked at before [`Directory::may_send_as`] gives up: a group of groups without an end.
const MOST_TARGETS: usize = 256;

/// How often a change of an account or an alias is tried while other gateways change it.
pub(crate) const CHANGED_AT_MOST: usize = 16;

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

/// A change that somebody is about to make.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Planned<'a> {
    Nothing,
    Alias(&'a Alias),
    Domain(&'a Domain),
}

/// The directory as sessions see it: cached hashes, throttled logins. Clones share all of it.
#[derive(Debug, Clone)]
pub struct Directory {
    store: Arc<dyn Store>,
    postmaster: Address,
    separator: char,
    logins: Arc<Logins>,
    /// Held while an account is read, changed and written back.
    changes: Arc<Mutex<()>>,
}

impl Directory {
    pub fn new(store: Arc<dyn Store>, config: &Config) -> Self {
        Self::with(store, config, Logins::new(config))
    }

    fn with(store: Arc<dyn Store>, config: &Config, logins: Logins) -> Self {
        Self {
            store,
            postmaster: config.postmaster.clone(),
            separator: config.detail_separator,
            logins: Arc::new(logins),
            changes: Arc::default(),
        }
    }

    /// Looks an address up: account, alias, without its `+detail`, `postmaster` and `abuse`, catch-all. These two
    /// come before the catch-all, whose target may be gone.
    pub async fn resolve(&self, address: &Address) -> Result<Resolution> {
        self.resolve_with(address, Planned::Nothing).await
    }

    /// As [`Directory::resolve`] will answer once the change is made.
    pub(crate) async fn resolve_with(&self, address: &Address, planned: Planned<'_>) -> Result<Resolution> {
        let name = address.domain().to_lowercase();
        let canonical = match planned {
            Planned::Domain(domain) if domain.name == name => Some(first_name(domain.clone())),
            _ => self.canonical_domain(&name).await?,
        };
        let Some(domain) = canonical else {
            return Ok(Resolution::Elsewhere);
        };
        if let Some(found) = self.named(&key(address.local(), &domain), planned).await? {
            return Ok(found);
        }
        let (base, detail) = address.detail(self.separator);
        if detail.is_some()
            && let Some(found) = self.named(&key(base, &domain), planned).await?
        {
            return Ok(found);
        }
        if let Some(person) = self.role(&key(base, &domain)) {
            return Ok(person);
        }
        let all = self.alias(&key("", &domain), planned).await?;
        Ok(all.map_or(Resolution::UnknownUser, |all| targets(&all.targets)))
    }

    /// An account, or an alias.
    async fn named(&self, key: &str, planned: Planned<'_>) -> Result<Option<Resolution>> {
        let found = self.store.addressed(key).await?;
        Ok(match (found, planned) {
            (Some(Addressed::Account(_)), _) => Some(Resolution::Mailbox(key.into())),
            (_, Planned::Alias(alias)) if alias.address == key => Some(targets(&alias.targets)),
            (Some(Addressed::Alias(alias)), _) => Some(targets(&alias.targets)),
            (None, _) => None,
        })
    }

    async fn alias(&self, key: &str, planned: Planned<'_>) -> Result<Option<Alias>> {
        match planned {
            Planned::Alias(alias) if alias.address == key => Ok(Some(alias.clone())),
            _ => self.store.alias(key).await,
        }
    }

    /// RFC 5321 §4.5.1 and RFC 2142: `postmaster` and `abuse` reach a person in every domain.
    fn role(&self, key: &str) -> Option<Resolution> {
        let is_role = key.starts_with("postmaster@") || key.starts_with("abuse@");
        (is_role && key != self.postmaster.key()).then(|| Resolution::Targets(vec![self.postmaster.clone()]))
    }

    /// The local domain that `domain` is or is another name of.
    async fn canonical_domain(&self, domain: &str) -> Result<Option<String>> {
        let domain = self.store.domain(&domain.to_lowercase()).await?;
        Ok(domain.map(first_name))
    }

    /// The address that the configuration names for `postmaster` without a domain.
    pub fn postmaster(&self) -> Address {
        self.postmaster.clone()
    }

    /// Whether `domain` is one of ours.
    pub async fn is_local(&self, domain: &str) -> Result<bool> {
        Ok(self.canonical_domain(domain).await?.is_some())
    }

    /// The account of a mailbox.
    pub async fn account(&self, mailbox: &str) -> Result<Option<Account>> {
        self.store.account(&mailbox.to_lowercase()).await
    }

    /// Whether `account` may send as `address`: its own (with any detail), or an alias, a group or a
    /// catch-all that leads to it.
    pub async fn may_send_as(&self, account: &str, address: &Address) -> Result<bool> {
        let account = account.to_lowercase();
        let mut seen = HashSet::new();
        let mut pending = vec![address.clone()];
        while let Some(address) = pending.pop() {
            if seen.len() >= MOST_TARGETS || !seen.insert(address.key()) {
                continue;
            }
            match self.resolve(&address).await? {
                Resolution::Mailbox(mailbox) if *mailbox == *account => return Ok(true),
                Resolution::Targets(targets) => pending.extend(targets),
                Resolution::Mailbox(_) | Resolution::UnknownUser | Resolution::Elsewhere => {}
            }
        }
        Ok(false)
    }

    /// Judges credentials for a client at `client`, at the same cost and with the same answer whether the
    /// login exists or not; delayed by the throttle. The account that is granted is its mailbox's name.
    pub async fn authenticate(&self, question: sasl::Question, client: IpAddr) -> sasl::Answer {
        let answer = login::answer(self, question, client).await;
        let outcome = match &answer {
            Ok(sasl::Answer::Keys { .. }) => return answer.unwrap_or(sasl::Answer::Unavailable),
            Ok(sasl::Answer::Granted { .. }) => "granted",
            Ok(sasl::Answer::Denied) => "denied",
            Ok(sasl::Answer::Unavailable) | Err(_) => "unavailable",
        };
        metrics::counter!("postern_logins_total", "outcome" => outcome).increment(1);
        answer.unwrap_or_else(|error| {
            tracing::warn!(%error, "a login could not be judged");
            sasl::Answer::Unavailable
        })
    }

    /// The mailbox that a login names, if it is of the form of an address.
    async fn login_key(&self, login: &str) -> Result<Option<String>> {
        let Some(address) = named_by(login) else {
            return Ok(None);
        };
        let domain = self.canonical_domain(address.domain()).await?;
        Ok(domain.map(|domain| key(address.local(), &domain)))
    }

    /// What is to be kept of a new password: hashed on the threads that are there for it.
    pub async fn credentials(&self, password: &str) -> std::result::Result<Credentials, LoginError> {
        self.logins.credentials(password).await
    }

    /// Changes an account as it is now, so that two changes at once both last, also of two gateways; answers whether
    /// it was there. `change` is called again where another gateway was first.
    pub async fn change_account(&self, key: &str, change: impl Fn(&mut Account)) -> Result<bool> {
        let _alone = self.changes.lock().await;
        for _ in 0..CHANGED_AT_MOST {
            let Some(before) = self.store.account_to_change(key).await? else {
                return Ok(false);
            };
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(true);
            }
            if self.store.replace_account(&before, after).await? {
                return Ok(true);
            }
        }
        Err(StoreError::Engine(format!("{key} is being changed by others")))
    }

    /// How many accounts have a password but no SCRAM keys.
    pub async fn scram_missing(&self) -> Result<u64> {
        let (mut missing, mut accounts) = (0, pin!(pages::accounts(&*self.store)));
        while let Some(account) = accounts.try_next().await? {
            missing += u64::from(account.password.is_some() && account.scram.is_none());
        }
        Ok(missing)
    }

    /// To be asked before SCRAM is offered: that every account has keys, and that the key for made-up
    /// salts can be read or made. Nothing to do where `auth.scram` is off.
    pub async fn require_scram_keys(&self) -> anyhow::Result<()> {
        if !self.logins.offers_scram() {
            return Ok(());
        }
        self.logins.salts().await?;
        let missing = self.scram_missing().await?;
        anyhow::ensure!(
            missing == 0,
            "auth.scram is true, but {missing} accounts have no SCRAM keys yet: set it to false until they \
             have logged in once or have been given a password by `postern user passwd`"
        );
        Ok(())
    }
}

/// The address that a login names, as logins are compared.
pub(crate) fn named_by(login: &str) -> Option<Address> {
    Address::parse(&sasl::prepare(login)?).ok()
}

/// The name under which addresses of a domain are kept.
fn first_name(Domain { name, alias_of }: Domain) -> String {
    alias_of.unwrap_or(name)
}

/// The key of an address; of the catch-all, with an empty local part.
fn key(local: &str, domain: &str) -> String {
    match local {
        "" => format!("@{domain}"),
        local => Address::key_of(local, domain),
    }
}

/// Targets were checked when they were set; one that is no address any more leads nowhere.
fn targets(texts: &[String]) -> Resolution {
    let targets: Vec<Address> = texts
        .iter()
        .filter_map(|text| Address::parse(text).ok())
        .collect();
    if targets.is_empty() {
        Resolution::UnknownUser
    } else {
        Resolution::Targets(targets)
    }
}

#[cfg(test)]
pub(crate) mod tests;
