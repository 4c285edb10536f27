//! SMTP and LMTP, the receiving side (RFC 5321, RFC 2033), as a machine.

mod command;
mod content;
mod parameters;
mod path;
mod question;
mod reply;
mod session;

pub use question::{Answer, BodyType, ForwardPath, Mail, Question, Rcpt};
pub use reply::{Enhanced, Flaw, Refusal, Reply};
pub use session::{Facts, Limits, Role, Session, Settings, Step, TlsFacts, Waiting};
