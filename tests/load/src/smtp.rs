//! A client that delivers by SMTP or LMTP and checks every reply.
//!
//! It pipelines where the server says it may (RFC 2920), keeps its connection or opens new ones, and stays in step
//! with the server after a refusal.

use crate::ledger::Work;
use crate::lines::Lines;
use crate::pace::{Client, Did};
use crate::target::{Target, When};
use anyhow::{Context as _, bail};
use rand::RngExt as _;
use std::str::FromStr;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Smtp,
    /// RFC 2033: LHLO, and a reply for each recipient behind the message.
    Lmtp,
}

/// Messages of one connection, with postal's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PerConnection {
    /// -1
    All,
    /// From 1 to this number, each as likely; with 0 it connects and says QUIT.
    UpTo(u32),
}

impl PerConnection {
    fn draw(self) -> u32 {
        match self {
            Self::All => u32::MAX,
            Self::UpTo(0) => 0,
            Self::UpTo(most) => rand::rng().random_range(1..=most),
        }
    }
}

impl FromStr for PerConnection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(-1) => Ok(Self::All),
            Ok(count) if count >= 0 && count <= i64::from(u32::MAX) => Ok(Self::UpTo(count as u32)),
            _ => Err(format!(
                "`{text}` is no number of messages: write -1 for all, 0 for none, or the most"
            )),
        }
    }
}

/// How to deliver.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) protocol: Protocol,
    pub(crate) per_connection: PerConnection,
    /// One command after another, whatever the server can do.
    pub(crate) in_turn: bool,
    /// Refusals that are no failures: the first digits of replies, as 451 or 4.
    pub(crate) expected: Vec<String>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            protocol: Protocol::Smtp,
            per_connection: PerConnection::All,
            in_turn: false,
            expected: Vec::new(),
        }
    }
}

/// Sends the work's messages to one gateway.
#[derive(Debug)]
pub(crate) struct Sender {
    target: Target,
    work: Arc<Work>,
    manner: Arc<Manner>,
    /// With the number of messages that it is still for.
    connection: Option<(Connection, u32)>,
}

impl Sender {
    /// Over one connection for all messages.
    pub(crate) fn new(target: impl Into<Target>, work: &Arc<Work>) -> Self {
        Self::mannered(target, work, Manner::default())
    }

    pub(crate) fn mannered(target: impl Into<Target>, work: &Arc<Work>, manner: Manner) -> Self {
        Self {
            target: target.into(),
            work: Arc::clone(work),
            manner: Arc::new(manner),
            connection: None,
        }
    }
}

impl Sender {
    async fn connected(&self) -> anyhow::Result<(Connection, u32)> {
        let connection = Connection::open(&self.target, &self.manner).await?;
        Ok((connection, self.manner.per_connection.draw()))
    }
}

/// A clone has a connection of its own.
impl Clone for Sender {
    fn clone(&self) -> Self {
        Self {
            target: self.target.clone(),
            work: Arc::clone(&self.work),
            manner: Arc::clone(&self.manner),
            connection: None,
        }
    }
}

impl Client for Sender {
    /// A connection that is kept is no part of its first message.
    async fn begin(&mut self) {
        if self.manner.per_connection == PerConnection::All && self.connection.is_none() {
            self.connection = self.connected().await.ok();
        }
    }

    /// After a fault the next message goes over a new connection.
    async fn once(&mut self) -> anyhow::Result<Did> {
        let (mut connection, left) = match self.connection.take() {
            Some(kept) => kept,
            None => self.connected().await?,
        };
        if left == 0 {
            connection.quit().await?;
            return Ok(Did::messages(0, 0));
        }
        let (mut message, to) = self.work.next();
        let size = message.octets.len();
        message.octets.extend_from_slice(b".\r\n");
        let did = match connection.deliver(to, &message.octets).await? {
            Outcome::Taken => {
                self.work.acknowledged(&message);
                Did::message(size)
            }
            Outcome::Refused(told) => {
                let expected = self.manner.expected.iter().any(|code| told.starts_with(code));
                if !expected {
                    self.connection = Some((connection, left));
                    bail!("{told}");
                }
                Did::refused(told)
            }
        };
        match left - 1 {
            0 => connection.quit().await?,
            left => self.connection = Some((connection, left)),
        }
        Ok(did)
    }

    async fn end(&mut self) {
        if let Some((mut connection, _)) = self.connection.take() {
            // All its messages were answered; nothing depends on this one.
            let _ = connection.quit().await;
        }
    }
}

#[derive(Debug)]
enum Outcome {
    Taken,
    /// The connection is in step.
    Refused(String),
}

#[derive(Debug)]
pub(crate) struct Connection {
    lines: Lines,
    pipelining: bool,
    last: String,
}

impl Connection {
    pub(crate) async fn open(target: &Target, manner: &Manner) -> anyhow::Result<Self> {
        let mut connection = Self {
            lines: Lines::connect(target).await?,
            pipelining: false,
            last: String::new(),
        };
        connection.expect(220).await?;
        connection.hello(manner).await?;
        if target.when == When::Starttls {
            connection.command(b"STARTTLS\r\n", 220).await?;
            connection.lines = connection.lines.secured(target).await?;
            connection.hello(manner).await?;
        }
        Ok(connection)
    }

    async fn hello(&mut self, manner: &Manner) -> anyhow::Result<()> {
        let hello: &[u8] = match manner.protocol {
            Protocol::Smtp => b"EHLO load.example.net\r\n",
            Protocol::Lmtp => b"LHLO load.example.net\r\n",
        };
        self.lines.send(hello).await?;
        self.pipelining = false;
        loop {
            let line = self.lines.line().await?;
            if !line.starts_with(b"250") {
                bail!("{}", String::from_utf8_lossy(line));
            }
            self.pipelining |= line
                .get(4..)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"PIPELINING"));
            if line.get(3) != Some(&b'-') {
                self.pipelining &= !manner.in_turn;
                return Ok(());
            }
        }
    }

    /// The message ends with its dot.
    async fn deliver(&mut self, to: &str, message: &[u8]) -> anyhow::Result<Outcome> {
        let refused = match self.pipelining {
            true => self.envelope_at_once(to).await?,
            false => self.envelope_in_turn(to).await?,
        };
        if let Some(told) = refused {
            self.command(b"RSET\r\n", 250).await?;
            return Ok(Outcome::Refused(told));
        }
        self.lines.send(message).await?;
        match self.reply().await? {
            250 => Ok(Outcome::Taken),
            _ => Ok(Outcome::Refused(self.last.clone())),
        }
    }

    /// What refused it; all replies are read.
    async fn envelope_at_once(&mut self, to: &str) -> anyhow::Result<Option<String>> {
        let envelope = format!("MAIL FROM:<load@example.net>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        self.lines.send(envelope.as_bytes()).await?;
        let (mut refused, mut got) = (None, 0);
        for wanted in [250, 250, 354] {
            got = self.reply().await?;
            if got != wanted && refused.is_none() {
                refused = Some(self.last.clone());
            }
        }
        if refused.is_some() && got == 354 {
            // RFC 2920 §3.1: there is no valid recipient, and an empty message ends what DATA began.
            self.lines.send(b".\r\n").await?;
            self.reply().await?;
        }
        Ok(refused)
    }

    async fn envelope_in_turn(&mut self, to: &str) -> anyhow::Result<Option<String>> {
        let rcpt = format!("RCPT TO:<{to}>\r\n");
        let commands: [(&[u8], u16); 3] = [
            (b"MAIL FROM:<load@example.net>\r\n", 250),
            (rcpt.as_bytes(), 250),
            (b"DATA\r\n", 354),
        ];
        for (command, wanted) in commands {
            self.lines.send(command).await?;
            if self.reply().await? != wanted {
                return Ok(Some(self.last.clone()));
            }
        }
        Ok(None)
    }

    pub(crate) async fn command(&mut self, command: &[u8], wanted: u16) -> anyhow::Result<()> {
        self.lines.send(command).await?;
        self.expect(wanted).await
    }

    async fn quit(&mut self) -> anyhow::Result<()> {
        self.command(b"QUIT\r\n", 221).await
    }

    async fn expect(&mut self, wanted: u16) -> anyhow::Result<()> {
        match self.reply().await? {
            code if code == wanted => Ok(()),
            _ => bail!("{}", self.last),
        }
    }

    /// One reply, all its lines; the text of one that refuses is kept. 421 closes the connection.
    async fn reply(&mut self) -> anyhow::Result<u16> {
        loop {
            let line = self.lines.line().await?;
            let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok());
            let code: Option<u16> = code.and_then(|code| code.parse().ok());
            let code = code.with_context(|| format!("`{}` is no reply", String::from_utf8_lossy(line)))?;
            if code >= 400 {
                self.last = String::from_utf8_lossy(line).into_owned();
            } else {
                self.last.clear();
            }
            if line.get(3) == Some(&b'-') {
                continue;
            }
            if code == 421 {
                bail!("{}", self.last);
            }
            if self.last.is_empty() {
                self.last = code.to_string();
            }
            return Ok(code);
        }
    }
}

#[cfg(test)]
mod tests;
