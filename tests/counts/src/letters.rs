//! Mail, always the same, and what is read of its header section on the way in.

use crate::{measured, runtime};
use bytes::Bytes;
use postern::gateway::Budget;
use postern::message::downgrade::downgraded_len;
use postern::message::{Draft, MessageId, head, trace};
use postern::store::{MemoryStore, Store};
use std::fmt::Write as _;
use std::sync::Arc;

/// Messages whose header section is looked at.
const LETTERS: usize = 100;
/// Hosts that they have passed.
const HOPS: usize = 6;
/// Octets that come at a time.
const PIECE: usize = 1 << 10;

const WORDS: [&str; 16] = [
    "noon", "table", "where", "window", "seven", "grey", "letter", "if", "harbour", "and", "quiet", "lamp",
    "of", "march", "winter", "a",
];

/// Each header section as it comes in pieces, and what every message is asked: how many hosts, to whom before, by whom,
/// what is missing, how long after the downgrade.
pub(crate) fn scan() {
    let letter = [header().as_bytes(), &text(2 << 10)].concat();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let in_flight = Budget::new(1 << 30);
    let runtime = runtime();
    let found = measured(&mut || {
        let looked = (0..LETTERS).map(|nth| {
            let head = runtime.block_on(async {
                let draft = Draft::begin(id(nth), &store, &in_flight, letter.len() as u64);
                let mut draft = draft.expect("room in flight");
                for piece in letter.chunks(PIECE) {
                    draft.push(piece).await.expect("a store in memory");
                }
                let sealed = draft.seal().await.expect("a store in memory");
                sealed.content().head.clone()
            });
            let before = trace::Before::of(&head);
            assert!(!before.has("ann@example.org"), "it was not there before");
            assert_eq!(head::authors(&head).len(), 1);
            assert_eq!(trace::missing_fields(&head, id(nth), "mx.example.org", 0), "");
            assert_eq!(downgraded_len(&head), head.len() as u64, "it is all ASCII");
            trace::hops(&head)
        });
        looked.sum()
    });
    assert_eq!(found, LETTERS * HOPS);
}

/// In the order of their numbers.
pub(crate) fn id(nth: usize) -> MessageId {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&(nth as u64).to_be_bytes());
    MessageId::from_bytes(octets)
}

/// Of a message that has come a long way.
pub(crate) fn header() -> String {
    let mut header = String::new();
    for hop in 0..HOPS {
        let _ = write!(
            header,
            "Received: from relay{hop}.shop.example (relay{hop}.shop.example [192.0.2.{hop}])\r\n\
             \tby mail{hop}.example.net with ESMTPS id 01M8ASPC{hop}\r\n\
             \ttls TLS_AES_128_GCM_SHA256;\r\n\tThu, 26 Nov 2026 09:00:0{hop} +0000\r\n"
        );
    }
    header.push_str(
        "Delivered-To: list@lists.example.net\r\n\
         DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=shop.example; s=november;\r\n\
         \th=from:to:subject:date:message-id; bh=Zm9ydHktdHdvIG9jdGV0cyBvZiBiYXNlNjQgdGV4dA==;\r\n\
         \tb=c2lnbmF0dXJlcyBhcmUgbG9uZyBhbmQgZm9sZGVkLCBhbmQgc28gaXMgdGhpcyBvbmUsIHdpdGg\r\n\
         \tgbGluZXMgdGhhdCBhbGwgaGF2ZSB0byBiZSBsb29rZWQgYXQgYnkgd2hvZXZlciBzY2Fucw==\r\n\
         From: \"Bob at the shop\" <bob@shop.example>\r\nTo: Ann <ann@example.org>, list@lists.example.net\r\n\
         Subject: lunch at the harbour, if that is well with you\r\nDate: Thu, 26 Nov 2026 09:00:00 +0000\r\n\
         Message-ID: <1@shop.example>\r\nIn-Reply-To: <0@example.org>\r\nReferences: <0@example.org>\r\n\
         List-Id: <list.lists.example.net>\r\nList-Unsubscribe: <https://lists.example.net/leave>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\
         X-Mailer: a mailer that says so\r\n\r\n",
    );
    header
}

/// Lines of words, so many octets at least.
pub(crate) fn text(octets: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(octets + 128);
    let (mut seed, mut line) = (1_u32, 0);
    while text.len() < octets || line > 0 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = WORDS[(seed >> 28) as usize];
        text.extend_from_slice(word.as_bytes());
        line += word.len() + 1;
        let ends = line > 66;
        text.extend_from_slice(if ends { b"\r\n" } else { b" " });
        line = if ends { 0 } else { line };
    }
    text
}

/// A message of so many octets as DATA brings it, every eighth line with a dot before it and the end behind it; and how
/// many dots are to go.
pub(crate) fn stuffed(octets: usize) -> (Vec<u8>, usize) {
    let mut stuffed = header().into_bytes();
    let mut dots = 0;
    for (nth, line) in text(octets).split_inclusive(|octet| *octet == b'\n').enumerate() {
        if nth % 8 == 0 {
            dots += 1;
            stuffed.extend_from_slice(b"..");
        }
        stuffed.extend_from_slice(line);
    }
    stuffed.extend_from_slice(b".\r\n");
    (stuffed, dots)
}

/// The same in two parts.
pub(crate) fn parts(octets: usize) -> (Bytes, Bytes) {
    (header().into(), text(octets).into())
}
