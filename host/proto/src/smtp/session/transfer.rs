//! Content on its way in: DATA (RFC 5321 §4.1.1.4), BDAT (RFC 3030 §2), and what becomes of it.
//!
//! Whatever is refused is read to its real end first, so that content is never taken for commands; a chunk
//! that is far too big ends the session instead.

use super::{Envelope, Transaction};
use super::{Pace, Role, Session, State, Step};
use crate::smtp::command::{self, Place};
use crate::smtp::content::{Content, Progress};
use crate::smtp::{Answer, Question, Reply};
use bytes::{Buf as _, BytesMut};

/// By which way content comes.
#[derive(Debug)]
pub(super) enum Transfer {
    Data,
    Bdat(Chunk),
}

/// A chunk on its way in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    size: u64,
    /// Octets that have not come.
    left: u64,
    place: Place,
}

/// A chunk that is thrown away, and what is said then.
#[derive(Debug)]
pub(super) struct Skipped {
    chunk: Chunk,
    verdict: Verdict,
}

/// Why a chunk is thrown away.
#[derive(Debug)]
enum Verdict {
    /// An error of the client.
    Fault(Transaction, Reply),
    /// No error of the client: it pipelined behind a refusal.
    Excused(Transaction, Reply),
    /// The transaction's content was refused.
    Ruined(Envelope, Reply),
}

impl Chunk {
    fn new(size: u64, place: Place) -> Self {
        let left = size;
        Self { size, left, place }
    }

    /// Takes what there is of it.
    fn take(&mut self, input: &mut BytesMut) -> BytesMut {
        let length = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        self.left = self.left.saturating_sub(length as u64);
        input.split_to(length)
    }
}

impl Session {
    pub(super) fn data(&mut self, transaction: Transaction) {
        match transaction {
            Transaction::Open(envelope) if envelope.accepted() > 0 => {
                self.ask(Question::Begin, State::Beginning(envelope, Transfer::Data));
            }
            Transaction::Open(ref envelope) if envelope.was_refused_all() => {
                self.stay(transaction, Reply::recipient_first());
            }
            Transaction::Open(_) => self.stay_refusing(transaction, Reply::recipient_first()),
            Transaction::Declined => self.stay(transaction, Reply::mail_first()),
            Transaction::None => {
                let reply = self.mail_awaited();
                self.stay_refusing(transaction, reply);
            }
            Transaction::Chunks(..) | Transaction::Ruined(..) => {
                self.stay_refusing(transaction, Reply::chunking_begun());
            }
        }
    }

    pub(super) fn bdat(&mut self, transaction: Transaction, argument: &str) {
        let Some((size, place)) = command::chunk(argument) else {
            return self.end(Reply::lost_in_chunks());
        };
        // RFC 3030 §2 has refused octets read all the same, to stay in sync. The largest message twice over is
        // no near miss: to read it would only cost both sides.
        if size > self.settings.limits.message_size.saturating_mul(2) {
            return self.end(Reply::too_big_to_skip());
        }
        let chunk = Chunk::new(size, place);
        if let Some(reply) = self.extension_awaited() {
            return self.skip(chunk, Verdict::Fault(transaction, reply));
        }
        match transaction {
            Transaction::Open(envelope) if envelope.accepted() > 0 => {
                let transfer = Transfer::Bdat(chunk);
                self.ask(Question::Begin, State::Beginning(envelope, transfer));
            }
            Transaction::Open(ref envelope) if envelope.was_refused_all() => {
                self.skip(chunk, Verdict::Excused(transaction, Reply::recipient_first()));
            }
            Transaction::Open(_) => self.skip(chunk, Verdict::Fault(transaction, Reply::recipient_first())),
            Transaction::Declined => self.skip(chunk, Verdict::Excused(transaction, Reply::mail_first())),
            Transaction::None => self.skip(chunk, Verdict::Fault(transaction, Reply::mail_first())),
            Transaction::Chunks(envelope, content) => self.state = State::Chunk(envelope, content, chunk),
            Transaction::Ruined(envelope, reply) => self.skip(chunk, Verdict::Ruined(envelope, reply)),
        }
    }

    fn skip(&mut self, chunk: Chunk, verdict: Verdict) {
        self.state = State::Skipping(Skipped { chunk, verdict });
    }

    /// [`Question::Begin`] was answered.
    pub(super) fn begun(&mut self, envelope: Envelope, transfer: Transfer, answer: Answer) {
        let refusal = match answer {
            Answer::Proceed => return self.begin(envelope, transfer),
            Answer::Close(reply) => return self.close(reply),
            Answer::Reply(reply) if !reply.is_positive() => reply,
            Answer::Reply(_) | Answer::Auth(_) | Answer::Each(_) => Reply::our_trouble(),
        };
        match transfer {
            // No content will come; the envelope is as it was.
            Transfer::Data => self.stay(Transaction::Open(envelope), refusal),
            Transfer::Bdat(chunk) => {
                self.steps.push_back(Step::Reset);
                self.skip(chunk, Verdict::Ruined(envelope, refusal));
            }
        }
    }

    fn begin(&mut self, envelope: Envelope, transfer: Transfer) {
        let content = self.content(&envelope);
        match transfer {
            Transfer::Data => {
                self.write(Reply::start_content());
                self.state = State::Content(envelope, content);
            }
            Transfer::Bdat(chunk) => self.state = State::Chunk(envelope, content, chunk),
        }
    }

    /// Uses what there is of the input as content.
    pub(super) fn next_content(&mut self) -> Pace {
        match self.leave() {
            State::Content(envelope, content) => self.take_data(envelope, content),
            State::Chunk(envelope, content, chunk) => self.take_chunk(envelope, content, chunk),
            State::Skipping(skipped) => self.take_skipped(skipped),
            state => {
                self.state = state;
                Pace::Wait
            }
        }
    }

    fn take_data(&mut self, envelope: Envelope, mut content: Content) -> Pace {
        let input = self.lines.octets();
        let mut out = BytesMut::with_capacity(input.len());
        let progress = content.data(input, &mut out);
        match progress {
            Progress::More => {
                self.body(out);
                self.state = State::Content(envelope, content);
                Pace::Wait
            }
            Progress::Done => {
                self.finish(envelope, content, out);
                Pace::On
            }
        }
    }

    fn take_chunk(&mut self, envelope: Envelope, mut content: Content, mut chunk: Chunk) -> Pace {
        let octets = chunk.take(self.lines.octets());
        let mut out = BytesMut::with_capacity(octets.len());
        content.chunk(&octets, &mut out);
        if chunk.left > 0 {
            self.body(out);
            self.state = State::Chunk(envelope, content, chunk);
            return Pace::Wait;
        }
        match (chunk.place, content.fault()) {
            (Place::Last, _) => self.finish(envelope, content, out),
            (Place::Between, None) => {
                self.body(out);
                let taken = Reply::chunk_taken(chunk.size);
                self.stay(Transaction::Chunks(envelope, content), taken);
            }
            (Place::Between, Some(fault)) => {
                self.body(out);
                self.steps.push_back(Step::Reset);
                self.stay(Transaction::Ruined(envelope, fault.clone()), fault);
            }
        }
        Pace::On
    }

    fn take_skipped(&mut self, mut skipped: Skipped) -> Pace {
        let octets = skipped.chunk.take(self.lines.octets());
        drop(octets);
        if skipped.chunk.left > 0 {
            self.state = State::Skipping(skipped);
            return Pace::Wait;
        }
        match (skipped.verdict, skipped.chunk.place) {
            (Verdict::Fault(transaction, reply), _) => self.stay_refusing(transaction, reply),
            (Verdict::Excused(transaction, reply), _) => self.stay(transaction, reply),
            (Verdict::Ruined(envelope, reply), Place::Between) => {
                self.stay(Transaction::Ruined(envelope, reply.clone()), reply);
            }
            (Verdict::Ruined(envelope, reply), Place::Last) => self.conclude(&envelope, reply),
        }
        Pace::On
    }

    fn body(&mut self, out: BytesMut) {
        if out.has_remaining() {
            self.steps.push_back(Step::Body(out.freeze()));
        }
    }

    /// The content is complete.
    fn finish(&mut self, envelope: Envelope, mut content: Content, mut out: BytesMut) {
        content.finish(&mut out);
        self.body(out);
        match content.fault() {
            None => self.ask(Question::Commit, State::Committing(envelope)),
            Some(fault) => {
                self.steps.push_back(Step::Reset);
                self.conclude(&envelope, fault);
            }
        }
    }

    /// The transaction is over with the same reply for all: LMTP says it for each recipient (RFC 2033 §4.2).
    fn conclude(&mut self, envelope: &Envelope, reply: Reply) {
        self.state = State::Ready(Transaction::None);
        if self.settings.role == Role::Lmtp {
            for _ in 1..envelope.accepted() {
                self.write(reply.clone());
            }
        }
        self.write(reply);
    }

    /// [`Question::Commit`] was answered.
    pub(super) fn committed(&mut self, envelope: &Envelope, answer: Answer) {
        match answer {
            Answer::Proceed => self.conclude(envelope, Reply::ok()),
            Answer::Reply(reply) => self.conclude(envelope, reply),
            Answer::Close(reply) => self.close(reply),
            Answer::Each(replies) if self.settings.role == Role::Lmtp => {
                self.conclude_each(envelope, replies)
            }
            Answer::Each(_) | Answer::Auth(_) => self.conclude(envelope, Reply::our_trouble()),
        }
    }

    /// One reply for each recipient, whatever the driver gave: with one too few or too many the client would
    /// take replies for those of other commands.
    fn conclude_each(&mut self, envelope: &Envelope, replies: Vec<Reply>) {
        self.state = State::Ready(Transaction::None);
        let padding = std::iter::repeat_with(Reply::our_trouble);
        for reply in replies.into_iter().chain(padding).take(envelope.accepted()) {
            self.write(reply);
        }
    }
}
