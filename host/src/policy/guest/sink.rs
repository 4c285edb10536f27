//! Where a guest's standard output and error go. Writing never fails and never waits, because a guest whose
//! panic message cannot be written panics again; of what is written the last part is kept, for the log.

use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// Octets that are kept: a traceback of some frames.
const KEPT: usize = 4 << 10;
/// What one writing may bring.
const ROOM: usize = 64 << 10;

/// See the module. Clones write to the same place.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    fn take(&self, octets: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(octets);
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The end of what was printed.
    pub(super) fn tail(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim_end().to_owned()
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, octets: Bytes) -> Result<(), StreamError> {
        self.take(&octets);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(ROOM)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.take(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_octets_are_kept_and_writing_never_fails() {
        let mut sink = Sink::new();
        for _ in 0..100 {
            sink.write(Bytes::from(vec![b'x'; ROOM])).unwrap();
        }
        sink.write(Bytes::from_static(b"the end\n")).unwrap();
        assert_eq!(sink.check_write().unwrap(), ROOM);
        assert_eq!(sink.tail().len(), KEPT - 1, "without its line end");
        assert!(sink.tail().ends_with("xthe end"));
    }
}
