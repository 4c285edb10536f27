//! Names and patterns of names, of which case does not matter.

use crate::OneOrMany;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::str::Chars;

/// Does `text` match `pattern`? `*` stands for any run, `?` for one character; case does not matter.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    fits(&pattern.to_lowercase(), &text.to_lowercase())
}

/// The same for what is in lower case already.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Behind the last star, and where the text may go on from there: the only place to fall back to.
    let mut star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        match (pattern.next(), text.clone().next()) {
            (None, None) => return true,
            (Some('*'), _) => star = Some((pattern.clone(), text.clone())),
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => _ = text.next(),
            _ => {
                let Some((after, from)) = star.as_mut() else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after.clone(), from.clone());
            }
        }
    }
}

impl OneOrMany<String> {
    /// Does `text` match one of these patterns?
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.iter().any(|pattern| matches(pattern, text))
    }
}

/// Are these the same but for case?
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// What stands under a name, whatever its case.
#[must_use]
pub fn named<'a, T>(all: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    let found = all.iter().find(|(key, _)| same(key, name));
    found.map(|(_, value)| value)
}

/// What stands under a name, else under the pattern of it that says most.
#[must_use]
pub fn closest<'a, T>(all: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    let fitting = || all.iter().filter(|(pattern, _)| matches(pattern, name));
    let best = || fitting().min_by_key(|(pattern, _)| Reverse(pattern.replace('*', "").len()));
    named(all, name).or_else(|| best().map(|(_, value)| value))
}
