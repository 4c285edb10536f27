//! `dns`: look-ups by grant, a bounded number in each call.

use crate::dns::{self, Answer};
use crate::policy::bindings::postern::policy::dns::Host;
use crate::policy::guest::Guest;
use crate::policy::manifest::RecordType;
use std::net::IpAddr;
use wasmtime::Result;

/// What the contract gives: what was found, or an error that the guest reads.
type Told = std::result::Result<Vec<String>, String>;

impl Guest {
    /// The name as it is asked for, if it may be.
    fn granted(&mut self, kind: RecordType, name: &str) -> Result<std::result::Result<String, String>> {
        self.budget.call()?;
        let Some(grant) = &self.call.dns else {
            return Ok(Err(super::refused::NOT_GRANTED.to_owned()));
        };
        let name = match dns::asked_for(name) {
            Ok(name) => name,
            Err(failure) => return Ok(Err(failure.to_string())),
        };
        if let Err(told) = grant.allows(kind, &name) {
            return Ok(Err(told));
        }
        if !self.budget.lookup() {
            return Ok(Err("more look-ups than limits.dns lets one call have".to_owned()));
        }
        Ok(Ok(name))
    }

    fn found(&mut self, answer: Answer) -> Result<Told> {
        match answer {
            Ok(found) => {
                self.budget.read(found.iter().map(String::len).sum())?;
                Ok(Ok(found))
            }
            Err(failure) => {
                tracing::debug!(policy = %self.call.policy, %failure, "dns");
                Ok(Err(failure.to_string()))
            }
        }
    }
}

/// Leaves a function with the error that the contract has for it.
macro_rules! or_tell {
    ($answer:expr) => {
        match $answer {
            Ok(value) => value,
            Err(told) => return Ok(Err(told)),
        }
    };
}

impl Host for Guest {
    async fn addresses(&mut self, name: String) -> Result<Told> {
        let name = or_tell!(self.granted(RecordType::A, &name)?);
        let answer = self.call.resolver.addresses(&name).await;
        self.found(answer)
    }

    async fn txt(&mut self, name: String) -> Result<Told> {
        let name = or_tell!(self.granted(RecordType::Txt, &name)?);
        let answer = self.call.resolver.txt(&name).await;
        self.found(answer)
    }

    async fn mx(&mut self, name: String) -> Result<Told> {
        let name = or_tell!(self.granted(RecordType::Mx, &name)?);
        let answer = self.call.resolver.mx(&name).await;
        self.found(answer)
    }

    async fn names(&mut self, address: String) -> Result<Told> {
        let Ok(ip) = address.parse::<IpAddr>() else {
            self.budget.call()?;
            return Ok(Err(format!("`{address}` is no address")));
        };
        let ip = ip.to_canonical();
        or_tell!(self.granted(RecordType::Ptr, &dns::reverse_name(ip))?);
        let answer = self.call.resolver.names(ip).await;
        self.found(answer)
    }
}
