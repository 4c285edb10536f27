//! `auth`: what the host found of the sender, empty where it has not looked.

use crate::policy::AuthFacts;
use crate::policy::bindings::postern::policy::auth::Host;
use crate::policy::bindings::postern::policy::types::Signature;
use crate::policy::guest::Guest;
use wasmtime::Result;

impl Guest {
    fn of_sender<T>(&mut self, fact: impl Fn(&AuthFacts) -> T) -> Result<T> {
        self.budget.call()?;
        Ok(fact(&self.call.facts.auth))
    }
}

impl Host for Guest {
    fn spf(&mut self) -> Result<String> {
        self.of_sender(|auth| auth.spf.clone())
    }

    fn spf_domain(&mut self) -> Result<String> {
        self.of_sender(|auth| auth.spf_domain.clone())
    }

    fn dkim(&mut self) -> Result<Vec<Signature>> {
        self.of_sender(|auth| {
            let signatures = auth.dkim.iter().map(|signature| Signature {
                status: signature.status.clone(),
                domain: signature.domain.clone(),
                selector: signature.selector.clone(),
            });
            signatures.collect()
        })
    }

    fn dmarc(&mut self) -> Result<String> {
        self.of_sender(|auth| auth.dmarc.clone())
    }

    fn dmarc_policy(&mut self) -> Result<String> {
        self.of_sender(|auth| auth.dmarc_policy.clone())
    }

    fn arc(&mut self) -> Result<String> {
        self.of_sender(|auth| auth.arc.clone())
    }
}
