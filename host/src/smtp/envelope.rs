//! One transaction: the sender, the recipients and where each of them leads, and what policies have said
//! so far. Edits of connection and sender wait here for the message.

use super::outcome::Fate;
use crate::message::{Draft, MessageId};
use crate::policy::{Edit, Facts, Opinion, Verdict};
use crate::quota::Known;
use crate::routing::Routes;
use crate::senders::Spf;
use crate::store::Mailbox;
use postern_proto::Address;
use postern_proto::smtp::{Mail, Reply};
use std::sync::Arc;
use std::time::Instant;

/// What stages before the message decided for all that follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Deliver,
    Quarantine(String),
    /// Accepted and dropped, without further questions.
    Discard,
}

impl Standing {
    /// Adds a verdict; the refusal, if it is one.
    pub(super) fn take(&mut self, verdict: Verdict) -> Result<(), Reply> {
        match verdict {
            Verdict::Accept => {}
            Verdict::Reject(reply) | Verdict::Defer(reply) => return Err(reply),
            Verdict::Discard => *self = Self::Discard,
            Verdict::Quarantine(reason) => match self {
                Self::Deliver => *self = Self::Quarantine(reason),
                Self::Quarantine(reasons) => *reasons = format!("{reasons}; {reason}"),
                Self::Discard => {}
            },
        }
        Ok(())
    }

    /// The stricter of both.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        match other {
            Self::Deliver => {}
            Self::Quarantine(reason) => {
                let _ = self.take(Verdict::Quarantine(reason.clone()));
            }
            Self::Discard => self = Self::Discard,
        }
        self
    }
}

/// A recipient that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipient {
    /// As the client named it, or as a policy redirected it at RCPT.
    pub(super) address: Address,
    pub(super) standing: Standing,
    /// Where it leads; none if a policy dropped it.
    pub(super) mailboxes: Vec<Mailbox>,
}

/// Whether a policy put another address in a recipient's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redirected {
    No,
    Yes,
}

impl Recipient {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            standing: Standing::Deliver,
            mailboxes: Vec::new(),
        }
    }

    /// Makes the edits of RCPT that concern this recipient; the others wait for the message. The error is
    /// a refusal of this recipient.
    pub(super) fn edit(&mut self, edits: Vec<Edit>) -> Result<(Vec<Edit>, Redirected), Reply> {
        let named = self.address.key();
        let is_named = |address: &str| Address::parse(address).is_ok_and(|address| address.key() == named);
        let mut later = Vec::new();
        let mut redirected = Redirected::No;
        for edit in edits {
            match edit {
                Edit::Redirect(to) => {
                    self.address = Address::parse(&to).map_err(|_| Reply::policy_deferred())?;
                    redirected = Redirected::Yes;
                }
                Edit::RemoveRecipient(address) if is_named(&address) => self.standing = Standing::Discard,
                Edit::RecipientVerdict { recipient, verdict } if is_named(&recipient) => {
                    self.standing.take(verdict)?;
                }
                other => later.push(other),
            }
        }
        Ok((later, redirected))
    }
}

/// Where the content goes while it comes.
#[derive(Debug, Default)]
pub(super) enum Content {
    /// None has come yet.
    #[default]
    Awaited,
    Coming(Draft),
    /// It is read to its end and dropped; this is the final reply.
    Refused(Reply),
    /// It is read to its end and dropped, as a policy wants.
    Discarded {
        size: u64,
    },
}

/// From MAIL to the final reply or RSET.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: MessageId,
    pub(super) mail: Mail,
    pub(super) standing: Standing,
    /// Of all stages so far, in order; those that concern one recipient at RCPT are made already.
    edits: Vec<Edit>,
    recipients: Vec<Recipient>,
    /// What policies are told: they see the recipients accepted so far and the tags of these edits.
    pub(super) facts: Arc<Facts>,
    /// None where the sender is not looked at.
    pub(super) spf: Option<Spf>,
    pub(super) routes: Routes,
    pub(super) known: Known,
    pub(super) opinions: Vec<Opinion>,
    pub(super) content: Content,
    /// When content began to come.
    pub(super) begun: Instant,
}

impl Transaction {
    /// Begins with what was decided at connect.
    pub(super) fn new(
        id: MessageId,
        mail: Mail,
        (standing, edits): (Standing, Vec<Edit>),
        session: Facts,
    ) -> Self {
        let sender = mail.sender.as_ref();
        let facts = Facts {
            queue_id: id.to_string(),
            mail_from: sender.map(Address::to_string).unwrap_or_default(),
            tags: tags(&edits).collect(),
            ..session
        };
        Self {
            id,
            mail,
            standing,
            edits,
            recipients: Vec::new(),
            facts: Arc::new(facts),
            spf: None,
            routes: Routes::default(),
            known: Known::default(),
            opinions: Vec::new(),
            content: Content::Awaited,
            begun: Instant::now(),
        }
    }

    pub(super) fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// Adds what a stage changes.
    pub(super) fn edit(&mut self, edits: Vec<Edit>) {
        if tags(&edits).next().is_some() {
            Arc::make_mut(&mut self.facts).tags.extend(tags(&edits));
        }
        self.edits.extend(edits);
    }

    pub(super) fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    pub(super) fn accept(&mut self, recipient: Recipient) {
        Arc::make_mut(&mut self.facts)
            .rcpt_to
            .push(recipient.address.to_string());
        self.recipients.push(recipient);
    }

    /// The only recipient that was accepted.
    pub(super) fn only(&self) -> Option<&Address> {
        match self.recipients.as_slice() {
            [only] => Some(&only.address),
            _ => None,
        }
    }
}

/// The address of the only one who gets the message, after edits.
pub(super) fn only(shares: &[Share]) -> Option<&Address> {
    match shares {
        [only] => Some(&only.address),
        _ => None,
    }
}

/// The labels among edits.
fn tags(edits: &[Edit]) -> impl Iterator<Item = String> {
    edits.iter().filter_map(|edit| match edit {
        Edit::Tag(name) => Some(name.clone()),
        _ => None,
    })
}

/// One recipient at the dot: those named by the client, and those that edits put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) address: Address,
    /// The accepted RCPTs (by their place) for which its end answers; none for one that a policy added.
    pub(super) answers_for: Vec<usize>,
    pub(super) standing: Standing,
    /// What a policy said about this recipient alone.
    pub(super) refusal: Option<Reply>,
    /// None: put in by an edit and not routed yet.
    pub(super) mailboxes: Option<Vec<Mailbox>>,
}

impl Share {
    /// What becomes of it, unless its mailboxes have a say.
    pub(super) fn fate(&self) -> Option<Fate> {
        match (&self.standing, &self.refusal) {
            (Standing::Discard, _) => Some(Fate::Discard),
            (_, Some(reply)) => Some(Fate::Refuse(reply.clone())),
            (Standing::Quarantine(reason), None) => Some(Fate::Quarantine(reason.clone())),
            (Standing::Deliver, None) => None,
        }
    }
}

/// The recipients after all edits, in the order of both.
pub(super) fn shares(recipients: &[Recipient], whole: &Standing, edits: &[Edit]) -> Vec<Share> {
    let named = recipients.iter().enumerate().map(|(place, recipient)| Share {
        address: recipient.address.clone(),
        answers_for: vec![place],
        standing: recipient.standing.clone().and(whole),
        refusal: None,
        mailboxes: Some(recipient.mailboxes.clone()),
    });
    let mut shares: Vec<Share> = named.collect();
    for edit in edits {
        match edit {
            Edit::AddRecipient(address) => shares.extend(put_in(address, Vec::new(), whole)),
            Edit::RemoveRecipient(address) => shares.retain(|share| !is(share, address)),
            Edit::Redirect(address) => {
                let all = (0..recipients.len()).collect();
                shares = put_in(address, all, whole).into_iter().collect();
            }
            Edit::RecipientVerdict { recipient, verdict } => {
                let theirs = shares.iter_mut().filter(|share| is(share, recipient));
                theirs.for_each(|share| judge(share, verdict));
            }
            Edit::AddHeader { .. } | Edit::InsertHeader { .. } | Edit::RemoveHeader { .. } | Edit::Tag(_) => {
            }
        }
    }
    shares
}

fn put_in(address: &str, answers_for: Vec<usize>, whole: &Standing) -> Option<Share> {
    // The policy host lets no edit through that names what is no address.
    let address = Address::parse(address).ok()?;
    Some(Share {
        address,
        answers_for,
        standing: whole.clone(),
        refusal: None,
        mailboxes: None,
    })
}

fn is(share: &Share, address: &str) -> bool {
    Address::parse(address).is_ok_and(|address| address.key() == share.address.key())
}

/// The first refusal or discard of a recipient ends it, as in every fold of verdicts.
fn judge(share: &mut Share, verdict: &Verdict) {
    if share.refusal.is_none() {
        share.refusal = share.standing.take(verdict.clone()).err();
    }
}

#[cfg(test)]
mod tests;
