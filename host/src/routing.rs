//! Where mail for an address goes: routers first, then the host's own tables, until only mailboxes are left.
//!
//! An address leads somewhere only if everything behind it does: one unknown target refuses it, one that
//! cannot be judged defers it. The depth and the number of targets are bounded; what exceeds them is the
//! site's own mistake and defers.

#[cfg(test)]
mod tests;

use crate::directory::{Directory, Resolution};
use crate::policy::{Facts, Opinion, Policies, Route};
use crate::store::{Mailbox, StoreError};
use postern_proto::Address;
use postern_proto::smtp::Reply;
use std::collections::HashMap;

/// Rewrites and aliases on the way from an address to a mailbox.
const DEPTH: usize = 16;

/// Addresses that may be looked at for one recipient.
const TARGETS: usize = 1000;

/// Where one address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// To these mailboxes, each once; none if a router discards it.
    Mailboxes(Vec<Mailbox>),
    /// Nowhere, for good or for now, as the reply says.
    Refused(Reply),
}

/// What routers said in this transaction: asked again, they would be asked the same.
#[derive(Debug, Default)]
pub struct Routes(HashMap<String, Route>);

/// What resolving needs beside the address.
#[derive(Debug, Clone, Copy)]
pub struct Router<'a> {
    pub policies: &'a Policies,
    pub directory: &'a Directory,
    pub facts: &'a Facts,
}

/// An address still to be looked at, and those that led to it.
struct Pending {
    address: Address,
    chain: Vec<String>,
}

/// One step on the way.
enum Hop {
    Mailbox(Mailbox),
    Targets(Vec<Address>),
    Discard,
    Refused(Reply),
}

impl Router<'_> {
    /// Follows `address` to its mailboxes. The error is the store's.
    pub async fn resolve(
        &self,
        address: &Address,
        routes: &mut Routes,
        opinions: &mut Vec<Opinion>,
    ) -> Result<Routed, StoreError> {
        let mut mailboxes: Vec<Mailbox> = Vec::new();
        let mut deferral = None;
        let mut looked_at = 0;
        let mut pending = vec![Pending {
            address: address.clone(),
            chain: Vec::new(),
        }];
        while let Some(next) = pending.pop() {
            looked_at += 1;
            if next.chain.len() > DEPTH || looked_at > TARGETS {
                return Ok(Routed::Refused(endless(address)));
            }
            match self.hop(&next, routes, opinions).await? {
                Hop::Mailbox(mailbox) if mailboxes.contains(&mailbox) => {}
                Hop::Mailbox(mailbox) => mailboxes.push(mailbox),
                Hop::Targets(targets) => pending.extend(next.led_to(targets)),
                Hop::Discard => {}
                // One that is refused for good refuses all, so the others are still asked.
                Hop::Refused(reply) if reply.is_transient() => deferral = deferral.or(Some(reply)),
                Hop::Refused(reply) => return Ok(Routed::Refused(reply)),
            }
        }
        Ok(deferral.map_or(Routed::Mailboxes(mailboxes), Routed::Refused))
    }

    async fn hop(
        &self,
        next: &Pending,
        routes: &mut Routes,
        opinions: &mut Vec<Opinion>,
    ) -> Result<Hop, StoreError> {
        match self.route(next, routes, opinions).await {
            Route::Pass => self.tables(&next.address).await,
            Route::Local(mailbox) => self.local(&mailbox).await,
            Route::Rewrite(targets) => Ok(rewritten(&targets)),
            Route::Discard => Ok(Hop::Discard),
            Route::Reject(reply) | Route::Defer(reply) => Ok(Hop::Refused(reply)),
        }
    }

    /// What the routers say, unless the address led to itself: then the host's tables decide.
    async fn route(&self, next: &Pending, routes: &mut Routes, opinions: &mut Vec<Opinion>) -> Route {
        let key = next.address.key();
        if next.chain.contains(&key) {
            return Route::Pass;
        }
        if let Some(known) = routes.0.get(&key) {
            return known.clone();
        }
        let (route, said) = self.policies.route(self.facts, &next.address.to_string()).await;
        opinions.extend(said);
        routes.0.insert(key, route.clone());
        route
    }

    async fn tables(&self, address: &Address) -> Result<Hop, StoreError> {
        Ok(match self.directory.resolve(address).await? {
            Resolution::Mailbox(mailbox) => Hop::Mailbox(mailbox),
            Resolution::Targets(targets) => Hop::Targets(targets),
            Resolution::UnknownUser => Hop::Refused(Reply::no_such_user()),
            Resolution::Elsewhere => Hop::Refused(Reply::relay_denied()),
        })
    }

    /// A mailbox that a router named. One that is not there is the router's mistake, and deferred.
    async fn local(&self, mailbox: &str) -> Result<Hop, StoreError> {
        let mailbox = mailbox.to_lowercase();
        if self.directory.account(&mailbox).await?.is_some() {
            return Ok(Hop::Mailbox(mailbox.into()));
        }
        tracing::warn!(%mailbox, "a router names a mailbox that does not exist; deferred");
        Ok(Hop::Refused(Reply::our_trouble()))
    }
}

impl Pending {
    /// The targets in reverse, so that the first is looked at first.
    fn led_to(self, targets: Vec<Address>) -> impl Iterator<Item = Self> {
        let mut chain = self.chain;
        chain.push(self.address.key());
        targets.into_iter().rev().map(move |address| Self {
            address,
            chain: chain.clone(),
        })
    }
}

fn rewritten(targets: &[String]) -> Hop {
    match targets.iter().map(|target| Address::parse(target)).collect() {
        Ok(targets) => Hop::Targets(targets),
        Err(error) => {
            tracing::warn!(?targets, %error, "a router names what is no address; deferred");
            Hop::Refused(Reply::our_trouble())
        }
    }
}

/// Not 554 5.4.6: the tables are ours, and what their owner mends in time reaches its recipient.
fn endless(address: &Address) -> Reply {
    tracing::warn!(%address, "aliases or rewrites of this address lead round and round; deferred");
    Reply::our_trouble()
}
