//! SMTP and POP3 as machines without I/O: bytes in, [steps](smtp::Step) out.
//!
//! A machine never reads a clock, draws a random number or touches a socket. It parses, keeps the
//! session's state, and stops with a question wherever a decision is needed that the protocol alone
//! cannot make; the driver answers and the machine goes on.
#![forbid(unsafe_code)]

pub mod address;
pub mod base32;
mod lines;
pub mod pop3;
pub mod sasl;
pub mod smtp;

pub use address::Address;
