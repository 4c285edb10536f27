//! Versions that are asked beside the decision: on threads that stand back further, with places, a queue and room for
//! trees of their own. What does not fit is dropped and counted. Nobody waits for them.

use super::MessageSource;
use super::capabilities::tree::Room;
use super::guest::Call;
use super::limits::Limit;
use super::plugin::{Failed, Failure, Heard, Plugin};
use super::questions::{Ask, Said};
use super::runtime;
use super::slot::Slot;
use super::told::Tell;
use super::words::Ear;
use crate::config::PolicyLimits;
use crate::store::{self, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Texts up to here are in memory with their message, and stay there for those who are asked beside the decision.
const KEPT: usize = 256 << 10;

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    Decides,
    /// A candidate that does not decide.
    Shadow,
    /// The enforced version, where a canary decides.
    Counterpart,
    /// It is not made: the breaker is open.
    OutOfService,
}

impl Run {
    /// Whether nothing of it may reach the mail.
    pub(super) fn is_beside(self) -> bool {
        matches!(self, Self::Shadow | Self::Counterpart)
    }
}

/// What a version came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) word: &'static str,
    /// There was no answer.
    pub(super) failed: bool,
    /// Of all that was said: SHA-256. Of a failure nothing but its word is compared.
    digest: [u8; 32],
}

impl Word {
    pub(super) fn said(answer: &impl Tell) -> Self {
        let mut digest = Sha256::new_with_prefix(answer.said());
        for edit in answer.edits() {
            digest.update([0]);
            digest.update(edit);
        }
        Self {
            word: answer.word(),
            failed: false,
            digest: digest.finalize().into(),
        }
    }

    pub(super) fn failed(failure: &Failure) -> Self {
        Self {
            word: failure.word(),
            failed: true,
            digest: [0; 32],
        }
    }
}

/// Where a decision is told to who was asked beside it.
#[derive(Debug)]
pub(super) struct Told(Mutex<Option<oneshot::Sender<Option<Word>>>>);

impl Told {
    pub(super) fn decided(&self, word: Word) {
        self.tell(Some(word));
    }

    /// No version decides about this.
    pub(super) fn nobody_decides(&self) {
        self.tell(None);
    }

    fn tell(&self, word: Option<Word>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It may have been dropped meanwhile.
        let _ = sender.map(|sender| sender.send(word));
    }
}

/// The budget of those who are asked beside the decision.
#[derive(Debug)]
pub(super) struct Shadows {
    /// Started for the first of them. None: that failed.
    runtime: OnceLock<Option<Runtime>>,
    pub(super) places: Arc<Semaphore>,
    /// Places, and the queue before them.
    admission: Arc<Semaphore>,
    room: Room,
}

impl Shadows {
    pub(super) fn new(limits: &PolicyLimits) -> Self {
        let (places, queue) = (limits.shadow_instances as usize, limits.shadow_queue);
        let mime = crate::config::MimeLimits {
            // One tree of the largest message at a time.
            room: 2 * limits.mime.text,
            ..limits.mime
        };
        Self {
            runtime: OnceLock::new(),
            places: Arc::new(Semaphore::new(places)),
            admission: Arc::new(Semaphore::new(places + queue)),
            room: Room::new(mime),
        }
    }

    fn handle(&self) -> Option<&Handle> {
        let start = || {
            let runtime = Builder::new_multi_thread()
                .thread_name("shadow")
                .on_thread_start(runtime::step_far_back)
                .enable_all()
                .build();
            runtime
                .inspect_err(
                    |error| tracing::error!(%error, "no threads for policies in shadow; none is asked"),
                )
                .ok()
        };
        self.runtime.get_or_init(start).as_ref().map(Runtime::handle)
    }

    fn admit(&self) -> Option<OwnedSemaphorePermit> {
        let admitted = Arc::clone(&self.admission).try_acquire_owned().ok();
        if admitted.is_none() {
            Limit::Shadow.hit();
        }
        admitted
    }
}

impl Drop for Shadows {
    fn drop(&mut self) {
        // May happen on a thread of another runtime, where waiting for this one is not allowed.
        if let Some(runtime) = self.runtime.take().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// Asks a version beside the decision, if there is room for it; where the decision is told then.
pub(super) fn ask(slot: &Arc<Slot>, plugin: &Arc<Plugin>, ask: &Ask, mut call: Call) -> Option<Arc<Told>> {
    let (begun, shadows) = (Instant::now(), &plugin.guests.shadows);
    let (Some(handle), Some(admitted)) = (shadows.handle(), shadows.admit()) else {
        dropped(plugin);
        // It may have been a breaker's trial.
        if call.run == Run::Shadow {
            plugin.health.abandoned(begun);
        }
        return None;
    };
    let gone = Arc::new(AtomicBool::new(false));
    call.message = call
        .message
        .map(|letter| Arc::new(letter.beside(|source| Source::of(source, &gone), shadows.room.clone())));
    let (sender, decision) = oneshot::channel();
    let (slot, plugin, ask, run) = (Arc::clone(slot), Arc::clone(plugin), ask.clone(), call.run);
    let asked = async move {
        let question = ask.question();
        let heard = plugin.ask_beside(&ask, call).await;
        drop(admitted);
        let word = heard.and_then(|heard| said(heard, &plugin));
        if let Err(failed) = &word {
            // Not its own doing.
            let is_hosts = failed.store_failed || matches!(failed.failure, Failure::Busy);
            if is_hosts || gone.load(Ordering::Relaxed) {
                return dropped(&plugin);
            }
            tracing::warn!(plugin = %plugin.name, question = question.word(), error = %failed.failure,
                output = failed.output, "a policy's call beside a decision failed");
        }
        let word = word.unwrap_or_else(|failed| Word::failed(&failed.failure));
        // Its session may have ended before there was a decision.
        if let Ok(decided) = decision.await {
            slot.compare(question, run, word, decided);
        }
    };
    handle.spawn(Box::pin(asked));
    Some(Arc::new(Told(Mutex::new(Some(sender)))))
}

/// One that was not asked, or came to nothing for want of what it needs.
fn dropped(plugin: &Plugin) {
    metrics::counter!("postern_plugin_shadow_dropped_total", "plugin" => plugin.name.to_string())
        .increment(1);
}

fn said(heard: Heard, plugin: &Plugin) -> Result<Word, Failed> {
    let mut ear = Ear::default();
    Ok(match heard.said {
        Said::Verdict(said) => Word::said(&(ear.verdict(said), heard.edits)),
        Said::Route(said) => {
            let route = ear.route(said, plugin.limits().addresses);
            Word::said(&route.map_err(Failure::from)?)
        }
        Said::Quota(said) => Word::said(&ear.quota(said)),
        Said::Validated(_) => return Err(Failure::Lost.into()),
    })
}

/// A message that lasts as long as its transaction, which is not held up: neither its octets nor its place among those
/// in flight.
#[derive(Debug)]
struct Source {
    head: Bytes,
    size: u64,
    text: Text,
    gone: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Text {
    Kept(Bytes),
    Borrowed(Weak<dyn MessageSource>),
}

impl Source {
    fn of(source: &Arc<dyn MessageSource>, gone: &Arc<AtomicBool>) -> Arc<dyn MessageSource> {
        let (head, size) = (source.head(), source.size());
        let octets = usize::try_from(size.saturating_sub(head.len() as u64)).unwrap_or(usize::MAX);
        let kept = match octets <= KEPT {
            true => source.read_text(0, octets).now_or_never().and_then(Result::ok),
            false => None,
        };
        let kept = kept.filter(|text| text.len() == octets);
        Arc::new(Self {
            head,
            size,
            text: kept.map_or_else(|| Text::Borrowed(Arc::downgrade(source)), Text::Kept),
            gone: Arc::clone(gone),
        })
    }
}

#[async_trait]
impl MessageSource for Source {
    fn head(&self) -> Bytes {
        self.head.clone()
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn read_text(&self, offset: u64, len: usize) -> store::Result<Bytes> {
        match &self.text {
            Text::Kept(text) => Ok(crate::message::part(text, offset, len)),
            Text::Borrowed(source) => match source.upgrade() {
                Some(source) => source.read_text(offset, len).await,
                None => {
                    self.gone.store(true, Ordering::Relaxed);
                    Err(StoreError::NotFound)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
