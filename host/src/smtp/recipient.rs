//! Answers RCPT: policies first, then where the address leads, then room in each mailbox behind it.
//!
//! A recipient is accepted only if all mailboxes behind it can take the message as far as is known: SIZE
//! counts where it was declared. The answer at the dot may still differ.

use super::answer::{Answers, trouble};
use super::envelope::{Recipient, Redirected, Standing, Transaction};
use super::explain::forget_details;
use crate::policy::{Facts, Opinion};
use crate::quota::{self, Room};
use crate::routing::{Routed, Router, Routes};
use crate::store::Mailbox;
use postern_proto::Address;
use postern_proto::smtp::{ForwardPath, Reply};
use std::sync::Arc;

impl Answers {
    pub(super) async fn recipient(&mut self, path: ForwardPath) -> Result<(), Reply> {
        let mut transaction = self.transaction.take().ok_or_else(Reply::our_trouble)?;
        let address = match path {
            ForwardPath::Postmaster => self.gateway.directory.postmaster(),
            ForwardPath::Address(address) => address,
        };
        let (named, before) = (address.to_string(), transaction.opinions.len());
        let added = self.add(&mut transaction, address).await;
        if let Err(reply) = &added {
            self.explain_recipient(&transaction, (before, &named), reply);
        }
        forget_details(&mut transaction.opinions);
        self.transaction = Some(transaction);
        added
    }

    async fn add(&self, transaction: &mut Transaction, address: Address) -> Result<(), Reply> {
        let mut recipient = Recipient::new(address);
        if transaction.standing == Standing::Discard {
            transaction.accept(recipient);
            return Ok(());
        }
        let facts = Arc::clone(&transaction.facts);
        let named = recipient.address.to_string();
        let decision = self.policies.rcpt(&facts, &named).await;
        transaction.opinions.extend(decision.opinions);
        recipient.standing.take(decision.verdict)?;
        let (edits, redirected) = recipient.edit(decision.edits)?;
        if recipient.standing != Standing::Discard {
            let Transaction { routes, opinions, .. } = transaction;
            let routed = self.route(&facts, &recipient.address, (routes, opinions)).await;
            recipient.mailboxes = match redirected {
                Redirected::No => routed?,
                // A policy that names what cannot be delivered to has failed.
                Redirected::Yes => routed.map_err(|_| Reply::policy_deferred())?,
            };
            self.check_room(&facts, transaction, &recipient).await?;
        }
        // So that the transaction adds to its own instead of a copy.
        drop(facts);
        transaction.accept(recipient);
        transaction.edit(edits);
        Ok(())
    }

    /// The mailboxes behind an address.
    pub(super) async fn route(
        &self,
        facts: &Facts,
        address: &Address,
        (routes, opinions): (&mut Routes, &mut Vec<Opinion>),
    ) -> Result<Vec<Mailbox>, Reply> {
        let router = Router {
            policies: &self.policies,
            directory: &self.gateway.directory,
            facts,
        };
        match router.resolve(address, routes, opinions).await {
            Ok(Routed::Mailboxes(mailboxes)) => Ok(mailboxes),
            Ok(Routed::Refused(reply)) => Err(reply),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// Quarantine counts against no quota.
    async fn check_room(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        recipient: &Recipient,
    ) -> Result<(), Reply> {
        let standing = recipient.standing.clone().and(&transaction.standing);
        if standing != Standing::Deliver {
            return Ok(());
        }
        let declared = transaction.mail.size.unwrap_or_default();
        for mailbox in &recipient.mailboxes {
            match self.room(facts, (mailbox, declared), transaction).await? {
                Room::Granted { .. } => {}
                Room::Denied(reply) => return Err(reply),
            }
        }
        Ok(())
    }

    pub(super) async fn room(
        &self,
        facts: &Facts,
        wanted: (&Mailbox, u64),
        transaction: &mut Transaction,
    ) -> Result<Room, Reply> {
        let (gateway, told) = (&self.gateway, (&mut transaction.known, &mut transaction.opinions));
        let asked = quota::ask(&*gateway.store, &self.policies, facts, wanted, told).await;
        asked.map_err(|error| trouble(&error))
    }
}
