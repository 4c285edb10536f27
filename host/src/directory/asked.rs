//! The directory as policies may ask it: addresses, and of an account what is no secret.

use super::{Directory, Resolution};
use crate::policy::{Attribute, DirectorySource};
use crate::store::{Result, Store};
use async_trait::async_trait;
use postern_proto::Address;
use std::sync::Arc;

/// Aliases of one target on the way to a mailbox.
const DEPTH: usize = 16;

/// Domains, accounts and aliases, and how full mailboxes are.
#[derive(Debug)]
pub struct Accounts {
    directory: Directory,
    store: Arc<dyn Store>,
}

impl Accounts {
    pub fn new(directory: Directory, store: Arc<dyn Store>) -> Self {
        Self { directory, store }
    }
}

#[async_trait]
impl DirectorySource for Accounts {
    async fn is_local_domain(&self, domain: &str) -> Result<bool> {
        self.directory.is_local(domain).await
    }

    async fn mailbox_of(&self, address: &Address) -> Result<Option<String>> {
        let mut address = address.clone();
        for _ in 0..DEPTH {
            match self.directory.resolve(&address).await? {
                Resolution::Mailbox(mailbox) => return Ok(Some(mailbox.to_string())),
                Resolution::Targets(targets) => match <[Address; 1]>::try_from(targets) {
                    Ok([only]) => address = only,
                    Err(_) => return Ok(None),
                },
                Resolution::UnknownUser | Resolution::Elsewhere => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn aliases_of(&self, address: &Address) -> Result<Vec<String>> {
        Ok(match self.directory.resolve(address).await? {
            Resolution::Targets(targets) => targets.iter().map(ToString::to_string).collect(),
            Resolution::Mailbox(_) | Resolution::UnknownUser | Resolution::Elsewhere => Vec::new(),
        })
    }

    async fn attribute(&self, mailbox: &Address, attribute: Attribute) -> Result<Option<String>> {
        let Some(account) = self.directory.account(&mailbox.key()).await? else {
            return Ok(None);
        };
        let used = async || self.store.usage(&account.address.to_lowercase()).await;
        Ok(match attribute {
            Attribute::Login if account.password.is_some() => Some("password".to_owned()),
            Attribute::Login => Some("none".to_owned()),
            Attribute::QuotaBytes => account.quota_bytes.map(|bytes| bytes.to_string()),
            Attribute::QuotaMessages => account.quota_messages.map(|messages| messages.to_string()),
            Attribute::Bytes => Some(used().await?.bytes.to_string()),
            Attribute::Messages => Some(used().await?.messages.to_string()),
            Attribute::Address => Some(account.address),
        })
    }
}

#[cfg(test)]
mod tests;
