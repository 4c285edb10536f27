//! A POP3 client.

use crate::lines::Lines;
use crate::target::{Target, When};
use anyhow::{Context as _, bail};
use std::ops::RangeInclusive;

/// A session that is logged in.
#[derive(Debug)]
pub(crate) struct Session(Lines);

impl Session {
    /// A session that is not logged in yet.
    pub(crate) async fn connect(target: &Target) -> anyhow::Result<Self> {
        let mut session = Self(Lines::connect(target).await?);
        session.answer().await?;
        if target.when == When::Starttls {
            session.ask("STLS").await?;
            session = Self(session.0.secured(target).await?);
        }
        Ok(session)
    }

    pub(crate) async fn login(target: &Target, user: &str, password: &str) -> anyhow::Result<Self> {
        let mut session = Self::connect(target).await?;
        session.ask(&format!("USER {user}")).await?;
        session.ask(&format!("PASS {password}")).await?;
        Ok(session)
    }

    async fn answer(&mut self) -> anyhow::Result<String> {
        let line = self.0.line().await?;
        match line.strip_prefix(b"+OK") {
            Some(rest) => Ok(String::from_utf8_lossy(rest).trim().to_owned()),
            None => bail!("{}", String::from_utf8_lossy(line)),
        }
    }

    /// A command of one line with an answer of one line.
    pub(crate) async fn ask(&mut self, command: &str) -> anyhow::Result<String> {
        self.0.send(format!("{command}\r\n").as_bytes()).await?;
        self.answer().await
    }

    /// A command with an answer of many lines.
    pub(crate) async fn block(&mut self, command: &str) -> anyhow::Result<&[u8]> {
        self.ask(command).await?;
        self.0.block().await
    }

    /// How many messages there are.
    pub(crate) async fn count(&mut self) -> anyhow::Result<usize> {
        let answer = self.ask("STAT").await?;
        let count = answer.split(' ').next().unwrap_or_default();
        count.parse().with_context(|| format!("STAT says {answer}"))
    }

    /// All messages, asked for in one go some at a time.
    pub(crate) async fn retrieve(&mut self, mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
        const AT_ONCE: usize = 32;
        let count = self.count().await?;
        for first in (1..=count).step_by(AT_ONCE) {
            let numbers = first..=(first + AT_ONCE - 1).min(count);
            self.retrieve_at_once(numbers, &mut each).await?;
        }
        Ok(())
    }

    /// These messages, asked for in one go.
    pub(crate) async fn retrieve_at_once(
        &mut self,
        numbers: RangeInclusive<usize>,
        mut each: impl FnMut(&[u8]),
    ) -> anyhow::Result<()> {
        self.pipeline("RETR", numbers.clone()).await?;
        for _ in numbers {
            self.answer().await?;
            each(self.0.block().await?);
        }
        Ok(())
    }

    /// Marks these as deleted, in one go.
    pub(crate) async fn delete_at_once(&mut self, numbers: RangeInclusive<usize>) -> anyhow::Result<()> {
        self.pipeline("DELE", numbers.clone()).await?;
        for _ in numbers {
            self.answer().await?;
        }
        Ok(())
    }

    async fn pipeline(&mut self, command: &str, numbers: RangeInclusive<usize>) -> anyhow::Result<()> {
        let asked: String = numbers.map(|number| format!("{command} {number}\r\n")).collect();
        self.0.send(asked.as_bytes()).await
    }
}
