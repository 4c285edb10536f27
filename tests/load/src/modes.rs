//! The generator's modes.

pub(crate) mod idle;
pub(crate) mod mixed;
pub(crate) mod postal;
pub(crate) mod read;
pub(crate) mod send;
