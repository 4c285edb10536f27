//! What the machine asks, and how it may be answered.

use super::Message;
use crate::sasl;

/// A decision that the protocol alone cannot make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `PASS` or `AUTH` needs credentials judged: [`Answer::Auth`].
    Auth(sasl::Question),
    /// The login is right: lock the account's maildrop and list it. [`Answer::Opened`] or
    /// [`Answer::Refused`].
    Open { account: String },
    /// `RETR` or `TOP`: can this message be sent? [`Answer::Ready`] promises that [`Step::Send`] can
    /// begin; otherwise [`Answer::Trouble`].
    ///
    /// [`Step::Send`]: super::Step::Send
    Fetch(Fetch),
    /// `QUIT`: remove these messages (places in the listing, from 0) durably. [`Answer::Removed`], or
    /// [`Answer::Trouble`] when any of them may still be there.
    Remove(Vec<usize>),
}

/// The driver's answer. One that does not fit the question counts as trouble of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Auth(sasl::Answer),
    /// The maildrop is locked for this session; its messages in order.
    Opened(Vec<Message>),
    Refused(Refusal),
    Ready,
    Removed,
    Trouble(Trouble),
}

/// Why a maildrop is not opened although the login was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another session holds it: `[IN-USE]`.
    InUse,
    /// The last login was too short a time ago: `[LOGIN-DELAY]`.
    LoginDelay,
    /// The account has too many sessions: `[SYS/TEMP]`.
    TooManySessions,
    /// The store is out of reach: `[SYS/TEMP]`.
    Unavailable,
}

/// Why something cannot be done that the client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The store is out of reach: `[SYS/TEMP]`.
    Temporary,
    /// The message was removed meanwhile by another way: `[SYS/PERM]`.
    Gone,
}

/// A message that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// Its place in the listing, from 0.
    pub place: usize,
    pub form: Form,
    pub extent: Extent,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// The header section, the blank line and this many lines of the body.
    Top(u64),
}

/// What the client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// ASCII header sections: internationalized messages are downgraded (RFC 6858).
    #[default]
    Downgraded,
    /// Messages byte for byte (RFC 6856 §2.1).
    Utf8,
}
