//! What the machine asks, and how it may be answered.

use crate::smtp::Reply;
use crate::{Address, sasl};

/// A decision that the protocol alone cannot make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A client has connected; the greeting is not written yet.
    Connect,
    /// `AUTH` needs credentials judged.
    Auth(sasl::Question),
    /// `MAIL FROM`: a transaction begins, and any earlier one is over.
    Mail(Mail),
    /// `RCPT TO`.
    Rcpt(Rcpt),
    /// `DATA` or the first `BDAT`: may content come? [`Step::Body`](super::Step::Body) follows.
    Begin,
    /// The content is complete. What is answered is the final reply.
    Commit,
}

/// The driver's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with the machine's own words.
    Proceed,
    /// No (or, for `Commit`, whatever the reply says), and the session goes on.
    Reply(Reply),
    /// This reply, and then the connection is closed.
    Close(Reply),
    /// To [`Question::Auth`].
    Auth(sasl::Answer),
    /// To [`Question::Commit`] in LMTP: one reply for each accepted RCPT, in order (RFC 2033 §4.2).
    Each(Vec<Reply>),
}

/// `BODY=` of RFC 6152; BINARYMIME is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyType {
    #[default]
    SevenBit,
    EightBitMime,
}

/// `MAIL FROM:<path> parameters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// None for `<>`.
    pub sender: Option<Address>,
    /// `SIZE=` (RFC 1870) in octets.
    pub size: Option<u64>,
    pub body: BodyType,
    pub smtputf8: bool,
}

/// Where a recipient path points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain (RFC 5321 §4.1.1.3).
    Postmaster,
    Address(Address),
}

/// `RCPT TO:<path> parameters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    pub path: ForwardPath,
}
