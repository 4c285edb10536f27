//! Mail addresses (RFC 5321 §4.1.2, RFC 6531 §3.3): parsed strictly, kept as they were written.

use std::fmt;

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
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Incomplete)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Incomplete);
        }
        Ok(Self {
            local: local.to_owned(),
            domain: domain.to_lowercase(),
        })
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
        format!("{}@{}", self.local.to_lowercase(), self.domain)
    }

    /// The local part without its `separator` detail, and the detail: `ann+news` is `ann` and `news`.
    pub fn detail(&self, separator: char) -> (&str, Option<&str>) {
        match self.local.split_once(separator) {
            Some((base, detail)) if !base.is_empty() => (base, Some(detail)),
            _ => (&self.local, None),
        }
    }

    /// The same address with another local part.
    pub fn with_local(&self, local: &str) -> Result<Self, AddressError> {
        Self::parse(&format!("{local}@{}", self.domain))
    }

    /// Whether sending it needs SMTPUTF8 (RFC 6531 §3.3).
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}
