//! How a command reaches its gateway: by the control socket of the one that runs or, where none does, as
//! the only user of its store.

use super::output::printable;
use crate::config::Config;
use crate::control::{self, Access, ControlContext, Operation, Record, Records, Refusal, Reply, execute};
use anyhow::{Context as _, bail};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Octets of one line of an answer: the largest is an alias with all its targets.
const MOST_REPLY: u64 = 64 * 1024 * 1024;

/// What does the work.
pub(super) enum Gateway {
    Running(BufReader<UnixStream>),
    /// Nobody else has the store open.
    Stopped(Arc<ControlContext>),
}

impl Gateway {
    /// The gateway that runs, or else the store itself, for no more than the operation does.
    pub(super) async fn of(config: &Config, operation: &Operation) -> anyhow::Result<Self> {
        Self::to(config, operation.access()).await
    }

    /// Where none runs, a store that is not there is not made, and a schema is left as it is.
    pub(super) async fn to_read(config: &Config) -> anyhow::Result<Self> {
        Self::to(config, Access::Reads).await
    }

    pub(super) async fn to(config: &Config, access: Access) -> anyhow::Result<Self> {
        match Self::running(config).await? {
            Some(gateway) => Ok(gateway),
            None => Ok(Self::Stopped(Arc::new(
                Box::pin(super::store::open(config, access)).await?,
            ))),
        }
    }

    /// The one that runs, if any does.
    pub(super) async fn running(config: &Config) -> anyhow::Result<Option<Self>> {
        let path = control::socket_path(&config.state);
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(Self::Running(BufReader::new(stream)))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| {
                format!(
                    "cannot reach the gateway at {}: run this as the user it runs as",
                    path.display()
                )
            }),
        }
    }

    /// Another way to the same one, for somebody who asks meanwhile.
    pub(super) async fn another(&self, config: &Config) -> anyhow::Result<Self> {
        match self {
            Self::Running(_) => Self::running(config).await?.context("the gateway has ended"),
            Self::Stopped(context) => Ok(Self::Stopped(Arc::clone(context))),
        }
    }

    /// Has an operation carried out; `each` gets the records as they come. Answers what to tell the person.
    pub(super) async fn ask(
        &mut self,
        operation: &Operation,
        each: &mut dyn FnMut(Record) -> io::Result<()>,
    ) -> anyhow::Result<String> {
        match self {
            Self::Running(stream) => ask_running(stream, operation, each).await,
            Self::Stopped(context) => ask_here(context, operation, each).await,
        }
    }

    /// An operation without records.
    pub(super) async fn tell(&mut self, operation: &Operation) -> anyhow::Result<String> {
        self.ask(operation, &mut |_| Ok(())).await
    }
}

async fn ask_running(
    stream: &mut BufReader<UnixStream>,
    operation: &Operation,
    each: &mut dyn FnMut(Record) -> io::Result<()>,
) -> anyhow::Result<String> {
    let mut line = serde_json::to_vec(operation)?;
    line.push(b'\n');
    if line.len() > control::MOST_REQUEST {
        bail!(
            "too much for one command: at most {} octets",
            control::MOST_REQUEST
        );
    }
    stream.write_all(&line).await?;
    loop {
        line.clear();
        (&mut *stream)
            .take(MOST_REPLY)
            .read_until(b'\n', &mut line)
            .await?;
        if line.is_empty() {
            bail!("the gateway ended before it had answered: look whether it was done, and try again");
        }
        let reply = serde_json::from_slice(&line)
            .context("the gateway's answer is not understood: is it of another version?")?;
        match reply {
            Reply::Record(record) => each(*record)?,
            Reply::Done(text) => return Ok(printable(&text)),
            Reply::Failed(text) => return Err(Refusal(printable(&text)).into()),
        }
    }
}

async fn ask_here(
    context: &ControlContext,
    operation: &Operation,
    each: &mut dyn FnMut(Record) -> io::Result<()>,
) -> anyhow::Result<String> {
    let (records, pieces) = Records::channel();
    let work = async {
        let outcome = execute(operation, context, &records).await;
        drop(records);
        outcome
    };
    let take = async {
        // Moved in: where taking fails, sending must not wait for ever.
        let mut pieces = pieces;
        while let Some(record) = pieces.recv().await {
            each(record)?;
        }
        Ok::<_, io::Error>(())
    };
    let (outcome, taken) = tokio::join!(work, take);
    taken?;
    match outcome {
        Ok(text) => Ok(printable(&text)),
        Err(Refusal(text)) => Err(Refusal(printable(&text)).into()),
    }
}
