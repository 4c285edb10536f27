//! Postern, a mail gateway whose every policy decision is made by sandboxed WebAssembly components.
//!
//! Dependencies point one way: `smtp`, `pop3`, `admin` → `policy`, `routing`, `quota`, `directory`,
//! `store` → `message` → `postern_proto`. `gateway` holds what a session needs; `cli` puts it together.

pub mod admin;
pub mod cli;
pub mod config;
pub mod control;
pub mod directory;
pub mod dns;
pub mod gateway;
pub mod log;
pub mod message;
pub mod net;
pub mod policy;
pub mod pop3;
pub mod quota;
pub mod routing;
pub mod smtp;
pub mod store;
pub mod tls;
