//! Conditions about a message, for policies whose settings are rules.

use crate::{OneOrMany, Size, addresses, domain_of, matches};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// All that is written must hold; nothing written always holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    authenticated: Option<bool>,
    /// Fields by name: the first one's decoded text.
    header: BTreeMap<String, Test>,
    /// The envelope sender, an address in the field From, or by `contains` and `matches` its text.
    from: Option<Test>,
    /// The field To or Cc, likewise.
    to: Option<Test>,
    /// Patterns of which the envelope sender's domain must match one.
    sender_domain: Option<OneOrMany<String>>,
    /// Patterns of which it must match none.
    not_sender_domain: OneOrMany<String>,
    larger: Option<Size>,
    smaller: Option<Size>,
    /// Whether some part has a file name.
    attachment: Option<bool>,
    /// Patterns of which some part's file name must match one.
    attached: Option<OneOrMany<String>>,
    /// Labels of which an earlier policy must have set one.
    #[serde(alias = "session_tag")]
    tag: Option<OneOrMany<String>>,
}

/// What conditions look at. What is a function is asked for by conditions alone that want to know.
#[expect(missing_debug_implementations, reason = "functions have none")]
pub struct Mail<'a> {
    pub authenticated: bool,
    pub sender: &'a str,
    pub tags: &'a [String],
    pub size: &'a dyn Fn() -> u32,
    /// The first field's decoded text.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// All fields of a name as they are written.
    pub raw: &'a dyn Fn(&str) -> Vec<Vec<u8>>,
    /// File names of its parts, empty where a part has none.
    pub names: &'a dyn Fn() -> Vec<String>,
}

/// What a text must be like; one of several is enough, and case does not matter. Patterns alone are `matches`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
struct Test(Way);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    Contains(OneOrMany<String>),
    Is(OneOrMany<String>),
    /// By `*` and `?`.
    Matches(OneOrMany<String>),
}

impl TryFrom<Value> for Test {
    type Error = serde_json::Error;

    fn try_from(written: Value) -> Result<Self, Self::Error> {
        match written.is_object() {
            true => serde_json::from_value(written).map(Self),
            false => serde_json::from_value(written).map(|patterns| Self(Way::Matches(patterns))),
        }
    }
}

impl Test {
    fn one_of(&self, texts: &[String]) -> bool {
        texts.iter().any(|text| self.holds(text))
    }

    fn holds(&self, text: &str) -> bool {
        let text = text.trim().to_lowercase();
        let one = |all: &[String], holds: fn(&str, &str) -> bool| {
            all.iter().any(|wanted| holds(&wanted.to_lowercase(), &text))
        };
        match &self.0 {
            Way::Contains(all) => one(all, |wanted, text| text.contains(wanted)),
            Way::Is(all) => one(all, |wanted, text| text == wanted.trim()),
            Way::Matches(all) => one(all, matches),
        }
    }
}

impl Condition {
    #[must_use]
    pub fn holds(&self, mail: &Mail<'_>) -> bool {
        let field = |name: &str, test: &Test| (mail.header)(name).is_some_and(|text| test.holds(&text));
        let addressed = |name: &str, test: &Test| {
            let is_text = !matches!(test.0, Way::Is(_)) && field(name, test);
            // Decoded text may have the dividers of a list where the field has none.
            let raw = || (mail.raw)(name).into_iter().next();
            let all = || addresses(&String::from_utf8_lossy(&raw()?));
            is_text || all().is_some_and(|all| test.one_of(&all))
        };
        let from = |test: &Test| test.holds(mail.sender) || addressed("From", test);
        let to = |test: &Test| addressed("To", test) || addressed("Cc", test);
        let size = || u64::from((mail.size)());
        let named =
            |fits: &dyn Fn(&String) -> bool| (mail.names)().iter().any(|name| !name.is_empty() && fits(name));
        let domain = domain_of(mail.sender);
        self.authenticated
            .is_none_or(|wanted| wanted == mail.authenticated)
            && (self.tag.as_ref()).is_none_or(|tags| tags.iter().any(|tag| mail.tags.contains(tag)))
            && (self.sender_domain.as_ref()).is_none_or(|patterns| patterns.matches(domain))
            && !self.not_sender_domain.matches(domain)
            && self.larger.is_none_or(|bound| size() > bound.0)
            && self.smaller.is_none_or(|bound| size() < bound.0)
            && self.from.as_ref().is_none_or(from)
            && self.to.as_ref().is_none_or(to)
            && self.header.iter().all(|(name, test)| field(name, test))
            && self.attachment.is_none_or(|wanted| wanted == named(&|_| true))
            && (self.attached.as_ref()).is_none_or(|patterns| named(&|name| patterns.matches(name)))
    }
}
