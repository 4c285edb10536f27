//! How bodies are packed: zstd's fastest level, with a context that each thread keeps, for to make one takes longer
//! than to pack a small message.
//!
//! How a row tells whether it is packed each store says for itself; [`super::unpacking`] unpacks. Where there is no memory
//! for packing, bodies are kept as they are. It needs nothing of the crate: the load generator's driver packs by it too.

use std::cell::RefCell;
use zstd::bulk::Compressor;

const LEVEL: i32 = 1;

thread_local! {
    static PACKER: Option<RefCell<Compressor<'static>>> = Compressor::new(LEVEL).ok().map(RefCell::new);
}

/// The octets packed, where that saves a ninth; less is not worth their unpacking.
pub(crate) fn pack(octets: &[u8]) -> Option<Vec<u8>> {
    let packed = PACKER.with(|packer| packer.as_ref()?.borrow_mut().compress(octets).ok());
    packed.filter(|packed| packed.len() + packed.len() / 8 < octets.len())
}
