//! The client's name: what its address is called, where that name has the address (`iprev`, RFC 8601 §3).

use super::{LATE, Outcome, Senders, count, hit, is_plain};
use crate::dns::{Failure, Lookup as _};
use std::net::IpAddr;
use tokio::time::timeout;

/// Names of one address that are tried; most have one.
const NAMES: usize = 5;

/// What DNS calls a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName {
    /// Where name and address agree; else empty.
    pub name: String,
    pub(super) address: IpAddr,
    pub(super) outcome: Outcome,
}

impl Senders {
    /// Ends within `sender_auth.client_name`.
    pub async fn client_name(&self, client: IpAddr) -> ClientName {
        let address = client.to_canonical();
        let (name, outcome) = match timeout(self.bounds.client_name, self.reverse(address)).await {
            Ok(Ok(found)) => found,
            Ok(Err(failure)) => (None, Outcome::trouble(failure)),
            Err(_) => {
                hit("sender_auth.client_name");
                (None, Outcome::trouble(LATE))
            }
        };
        count("iprev", &outcome);
        ClientName {
            name: name.unwrap_or_default(),
            address,
            outcome,
        }
    }

    async fn reverse(&self, address: IpAddr) -> Result<(Option<String>, Outcome), Failure> {
        let names = self.dns.names(address).await?;
        if names.is_empty() {
            return Ok((None, Outcome::because("permerror", "the address has no name")));
        }
        let text = address.to_string();
        let mut failure = None;
        for name in names.into_iter().filter(|name| is_plain(name)).take(NAMES) {
            match self.dns.addresses(&name).await {
                Ok(addresses) if addresses.contains(&text) => return Ok((Some(name), Outcome::of("pass"))),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok((None, Outcome::because("fail", "no name of the address has it"))),
        }
    }
}
