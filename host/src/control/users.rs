//! Accounts.
//!
//! Refused: addresses of domains that are not ours or are other names of ours, addresses in use, empty
//! passwords, hashes that cannot be computed. A line of an import that is refused does not stop the others.

use super::{
    ControlContext, Hidden, Imported, Login, Outcome, Proof, Quota, Record, Records, Refusal, UserRecord,
};
use crate::directory::{self, Credentials, Directory, PasswordHash};
use crate::store::{Account, Created, Domain, Store, pages};
use futures_util::stream::TryStreamExt as _;
use postern_proto::Address;
use std::pin::pin;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Octets of a password: more is a mistake, and would cost at each login.
const LONGEST_PASSWORD: usize = 1024;
/// Accounts of an import made at the same time: enough for a group commit, few enough for the queue of hashes.
const PARALLEL_IMPORTS: usize = 16;

pub(super) async fn add(
    context: &ControlContext,
    address: &str,
    proof: Option<&Proof>,
    quota: Quota,
) -> Outcome<String> {
    let (store, directory) = (Arc::clone(&context.store), context.directory.clone());
    let address = create(store, directory, address.to_owned(), proof.cloned(), quota).await?;
    Ok(format!("user {address} added"))
}

/// Whether a login that names it is left as it is.
fn can_log_in(address: &Address) -> bool {
    directory::named_by(&address.to_string()).is_some_and(|named| named.key() == address.key())
}

async fn create(
    store: Arc<dyn Store>,
    directory: Directory,
    address: String,
    proof: Option<Proof>,
    quota: Quota,
) -> Outcome<Address> {
    let address = parse(&address)?;
    local(&*store, &address).await?;
    if !can_log_in(&address) {
        return Err(Refusal(format!(
            "nobody could log in as {address}: it has characters that SASLprep (RFC 4013) forbids or takes away"
        )));
    }
    if store.alias(&address.key()).await?.is_some() {
        return Err(Refusal(format!(
            "{address} is an alias: `postern alias remove {address}` first"
        )));
    }
    // Looked up first: a hash is dear, and an import may name thousands that are there.
    if store.account(&address.key()).await?.is_some() {
        return Err(exists(&address));
    }
    let kept = match proof {
        Some(proof) => Some(credentials(&directory, &proof).await?),
        None => None,
    };
    let (password, scram) = kept.map_or((None, None), |kept| (Some(kept.password), kept.scram));
    let account = Account {
        address: address.to_string(),
        password,
        scram,
        quota_bytes: quota.bytes,
        quota_messages: quota.messages,
    };
    match store.create_account(account).await? {
        Created::Yes => Ok(address),
        Created::Exists => Err(exists(&address)),
    }
}

fn exists(address: &Address) -> Refusal {
    Refusal(format!(
        "user {address} is there already: `postern user passwd {address}` sets another password"
    ))
}

async fn credentials(directory: &Directory, proof: &Proof) -> Outcome<Credentials> {
    match proof {
        Proof::Password(Hidden(password)) => {
            check_password(password)?;
            Ok(directory.credentials(password).await?)
        }
        Proof::Hash(Hidden(hash)) => {
            let hash = PasswordHash::import(hash).map_err(|error| Refusal(error.to_string()))?;
            Ok(Credentials {
                password: hash.text(),
                scram: None,
            })
        }
    }
}

fn check_password(password: &str) -> Outcome<()> {
    if password.is_empty() {
        return Err(Refusal::new("the password is empty"));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(Refusal(format!(
            "the password is longer than {LONGEST_PASSWORD} octets"
        )));
    }
    // Neither PLAIN nor PASS could carry it.
    if password.contains(['\0', '\r', '\n']) {
        return Err(Refusal::new("the password has a line end or a NUL in it"));
    }
    Ok(())
}

pub(super) async fn list(context: &ControlContext, records: &Records) -> Outcome<String> {
    let mut accounts = pin!(pages::accounts(&*context.store));
    while let Some(account) = accounts.try_next().await? {
        let usage = context.store.usage(&account.address.to_lowercase()).await?;
        let login = match (&account.password, &account.scram) {
            (None, _) => Login::None,
            (Some(_), None) => Login::Password,
            (Some(_), Some(_)) => Login::Scram,
        };
        let quota = Quota {
            bytes: account.quota_bytes,
            messages: account.quota_messages,
        };
        let record = UserRecord {
            address: account.address,
            login,
            quota,
            bytes: usage.bytes,
            messages: usage.messages,
        };
        records.send(Record::User(record)).await?;
    }
    Ok(String::new())
}

pub(super) async fn passwd(context: &ControlContext, address: &str, password: &Hidden) -> Outcome<String> {
    let address = parse(address)?;
    let credentials = credentials(&context.directory, &Proof::Password(password.clone())).await?;
    let set = |account: &mut Account| {
        account.password = Some(credentials.password.clone());
        account.scram.clone_from(&credentials.scram);
    };
    match context.directory.change_account(&address.key(), set).await? {
        true => Ok(format!("password of {address} set")),
        false => Err(unknown(&address)),
    }
}

pub(super) async fn quota(context: &ControlContext, address: &str, quota: Quota) -> Outcome<String> {
    let address = parse(address)?;
    let set = |account: &mut Account| {
        account.quota_bytes = quota.bytes;
        account.quota_messages = quota.messages;
    };
    match context.directory.change_account(&address.key(), set).await? {
        true => Ok(format!("quota of {address} set")),
        false => Err(unknown(&address)),
    }
}

pub(super) async fn remove(context: &ControlContext, address: &str) -> Outcome<String> {
    let address = parse(address)?;
    match context.store.remove_account(&address.key()).await? {
        true => Ok(format!("user {address} and all mail in its mailbox removed")),
        false => Err(unknown(&address)),
    }
}

/// Makes accounts of all lines that are right; each other one is a [`Record::Fault`].
pub(super) async fn import(
    context: &ControlContext,
    users: &[Imported],
    records: &Records,
) -> Outcome<String> {
    let (mut running, mut added) = (JoinSet::new(), 0u64);
    let mut waiting = users.iter().cloned();
    loop {
        while running.len() < PARALLEL_IMPORTS
            && let Some(user) = waiting.next()
        {
            let (store, directory) = (Arc::clone(&context.store), context.directory.clone());
            running.spawn(async move {
                let made = create(store, directory, user.address, Some(user.proof), Quota::default()).await;
                (user.line, made)
            });
        }
        match running.join_next().await {
            Some(Ok((_, Ok(_)))) => added += 1,
            Some(Ok((line, Err(Refusal(text))))) => records.send(Record::Fault { line, text }).await?,
            Some(Err(error)) => return Err(Refusal(format!("the import broke off: {error}"))),
            None => return Ok(format!("{added} users added")),
        }
    }
}

/// The address must be of a domain that is ours, under its first name.
async fn local(store: &dyn Store, address: &Address) -> Outcome<()> {
    let name = address.domain();
    if name.starts_with('[') {
        return Err(Refusal(format!(
            "{name} is the address of a host, and users are of a domain: write {}@example.org",
            address.local()
        )));
    }
    match store.domain(name).await? {
        Some(Domain { alias_of: None, .. }) => Ok(()),
        Some(Domain {
            alias_of: Some(first),
            ..
        }) => Err(Refusal(format!(
            "{name} is another name of {first}: add {}@{first}, which has both addresses",
            address.local()
        ))),
        None => Err(Refusal(format!(
            "there is no domain {name}: `postern domain add {name}` first"
        ))),
    }
}

fn parse(address: &str) -> Outcome<Address> {
    Address::parse(address).map_err(|error| Refusal(format!("{address} is not an address: {error}")))
}

fn unknown(address: &Address) -> Refusal {
    Refusal(format!(
        "there is no user {address}: `postern user list` shows those there are"
    ))
}
