//! Mail addresses (RFC 5321 §4.1.2, RFC 6531 §3.3): parsed strictly, the local part kept as it was meant.
//!
//! A local part is a dot-string or a quoted string; a domain is an IDNA name or an IPv4 or IPv6 literal.
//! Anything else is refused with the side that is at fault.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 5321 §4.5.3.1.1: octets of a local part.
const LOCAL: usize = 64;

/// RFC 5321 §4.5.3.1.2: octets of a domain.
const DOMAIN: usize = 255;

/// `local@domain`. The local part keeps its case and is unquoted; the domain is lower case, U-labels,
/// or an address literal with its brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    local: String,
    domain: String,
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// No `@`, or nothing on one side of it.
    Incomplete,
    /// The local part has a character or a form that RFC 5321 and RFC 6531 do not allow, or is over 64 octets.
    Local,
    /// The domain is no IDNA name and no address literal, or is over 255 octets.
    Domain,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "not of the form local@domain",
            Self::Local => "bad local part",
            Self::Domain => "bad domain",
        })
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Parses `local@domain` without angle brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = if text.starts_with('"') {
            let (local, behind) = unquote(text).ok_or(AddressError::Local)?;
            (local, behind.strip_prefix('@').ok_or(AddressError::Incomplete)?)
        } else {
            let (local, domain) = text.split_once('@').ok_or(AddressError::Incomplete)?;
            if local.is_empty() {
                return Err(AddressError::Incomplete);
            }
            if !is_dot_string(local) {
                return Err(AddressError::Local);
            }
            (local.to_owned(), domain)
        };
        if domain.is_empty() {
            return Err(AddressError::Incomplete);
        }
        let domain = normal_domain(domain).ok_or(AddressError::Domain)?;
        Self::made(local, domain)
    }

    fn made(local: String, domain: String) -> Result<Self, AddressError> {
        if local.is_empty() || local.len() > LOCAL || local.chars().any(char::is_control) {
            return Err(AddressError::Local);
        }
        Ok(Self { local, domain })
    }

    /// The local part, unquoted, in the case it was written in.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain in lower case as U-labels, or an address literal in brackets.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The form under which addresses are looked up: all lower case.
    pub fn key(&self) -> String {
        Self::key_of(&self.local, &self.domain)
    }

    /// The same for an address of this local part, unquoted, in this domain.
    pub fn key_of(local: &str, domain: &str) -> String {
        let (local, domain) = (local.to_lowercase(), domain.to_lowercase());
        Self { local, domain }.to_string()
    }

    /// The local part without its `separator` detail, and the detail: `ann+news` is `ann` and `news`.
    pub fn detail(&self, separator: char) -> (&str, Option<&str>) {
        match self.local.split_once(separator) {
            Some((base, detail)) if !base.is_empty() => (base, Some(detail)),
            _ => (&self.local, None),
        }
    }

    /// Whether sending it needs SMTPUTF8 (RFC 6531 §3.3).
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }
}

/// The wire form: the local part is quoted where it must be.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
            f.write_str("@")?;
            return f.write_str(&self.domain);
        }
        let local = self.local.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "\"{local}\"@{}", self.domain)
    }
}

/// `Dot-string` with RFC 6531's UTF-8.
fn is_dot_string(local: &str) -> bool {
    let atext = |c: char| c.is_ascii_alphanumeric() || is_utf8_text(c) || "!#$%&'*+-/=?^_`{|}~".contains(c);
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(atext))
}

/// `UTF8-non-ascii`, without the control characters of C1.
fn is_utf8_text(character: char) -> bool {
    !character.is_ascii() && !character.is_control()
}

/// `Quoted-string`: what it says, and what is behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut local = String::new();
    let mut characters = text.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some((local, characters.as_str())),
            '\\' => match characters.next()? {
                escaped @ ' '..='~' => local.push(escaped),
                _ => return None,
            },
            plain if matches!(plain, ' '..='~') || is_utf8_text(plain) => local.push(plain),
            _ => return None,
        }
    }
}

fn normal_domain(domain: &str) -> Option<String> {
    if domain.len() > DOMAIN {
        return None;
    }
    if let Some(literal) = domain.strip_prefix('[') {
        return normal_literal(literal.strip_suffix(']')?);
    }
    // RFC 5321 §4.1.2 has letters, digits and hyphens only, RFC 5890 gives the rest.
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let (unicode, valid) = idna::domain_to_unicode(&ascii);
    valid.is_ok().then_some(unicode)
}

/// RFC 5321 §4.1.3, each address in its one canonical spelling.
fn normal_literal(literal: &str) -> Option<String> {
    if let Ok(address) = literal.parse::<Ipv4Addr>() {
        return Some(format!("[{address}]"));
    }
    let (tag, address) = literal.split_once(':')?;
    let address: Ipv6Addr = address.parse().ok()?;
    tag.eq_ignore_ascii_case("IPv6")
        .then(|| format!("[IPv6:{address}]"))
}
