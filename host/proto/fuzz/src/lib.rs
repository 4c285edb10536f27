//! What the fuzz targets check, apart from libFuzzer, so that the corpus is run by the ordinary tests too.
//!
//! Of an input the first octet chooses the state that a session is brought to, the second the answers to its
//! questions, and the third how the rest is cut into pieces. The rest is what the client sends. Whole, octet
//! by octet and in those pieces it must lead to the same events, in a bounded number of steps, and every
//! reply must be well-formed.

pub mod choice;
pub mod login;
pub mod pop3;
pub mod smtp;
