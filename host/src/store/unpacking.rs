//! How packed bodies are unpacked, with a context that each thread keeps, for to make one takes longer than to unpack a
//! small message.

use std::cell::RefCell;
use std::io;
use zstd::bulk::Decompressor;

thread_local! {
    static UNPACKER: Option<RefCell<Decompressor<'static>>> = Decompressor::new().ok().map(RefCell::new);
}

/// The octets as they were before [`super::packing::pack`], at most `most`.
pub(crate) fn unpack(packed: &[u8], most: usize) -> io::Result<Vec<u8>> {
    UNPACKER.with(|unpacker| match unpacker {
        Some(unpacker) => unpacker.borrow_mut().decompress(packed, most),
        None => Err(io::ErrorKind::OutOfMemory.into()),
    })
}
