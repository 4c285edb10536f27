//! `smtp` and `lmtp`: mail is sent, and can be read back.

use crate::ledger::{Difference, Work};
use crate::message::{Pool, Size};
use crate::options::{Load, merge};
use crate::recipients::{self, Choice};
use crate::smtp::{Manner, PerConnection, Protocol, Sender};
use crate::target::{Target, Tls, When};
use anyhow::bail;
use std::path::PathBuf;
use std::sync::Arc;

/// What is sent, and to whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Mail {
    /// Recipients, one a message: addresses, `user{0..63}@example.org`, `@FILE`
    #[arg(long, required = true, value_delimiter = ',')]
    to: Vec<String>,
    /// Which of them: turn, uniform, zipf or zipf:EXPONENT
    #[arg(long, default_value = "turn")]
    choose: Choice,
    /// Octets of a message, or lognormal
    #[arg(long, default_value = "4096")]
    size: Size,
    /// Send the messages of this folder instead, in turn
    #[arg(long, value_name = "FOLDER", conflicts_with = "size")]
    messages: Option<PathBuf>,
    /// Messages of a connection: 1 to so many, each as likely; -1 keeps it, 0 says QUIT at once
    #[arg(long, default_value = "-1", allow_negative_numbers = true)]
    messages_per_connection: PerConnection,
    /// Do not pipeline, even where the server can
    #[arg(long)]
    in_turn: bool,
    /// Refusals that are no failures, by the first digits of the reply
    #[arg(long, value_delimiter = ',')]
    expect: Vec<String>,
}

impl Mail {
    pub(crate) fn work(&self) -> anyhow::Result<Work> {
        let work = Work::new(recipients::expand(&self.to)?, self.size).choosing(self.choose);
        Ok(match &self.messages {
            Some(folder) => work.made_of(Pool::of_folder(folder)?),
            None => work,
        })
    }

    pub(crate) fn manner(&self, protocol: Protocol) -> Manner {
        Manner {
            protocol,
            per_connection: self.messages_per_connection,
            in_turn: self.in_turn,
            expected: self.expect.clone(),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// host:port that takes mail
    server: String,
    #[command(flatten)]
    mail: Mail,
    #[command(flatten)]
    tls: Tls,
    /// Where to read everything back, with this password of all mailboxes; a difference ends with code 1
    #[arg(long, num_args = 2, value_names = ["POP3", "PASSWORD"])]
    read_back: Option<Vec<String>>,
    /// TLS of that
    #[arg(long, value_enum, default_value = "none")]
    read_back_tls: When,
    #[command(flatten)]
    load: Load,
}

pub(crate) async fn run(options: Options, protocol: Protocol) -> anyhow::Result<()> {
    let target = Target::new(&options.server, &options.tls)?;
    let work = options.mail.work()?;
    let work = Arc::new(match options.read_back {
        Some(_) => work,
        None => work.forgetting(),
    });
    let sender = Sender::mannered(target.clone(), &work, options.mail.manner(protocol));
    let clients = vec![sender; options.load.connections];
    let mut outcome = options.load.run(clients, &target.traffic).await?;
    let mut difference = Difference::default();
    if let Some([pop3, password]) = options.read_back.as_deref() {
        let tls = Tls {
            tls: options.read_back_tls,
            ca: options.tls.ca,
        };
        let pop3 = Target::new(pop3, &tls)?;
        difference = work.read_back(pop3, password, work.mailboxes().len()).await?;
        merge(&mut outcome, difference.json());
    }
    options.load.telling.show(&outcome)?;
    judge(difference)
}

/// Something lost, doubled or altered is a fault of the run.
pub(crate) fn judge(difference: Difference) -> anyhow::Result<()> {
    if !difference.is_none() {
        let Difference {
            lost,
            doubled,
            altered,
            ..
        } = difference;
        bail!("{lost} lost, {doubled} doubled, {altered} altered");
    }
    Ok(())
}
