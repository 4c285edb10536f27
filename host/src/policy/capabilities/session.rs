//! `session`: the facts as the policies before this one left them.

use crate::policy::Edit;
use crate::policy::bindings::postern::policy::session::Host;
use crate::policy::guest::Guest;
use wasmtime::Result;

impl Guest {
    fn fact<T: Clone>(&mut self, fact: impl Fn(&crate::policy::Facts) -> &T) -> Result<T> {
        self.budget.call()?;
        Ok(fact(&self.call.facts).clone())
    }
}

impl Host for Guest {
    fn queue_id(&mut self) -> Result<String> {
        self.fact(|facts| &facts.queue_id)
    }

    fn listener(&mut self) -> Result<String> {
        self.fact(|facts| &facts.listener)
    }

    fn protocol(&mut self) -> Result<String> {
        self.fact(|facts| &facts.protocol)
    }

    fn client_ip(&mut self) -> Result<String> {
        self.fact(|facts| &facts.client_ip)
    }

    fn client_name(&mut self) -> Result<String> {
        self.fact(|facts| &facts.client_name)
    }

    fn helo(&mut self) -> Result<String> {
        self.fact(|facts| &facts.helo)
    }

    fn tls_version(&mut self) -> Result<Option<String>> {
        self.fact(|facts| &facts.tls_version)
    }

    fn tls_cipher(&mut self) -> Result<Option<String>> {
        self.fact(|facts| &facts.tls_cipher)
    }

    fn auth_user(&mut self) -> Result<Option<String>> {
        self.fact(|facts| &facts.auth_user)
    }

    fn mail_from(&mut self) -> Result<String> {
        self.fact(|facts| &facts.mail_from)
    }

    fn rcpt_to(&mut self) -> Result<Vec<String>> {
        let recipients = self.fact(|facts| &facts.rcpt_to)?;
        self.budget.read(recipients.iter().map(String::len).sum())?;
        Ok(recipients)
    }

    fn tags(&mut self) -> Result<Vec<String>> {
        let mut tags = self.fact(|facts| &facts.tags)?;
        tags.extend(self.edits.iter().filter_map(|edit| match edit {
            Edit::Tag(name) => Some(name.clone()),
            _ => None,
        }));
        self.budget.read(tags.iter().map(String::len).sum())?;
        Ok(tags)
    }
}
