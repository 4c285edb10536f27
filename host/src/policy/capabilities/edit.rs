//! `edit`: what a policy changes, checked as a client's input is before it is kept.
//!
//! A header name that is none, an address that is none and an address to which nothing can be delivered here
//! end the call: half of a change is none.

use super::line;
use crate::policy::Edit;
use crate::policy::bindings::postern::policy::edit::Host;
use crate::policy::bindings::postern::policy::types;
use crate::policy::guest::Guest;
use crate::policy::words::Ear;
use postern_proto::Address;
use wasmtime::Result;

/// Octets of a field's name: it shares its first line with its value.
const NAME: usize = 76;
/// Octets of a tag: it becomes a label in metrics.
const TAG: usize = 64;

/// Why an edit cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("`{0}` is no name of a header field")]
    Name(String),
    #[error("`{0}` is no address: {1}")]
    Address(String, postern_proto::address::AddressError),
    #[error("`{0}` cannot be delivered here")]
    Undeliverable(String),
}

impl Guest {
    fn change(&mut self, edit: Edit) -> Result<()> {
        self.budget.edit(octets(&edit))?;
        self.edits.push(edit);
        Ok(())
    }

    async fn deliverable(&mut self, text: &str) -> Result<String> {
        let address = address(text)?;
        // Nothing comes of it, and no router need be asked.
        if self.call.run.is_beside() {
            return Ok(address);
        }
        // A call that ends meanwhile, or by it, ends by the store's trouble.
        let before = std::mem::replace(&mut self.store_failed, true);
        let deliverable = self
            .call
            .addresses
            .deliverable(&self.call.facts, &address)
            .await?;
        self.store_failed = before;
        if !deliverable {
            return Err(Refused::Undeliverable(address).into());
        }
        Ok(address)
    }
}

impl Host for Guest {
    async fn add_header(&mut self, name: String, value: String) -> Result<()> {
        self.budget.call()?;
        let name = field_name(name)?;
        let value = field_value(&value);
        self.change(Edit::AddHeader { name, value })
    }

    async fn insert_header(&mut self, name: String, value: String) -> Result<()> {
        self.budget.call()?;
        let name = field_name(name)?;
        let value = field_value(&value);
        self.change(Edit::InsertHeader { name, value })
    }

    async fn remove_header(&mut self, name: String) -> Result<()> {
        self.budget.call()?;
        let name = field_name(name)?;
        self.change(Edit::RemoveHeader { name })
    }

    async fn add_recipient(&mut self, address: String) -> Result<()> {
        self.budget.call()?;
        let address = self.deliverable(&address).await?;
        self.change(Edit::AddRecipient(address))
    }

    async fn remove_recipient(&mut self, text: String) -> Result<()> {
        self.budget.call()?;
        let address = address(&text)?;
        self.change(Edit::RemoveRecipient(address))
    }

    async fn redirect(&mut self, address: String) -> Result<()> {
        self.budget.call()?;
        let address = self.deliverable(&address).await?;
        self.change(Edit::Redirect(address))
    }

    async fn tag(&mut self, name: String) -> Result<()> {
        self.budget.call()?;
        let name = line(&name, TAG);
        if name.is_empty() {
            return Ok(());
        }
        self.change(Edit::Tag(name))
    }

    async fn recipient_verdict(&mut self, recipient: String, verdict: types::Verdict) -> Result<()> {
        self.budget.call()?;
        let recipient = address(&recipient)?;
        let mut ear = Ear::default();
        let verdict = ear.verdict(verdict);
        if !ear.flaws.is_empty() {
            tracing::warn!(policy = %self.call.policy, flaws = ?ear.flaws, "the reply of a policy was mended");
            if let Some(observer) = &self.call.observer {
                observer.mended(&ear.flaws);
            }
        }
        self.change(Edit::RecipientVerdict { recipient, verdict })
    }
}

/// RFC 5322 §2.2: printable US-ASCII without the colon.
fn field_name(name: String) -> Result<String, Refused> {
    let fits = (1..=NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    match fits {
        true => Ok(name),
        false => Err(Refused::Name(line(&name, NAME))),
    }
}

/// Line breaks and other control characters become spaces: no value can begin a field of its own.
fn field_value(value: &str) -> String {
    let value = value.replace("\r\n", " ");
    let clean = value
        .chars()
        .map(|c| if c.is_control() && c != '\t' { ' ' } else { c });
    clean.collect::<String>().trim().to_owned()
}

fn address(text: &str) -> Result<String, Refused> {
    match Address::parse(text) {
        // Whatever the parser takes: an address must not be able to end a line of a header section.
        Ok(address) if !text.contains(char::is_control) => Ok(address.to_string()),
        Ok(_) => Err(Refused::Address(
            line(text, NAME),
            postern_proto::address::AddressError::Local,
        )),
        Err(error) => Err(Refused::Address(line(text, NAME), error)),
    }
}

fn octets(edit: &Edit) -> usize {
    match edit {
        Edit::AddHeader { name, value } | Edit::InsertHeader { name, value } => name.len() + value.len(),
        Edit::RemoveHeader { name: text }
        | Edit::AddRecipient(text)
        | Edit::RemoveRecipient(text)
        | Edit::Redirect(text)
        | Edit::Tag(text)
        | Edit::RecipientVerdict { recipient: text, .. } => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_without_colon_and_not_too_long() {
        for good in ["X-Spam", "x", "!#$", &"n".repeat(NAME)] {
            assert_eq!(field_name(good.to_owned()).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a:", "a\r\nBcc", "\u{e9}", &"n".repeat(NAME + 1)] {
            assert!(field_name(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_value_cannot_begin_another_field() {
        assert_eq!(
            field_value("one\r\nBcc: x\ntwo\rthree\0 "),
            "one Bcc: x two three"
        );
        assert_eq!(field_value("caf\u{e9}\tau lait"), "caf\u{e9}\tau lait");
    }

    #[test]
    fn an_address_is_one_and_has_no_line_in_it() {
        assert_eq!(address("Ann@EXAMPLE.org").as_deref(), Ok("Ann@example.org"));
        for bad in ["ann", "@example.org", "ann@", "a\r\nb@example.org"] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }
}
