//! Capabilities that this version does not have to give: they load, and say so when they are called.
//!
//! `auth` knows nothing yet, which is empty; `dns`, `directory` and `http` cannot be granted.

use crate::policy::bindings::postern::policy::types::{HttpRequest, HttpResponse, Signature};
use crate::policy::bindings::postern::policy::{auth, directory, dns, http};
use crate::policy::guest::Guest;
use wasmtime::Result;

/// What `http` answers where nothing may leave.
pub(super) const NOT_IN_THIS_MODE: &str = "not in this mode";

/// What a capability without its grant answers.
pub(super) const NOT_GRANTED: &str = "not granted";

impl Guest {
    fn unknown<T: Default>(&mut self) -> Result<T> {
        self.budget.call()?;
        Ok(T::default())
    }

    fn not_granted<T>(&mut self) -> Result<std::result::Result<T, String>> {
        self.budget.call()?;
        Ok(Err(NOT_GRANTED.to_owned()))
    }
}

impl auth::Host for Guest {
    fn spf(&mut self) -> Result<String> {
        self.unknown()
    }

    fn spf_domain(&mut self) -> Result<String> {
        self.unknown()
    }

    fn dkim(&mut self) -> Result<Vec<Signature>> {
        self.unknown()
    }

    fn dmarc(&mut self) -> Result<String> {
        self.unknown()
    }

    fn dmarc_policy(&mut self) -> Result<String> {
        self.unknown()
    }

    fn arc(&mut self) -> Result<String> {
        self.unknown()
    }
}

type Answer<T> = Result<std::result::Result<T, String>>;

impl dns::Host for Guest {
    fn addresses(&mut self, _name: String) -> Answer<Vec<String>> {
        self.not_granted()
    }

    fn txt(&mut self, _name: String) -> Answer<Vec<String>> {
        self.not_granted()
    }

    fn mx(&mut self, _name: String) -> Answer<Vec<String>> {
        self.not_granted()
    }

    fn names(&mut self, _address: String) -> Answer<Vec<String>> {
        self.not_granted()
    }
}

impl directory::Host for Guest {
    fn is_local_domain(&mut self, _domain: String) -> Answer<bool> {
        self.not_granted()
    }

    fn mailbox_of(&mut self, _address: String) -> Answer<Option<String>> {
        self.not_granted()
    }

    fn aliases_of(&mut self, _address: String) -> Answer<Vec<String>> {
        self.not_granted()
    }

    fn attribute(&mut self, _mailbox: String, _name: String) -> Answer<Option<String>> {
        self.not_granted()
    }
}

impl http::Host for Guest {
    fn send(&mut self, _request: HttpRequest) -> Answer<HttpResponse> {
        if self.call.run.is_beside() {
            self.budget.call()?;
            return Ok(Err(NOT_IN_THIS_MODE.to_owned()));
        }
        self.not_granted()
    }
}
