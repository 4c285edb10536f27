//! SMTP and LMTP sessions: drives `postern_proto::smtp` and answers its questions.
//!
//! The path of a message, in reading order: this loop; [`answer`] (connect, login, MAIL, content);
//! [`recipient`] (RCPT); [`commit`] (the dot); [`outcome`] (who is told what); [`delivery`] (what is written).
//!
//! A client that is slower than RFC 5321 §4.5.3.2 or than the limit of one transfer is told so (421) and
//! dropped. When the gateway shuts down, a session without a transaction ends with 421 at once and others
//! when theirs is over. An error of the network ends the session; content that was not committed is removed.

mod answer;
mod commit;
mod delivery;
mod envelope;
mod explain;
mod facts;
mod outcome;
mod recipient;
mod record;
mod senders;
#[cfg(test)]
mod tests;

pub use record::Stages;

use crate::config::{Config, Listener, Role, TlsMode};
use crate::gateway::Gateway;
use crate::net::{Connection, Stream};
use answer::{Answers, Client, Manners};
use bytes::BytesMut;
use postern_proto::smtp::ForwardPath;
use postern_proto::smtp::{self, Limits, Question, Reply, Session, Settings, Step, TlsFacts, Waiting};
use record::About;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long a client is listened to before the greeting, where early talkers are refused.
const HUSH: Duration = Duration::from_secs(2);

/// Octets read at a time: little while commands come, which are short; most messages are short too, and what fills its
/// room is followed by more.
const COMMANDS: usize = 4 * 1024;
const CONTENT: usize = 16 * 1024;
const LONG_CONTENT: usize = 64 * 1024;

/// Replies held back before they are sent without being waited for.
const REPLIES: usize = 32 * 1024;

/// Serves one connection.
pub async fn serve(connection: Connection, gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let Role::Smtp(role) = connection.listener.role else {
        return;
    };
    let early = connection.listener.reject_early_talkers && connection.speaks_first(HUSH).await;
    let client = Client {
        address: connection.client,
        listener: Arc::clone(&connection.listener),
        role,
        manners: if early {
            Manners::SpokeFirst
        } else {
            Manners::Waits
        },
    };
    let settings = settings(&gateway.config, &connection.listener, role, connection.tls());
    let address = client.address;
    let driver = Driver {
        machine: Session::new(settings),
        answers: Answers::new(Arc::clone(&gateway), client),
        gateway,
        shutdown,
        output: BytesMut::new(),
        room: CONTENT,
        about: About::Nothing,
        transfer: None,
        awaited: None,
    };
    if let Err(error) = driver.run(connection).await {
        tracing::debug!(client = %address, %error, "a session broke off");
    }
}

fn settings(config: &Config, listener: &Listener, role: smtp::Role, tls: Option<TlsFacts>) -> Settings {
    let mechanisms = match listener.auth {
        true => config.auth.mechanisms(),
        false => Vec::new(),
    };
    let limits = &config.limits;
    Settings {
        role,
        hostname: config.hostname.clone(),
        limits: Limits {
            message_size: limits.message_size,
            line: limits.line,
            headers: limits.headers,
            recipients: limits.recipients,
            bad_commands: limits.bad_commands,
            unknown_recipients: limits.unknown_recipients,
        },
        starttls: listener.tls == TlsMode::StartTls,
        tls,
        mechanisms,
        plaintext_auth: listener.plaintext_auth,
        strict_8bitmime: config.strict_8bitmime,
    }
}

/// One session at work.
struct Driver {
    machine: Session,
    answers: Answers,
    gateway: Arc<Gateway>,
    shutdown: CancellationToken,
    output: BytesMut,
    /// Octets of content read at a time.
    room: usize,
    /// What the next reply is about.
    about: About,
    /// When the transaction began, or what is thrown away began to come.
    transfer: Option<Instant>,
    /// Since when a whole line is awaited.
    awaited: Option<Instant>,
}

/// What came of waiting for the client.
enum Heard {
    /// The machine has them.
    Octets,
    End,
    /// The session is to end with this reply.
    Enough(Reply),
}

impl Driver {
    async fn run(mut self, mut connection: Connection) -> io::Result<()> {
        loop {
            let step = self.machine.step();
            if step != Step::Read {
                self.awaited = None;
            }
            match step {
                Step::Read => match self.listen(&mut connection.stream).await? {
                    Heard::Octets => {}
                    Heard::End => return Ok(()),
                    Heard::Enough(reply) => self.machine.abort(reply),
                },
                Step::Write(reply) => self.write(&mut connection.stream, &reply).await?,
                Step::Ask(question) => self.ask(question).await,
                Step::Body(piece) => self.answers.body(&piece).await,
                Step::Reset => {
                    // The machine refuses content at its end by itself; RSET and its like only give it up.
                    if matches!(self.machine.verb(), "DATA" | "BDAT") && self.answers.has_content() {
                        record::refused_content();
                    }
                    self.answers.reset();
                }
                Step::Upgrade => {
                    self.flush(&mut connection.stream).await?;
                    connection = connection.secure(&self.gateway.tls.acceptor()).await?;
                    let tls = connection.tls().ok_or(io::ErrorKind::NotConnected)?;
                    self.answers.secured();
                    self.machine.secured(tls);
                }
                Step::Close => {
                    self.flush(&mut connection.stream).await?;
                    connection.close().await;
                    return Ok(());
                }
            }
        }
    }

    async fn ask(&mut self, question: Question) {
        if let Question::Mail(_) = question {
            self.transfer = None;
        }
        self.about = match &question {
            Question::Mail(mail) => {
                About::Address(mail.sender.as_ref().map(ToString::to_string).unwrap_or_default())
            }
            Question::Rcpt(rcpt) => About::Address(match &rcpt.path {
                ForwardPath::Postmaster => "postmaster".to_owned(),
                ForwardPath::Address(address) => address.to_string(),
            }),
            Question::Commit => About::Message,
            _ => About::Nothing,
        };
        // Large and short-lived: not kept in the memory of every idle session.
        let answering = Box::pin(self.answers.answer(self.machine.facts(), question));
        let answer = answering.await;
        self.machine.answer(answer);
    }

    async fn write(&mut self, stream: &mut Stream, reply: &Reply) -> io::Result<()> {
        record::reply(&self.answers.client, self.machine.verb(), &self.about, reply);
        reply.encode(&mut self.output);
        if self.output.len() >= REPLIES {
            self.flush(stream).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, stream: &mut Stream) -> io::Result<()> {
        if !self.output.is_empty() {
            let patience = self.gateway.config.limits.smtp_command;
            timeout(patience, async {
                stream.write_all(&self.output).await?;
                stream.flush().await
            })
            .await??;
            self.output.clear();
        }
        Ok(())
    }

    /// Waits for the client, for the time-outs, and for the gateway's end.
    async fn listen(&mut self, stream: &mut Stream) -> io::Result<Heard> {
        // One question may have had several replies (RFC 2033 §4.2); all are written by now.
        self.about = About::Nothing;
        self.flush(stream).await?;
        let limits = &self.gateway.config.limits;
        let waiting = self.machine.waiting();
        let (patience, most) = match waiting {
            Waiting::Content => (limits.smtp_data, self.room),
            Waiting::Command | Waiting::Authentication => {
                self.room = CONTENT;
                (limits.smtp_command, COMMANDS)
            }
        };
        // The message's id, and with it its place in the listing, is as old as its transaction.
        let transferring = waiting == Waiting::Content || !self.answers.is_idle();
        self.transfer = transferring.then(|| self.transfer.unwrap_or_else(Instant::now));
        let over = self.transfer.map(|begun| begun + limits.transfer);
        let since = match waiting {
            Waiting::Content => Instant::now(),
            // RFC 5321 §4.5.3.2 has a time for each command: octets that end no line do not renew it.
            Waiting::Command | Waiting::Authentication => *self.awaited.get_or_insert_with(Instant::now),
        };
        let until = since + patience;
        let (until, limit, late) = match (over, waiting) {
            (Some(over), _) if over < until => (over, "transfer", Reply::too_slow()),
            (_, Waiting::Content) => (until, "smtp_data", Reply::time_out()),
            _ => (until, "smtp_command", Reply::time_out()),
        };
        let machine = &mut self.machine;
        tokio::select! {
            biased;
            () = self.gateway.cut.cancelled() => Ok(Heard::Enough(Reply::shutting_down())),
            () = self.shutdown.cancelled(), if self.answers.is_idle() => Ok(Heard::Enough(Reply::shutting_down())),
            () = tokio::time::sleep_until(until) => {
                metrics::counter!("postern_limit_hits_total", "limit" => limit).increment(1);
                Ok(Heard::Enough(late))
            }
            read = stream.read_to(most, |octets| machine.feed(octets)) => Ok(match read? {
                0 => Heard::End,
                CONTENT => {
                    self.room = LONG_CONTENT;
                    Heard::Octets
                }
                _ => Heard::Octets,
            }),
        }
    }
}
