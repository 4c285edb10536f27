//! Writes what was decided, and turns what became of it into replies.
//!
//! In SMTP one reply speaks for all recipients, in LMTP each accepted RCPT has its own (RFC 2033 §4.2);
//! the [table](super::outcome) folds the fates behind a reply. 250 is said only after the store has answered
//! that all is durable. A full quarantine refuses (452) what would enter it and nothing else.
//!
//! A mailbox may fill up between the question about its quota and the commit. Where one reply speaks for it and
//! for another that has the message by then (LMTP, a group), 452 would bring that one a duplicate: the copy that
//! had no room is kept in quarantine, and the reply is 250.

use super::answer::{Answers, trouble};
use super::envelope::{Share, Transaction};
use super::outcome::{Copy, Fate, Settled, keep, settle};
use super::{explain, facts, record};
use crate::explain::Explanation;
use crate::message::downgrade::downgraded_len;
use crate::message::{Message, trace};
use crate::quota;
use crate::store::{
    Atomicity, Ceiling, Content, Delivered, Delivery, Mailbox, NewEntry, NewQuarantined, StoreError,
};
use bytes::Bytes;
use postern_proto::smtp::{Answer, Reply, Role};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// One mailbox that a message is meant for.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) mailbox: Mailbox,
    /// The accepted RCPTs whose reply it has a part in.
    answers_for: Vec<usize>,
    pub(super) fate: Fate,
    pub(super) warning: Option<String>,
    trace: Bytes,
    /// With its own trace.
    pub(super) size: u64,
    downgraded_size: u64,
}

impl Target {
    pub(super) fn new(
        share: &Share,
        mailbox: Mailbox,
        (transaction, received): (&Transaction, &str),
        written: &Written,
    ) -> Self {
        let sender = transaction.mail.sender.as_ref();
        let trace = format!(
            "{}{}{received}",
            trace::return_path(sender),
            trace::delivered_to(&mailbox)
        );
        let undecided = if written.before.has(&mailbox) {
            Fate::Refuse(Reply::mail_loop())
        } else {
            Fate::Deliver(Ceiling::default())
        };
        Self {
            fate: share.fate().unwrap_or(undecided),
            answers_for: share.answers_for.clone(),
            warning: None,
            downgraded_size: downgraded_len(trace.as_bytes()) + written.downgraded_size,
            size: trace.len() as u64 + written.content.size(),
            trace: trace.into(),
            mailbox,
        }
    }
}

/// The content as it is written: edits made, this hop's trace not in it. Its head is looked at once,
/// however many targets there are.
#[derive(Debug)]
pub(super) struct Written {
    content: Content,
    /// Octets after the downgrade of RFC 6858.
    downgraded_size: u64,
    before: trace::Before,
}

impl Written {
    pub(super) fn new(content: Content) -> Self {
        Self {
            downgraded_size: content.size() - content.head.len() as u64 + downgraded_len(&content.head),
            before: trace::Before::of(&content.head),
            content,
        }
    }
}

/// A message and all it is meant for.
#[derive(Debug)]
pub(super) struct Consignment {
    pub(super) message: Arc<Message>,
    pub(super) written: Written,
    pub(super) facts: Bytes,
    pub(super) targets: Vec<Target>,
    /// How many RCPTs were accepted.
    pub(super) recipients: usize,
}

/// One reply and the targets it speaks for, by their place.
#[derive(Debug)]
struct Group {
    targets: Vec<usize>,
    settled: Settled,
}

impl Consignment {
    fn groups(&self, role: Role) -> Vec<Group> {
        let places = |speaks: &dyn Fn(&Target) -> bool| {
            let targets = self.targets.iter().enumerate();
            targets
                .filter(|(_, target)| speaks(target))
                .map(|(place, _)| place)
                .collect::<Vec<_>>()
        };
        let spoken_for = match role {
            Role::Lmtp => (0..self.recipients)
                .map(|rcpt| places(&|target| target.answers_for.contains(&rcpt)))
                .collect(),
            Role::Mx | Role::Submission => vec![places(&|target| !target.is_added())],
        };
        let group = |targets: Vec<usize>| {
            let fates: Vec<Fate> = self.at(&targets).map(|target| target.fate.clone()).collect();
            Group {
                settled: settle(&fates),
                targets,
            }
        };
        spoken_for.into_iter().map(group).collect()
    }

    fn at<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = &'a Target> {
        places.iter().filter_map(|place| self.targets.get(*place))
    }

    /// What is to be written for each target: nothing unless a reply says 250.
    fn copies(&self, groups: &[Group]) -> Vec<Copy> {
        let mut copies = vec![Copy::Nothing; self.targets.len()];
        let taken = groups.iter().filter_map(|group| match &group.settled {
            Settled::Taken(copies) => Some((&group.targets, copies)),
            Settled::Refused(_) => None,
        });
        let mut any = false;
        for (places, theirs) in taken {
            any = true;
            for (place, copy) in places.iter().zip(theirs) {
                if let Some(slot) = copies.get_mut(*place) {
                    *slot = copy.clone();
                }
            }
        }
        let added = self
            .targets
            .iter()
            .zip(&mut copies)
            .filter(|(target, _)| target.is_added());
        for (target, slot) in added.filter(|_| any) {
            *slot = keep(std::slice::from_ref(&target.fate))
                .pop()
                .unwrap_or(Copy::Nothing);
        }
        copies
    }

    /// Whether some that a reply speaks for have the message, and others had no room for it.
    fn is_shared(&self, group: &Group, full: &HashSet<Mailbox>) -> bool {
        let Settled::Taken(copies) = &group.settled else {
            return false;
        };
        let written = || self.at(&group.targets).zip(copies);
        let has = |(target, copy): (&Target, &Copy)| match copy {
            Copy::Deliver(_) => !full.contains(&target.mailbox),
            Copy::Quarantine(_) => true,
            Copy::Nothing => false,
        };
        self.at(&group.targets)
            .any(|target| full.contains(&target.mailbox))
            && written().any(has)
    }

    /// The mailboxes that had no room, and whose copy no 4yz would bring again: beside others of their group that
    /// have the message, and those that only a policy named, for whom no reply speaks.
    fn late(&self, groups: &[Group], full: &HashSet<Mailbox>) -> HashSet<Mailbox> {
        let shared = groups.iter().filter(|group| self.is_shared(group, full));
        let added = self.targets.iter().filter(|target| target.is_added());
        shared
            .flat_map(|group| self.at(&group.targets))
            .chain(added)
            .filter(|target| full.contains(&target.mailbox))
            .map(|target| Arc::clone(&target.mailbox))
            .collect()
    }

    /// Whether a reply speaks for each of these mailboxes.
    fn speaks_for_all(&self, mailboxes: &HashSet<Mailbox>) -> bool {
        let added = |target: &Target| target.is_added() && mailboxes.contains(&target.mailbox);
        !self.targets.iter().any(added)
    }

    /// What becomes of each copy, on one line; of a recipient who has none too.
    fn outcomes(&self, transaction: &Transaction, groups: &[Group]) -> Vec<String> {
        let mut refused = HashMap::new();
        for group in groups {
            if let Settled::Refused(reply) = &group.settled {
                for place in &group.targets {
                    refused.entry(*place).or_insert(reply);
                }
            }
        }
        let copies = self.copies(groups);
        let targets = self.targets.iter().zip(&copies).enumerate();
        let told = targets.map(|(place, (target, copy))| {
            let refused = refused.get(&place).copied();
            explain::outcome(&target.mailbox, (&target.fate, copy), refused)
        });
        let answered: HashSet<&usize> = self
            .targets
            .iter()
            .flat_map(|target| &target.answers_for)
            .collect();
        let recipients = transaction.recipients().iter().enumerate();
        let dropped = recipients.filter(|(place, _)| !answered.contains(place));
        told.chain(dropped.map(|(_, recipient)| explain::discarded(&recipient.address.to_string())))
            .collect()
    }

    fn delivery(&self, transaction: &Transaction, copies: &[Copy], atomicity: Atomicity) -> Delivery {
        let mut delivered = HashSet::new();
        let mut held = HashSet::new();
        let mut entries = Vec::new();
        let mut quarantine = Vec::new();
        for (target, copy) in self.targets.iter().zip(copies) {
            match copy {
                Copy::Nothing => {}
                Copy::Deliver(ceiling) => {
                    if delivered.insert(&target.mailbox) {
                        entries.push(target.entry(*ceiling));
                    }
                }
                Copy::Quarantine(reason) => {
                    if held.insert((&target.mailbox, reason)) {
                        quarantine.push(target.held(reason));
                    }
                }
            }
        }
        Delivery {
            id: transaction.id,
            content: self.written.content.clone(),
            facts: self.facts.clone(),
            entries,
            quarantine,
            atomicity,
        }
    }
}

impl Target {
    /// Put in by a policy; no reply speaks for it.
    fn is_added(&self) -> bool {
        self.answers_for.is_empty()
    }

    fn entry(&self, ceiling: Ceiling) -> NewEntry {
        NewEntry {
            mailbox: Arc::clone(&self.mailbox),
            trace: self.trace.clone(),
            size: self.size,
            downgraded_size: self.downgraded_size,
            ceiling,
            uidl: None,
        }
    }

    /// A copy of its own for each mailbox: whoever gets it at last sees no other address in its trace.
    fn held(&self, reason: &str) -> NewQuarantined {
        NewQuarantined {
            mailboxes: vec![Arc::clone(&self.mailbox)],
            reason: reason.to_owned(),
            trace: self.trace.clone(),
        }
    }
}

impl Answers {
    /// Writes, and answers the end of content.
    pub(super) async fn consign(&self, transaction: &Transaction, mut consignment: Consignment) -> Answer {
        let mut groups = consignment.groups(self.client.role);
        let mut explained = self.explained(transaction, &consignment, &groups);
        consignment.facts = facts::kept(&transaction.facts, explained.as_ref());
        let written = match self.write(transaction, &consignment, &groups).await {
            Err(StoreError::Bound(_)) => {
                refuse_quarantine(&consignment, &mut groups);
                explained = self.explained(transaction, &consignment, &groups);
                consignment.facts = facts::kept(&transaction.facts, explained.as_ref());
                self.write(transaction, &consignment, &groups).await
            }
            written => written,
        };
        let full = match written {
            Ok(full) => full,
            Err(error) => return Answer::Reply(trouble(&error)),
        };
        let late = match self.client.role {
            Role::Lmtp => consignment.late(&groups, &full),
            Role::Mx | Role::Submission => HashSet::new(),
        };
        let mut lacking = full.clone();
        match self.keep_late(transaction, &consignment, &groups, &late).await {
            Ok(()) => lacking.retain(|mailbox| !late.contains(mailbox)),
            Err(error) if consignment.speaks_for_all(&late) => {
                tracing::warn!(id = %transaction.id, %error, "a client is told to try again what one of a group has already");
            }
            Err(error) => return Answer::Reply(trouble(&error)),
        }
        refuse_full(&consignment, (self.client.role, &lacking), &mut groups);
        let replies: Vec<Reply> = groups
            .iter()
            .map(|group| self.reply(transaction, group))
            .collect();
        self.warn_owners(&consignment, &groups, &full);
        let is_kept = consignment
            .copies(&groups)
            .iter()
            .any(|copy| *copy != Copy::Nothing);
        let is_taken = replies.iter().any(Reply::is_positive);
        if is_kept {
            self.keep_beyond(transaction, explained).await;
        } else if is_taken {
            let outcomes = consignment.outcomes(transaction, &groups);
            self.explain_unkept(transaction, &Answer::Each(replies.clone()), outcomes);
        }
        if self.client.role == Role::Lmtp && is_taken {
            self.explain_refusals(transaction, &consignment, (&groups, &replies));
        }
        match (self.client.role, replies.as_slice()) {
            (Role::Mx | Role::Submission, [one]) => Answer::Reply(one.clone()),
            _ => Answer::Each(replies),
        }
    }

    /// What is told of it when it is read where it is kept: what each reply says once all is written.
    fn explained(
        &self,
        transaction: &Transaction,
        consignment: &Consignment,
        groups: &[Group],
    ) -> Option<Explanation> {
        if !self.gateway.attempts.is_on() {
            return None;
        }
        let outcomes = consignment.outcomes(transaction, groups);
        let replies: Vec<Reply> = groups
            .iter()
            .map(|group| self.reply(transaction, group))
            .collect();
        Some(self.explanation(transaction, outcomes, &replies))
    }

    /// In LMTP each recipient has a group, in the order of their RCPTs.
    fn explain_refusals(
        &self,
        transaction: &Transaction,
        consignment: &Consignment,
        (groups, replies): (&[Group], &[Reply]),
    ) {
        let each = transaction.recipients().iter().zip(groups).zip(replies);
        for ((recipient, group), reply) in each.filter(|(_, reply)| !reply.is_positive()) {
            let mailboxes: Vec<&str> = consignment
                .at(&group.targets)
                .map(|target| &*target.mailbox)
                .collect();
            self.explain_refused(transaction, (&recipient.address.to_string(), &mailboxes), reply);
        }
    }

    fn reply(&self, transaction: &Transaction, group: &Group) -> Reply {
        match &group.settled {
            Settled::Refused(reply) => reply.clone(),
            Settled::Taken(_) => self.delivered(transaction),
        }
    }

    /// One step of the store; the mailboxes that had no room after all.
    async fn write(
        &self,
        transaction: &Transaction,
        consignment: &Consignment,
        groups: &[Group],
    ) -> Result<HashSet<Mailbox>, StoreError> {
        let copies = consignment.copies(groups);
        let atomicity = match self.client.role {
            Role::Lmtp => Atomicity::Each,
            Role::Mx | Role::Submission => Atomicity::All,
        };
        let delivery = consignment.delivery(transaction, &copies, atomicity);
        if delivery.entries.is_empty() && delivery.quarantine.is_empty() {
            return Ok(HashSet::new());
        }
        let held = delivery.quarantine.clone();
        let mailboxes: Vec<Mailbox> = delivery
            .entries
            .iter()
            .map(|entry| Arc::clone(&entry.mailbox))
            .collect();
        consignment.message.committed();
        let begun = Instant::now();
        let delivered = self.gateway.store.deliver(delivery).await;
        self.gateway.stages.store.record(begun.elapsed());
        if delivered.is_err() {
            consignment.message.refused();
        }
        let outcomes = mailboxes.into_iter().zip(delivered?);
        let full = outcomes.filter(|(_, outcome)| *outcome != Delivered::Kept);
        let full: HashSet<Mailbox> = full.map(|(mailbox, _)| mailbox).collect();
        if full.is_empty() || atomicity == Atomicity::Each {
            record::held(transaction, &held);
        }
        Ok(full)
    }

    /// Keeps in quarantine, durably, what had no room. The step before is named again whole, so that copies keep
    /// their ids; what is there already stays as it is.
    async fn keep_late(
        &self,
        transaction: &Transaction,
        consignment: &Consignment,
        groups: &[Group],
        late: &HashSet<Mailbox>,
    ) -> Result<(), StoreError> {
        if late.is_empty() {
            return Ok(());
        }
        let copies = consignment.copies(groups);
        let mut delivery = consignment.delivery(transaction, &copies, Atomicity::Each);
        delivery.entries.clear();
        let before = delivery.quarantine.len();
        let reply = Reply::mailbox_full();
        let reason = format!("refused: {} {}", reply.code(), reply.text());
        let mut late = late.clone();
        let targets = consignment.targets.iter();
        let targets = targets.filter(|target| late.remove(&target.mailbox));
        delivery
            .quarantine
            .extend(targets.map(|target| target.held(&reason)));
        let held = delivery.quarantine.split_at(before).1.to_vec();
        self.gateway.store.deliver(delivery).await?;
        record::held(transaction, &held);
        Ok(())
    }

    /// Owners of mailboxes that are filling up are told once the mail is theirs.
    fn warn_owners(&self, consignment: &Consignment, groups: &[Group], full: &HashSet<Mailbox>) {
        for (target, copy) in consignment.targets.iter().zip(consignment.copies(groups)) {
            let (Some(text), Copy::Deliver(ceiling)) = (target.warning.clone(), copy) else {
                continue;
            };
            if full.contains(&target.mailbox) {
                continue;
            }
            let (gateway, mailbox) = (Arc::clone(&self.gateway), Arc::clone(&target.mailbox));
            tokio::spawn(async move { quota::warn(&gateway, &mailbox, &text, ceiling).await });
        }
    }
}

/// Mailboxes that turned out to be full in the commit: with one reply for all, nothing was written for
/// anybody, even where the full one is none that the client named.
fn refuse_full(consignment: &Consignment, (role, full): (Role, &HashSet<Mailbox>), groups: &mut [Group]) {
    for group in groups.iter_mut() {
        let affected = match role {
            Role::Mx | Role::Submission => !full.is_empty(),
            Role::Lmtp => consignment
                .at(&group.targets)
                .any(|target| full.contains(&target.mailbox)),
        };
        if affected && matches!(group.settled, Settled::Taken(_)) {
            group.settled = Settled::Refused(Reply::mailbox_full());
        }
    }
}

/// What would enter a full quarantine is refused for now; the rest goes on.
fn refuse_quarantine(consignment: &Consignment, groups: &mut [Group]) {
    let copies = consignment.copies(groups);
    let enters = |place: &usize| matches!(copies.get(*place), Some(Copy::Quarantine(_)));
    let added = consignment.targets.iter().zip(&copies);
    let all = added
        .into_iter()
        .any(|(target, copy)| target.is_added() && matches!(copy, Copy::Quarantine(_)));
    for group in groups.iter_mut() {
        let taken = matches!(group.settled, Settled::Taken(_));
        if taken && (all || group.targets.iter().any(enters)) {
            group.settled = Settled::Refused(Reply::quarantine_full());
        }
    }
}
