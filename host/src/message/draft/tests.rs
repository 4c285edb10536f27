use super::*;
use crate::store::memory::MemoryStore;
use crate::store::{Atomicity, Bodies, Ceiling, Delivery, Holder, Maildrops, NewEntry};

struct Bench {
    memory: Arc<MemoryStore>,
    store: Arc<dyn Store>,
    budget: Arc<Budget>,
    id: MessageId,
}

fn bench(budget: u64) -> Bench {
    let memory = Arc::new(MemoryStore::new());
    Bench {
        store: Arc::clone(&memory) as Arc<dyn Store>,
        memory,
        budget: Budget::new(budget),
        id: MessageId::new(),
    }
}

impl Bench {
    fn draft(&self, declared: u64) -> std::result::Result<Draft, DraftError> {
        Draft::begin(self.id, &self.store, &self.budget, declared)
    }

    async fn sealed(&self, content: &[u8], pieces: usize) -> Message {
        let mut draft = self.draft(0).unwrap();
        for piece in content.chunks(pieces) {
            draft.push(piece).await.unwrap();
        }
        draft.seal().await.unwrap()
    }
}

async fn whole(message: &Message) -> Vec<u8> {
    let mut bytes = message.content().head.to_vec();
    bytes.extend_from_slice(&message.read_text(0, usize::MAX).await.unwrap());
    bytes
}

#[tokio::test]
async fn head_and_text_part_at_the_empty_line_however_the_pieces_fall() {
    let content = b"A: b\r\nC: d\r\n\r\ntext\r\n\r\nmore\r\n";
    for pieces in 1..content.len() {
        let message = bench(1000).sealed(content, pieces).await;
        assert_eq!(message.content().head, b"A: b\r\nC: d\r\n\r\n".as_slice());
        assert_eq!(whole(&message).await, content);
        assert_eq!(message.size(), content.len() as u64);
    }
}

/// Room that grew by doubling came to twice a chunk, for every large message on its way.
#[tokio::test]
async fn text_has_room_for_a_chunk_at_most_and_a_small_one_for_no_more_than_itself() {
    for pieces in [1000, 43_005, 65_536, CHUNK, CHUNK + 1] {
        let bench = bench(4 << 20);
        let mut draft = bench.draft(0).unwrap();
        draft.push(b"Subject: x\r\n\r\n").await.unwrap();
        let text: Vec<u8> = (0..3 * CHUNK + 1).map(|at| at as u8).collect();
        for piece in text.chunks(pieces) {
            draft.push(piece).await.unwrap();
            assert!(
                draft.text.capacity() <= CHUNK,
                "{pieces}: {}",
                draft.text.capacity()
            );
        }
        assert_eq!(draft.chunks, 3, "the last one is kept until there is more");
        let message = draft.seal().await.unwrap();
        assert!(
            message.read_text(0, usize::MAX).await.unwrap() == text,
            "{pieces}"
        );
    }
    let bench = bench(1 << 20);
    let mut draft = bench.draft(0).unwrap();
    draft.push(b"Subject: x\r\n\r\nfour").await.unwrap();
    assert!(draft.text.capacity() < 16, "{}", draft.text.capacity());
}

#[tokio::test]
async fn odd_messages_keep_every_octet() {
    for content in [b"".as_slice(), b"\r\n", b"Subject: x\r\n", b"\r\n\r\n\r\n"] {
        let message = bench(1000).sealed(content, 1).await;
        assert_eq!(whole(&message).await, content);
    }
}

#[tokio::test]
async fn a_body_without_a_header_section_begins_behind_an_empty_line_however_the_pieces_fall() {
    let long = format!(" evil\r\nA: b\r\n\r\n{}\r\n", "x".repeat(2 * CHUNK));
    for content in [".\r\n", "Hello\r\nA: b\r\n\r\ntext\r\n", "Hello", long.as_str()] {
        for pieces in [1, 2, 5, 9000, CHUNK + 1] {
            let message = bench(u64::MAX).sealed(content.as_bytes(), pieces).await;
            assert_eq!(message.content().head, b"\r\n".as_slice());
            assert!(whole(&message).await == format!("\r\n{content}").into_bytes());
            assert_eq!(message.content().size(), content.len() as u64 + 2);
        }
    }
}

#[tokio::test]
async fn the_line_of_an_mbox_becomes_a_field_however_the_pieces_fall() {
    let content = b"From ann@example.org Thu Jan  1 00:00:00 1970\r\nA: b\r\n\r\ntext\r\n";
    for pieces in 1..content.len() {
        let message = bench(1000).sealed(content, pieces).await;
        let expected = [b"X-Mailbox-Line: ".as_slice(), content].concat();
        assert_eq!(whole(&message).await, expected);
        assert!(message.content().head.ends_with(b"A: b\r\n\r\n"));
        assert_eq!(message.size(), expected.len() as u64);
    }
}

#[tokio::test]
async fn edits_and_missing_fields_stand_between_the_trace_and_a_body_without_a_header_section() {
    let message = bench(1000).sealed(b"\tevil\r\n", 1).await;
    let message = message.completed("Date: d\r\n").shown_behind("Received: r\r\n");
    assert_eq!(message.head(), b"Received: r\r\nDate: d\r\n\r\n".as_slice());
    assert_eq!(whole(&message).await, b"Date: d\r\n\r\n\tevil\r\n");
}

#[tokio::test]
async fn a_text_of_one_chunk_stays_in_memory_and_one_octet_more_does_not() {
    for (octets, chunks) in [(CHUNK, 0), (CHUNK + 1, 2), (2 * CHUNK, 2), (2 * CHUNK + 1, 3)] {
        let content = [b"\r\n".as_slice(), &vec![b'x'; octets]].concat();
        let message = bench(u64::MAX).sealed(&content, 9000).await;
        match &message.content().text {
            Text::Inline(text) => assert_eq!((text.len(), chunks), (octets, 0)),
            Text::Appended { size, chunks: stored } => {
                assert_eq!((*size, *stored), (octets as u64, chunks));
            }
        }
        assert_eq!(whole(&message).await, content);
    }
}

#[tokio::test]
async fn octets_in_flight_are_claimed_given_back_and_end_a_draft_at_the_limit() {
    let bench = bench(10);
    assert!(matches!(bench.draft(11), Err(DraftError::InFlight)));
    let mut draft = bench.draft(4).unwrap();
    assert_eq!(bench.budget.used(), 4);
    draft.push(b"0123456789").await.unwrap();
    assert_eq!(bench.budget.used(), 10);
    assert!(matches!(draft.push(b"x").await, Err(DraftError::InFlight)));
    drop(draft);
    assert_eq!(bench.budget.used(), 0);
}

#[tokio::test]
async fn a_dropped_draft_takes_its_chunks_out_of_the_store() {
    let bench = bench(u64::MAX);
    let message = bench
        .sealed(&[b"\r\n".as_slice(), &vec![b'x'; 2 * CHUNK]].concat(), 9000)
        .await;
    assert_eq!(bench.memory.read_text(bench.id, 0, 1).await.unwrap().len(), 1);
    drop(message);
    while !bench.memory.read_text(bench.id, 0, 1).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_committed_message_is_left_alone() {
    let bench = bench(u64::MAX);
    let message = bench
        .sealed(&[b"\r\n".as_slice(), &vec![b'x'; 2 * CHUNK]].concat(), 9000)
        .await;
    message.committed();
    let size = message.content().size();
    let entry = NewEntry {
        mailbox: "ann@example.org".into(),
        trace: Bytes::new(),
        size,
        downgraded_size: size,
        ceiling: Ceiling::default(),
        uidl: None,
    };
    let delivery = Delivery {
        id: bench.id,
        content: message.content().clone(),
        facts: Bytes::new(),
        entries: vec![entry],
        quarantine: Vec::new(),
        atomicity: Atomicity::All,
    };
    bench.memory.deliver(delivery).await.unwrap();
    drop(message);
    tokio::task::yield_now().await;
    assert_eq!(
        bench
            .memory
            .read(Holder::Mailbox("a@x.org"), bench.id, 0, usize::MAX)
            .await
            .unwrap()
            .len() as u64,
        size
    );
}

#[tokio::test]
async fn filters_see_the_trace_before_the_head_and_the_content_does_not_have_it() {
    let message = bench(1000).sealed(b"A: b\r\n\r\ntext\r\n", 100).await;
    let message = message.completed("Date: d\r\n").shown_behind("Received: r\r\n");
    assert_eq!(
        message.head(),
        b"Received: r\r\nA: b\r\nDate: d\r\n\r\n".as_slice()
    );
    assert_eq!(message.content().head, b"A: b\r\nDate: d\r\n\r\n".as_slice());
    assert_eq!(message.size(), message.head().len() as u64 + 6);
}
