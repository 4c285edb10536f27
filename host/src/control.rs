//! What an administrator asks of a gateway, running or not.
//!
//! A command is an [`Operation`]. [`execute`] carries it out, in the running gateway behind its control
//! [`socket`] or, where none runs, in the command's own process: the two ways cannot differ. Listings are
//! streamed as [`Record`]s. What is refused or fails is a [`Refusal`] of one line that says what to do.

mod aliases;
mod domains;
mod explain;
mod kv;
mod loops;
mod mail;
mod plugins;
mod quarantine;
mod socket;
mod store;
mod users;

use crate::directory::{Directory, LoginError};
use crate::explain::{Attempt, Attempts, Search};
use crate::message::BadMessageId;
use crate::policy::InForce;
use crate::store::{Alias, Domain, Mend, Report, Store, StoreError};
pub use explain::{ExplainRecord, Source};
pub use mail::MailRecord;
use serde::{Deserialize, Serialize};
pub(crate) use socket::Reply;
pub use socket::{MOST_REQUEST, serve, socket_path};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// A password or a hash on its way. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a new account is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    Password(Hidden),
    /// A hash from elsewhere, in one of the spellings that are read.
    Hash(Hidden),
}

/// One line of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    pub line: u64,
    pub address: String,
    pub proof: Proof,
}

/// Bounds of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quota {
    pub bytes: Option<u64>,
    pub messages: Option<u64>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum Operation {
    DomainAdd {
        name: String,
        alias_of: Option<String>,
    },
    DomainList,
    DomainRemove {
        name: String,
    },
    UserAdd {
        address: String,
        /// None: it cannot log in.
        proof: Option<Proof>,
        quota: Quota,
    },
    UserList,
    UserPasswd {
        address: String,
        password: Hidden,
    },
    UserQuota {
        address: String,
        quota: Quota,
    },
    UserRemove {
        address: String,
    },
    UserImport {
        users: Vec<Imported>,
    },
    AliasAdd {
        address: String,
        targets: Vec<String>,
    },
    AliasList,
    AliasRemove {
        address: String,
    },
    QuarantineList,
    QuarantineShow {
        id: String,
    },
    QuarantineContent {
        id: String,
    },
    QuarantineRelease {
        id: String,
    },
    QuarantineDrop {
        id: String,
    },
    StoreBackup {
        folder: PathBuf,
    },
    StoreCheck {
        mend: Mend,
    },
    StoreSweep,
    PluginList,
    /// A message, looked for in `mailbox` alone if one is named.
    Explain {
        id: String,
        mailbox: Option<String>,
    },
    /// Stored mail that came at `since` (milliseconds since 1970) or later.
    MailList {
        since: u64,
    },
    /// One of it: its facts, its content.
    MailRead {
        id: String,
        mailbox: Option<String>,
    },
    /// What a policy's share of the store holds now under a key.
    KvRead {
        namespace: String,
        key: String,
    },
    /// The last refused attempts by or to an address.
    ExplainAddress {
        address: String,
    },
    PluginCompare {
        name: String,
    },
    PluginReset {
        name: String,
    },
}

/// How an operation works on the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It leaves it as it is.
    Reads,
    /// It changes what is there, and can do nothing where no store is.
    Changes,
    /// It may be the first there.
    Begins,
}

impl Operation {
    pub fn access(&self) -> Access {
        match self {
            Self::DomainList
            | Self::UserList
            | Self::AliasList
            | Self::QuarantineList
            | Self::QuarantineShow { .. }
            | Self::QuarantineContent { .. }
            | Self::StoreBackup { .. }
            | Self::StoreCheck { mend: Mend::Nothing }
            | Self::PluginList
            | Self::PluginCompare { .. }
            | Self::Explain { .. }
            | Self::ExplainAddress { .. }
            | Self::MailList { .. }
            | Self::MailRead { .. }
            | Self::KvRead { .. } => Access::Reads,
            Self::DomainRemove { .. }
            | Self::UserPasswd { .. }
            | Self::UserQuota { .. }
            | Self::UserRemove { .. }
            | Self::AliasRemove { .. }
            | Self::QuarantineRelease { .. }
            | Self::QuarantineDrop { .. }
            | Self::StoreCheck { .. }
            | Self::StoreSweep
            | Self::PluginReset { .. } => Access::Changes,
            // Adding a domain makes the store; the others are refused there for want of one, and say how it is added.
            Self::DomainAdd { .. }
            | Self::UserAdd { .. }
            | Self::UserImport { .. }
            | Self::AliasAdd { .. } => Access::Begins,
        }
    }
}

/// An account as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    pub address: String,
    pub login: Login,
    pub quota: Quota,
    pub bytes: u64,
    pub messages: u64,
}

/// How an account can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Login {
    /// It has no password.
    None,
    Password,
    /// By password, and it has SCRAM keys.
    Scram,
}

/// A quarantined message as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRecord {
    pub id: String,
    /// Seconds since 1970.
    pub time: u64,
    pub mailboxes: Vec<String>,
    pub reason: String,
    pub bytes: u64,
}

/// A policy as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    pub name: String,
    /// `loaded`, `disabled`, or what is wrong and how to mend it: `refused: …`, or, where an earlier version serves
    /// on, `earlier version 0123abcd serves on; refused: …`. While the compiler is at it, it says so behind that.
    pub state: String,
    /// The same for programs, in the words of `postern_plugins{state}`: `loaded`, `disabled`, `refused` or `earlier`; of
    /// a file that is compiled for the first time and has none of these yet, `new`.
    pub status: String,
    /// The compiler is at what is in the file now.
    #[serde(default)]
    pub compiling: bool,
    /// What is wrong and how to mend it, if anything is.
    pub fault: Option<String>,
    /// The questions it answers.
    pub answers: Vec<String>,
    pub file: PathBuf,
    /// SHA-256 of the component; empty for one that was not read.
    pub digest: String,
    /// That of the version that decides, if one does: the earlier one where the file is refused.
    pub serving: Option<String>,
    /// What one call may take.
    pub deadline_ms: u64,
    pub memory: u64,
    /// Octets of its kv grant, if it has one.
    pub kv: Option<u64>,
    /// `enforce`, `shadow` or `canary 5 %`; empty for one whose own file is at fault.
    pub mode: String,
    /// Why it does not decide though it is loaded, and what does.
    pub trouble: Option<String>,
}

/// How often a candidate said one thing where the enforced version said another, or the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementRecord {
    pub policy: String,
    pub question: String,
    /// `none` where nothing is enforced.
    pub enforced: String,
    pub candidate: String,
    /// In these or, where they are the same, in what goes with them.
    pub differs: bool,
    pub count: u64,
}

impl From<&crate::policy::Listed> for PluginRecord {
    fn from(listed: &crate::policy::Listed) -> Self {
        Self {
            name: listed.name.clone(),
            state: listed.state.to_string(),
            status: listed.state.word().to_owned(),
            compiling: false,
            fault: listed.state.fault().map(str::to_owned),
            answers: listed.answers.iter().map(|word| (*word).to_owned()).collect(),
            file: listed.file.clone(),
            digest: listed.digest.clone(),
            serving: listed.serving.clone(),
            deadline_ms: u64::try_from(listed.deadline.as_millis()).unwrap_or(u64::MAX),
            memory: listed.memory,
            kv: listed.kv,
            mode: listed.mode.clone(),
            trouble: None,
        }
    }
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    Domain(Domain),
    User(UserRecord),
    Alias(Alias),
    Quarantined(QuarantineRecord),
    /// Octets of a message, base64.
    Content(String),
    /// The message of this id was deleted; what came of it before is not all.
    Gone(String),
    Plugin(PluginRecord),
    Explained(Box<ExplainRecord>),
    Mail(MailRecord),
    Agreement(AgreementRecord),
    /// A line of an import that was refused.
    Fault {
        line: u64,
        text: String,
    },
    /// Something found by a check.
    Finding(String),
    /// The figures of a check; what it found came before.
    Checked(Report),
}

/// Why an operation was not, or not wholly, carried out: one line for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        Self(error.to_string())
    }
}

impl From<BadMessageId> for Refusal {
    fn from(_: BadMessageId) -> Self {
        Self::new("not a message id: `postern quarantine list` shows those there are")
    }
}

pub(crate) type Outcome<T> = Result<T, Refusal>;

/// What operations work on.
#[derive(Debug)]
pub struct ControlContext {
    store: Arc<dyn Store>,
    directory: Directory,
    /// None where no gateway runs.
    policies: Option<Arc<InForce>>,
    /// None where no gateway runs.
    attempts: Option<Arc<Attempts>>,
    /// Held by operations that look before they write.
    alone: Mutex<()>,
}

impl ControlContext {
    /// `directory` must be a clone of the one that sessions use.
    pub fn new(store: Arc<dyn Store>, directory: Directory, policies: Option<Arc<InForce>>) -> Self {
        Self {
            store,
            directory,
            policies,
            attempts: None,
            alone: Mutex::default(),
        }
    }

    /// With what the running gateway remembers.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Arc<Attempts>) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Those that `search` finds by that text.
    async fn attempts(
        &self,
        search: for<'a> fn(&'a str) -> Search<'a>,
        text: &str,
        most: usize,
    ) -> Vec<Attempt> {
        let Some(attempts) = self.attempts.clone() else {
            return Vec::new();
        };
        let text = text.to_owned();
        let found = tokio::task::spawn_blocking(move || attempts.find(search(&text), most));
        found.await.unwrap_or_default()
    }
}

/// Where the pieces of an answer go.
#[derive(Debug, Clone)]
pub struct Records(mpsc::Sender<Record>);

impl Records {
    /// A bounded channel: whoever lists waits for whoever reads.
    pub fn channel() -> (Self, mpsc::Receiver<Record>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(sender), receiver)
    }

    async fn send(&self, record: Record) -> Outcome<()> {
        let gone = |_| Refusal::new("nobody listens any more");
        self.0.send(record).await.map_err(gone)
    }
}

/// Carries an operation out; what is answered at the end is one line for a person, or nothing.
pub async fn execute(
    operation: &Operation,
    context: &ControlContext,
    records: &Records,
) -> Result<String, Refusal> {
    use Operation as Op;
    match operation {
        Op::DomainAdd { name, alias_of } => domains::add(context, name, alias_of.as_deref()).await,
        Op::DomainList => domains::list(context, records).await,
        Op::DomainRemove { name } => domains::remove(context, name).await,
        Op::UserAdd {
            address,
            proof,
            quota,
        } => users::add(context, address, proof.as_ref(), *quota).await,
        Op::UserList => users::list(context, records).await,
        Op::UserPasswd { address, password } => users::passwd(context, address, password).await,
        Op::UserQuota { address, quota } => users::quota(context, address, *quota).await,
        Op::UserRemove { address } => users::remove(context, address).await,
        Op::UserImport { users } => users::import(context, users, records).await,
        Op::AliasAdd { address, targets } => aliases::add(context, address, targets).await,
        Op::AliasList => aliases::list(context, records).await,
        Op::AliasRemove { address } => aliases::remove(context, address).await,
        Op::QuarantineList => quarantine::list(context, records).await,
        Op::QuarantineShow { id } => quarantine::show(context, id, records).await,
        Op::QuarantineContent { id } => quarantine::content(context, id, records).await,
        Op::QuarantineRelease { id } => quarantine::release(context, id).await,
        Op::QuarantineDrop { id } => quarantine::discard(context, id).await,
        Op::StoreBackup { folder } => store::backup(context, folder).await,
        Op::StoreCheck { mend } => store::check(context, *mend, records).await,
        Op::StoreSweep => store::sweep(context).await,
        Op::PluginList => plugins::list(context, records).await,
        Op::PluginCompare { name } => plugins::compare(context, name, records).await,
        Op::PluginReset { name } => plugins::reset(context, name),
        Op::Explain { id, mailbox } => explain::by_id(context, (id, mailbox.as_deref()), records).await,
        Op::MailList { since } => mail::list(context, *since, records).await,
        Op::MailRead { id, mailbox } => mail::read(context, (id, mailbox.as_deref()), records).await,
        Op::KvRead { namespace, key } => kv::read(context, (namespace, key), records).await,
        Op::ExplainAddress { address } => explain::by_address(context, address, records).await,
    }
}

#[cfg(test)]
mod tests;
