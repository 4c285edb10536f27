//! The control socket of a running gateway: `control/postern.sock` in the state folder.
//!
//! A client sends an [`Operation`] as one line of JSON and gets lines of JSON: any number of records, then
//! `done` or `failed`; then it may send the next. Who may open the folder (0700) may do everything, as one
//! who may read the store can. Refused: lines over [`MOST_REQUEST`]; more than [`MOST_CLIENTS`] at a time
//! wait their turn. A socket left behind by a process that died is replaced; one that answers is not.

use super::{ControlContext, Operation, Record, Records, execute};
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Octets of one request.
pub const MOST_REQUEST: usize = 4 * 1024 * 1024;
const MOST_CLIENTS: usize = 32;
/// A client that neither asks nor reads for so long is gone.
const IDLE: Duration = Duration::from_secs(60);
/// What a stopping gateway gives operations that are under way.
const GRACE: Duration = Duration::from_secs(10);

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Record(Box<Record>),
    /// The last one: what to tell the person, if anything.
    Done(String),
    /// The last one: why it was not done.
    Failed(String),
}

/// Where the socket of a gateway with this state folder is.
pub fn socket_path(state: &Path) -> PathBuf {
    state.join("control").join("postern.sock")
}

/// Answers clients until `shutdown`, then removes the socket.
pub async fn serve(
    path: &Path,
    context: Arc<ControlContext>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = bind(path)?;
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let (context, shutdown) = (Arc::clone(&context), shutdown.clone());
                    clients.spawn(async move {
                        let _place = place;
                        converse(stream, &context, &shutdown).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a control client could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
    let finish = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finish).await.is_err() {
        tracing::warn!("a control operation was broken off by the end of the process");
    }
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

/// Makes the folder (0700) and the socket (0600) in it.
fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => bail!("another gateway answers at {}: stop it first", path.display()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .with_context(|| format!("cannot remove what a dead gateway left: {}", path.display()))?,
        Err(_) => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// One client, until it leaves.
async fn converse(stream: UnixStream, context: &ControlContext, shutdown: &CancellationToken) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let line = tokio::select! {
            () = shutdown.cancelled() => return,
            line = tokio::time::timeout(IDLE, request(&mut reader)) => line,
        };
        let answered = match line {
            Ok(Ok(Some(line))) => answer(&line, context, &mut writer).await,
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(error)) => Err(error),
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "a control client was lost");
            return;
        }
    }
}

/// A line without its end; None when the client has left.
async fn request(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = MOST_REQUEST as u64 + 1;
    reader.take(most).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::Error::new(ErrorKind::InvalidData, "too long, or cut off")),
    }
}

async fn answer(line: &[u8], context: &ControlContext, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    let operation: Operation = match serde_json::from_slice(line) {
        Ok(operation) => operation,
        Err(error) => {
            let text = format!("the gateway does not know this command ({error}): is it of another version?");
            return write(writer, &Reply::Failed(text)).await;
        }
    };
    let (records, pieces) = Records::channel();
    let work = async {
        let outcome = execute(&operation, context, &records).await;
        drop(records);
        outcome
    };
    let pass_on = async {
        // Moved in, so that it ends with a client that does not listen, and sending does not wait for ever.
        let mut pieces = pieces;
        while let Some(record) = pieces.recv().await {
            write(writer, &Reply::Record(Box::new(record))).await?;
        }
        Ok::<_, io::Error>(writer)
    };
    // A client that leaves ends a listing, but not a change: the work always runs to its end.
    let (outcome, passed) = tokio::join!(work, pass_on);
    let last = match outcome {
        Ok(text) => Reply::Done(text),
        Err(refusal) => Reply::Failed(refusal.0),
    };
    write(passed?, &last).await
}

async fn write(writer: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    tokio::time::timeout(IDLE, writer.write_all(&line))
        .await
        .map_err(|_| io::Error::from(ErrorKind::TimedOut))?
}
