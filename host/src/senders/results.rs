//! The `Authentication-Results` field (RFC 8601 §2.2). All of it is ASCII; what cannot be written as a value is left out.

use super::{ClientName, Outcome, Spf, Verified};
use std::fmt::Write as _;

/// Octets of a reason: one line has 998, and people read it.
const REASON: usize = 200;

/// The whole field.
pub fn field(hostname: &str, name: &ClientName, spf: &Spf, message: &Verified) -> String {
    let mut field = format!("Authentication-Results: {hostname}");
    result(&mut field, "iprev", &name.outcome);
    property(&mut field, "policy.iprev", &name.address.to_string());
    if !name.name.is_empty() {
        let _ = write!(field, " ({})", name.name);
    }
    result(&mut field, "spf", &spf.outcome);
    match spf.sender.as_str() {
        "" => property(&mut field, "smtp.helo", &spf.helo),
        sender => mailfrom(&mut field, sender),
    }
    for signed in &message.dkim {
        result(&mut field, "dkim", &signed.outcome);
        property(&mut field, "header.d", &signed.domain);
        property(&mut field, "header.s", &signed.selector);
        property(&mut field, "header.b", &signed.tag);
    }
    if message.dkim.is_empty() {
        result(&mut field, "dkim", &Outcome::of("none"));
    }
    result(&mut field, "dmarc", &message.dmarc);
    if !message.policy.is_empty() {
        let _ = write!(field, " (p={})", message.policy);
    }
    property(&mut field, "header.from", &message.from);
    result(&mut field, "arc", &message.arc);
    field.push_str("\r\n");
    field
}

fn result(field: &mut String, method: &str, outcome: &Outcome) {
    let _ = write!(field, ";\r\n\t{method}={}", outcome.word);
    if !outcome.reason.is_empty() {
        let _ = write!(field, " reason=\"{}\"", clean(&outcome.reason));
    }
}

fn property(field: &mut String, name: &str, value: &str) {
    if let Some(value) = written(value) {
        let _ = write!(field, " {name}={value}");
    }
}

/// `local@domain` where that can be written so, else the domain.
fn mailfrom(field: &mut String, sender: &str) {
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let Some((local, domain)) = sender.rsplit_once('@') else {
        return;
    };
    match super::is_plain(domain) && local.chars().all(atom) {
        true => {
            let _ = write!(field, " smtp.mailfrom={local}@{domain}");
        }
        false => property(field, "smtp.mailfrom", domain),
    }
}

/// A token (RFC 2045 §5.1), or a quoted string; None where it would have to be something else.
fn written(value: &str) -> Option<String> {
    let token = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c);
    let quoted = |c: char| c.is_ascii_graphic() && !"\\\"".contains(c);
    if value.is_empty() || value.len() > 255 {
        None
    } else if value.chars().all(token) {
        Some(value.to_owned())
    } else if value.chars().all(quoted) {
        Some(format!("\"{value}\""))
    } else {
        None
    }
}

fn clean(reason: &str) -> String {
    let cut = reason
        .get(..reason.floor_char_boundary(REASON))
        .unwrap_or_default();
    let harmless = |c: char| (c.is_ascii_graphic() || c == ' ') && !"\\\"".contains(c);
    cut.chars().map(|c| if harmless(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_token_or_quoted_or_not_written() {
        assert_eq!(written("example.org").as_deref(), Some("example.org"));
        assert_eq!(written("2001:db8::1").as_deref(), Some("\"2001:db8::1\""));
        assert_eq!(written("AbC+/=").as_deref(), Some("\"AbC+/=\""));
        for none in [
            "",
            "a b",
            "a\"b",
            "a\\b",
            "bücher.example",
            "a\r\nX: y",
            &"a".repeat(256),
        ] {
            assert_eq!(written(none), None, "{none}");
        }
        assert_eq!(written(&"a".repeat(255)), Some("a".repeat(255)));
    }

    #[test]
    fn a_reason_can_neither_end_the_field_nor_its_quotes() {
        assert_eq!(clean("a \"b\"\r\nX: y; ü"), "a ?b???X: y; ?");
        assert_eq!(clean(&"r".repeat(REASON + 1)).len(), REASON);
    }

    #[test]
    fn a_sender_that_needs_quotes_is_named_by_its_domain() {
        let said = |sender: &str| {
            let mut field = String::new();
            mailfrom(&mut field, sender);
            field
        };
        assert_eq!(said("ann+x@example.org"), " smtp.mailfrom=ann+x@example.org");
        assert_eq!(said("\"a b\"@example.org"), " smtp.mailfrom=example.org");
        assert_eq!(said("jürgen@example.org"), " smtp.mailfrom=example.org");
        assert_eq!(said("ann@[192.0.2.1]"), " smtp.mailfrom=\"[192.0.2.1]\"");
    }
}
