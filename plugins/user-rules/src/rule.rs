//! One rule: what must hold, and what is then done.

use serde::Deserialize;
use settings::{OneOrMany, Size, domain_of, matches};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default, rename = "if")]
    pub(crate) when: Condition,
    pub(crate) then: Vec<Action>,
}

/// All that is written must hold; nothing written always holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Condition {
    /// Fields by name: the first one's decoded text.
    header: BTreeMap<String, Test>,
    /// The envelope sender, or the field From.
    from: Option<Test>,
    /// The field To, or Cc.
    to: Option<Test>,
    larger: Option<Size>,
    smaller: Option<Size>,
    /// Whether some part has a file name.
    attachment: Option<bool>,
    /// Patterns of which some part's file name must match one.
    attached: Option<OneOrMany<String>>,
    /// A label that an earlier policy must have set.
    tag: Option<String>,
}

/// What a text must be like; one of several is enough, and case does not matter.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Test {
    Contains(OneOrMany<String>),
    Is(OneOrMany<String>),
    /// By `*` and `?`.
    Matches(OneOrMany<String>),
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Header(BTreeMap<String, String>),
    Tag(String),
    Quarantine(String),
    Discard,
    Redirect(String),
    Reject(String),
    Stop,
}

/// What conditions look at.
pub(crate) struct Mail<'a> {
    pub(crate) sender: &'a str,
    pub(crate) tags: &'a [String],
    pub(crate) size: u64,
    pub(crate) header: &'a dyn Fn(&str) -> Option<String>,
    /// File names of its parts.
    pub(crate) attached: &'a dyn Fn() -> Vec<String>,
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        let text = text.trim().to_lowercase();
        let one = |all: &OneOrMany<String>, holds: fn(&str, &str) -> bool| {
            all.as_slice()
                .iter()
                .any(|wanted| holds(&wanted.to_lowercase(), &text))
        };
        match self {
            Self::Contains(all) => one(all, |wanted, text| text.contains(wanted)),
            Self::Is(all) => one(all, |wanted, text| text == wanted.trim()),
            Self::Matches(all) => one(all, matches),
        }
    }
}

impl Condition {
    pub(crate) fn holds(&self, mail: &Mail<'_>) -> bool {
        let field = |name: &str, test: &Test| (mail.header)(name).is_some_and(|text| test.holds(&text));
        let from = |test: &Test| test.holds(mail.sender) || field("From", test);
        let to = |test: &Test| field("To", test) || field("Cc", test);
        let listed = |patterns: &OneOrMany<String>| {
            let names = (mail.attached)();
            names
                .iter()
                .any(|name| patterns.as_slice().iter().any(|pattern| matches(pattern, name)))
        };
        self.tag.as_ref().is_none_or(|tag| mail.tags.contains(tag))
            && self.larger.is_none_or(|size| mail.size > size.0)
            && self.smaller.is_none_or(|size| mail.size < size.0)
            && self.from.as_ref().is_none_or(from)
            && self.to.as_ref().is_none_or(to)
            && self.header.iter().all(|(name, test)| field(name, test))
            && self
                .attachment
                .is_none_or(|wanted| wanted != (mail.attached)().is_empty())
            && self.attached.as_ref().is_none_or(listed)
    }
}

impl Action {
    /// Whether the rules behind it are not asked.
    pub(crate) fn decides(&self) -> bool {
        !matches!(self, Self::Header(_) | Self::Tag(_))
    }
}

impl Rule {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.then.is_empty() {
            return Err("`then` must say what is done".to_owned());
        }
        for action in &self.then {
            match action {
                Action::Header(fields) => {
                    if let Some(name) = fields.keys().find(|name| !settings::is_field_name(name)) {
                        return Err(format!("`{name}` is no name of a header field"));
                    }
                }
                Action::Redirect(to) if domain_of(to).is_empty() => {
                    return Err(format!("redirect: `{to}` is not an address"));
                }
                Action::Tag(text) | Action::Quarantine(text) | Action::Reject(text)
                    if text.trim().is_empty() =>
                {
                    return Err("tag, quarantine and reject need a text".to_owned());
                }
                _ => {}
            }
        }
        match self.then.iter().rev().skip(1).any(Action::decides) {
            true => Err(
                "what stands behind quarantine, discard, redirect, reject or stop is never done".to_owned(),
            ),
            false => Ok(()),
        }
    }
}
