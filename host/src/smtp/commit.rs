//! Answers the end of content: is the message fit to be kept, what do policies say, and who gets it?
//!
//! What [`delivery`](super::delivery) then writes is decided here, before anything is written: loops, senders
//! that are not the client's, verdicts, added recipients that lead nowhere, room in every mailbox.

use super::answer::{Answers, trouble};
use super::delivery::{Consignment, Target, Written};
use super::envelope::{Content as Coming, Share, Transaction, only, shares};
use super::outcome::Fate;
use super::{explain, facts, record};
use crate::message::{Draft, Message, edits, head, trace};
use crate::policy::Facts;
use crate::quota::Room;
use crate::store::{Content, Mailbox};
use bytes::Bytes;
use postern_proto::Address;
use postern_proto::smtp::{self, Answer, Reply, Role};
use std::sync::Arc;
use std::time::Instant;

impl Answers {
    pub(super) async fn commit(&mut self, session: &smtp::Facts) -> Answer {
        let Some(mut transaction) = self.transaction.take() else {
            return Answer::Reply(Reply::our_trouble());
        };
        let complete = Instant::now();
        let (size, answer) = match std::mem::take(&mut transaction.content) {
            Coming::Awaited => (0, Answer::Reply(Reply::our_trouble())),
            Coming::Refused(reply) => (0, Answer::Reply(reply)),
            Coming::Discarded { size } => {
                let answer = Answer::Reply(self.delivered(&transaction));
                let outcomes = transaction.facts.rcpt_to.iter();
                let outcomes = outcomes.map(|recipient| explain::discarded(recipient)).collect();
                self.explain_unkept(&transaction, &answer, outcomes);
                (size, answer)
            }
            Coming::Coming(draft) => {
                let size = draft.size();
                let delivered = self.deliver(session, &mut transaction, draft).await;
                (size, delivered.unwrap_or_else(Answer::Reply))
            }
        };
        let told = (&self.client, &self.gateway.stages);
        record::message(told, &transaction, size, complete, &answer);
        if record::outcome(&answer) != "accepted" {
            self.explain_unkept(&transaction, &answer, Vec::new());
        }
        answer
    }

    async fn deliver(
        &self,
        session: &smtp::Facts,
        transaction: &mut Transaction,
        draft: Draft,
    ) -> Result<Answer, Reply> {
        let message = draft.seal().await.map_err(|error| trouble(&error))?;
        self.check(session, &message.content().head).await?;
        let (message, results) = self.check_message(transaction, message).await;
        let mut received = results.clone() + &self.received(session, transaction, transaction.only());
        let message = Arc::new(self.complete(transaction, message).shown_behind(&received));
        let whole = self.judge(transaction, &message).await?;
        if only(&whole) != transaction.only() {
            received = results + &self.received(session, transaction, only(&whole));
        }
        let content = Content {
            head: edits::apply(&message.content().head, transaction.edits()),
            text: message.content().text.clone(),
        };
        let facts = Arc::clone(&transaction.facts);
        let mut consignment = Consignment {
            facts: Bytes::new(),
            message,
            written: Written::new(content),
            targets: Vec::new(),
            recipients: transaction.recipients().len(),
        };
        self.read_ahead(transaction, &whole).await?;
        for share in whole {
            let targets = self
                .targets(&facts, transaction, (&share, &received), &consignment.written)
                .await?;
            consignment.targets.extend(targets);
        }
        Ok(self.consign(transaction, consignment).await)
    }

    /// Reads how full the mailboxes are that were known before the content.
    async fn read_ahead(&self, transaction: &mut Transaction, shares: &[Share]) -> Result<(), Reply> {
        let undecided = shares.iter().filter(|share| share.fate().is_none());
        let mut mailboxes: Vec<Mailbox> = undecided
            .filter_map(|share| share.mailboxes.as_ref())
            .flatten()
            .cloned()
            .collect();
        mailboxes.sort_unstable();
        mailboxes.dedup();
        let (store, policies) = (&*self.gateway.store, &self.policies);
        let read = transaction.known.read(store, policies, mailboxes).await;
        read.map_err(|error| trouble(&error))
    }

    /// What no policy is asked about.
    async fn check(&self, session: &smtp::Facts, head: &[u8]) -> Result<(), Reply> {
        if trace::hops(head) >= self.gateway.config.limits.hops {
            metrics::counter!("postern_limit_hits_total", "limit" => "hops").increment(1);
            return Err(Reply::mail_loop());
        }
        if self.gateway.config.submission.check_from {
            self.owned(session, head::authors(head).iter()).await?;
        }
        Ok(())
    }

    /// RFC 6409 §8: what a client of ours left out is added.
    fn complete(&self, transaction: &Transaction, message: Message) -> Message {
        if self.client.role != Role::Submission {
            return message;
        }
        let (id, hostname) = (transaction.id, &self.gateway.config.hostname);
        let missing = trace::missing_fields(
            &message.content().head,
            id,
            hostname,
            transaction.id.unix_millis() / 1000,
        );
        message.completed(&missing)
    }

    /// This hop's `Received`; `for` only where nobody else can see it (RFC 5321 §7.6).
    fn received(&self, session: &smtp::Facts, transaction: &Transaction, only: Option<&Address>) -> String {
        let hop = trace::Hop {
            id: transaction.id,
            helo: &session.helo,
            client_name: self.client_name(),
            client: self.client.address.ip(),
            hostname: &self.gateway.config.hostname,
            protocol: &facts::with(self.client.role, session, transaction.mail.smtputf8),
            cipher: session.tls.as_ref().map(|tls| tls.cipher.as_str()),
            at: transaction.id.unix_millis() / 1000,
        };
        hop.received(only)
    }

    /// Asks the message filters, and makes their edits of the envelope.
    async fn judge(
        &self,
        transaction: &mut Transaction,
        message: &Arc<Message>,
    ) -> Result<Vec<Share>, Reply> {
        let source = Arc::clone(message) as Arc<dyn crate::policy::MessageSource>;
        let begun = Instant::now();
        let decision = self
            .policies
            .message(&transaction.facts, source, transaction.edits())
            .await;
        self.gateway.stages.message.record(begun.elapsed());
        transaction.opinions.extend(decision.opinions);
        let mut standing = transaction.standing.clone();
        standing.take(decision.verdict)?;
        transaction.edit(decision.edits);
        Ok(shares(transaction.recipients(), &standing, transaction.edits()))
    }

    /// One target for each mailbox behind a share.
    async fn targets(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        (share, received): (&Share, &str),
        written: &Written,
    ) -> Result<Vec<Target>, Reply> {
        let mailboxes = match &share.mailboxes {
            Some(mailboxes) => mailboxes.clone(),
            None => self.added(facts, transaction, &share.address).await?,
        };
        let mut targets = Vec::with_capacity(mailboxes.len());
        for mailbox in mailboxes {
            let mut target = Target::new(share, mailbox, (transaction, received), written);
            if let Fate::Deliver(_) = target.fate {
                self.find_room(facts, transaction, &mut target).await?;
            }
            targets.push(target);
        }
        explain::forget_details(&mut transaction.opinions);
        Ok(targets)
    }

    /// Where an address that a policy put in leads. One that cannot be delivered here is a failed call of
    /// that policy, which defers.
    async fn added(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        address: &Address,
    ) -> Result<Vec<Mailbox>, Reply> {
        let Transaction {
            routes, opinions, id, ..
        } = transaction;
        self.route(facts, address, (routes, opinions)).await.map_err(|reply| {
            tracing::warn!(%id, %address, reason = reply.text(), "a policy names an address that cannot be delivered here");
            Reply::policy_deferred()
        })
    }

    async fn find_room(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        target: &mut Target,
    ) -> Result<(), Reply> {
        let wanted = (&target.mailbox, target.size);
        match self.room(facts, wanted, transaction).await? {
            Room::Granted { ceiling, warning } => {
                target.fate = Fate::Deliver(ceiling);
                target.warning = warning;
            }
            Room::Denied(reply) => target.fate = Fate::Refuse(reply),
        }
        Ok(())
    }

    pub(super) fn delivered(&self, transaction: &Transaction) -> Reply {
        Reply::delivered(&transaction.id.to_string())
    }
}
