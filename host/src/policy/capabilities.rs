//! The capabilities of `wit/`, one file each. All are linked for every component; what was not granted says
//! so when it is called.
//!
//! Every function counts against the call's budget before it does anything. An error of a function here ends
//! the guest's call: a budget that is spent, a name or address that is none, the store out of reach while the
//! message is read. What the contract gives as an error value is one, and ends nothing.

mod auth;
mod clock;
mod config;
mod dns;
mod edit;
mod kv;
mod log;
mod message;
mod mime;
mod random;
mod recorded;
mod refused;
mod session;
#[cfg(test)]
mod tests;
mod transfer;
pub(super) mod tree;

use super::bindings::Everything;
use super::bindings::postern::policy::types;
use super::guest::Guest;
use recorded::{Recorded, Recording};
use wasmtime::component::{HasSelf, Linker};

/// Octets of one reading, however many were asked for.
const PIECE: usize = 64 << 10;

/// What a guest says of itself may not be longer in a log.
const LINE: usize = 1024;

/// Gives a linker all capabilities, and WASI with nothing in it.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    Everything::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

/// The same, and each call of one is told to the observer of its call.
pub(super) fn link_recorded(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
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
    /// Nothing: this version has nothing to grant.
    Refused,
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
    ("directory", Access::Refused),
    ("clock", Access::Open),
    ("random", Access::Open),
    ("http", Access::Refused),
];

/// None where there is no such capability.
pub(super) fn access(interface: &str) -> Option<Access> {
    let found = ACCESS.iter().find(|(name, _)| *name == interface);
    found.map(|(_, access)| *access)
}

impl types::Host for Guest {}

/// One clean line: control characters become spaces, and what is too long is cut.
fn line(text: &str, most: usize) -> String {
    let cut = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
    cut.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}
