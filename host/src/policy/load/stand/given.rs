//! What a trial has in place of a gateway's directory and of the hosts that requests go to.

use super::Setup;
use crate::policy::grants::{Attribute, DirectorySource};
use crate::policy::manifest::Manifest;
use crate::store;
use async_trait::async_trait;
use postern_proto::Address;
use std::collections::{BTreeMap, BTreeSet};

/// A directory as it is written. Addresses are in the form of [`Address::key`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectoryTable {
    pub domains: BTreeSet<String>,
    pub mailboxes: BTreeMap<String, String>,
    pub aliases: BTreeMap<String, Vec<String>>,
    pub attributes: BTreeMap<String, BTreeMap<Attribute, String>>,
}

#[async_trait]
impl DirectorySource for DirectoryTable {
    async fn is_local_domain(&self, domain: &str) -> store::Result<bool> {
        Ok(self.domains.contains(domain))
    }

    async fn mailbox_of(&self, address: &Address) -> store::Result<Option<String>> {
        Ok(self.mailboxes.get(&address.key()).cloned())
    }

    async fn aliases_of(&self, address: &Address) -> store::Result<Vec<String>> {
        Ok(self.aliases.get(&address.key()).cloned().unwrap_or_default())
    }

    async fn attribute(&self, mailbox: &Address, attribute: Attribute) -> store::Result<Option<String>> {
        let known = self.attributes.get(&mailbox.key());
        Ok(known.and_then(|known| known.get(&attribute)).cloned())
    }
}

/// What a case says is there, though its policy cannot ask for it; with the mend.
pub(super) fn ungranted(setup: &Setup, manifest: &Manifest) -> Option<&'static str> {
    if !setup.kv.is_empty() && manifest.kv.is_none() {
        return Some("has no share of the store that could hold anything; grant it kv in its own file");
    }
    if setup.directory != DirectoryTable::default() && !manifest.grants.directory {
        return Some("cannot ask a directory; grant it directory in its own file");
    }
    if !setup.http.is_empty() && manifest.grants.http.is_none() {
        return Some("cannot send a request that would be answered; grant it http in its own file");
    }
    None
}
