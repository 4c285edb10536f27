//! Capabilities that this version does not have to give: they load, and say so when they are called.
//!
//! `directory` and `http` cannot be granted.

use crate::policy::bindings::postern::policy::types::{HttpRequest, HttpResponse};
use crate::policy::bindings::postern::policy::{directory, http};
use crate::policy::guest::Guest;
use wasmtime::Result;

/// What a capability without its grant answers.
pub(super) const NOT_GRANTED: &str = "not granted";

impl Guest {
    fn not_granted<T>(&mut self) -> Result<std::result::Result<T, String>> {
        self.budget.call()?;
        Ok(Err(NOT_GRANTED.to_owned()))
    }
}

type Answer<T> = Result<std::result::Result<T, String>>;

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
        self.not_granted()
    }
}
