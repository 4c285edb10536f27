//! POP3, the serving side (RFC 1939, 2449, 2595, 3206, 5034, 6856), as a machine.
//!
//! A [`Session`] takes bytes and gives [`Step`]s. It is handed a maildrop's listing as a value when a login
//! succeeds and decides everything from it; what it cannot decide it asks ([`Question`]). Message bodies
//! never pass through it: the driver streams them through a [`Stuffer`].
//!
//! Refused: lines that do not end with CRLF, lines over 255 octets (RFC 2449 §4), NUL, credentials in clear
//! unless the listener allows them. Too many such errors end the session; what is plainly another protocol
//! (HTTP, TLS without STLS) or a line without an end does so at once.

mod command;
mod maildrop;
mod question;
mod reply;
mod session;
mod stuffer;

pub use maildrop::{Message, UniqueId};
pub use question::{Answer, Extent, Fetch, Form, Question, Refusal, Trouble};
pub use reply::Reply;
pub use session::{Limits, Session, Settings, Step};
pub use stuffer::{Flow, Stuffer};
