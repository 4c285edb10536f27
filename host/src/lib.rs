//! Postern, a mail gateway whose every policy decision is made by sandboxed WebAssembly components.
//!
//! Dependencies point one way: `smtp`, `pop3`, `admin` → `senders` → `policy`, `routing`, `quota`, `directory`, `dns`,
//! `store` → `message` → `postern_proto`. All read the one `clock`. `gateway` holds what a session needs; `cli` puts it together.

pub mod admin;
pub mod cli;
mod clock;
pub mod config;
pub mod control;
pub mod directory;
pub mod dns;
pub mod explain;
pub mod gateway;
pub mod log;
pub mod message;
pub mod net;
pub mod policy;
pub mod pop3;
pub mod quota;
pub mod routing;
pub mod senders;
pub mod smtp;
pub mod store;
pub mod tls;
