//! The connection as logins see it: whether they may be tried on it, and by which mechanisms.

use super::{Exchange, Mechanism, Step};
use crate::smtp::TlsFacts;

/// What both protocols know of their connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel<'a> {
    pub(crate) mechanisms: &'a [Mechanism],
    /// Passwords may be said before TLS.
    pub(crate) plaintext_auth: bool,
    pub(crate) tls: Option<&'a TlsFacts>,
}

impl Channel<'_> {
    pub(crate) fn may_log_in(self) -> bool {
        self.tls.is_some() || self.plaintext_auth
    }

    /// Those that can be used on this connection: no channel binding without a channel.
    pub(crate) fn mechanisms(self) -> Vec<Mechanism> {
        let binding = self.exporter().is_some();
        let offered = self.mechanisms.iter().copied();
        offered
            .filter(|mechanism| self.may_log_in() && (binding || *mechanism != Mechanism::ScramSha256Plus))
            .collect()
    }

    /// Begins an exchange; None by a mechanism that is not offered here.
    pub(crate) fn start(self, mechanism: Mechanism, initial: Option<Vec<u8>>) -> Option<(Exchange, Step)> {
        let offered = self.mechanisms();
        // Binding is only told to the exchange where the client could see -PLUS offered.
        let binding = self
            .exporter()
            .filter(|_| offered.contains(&Mechanism::ScramSha256Plus));
        offered
            .contains(&mechanism)
            .then(|| Exchange::start(mechanism, initial, binding.cloned()))
    }

    fn exporter(&self) -> Option<&Vec<u8>> {
        self.tls.and_then(|tls| tls.exporter.as_ref())
    }
}
