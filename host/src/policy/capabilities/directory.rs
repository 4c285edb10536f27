//! `directory`: the gateway's own domains, accounts and aliases, by grant. Addresses are read as a client's are.

use super::line;
use crate::policy::bindings::postern::policy::directory::Host;
use crate::policy::grants::{Attribute, DirectorySource};
use crate::policy::guest::Guest;
use crate::store;
use postern_proto::Address;
use std::sync::Arc;
use wasmtime::Result;

/// What the contract gives: a value, or an error that the guest reads.
type Answer<T> = std::result::Result<T, String>;

/// Octets of a text of the guest's that is told back to it.
const SHOWN: usize = 200;

impl Guest {
    fn directory(&mut self) -> Result<Answer<Arc<dyn DirectorySource>>> {
        self.budget.call()?;
        let granted = self.call.directory.as_ref().map(Arc::clone);
        Ok(granted.ok_or_else(|| super::NOT_GRANTED.to_owned()))
    }

    /// The store's trouble is logged in its own words and told in few.
    fn known<T>(&mut self, result: store::Result<T>) -> Answer<T> {
        result.map_err(|error| {
            self.store_failed = true;
            tracing::warn!(policy = %self.call.policy, %error, "directory");
            "the directory is out of reach".to_owned()
        })
    }
}

fn parsed(text: &str) -> Answer<Address> {
    Address::parse(text).map_err(|error| format!("`{}` is no address: {error}", line(text, SHOWN)))
}

/// A domain in the form that addresses have.
fn domain(text: &str) -> Answer<String> {
    let address = Address::parse(&format!("postmaster@{text}"));
    let domain = address.map(|address| address.domain().to_owned());
    domain.map_err(|_| format!("`{}` is no domain", line(text, SHOWN)))
}

impl Host for Guest {
    async fn is_local_domain(&mut self, name: String) -> Result<Answer<bool>> {
        let directory = or_tell!(self.directory()?);
        let name = or_tell!(domain(&name));
        let found = self.stored(directory.is_local_domain(&name)).await;
        Ok(self.known(found))
    }

    async fn mailbox_of(&mut self, address: String) -> Result<Answer<Option<String>>> {
        let directory = or_tell!(self.directory()?);
        let address = or_tell!(parsed(&address));
        let found = self.stored(directory.mailbox_of(&address)).await;
        let found = or_tell!(self.known(found));
        self.budget.read(found.as_ref().map_or(0, String::len))?;
        Ok(Ok(found))
    }

    async fn aliases_of(&mut self, address: String) -> Result<Answer<Vec<String>>> {
        let directory = or_tell!(self.directory()?);
        let address = or_tell!(parsed(&address));
        let found = self.stored(directory.aliases_of(&address)).await;
        let found = or_tell!(self.known(found));
        self.budget.read(found.iter().map(String::len).sum())?;
        Ok(Ok(found))
    }

    async fn attribute(&mut self, mailbox: String, name: String) -> Result<Answer<Option<String>>> {
        let directory = or_tell!(self.directory()?);
        let mailbox = or_tell!(parsed(&mailbox));
        let Some(attribute) = Attribute::named(&name) else {
            let (name, words) = (line(&name, SHOWN), Attribute::words());
            return Ok(Err(format!("no attribute is called `{name}`; there are {words}")));
        };
        let found = self.stored(directory.attribute(&mailbox, attribute)).await;
        let found = or_tell!(self.known(found));
        self.budget.read(found.as_ref().map_or(0, String::len))?;
        Ok(Ok(found))
    }
}
