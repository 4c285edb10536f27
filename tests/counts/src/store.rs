//! The embedded store: a group of deliveries from the request to the answer, and the listing of a large mailbox.

use crate::letters::{id, parts};
use crate::{measured, runtime};
use bytes::Bytes;
use futures_util::future::join_all;
use postern::store::embedded::{EmbeddedStore, Options};
use postern::store::{
    Atomicity, Ceiling, Content, Delivered, Delivery, Mailbox, Maildrops as _, NewEntry, Text,
};
use std::ops::Range;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::unconstrained;

/// Deliveries of a group, as many as there are busy connections.
const GROUP: usize = 64;
/// Groups that are counted.
const GROUPS: usize = 4;
const MAILBOXES: usize = 16;
/// Octets of a message's text.
const TEXT: usize = 4 << 10;

/// Entries of the large mailbox.
const ENTRIES: usize = 5_000;

/// Deliveries that wait for the committer together, are committed together and are answered.
pub(crate) fn batch() {
    let shelf = Shelf::open(TEXT);
    let mailbox = |nth: usize| format!("user{}@example.org", nth % MAILBOXES);
    let runtime = runtime();
    // The first one makes what stays: rows of usage, buffers, counters.
    runtime.block_on(shelf.group(0..GROUP, mailbox));
    let kept = measured(&mut || {
        let groups = (1..=GROUPS).map(|group| {
            let places = group * GROUP..(group + 1) * GROUP;
            runtime.block_on(shelf.group(places, mailbox))
        });
        groups.sum()
    });
    assert_eq!(kept, GROUP * GROUPS);
}

/// What a login reads of a mailbox.
pub(crate) fn listing() {
    let shelf = Shelf::open(0);
    let runtime = runtime();
    for begun in (0..ENTRIES).step_by(GROUP) {
        let places = begun..ENTRIES.min(begun + GROUP);
        runtime.block_on(shelf.group(places, |_| "ann@example.org".to_owned()));
    }
    let listed = measured(&mut || {
        let listed = runtime.block_on(shelf.store.list("ann@example.org"));
        listed.expect("a store that reads").len()
    });
    assert_eq!(listed, ENTRIES);
}

/// A store and what is put into it.
struct Shelf {
    store: Arc<EmbeddedStore>,
    content: Content,
    facts: Bytes,
    _folder: TempDir,
}

impl Shelf {
    /// For messages whose text has so many octets.
    fn open(text: usize) -> Self {
        let folder = TempDir::new().expect("a folder");
        let store = EmbeddedStore::open(folder.path(), Options::default());
        let (head, text) = parts(text);
        Self {
            store: store.expect("a store"),
            content: Content {
                head,
                text: Text::Inline(text),
            },
            facts: Bytes::from_static(br#"{"client_ip":"192.0.2.7","helo":"mail.shop.example"}"#),
            _folder: folder,
        }
    }

    /// Delivers in one group; answers how many were kept.
    async fn group(&self, places: Range<usize>, mailbox: impl Fn(usize) -> String) -> usize {
        let held = self.store.hold().await.expect("a store that writes");
        let calls = places.map(|nth| self.store.deliver(self.delivery(nth, &mailbox(nth))));
        // All of them wait when the committer goes on, in one turn of this task.
        let (outcomes, ()) = tokio::join!(unconstrained(join_all(calls)), async { drop(held) });
        let kept = outcomes
            .into_iter()
            .flat_map(|outcome| outcome.expect("a store that writes"));
        kept.filter(|outcome| *outcome == Delivered::Kept).count()
    }

    fn delivery(&self, nth: usize, mailbox: &str) -> Delivery {
        let trace = format!("Return-Path: <bob@shop.example>\r\nDelivered-To: {mailbox}\r\n");
        let size = self.content.size() + trace.len() as u64;
        Delivery {
            id: id(nth),
            content: self.content.clone(),
            facts: self.facts.clone(),
            entries: vec![NewEntry {
                mailbox: Mailbox::from(mailbox),
                trace: trace.into(),
                size,
                downgraded_size: size,
                ceiling: Ceiling {
                    bytes: Some(1 << 30),
                    messages: Some(1 << 20),
                },
                uidl: None,
            }],
            quarantine: Vec::new(),
            atomicity: Atomicity::All,
        }
    }
}
