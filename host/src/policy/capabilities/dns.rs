//! `dns`: look-ups by grant, a bounded number in each call.

use crate::dns::{self, Answer, Failure, Lookup};
use crate::policy::bindings::postern::policy::dns::Host;
use crate::policy::guest::Guest;
use crate::policy::manifest::RecordType;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use wasmtime::Result;

/// What the contract gives: what was found, or an error that the guest reads.
type Told = std::result::Result<Vec<String>, String>;

impl Guest {
    /// The name as it is asked for, if it may be.
    fn granted(&mut self, kind: RecordType, name: &str) -> Result<std::result::Result<String, String>> {
        self.budget.call()?;
        let Some(grant) = &self.call.dns else {
            return Ok(Err(super::NOT_GRANTED.to_owned()));
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

    /// Who is asked, and how long: half of what the call may wait. A server that is silent costs one answer, and the
    /// policy can ask others and say what it makes of it.
    fn asked(&self) -> (Arc<dyn Lookup>, Duration) {
        let resolver = &self.call.resolver;
        let beside = match self.call.run.is_beside() {
            true => resolver.beside(),
            false => None,
        };
        let resolver = beside.unwrap_or_else(|| Arc::clone(resolver));
        (resolver, self.for_waiting() / 2)
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

async fn within(limit: Duration, answer: impl Future<Output = Answer>) -> Answer {
    let late = |_| Err(Failure(format!("no answer within {} ms", limit.as_millis())));
    timeout(limit, answer).await.unwrap_or_else(late)
}

impl Host for Guest {
    async fn addresses(&mut self, name: String) -> Result<Told> {
        let name = or_tell!(self.granted(RecordType::A, &name)?);
        let (resolver, limit) = self.asked();
        let answer = within(limit, resolver.addresses(&name)).await;
        self.found(answer)
    }

    async fn txt(&mut self, name: String) -> Result<Told> {
        let name = or_tell!(self.granted(RecordType::Txt, &name)?);
        let (resolver, limit) = self.asked();
        let answer = within(limit, resolver.txt(&name)).await;
        self.found(answer)
    }

    async fn mx(&mut self, name: String) -> Result<Told> {
        let name = or_tell!(self.granted(RecordType::Mx, &name)?);
        let (resolver, limit) = self.asked();
        let answer = within(limit, resolver.mx(&name)).await;
        self.found(answer)
    }

    async fn names(&mut self, address: String) -> Result<Told> {
        let Ok(ip) = address.parse::<IpAddr>() else {
            self.budget.call()?;
            return Ok(Err(format!("`{address}` is no address")));
        };
        let ip = ip.to_canonical();
        or_tell!(self.granted(RecordType::Ptr, &dns::reverse_name(ip))?);
        let (resolver, limit) = self.asked();
        let answer = within(limit, resolver.names(ip)).await;
        self.found(answer)
    }
}
