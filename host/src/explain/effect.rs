//! What an answer takes from somebody, as its line in a [`Step`](super::Step) says.

/// What an answer or a recipient's verdict does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// For now or for good.
    Refuses,
    Discards,
    Holds,
}

impl Effect {
    /// And the words behind it. None: it takes nothing from anybody.
    pub(crate) fn of(said: &str) -> Option<(Self, &str)> {
        let (word, words) = said.split_once(' ').unwrap_or((said, ""));
        let effect = match word {
            "reject" | "defer" | "deny" => Self::Refuses,
            "discard" => Self::Discards,
            "quarantine" => Self::Holds,
            _ => return None,
        };
        Some((effect, words))
    }

    /// That of `recipient-verdict ADDRESS VERDICT` for its recipient. A verdict that was cut away may be a refusal.
    pub(crate) fn of_edit(edit: &str) -> Option<(Self, &str)> {
        let edit = edit.strip_prefix("recipient-verdict ")?;
        match behind_address(edit) {
            Some(verdict) if verdict.contains(' ') || !verdict.ends_with('…') => Self::of(verdict),
            _ => Some((Self::Refuses, "")),
        }
    }

    /// It ends its question, and makes void what was said in it before.
    pub(crate) fn ends(self) -> bool {
        self != Self::Holds
    }
}

/// What stands before the reply that refused a recipient whose copy is in quarantine: one reply of SMTP speaks for all.
/// No policy's reason is written so.
pub(crate) const KEPT: &str = "quarantine, refused with ";

/// The reply that a line of what became of a recipient refuses with.
pub(crate) fn refusal(outcome: &str) -> Option<&str> {
    let told = behind_address(outcome)?;
    told.strip_prefix("refuse ").or_else(|| told.strip_prefix(KEPT))
}

/// What follows the space behind an address. A quoted local part may have spaces (RFC 5321 §4.1.2).
fn behind_address(text: &str) -> Option<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let end = text.find(|c: char| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return c == ' ' && !is_quoted,
        }
        false
    });
    text.get(end? + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_something_by_its_first_word() {
        for (said, effect) in [
            ("reject 550 5.7.1 no", Some((Effect::Refuses, "550 5.7.1 no"))),
            ("defer", Some((Effect::Refuses, ""))),
            ("deny 552 5.2.2 full", Some((Effect::Refuses, "552 5.2.2 full"))),
            ("discard", Some((Effect::Discards, ""))),
            ("quarantine reject", Some((Effect::Holds, "reject"))),
            ("accept", None),
            ("local reject@example.org", None),
            ("", None),
        ] {
            assert_eq!(Effect::of(said), effect, "{said}");
        }
        assert!(Effect::Refuses.ends() && Effect::Discards.ends() && !Effect::Holds.ends());
    }

    #[test]
    fn the_verdict_stands_behind_the_address_whatever_that_has() {
        let refused = Some((Effect::Refuses, "550 5.7.1 no"));
        for (edit, effect) in [
            ("ann@example.org reject 550 5.7.1 no", refused),
            (r#""a b"@example.org reject 550 5.7.1 no"#, refused),
            (r#""a\" b\\"@example.org reject 550 5.7.1 no"#, refused),
            (r#""a reject b"@example.org accept"#, None),
            ("ann@[IPv6:::1] quarantine odd", Some((Effect::Holds, "odd"))),
            ("ann@example.org discard", Some((Effect::Discards, ""))),
            ("ann@example.o…", Some((Effect::Refuses, ""))),
            ("ann@example.org rej…", Some((Effect::Refuses, ""))),
        ] {
            let edit = format!("recipient-verdict {edit}");
            assert_eq!(Effect::of_edit(&edit), effect, "{edit}");
        }
        assert_eq!(Effect::of_edit("tag reject"), None);
    }

    #[test]
    fn the_refusal_of_a_recipient_is_found_in_its_outcome() {
        assert_eq!(refusal("ann@example.org: refuse 550 no"), Some("550 no"));
        assert_eq!(refusal(&format!("ann@example.org: {KEPT}550 no")), Some("550 no"));
        assert_eq!(refusal("ann@example.org: quarantine refused with 550 no"), None);
        assert_eq!(refusal(r#""a: refuse b"@example.org: deliver"#), None);
        assert_eq!(refusal(r#""a b"@example.org: refuse 550 no"#), Some("550 no"));
    }
}
