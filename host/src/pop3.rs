//! POP3 sessions: drives `postern_proto::pop3` and answers its questions.
//!
//! The machine decides; here are the sockets, the clock, the directory and the store. One message is in
//! memory a chunk at a time, save the header section of one that is to be downgraded. A maildrop is held
//! by one session and is free again before QUIT is answered, or when the session ends in any other way,
//! which deletes nothing: only [`Question::Remove`](postern_proto::pop3::Question::Remove) does. With `pop3.lease`
//! that holds among all gateways, and a session whose lease was not renewed ends and deletes nothing.
//!
//! A client that is silent, or takes nothing of what it asked for, is closed after `limits.pop3_idle` without
//! a word (RFC 1939 §3); so is one that takes longer than `limits.transfer` for one message, for it keeps its
//! maildrop from others. What is left of a message when it has been read, 32 KiB at most, may be sent with what
//! follows and has the idle time alone. When the gateway stops, sessions end as soon as they wait for a command: what is being
//! sent is finished, a QUIT that has come is done, and messages that were only marked stay (RFC 1939 §6).

mod lease;
mod locks;
mod maildrop;
mod parcel;
mod tally;
mod wire;

pub use lease::Leasing;
pub use locks::Locks;

use crate::config::TlsMode;
use crate::gateway::Gateway;
use crate::net::Connection;
use maildrop::Opened;
use parcel::Parcel;
use postern_proto::pop3::{Answer, Limits, Question, Reply, Session, Settings, Step};
use postern_proto::sasl;
use std::net::SocketAddr;
use std::sync::Arc;
use tally::{Closed, Tally};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::{Broken, Read, Wire};

/// Serves one connection.
pub async fn serve(connection: Connection, gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let mut visit = Visit {
        session: Session::new(settings(&connection, &gateway)),
        client: connection.client,
        tally: Tally::begin(&connection),
        maildrop: None,
        parcel: None,
        gateway,
        lost: shutdown.child_token(),
        shutdown,
    };
    let wire = Wire::new(connection, visit.gateway.config.limits.pop3_idle);
    let end = Box::pin(visit.run(wire)).await;
    visit.tally.end(end);
    visit.close().await;
}

fn settings(connection: &Connection, gateway: &Gateway) -> Settings {
    let config = &gateway.config;
    Settings {
        hostname: config.hostname.clone(),
        limits: Limits {
            bad_commands: config.limits.bad_commands,
        },
        stls: connection.listener.tls == TlsMode::StartTls,
        tls: connection.tls(),
        mechanisms: config.auth.mechanisms(),
        plaintext_auth: connection.listener.plaintext_auth,
        login_delay: config.pop3.login_delay.map(|delay| delay.as_secs()),
    }
}

/// One session and all it holds.
struct Visit {
    session: Session,
    client: SocketAddr,
    tally: Tally,
    /// From login to QUIT.
    maildrop: Option<Opened>,
    /// From [`Question::Fetch`] to [`Step::Send`].
    parcel: Option<Parcel>,
    gateway: Arc<Gateway>,
    shutdown: CancellationToken,
    /// The maildrop is not this session's any more, or the gateway stops.
    lost: CancellationToken,
}

impl Visit {
    async fn run(&mut self, mut wire: Wire) -> Result<Closed, Broken> {
        let mut closed = Closed::InOrder;
        loop {
            match self.session.step() {
                Step::Read => {
                    wire.flush().await?;
                    let session = &mut self.session;
                    match wire.read(&self.lost, |octets| session.feed(octets)).await? {
                        Read::Input => {}
                        Read::Stopping => closed = self.stop(),
                    }
                }
                Step::Write(reply) => {
                    self.note(&reply).await;
                    wire.reply(&reply).await?;
                }
                Step::Ask(question) => {
                    let answer = self.answer(question).await;
                    self.session.answer(answer);
                }
                Step::Send(fetch) => {
                    let Some(parcel) = self.parcel.take() else {
                        return Err(Broken::NothingToSend);
                    };
                    let sending = parcel.send(fetch.extent, &*self.gateway.store, &mut wire);
                    let sent = timeout(self.gateway.config.limits.transfer, sending).await;
                    self.tally.retrieved(sent.map_err(|_| wire::slow())??);
                }
                Step::Upgrade => {
                    wire = wire.secure(&self.gateway.tls.acceptor()).await?;
                    if let Some(facts) = wire.tls() {
                        self.session.secured(facts);
                    }
                }
                Step::Close => {
                    if self.session.met_its_limit_of_errors() {
                        closed = Closed::ByErrors;
                    }
                    wire.close().await?;
                    return Ok(closed);
                }
            }
        }
    }

    /// Ends the session from here.
    fn stop(&mut self) -> Closed {
        let (closed, reply) = match self.shutdown.is_cancelled() {
            true => (Closed::ByShutdown, Reply::shutting_down()),
            false => (Closed::ByLoss, Reply::maildrop_lost()),
        };
        self.session.abort(reply);
        closed
    }

    async fn note(&mut self, reply: &Reply) {
        let verb = self.session.verb();
        self.tally.replied(verb, reply);
        // A client that has read the answer to QUIT may come again at once, and must find its maildrop free.
        if verb == "QUIT" && reply.is_positive() {
            self.close().await;
        }
    }

    async fn close(&mut self) {
        if let Some(opened) = self.maildrop.take() {
            opened.close().await;
        }
    }

    async fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Auth(question) => Answer::Auth(self.judge(question).await),
            Question::Open { account } => {
                match Opened::open(&self.gateway, &account, self.lost.clone()).await {
                    Ok(opened) => {
                        self.tally.opened(opened.mailbox());
                        let messages = opened.messages();
                        self.maildrop = Some(opened);
                        Answer::Opened(messages)
                    }
                    Err(refusal) => {
                        let client = self.client;
                        tracing::info!(%client, account, reason = ?refusal, "login refused");
                        Answer::Refused(refusal)
                    }
                }
            }
            Question::Fetch(fetch) => {
                let Some(listed) = self.maildrop.as_ref().and_then(|drop| drop.line(fetch.place)) else {
                    return Answer::Trouble(postern_proto::pop3::Trouble::Temporary);
                };
                match Parcel::prepare(listed, fetch.form, &*self.gateway.store).await {
                    Ok(parcel) => {
                        self.parcel = Some(parcel);
                        Answer::Ready
                    }
                    Err(trouble) => Answer::Trouble(trouble),
                }
            }
            Question::Remove(places) => {
                let Some(opened) = &self.maildrop else {
                    return Answer::Trouble(postern_proto::pop3::Trouble::Temporary);
                };
                let answer = opened.remove(&places, &*self.gateway.store).await;
                match answer == Answer::Removed {
                    true => self.tally.deleted(places.len()),
                    false => self.close().await,
                }
                answer
            }
        }
    }

    async fn judge(&self, question: sasl::Question) -> sasl::Answer {
        let login = match &question {
            sasl::Question::Password { login, .. }
            | sasl::Question::Keys { login }
            | sasl::Question::Proof { login, .. } => login.clone(),
        };
        let judging = self.gateway.directory.authenticate(question, self.client.ip());
        let answer = Box::pin(judging).await;
        let reason = match answer {
            sasl::Answer::Denied => "wrong login or password",
            sasl::Answer::Unavailable => "cannot be judged now",
            sasl::Answer::Granted { .. } | sasl::Answer::Keys { .. } => return answer,
        };
        tracing::info!(client = %self.client, ?login, reason, "login refused");
        answer
    }
}

#[cfg(test)]
mod tests;
