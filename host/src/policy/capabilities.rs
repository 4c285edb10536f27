//! The capabilities of `wit/`, one file each. All are linked for every component; what was not granted says
//! so when it is called.
//!
//! Every function counts against the call's budget before it does anything. An error of a function here ends
//! the guest's call: a budget that is spent, a name or address that is none, the store out of reach while the
//! message is read. What the contract gives as an error value is one, and ends nothing.

/// Leaves a function with the error that the contract has for it.
macro_rules! or_tell {
    ($answer:expr) => {
        match $answer {
            Ok(value) => value,
            Err(told) => return Ok(Err(told)),
        }
    };
}

mod auth;
mod clock;
mod config;
mod directory;
mod dns;
mod edit;
mod http;
mod kv;
mod log;
mod message;
mod mime;
mod random;
mod recorded;
mod session;
#[cfg(test)]
mod tests;
mod transfer;
pub(super) mod tree;

use super::bindings::Everything;
use super::bindings::postern::policy::types;
use super::guest::Guest;
use crate::store;
use recorded::{Recorded, Recording};
use wasmtime::component::Linker;

/// Octets of one reading, however many were asked for.
const PIECE: usize = 64 << 10;

/// What a capability without its grant answers.
const NOT_GRANTED: &str = "not granted";
/// What `http` answers where nothing may leave: beside a decision, and where a message is replayed.
const NOT_IN_THIS_MODE: &str = "not in this mode";

/// What a guest says of itself may not be longer in a log.
const LINE: usize = 1024;

/// Gives a linker all capabilities, and WASI with nothing in it. Each call of one is noted in the trail of its call and
/// told to its observer, where there are such.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    Everything::add_to_linker::<Guest, Recording>(linker, |guest| Recorded(guest))
}

/// What lets a policy use a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It is always there.
    Open,
    /// The grant of that name in the policy's own file; without it the error is `not granted`.
    Grant(&'static str),
}

/// All interfaces of `capabilities.wit`.
const ACCESS: [(&str, Access); 13] = [
    ("session", Access::Open),
    ("auth", Access::Open),
    ("message", Access::Open),
    ("mime", Access::Open),
    ("edit", Access::Open),
    ("log", Access::Open),
    ("config", Access::Open),
    ("kv", Access::Grant("kv")),
    ("dns", Access::Grant("dns")),
    ("directory", Access::Grant("directory")),
    ("clock", Access::Open),
    ("random", Access::Open),
    ("http", Access::Grant("http")),
];

/// None where there is no such capability.
pub(super) fn access(interface: &str) -> Option<Access> {
    let found = ACCESS.iter().find(|(name, _)| *name == interface);
    found.map(|(_, access)| *access)
}

impl types::Host for Guest {}

impl Guest {
    /// Waits for the store. A call that ends meanwhile ends by the store's trouble.
    async fn stored<T>(&mut self, request: impl Future<Output = store::Result<T>>) -> store::Result<T> {
        let before = std::mem::replace(&mut self.store_failed, true);
        let result = request.await;
        self.store_failed = before;
        result
    }
}

/// One clean line: control characters become spaces, and what is too long is cut.
pub(super) fn line(text: &str, most: usize) -> String {
    let cut = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
    cut.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}
