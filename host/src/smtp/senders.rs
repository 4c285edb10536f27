//! Where senders are looked at: the client at connect, the envelope at MAIL, the message at its end.

use super::answer::Answers;
use super::envelope::Transaction;
use crate::message::Message;
use crate::senders::{Envelope, field, without_claims};
use postern_proto::smtp::{self, Reply, Role};
use std::net::IpAddr;
use std::sync::Arc;

impl Answers {
    /// Whether nobody here vouches for the client.
    fn is_stranger(&self, session: &smtp::Facts) -> bool {
        self.client.role == Role::Mx
            && session.user.is_none()
            && self.gateway.senders.looks_at(self.address())
    }

    fn address(&self) -> IpAddr {
        self.client.address.ip()
    }

    /// Looks up the name of the client.
    pub(super) async fn look_up_client(&mut self, session: &smtp::Facts) {
        if self.is_stranger(session) {
            self.name = Some(self.gateway.senders.client_name(self.address()).await);
        }
    }

    /// The name that DNS has for the client; empty where it is not known.
    pub(super) fn client_name(&self) -> &str {
        self.name.as_ref().map_or("", |found| found.name.as_str())
    }

    /// Checks the return path. Who wants more checks than one session has is to come again in another.
    pub(super) async fn check_envelope(
        &mut self,
        session: &smtp::Facts,
        transaction: &mut Transaction,
    ) -> Result<(), Reply> {
        if !self.is_stranger(session) {
            return Ok(());
        }
        let envelope = Envelope {
            client: self.address(),
            helo: &session.helo,
            sender: transaction.mail.sender.as_ref(),
        };
        let spf = self.gateway.senders.spf_once(envelope, &mut self.checked).await;
        let spf = spf.ok_or_else(Reply::too_many_senders)?;
        Arc::make_mut(&mut transaction.facts).auth = spf.facts();
        transaction.spf = Some(spf);
        Ok(())
    }

    /// Checks the message, and takes out what others claim to be our results. The field with ours, to be written
    /// before the message; empty where nothing was checked.
    pub(super) async fn check_message(
        &self,
        transaction: &mut Transaction,
        message: Message,
    ) -> (Message, String) {
        let (senders, hostname) = (&self.gateway.senders, &self.gateway.config.hostname);
        let mut results = String::new();
        if let (Some(name), Some(spf)) = (&self.name, &transaction.spf) {
            let verified = senders.verify(&message.content().head, &message, spf).await;
            results = field(hostname, name, spf, &verified);
            Arc::make_mut(&mut transaction.facts).auth = verified.facts(spf);
        }
        let believed = match self.client.role {
            Role::Mx => senders.is_ours(self.address()),
            Role::Lmtp => true,
            Role::Submission => false,
        };
        if believed {
            return (message, results);
        }
        let head = without_claims(&message.content().head, hostname);
        (message.with_head(head), results)
    }
}
