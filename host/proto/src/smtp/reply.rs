//! Every SMTP reply has its digits, enhanced code and words here, and its one encoder.

use std::borrow::Cow;
use std::fmt;

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// An SMTP reply (RFC 5321 §4.2): 200–599, an optional enhanced code, one or more lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// The basic code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code, where the reply has one.
    pub fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// The text as one line, for logs.
    pub fn text(&self) -> String {
        self.lines.join(" / ")
    }

    /// 2yz or 3yz.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 4yz: the client is asked to try again.
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }
}
