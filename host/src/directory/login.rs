//! Logins judged.
//!
//! A wrong password and an unknown login take the same way: one hash for each form of the password, and
//! no answer before [`DENIAL`] has passed, which hides what older kinds of hashes and the store's look-ups
//! cost. Hashes that take longer are refused where they would come in ([`PasswordHash::import`]): a floor that
//! followed the dearest hash would make every denial as slow as that, and one that learnt it would tell of the
//! account once. The delay of the throttle comes first, before even the cache is asked, or the cache would answer
//! a guesser at full speed; who logged in lately is not delayed, so a polling client costs no hash and no
//! time.
//!
//! A right password that is remembered is bound to the stored hash: a new password ends it at once.

use super::hashing::{Busy, Hashing, Meter, histogram};
use super::password::{Cost, HashError, PasswordHash};
use super::secret::Secret;
use super::throttle::{Crowded, Name, Throttle};
use super::{Directory, scram};
use crate::config::Config;
use crate::store::{Account, StoreError};
use moka::sync::Cache;
use postern_proto::sasl::{self, Answer, Question};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// No denial is quicker than this.
const DENIAL: Duration = Duration::from_millis(500);

/// Right passwords that are remembered.
const REMEMBERED: u64 = 65_536;

/// Why a login cannot be judged, or a password not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Crowded(#[from] Crowded),
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The key for made-up salts.
    #[error("{0}")]
    Key(String),
}

type Result<T> = std::result::Result<T, LoginError>;

/// What an account keeps of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub password: String,
    /// Only where SCRAM is on.
    pub scram: Option<String>,
}

/// Shows no hash.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials {{ scram: {} }}", self.scram.is_some())
    }
}

/// Whether SCRAM keys are kept, and how many iterations they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scram {
    Off,
    On { iterations: u32 },
}

/// What judging takes.
#[derive(Debug)]
pub(super) struct Logins {
    hashing: Hashing,
    cost: Cost,
    decoy: PasswordHash,
    scram: Scram,
    /// Keyed hashes of login, stored hash and the password that was right.
    known: Cache<[u8; 32], ()>,
    throttle: Throttle,
    process: Secret,
    salts_path: PathBuf,
    salts: OnceCell<Secret>,
}

impl Logins {
    pub(super) fn new(config: &Config) -> Self {
        let hashing = Hashing::new(&config.auth, histogram());
        Self::with(config, hashing, Cost::default())
    }

    pub(super) fn with(config: &Config, hashing: Hashing, cost: Cost) -> Self {
        let scram = match config.auth.scram {
            true => Scram::On {
                iterations: config.auth.scram_iterations,
            },
            false => Scram::Off,
        };
        Self {
            hashing,
            decoy: PasswordHash::decoy(&cost),
            cost,
            scram,
            known: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(config.auth.cache)
                .build(),
            throttle: Throttle::new(config.trusted.clone()),
            process: Secret::random(),
            salts_path: config.state.join("scram.key"),
            salts: OnceCell::new(),
        }
    }

    pub(super) fn offers_scram(&self) -> bool {
        self.scram != Scram::Off
    }

    /// The key for made-up salts.
    pub(super) async fn salts(&self) -> Result<&Secret> {
        let kept =
            || async { Secret::kept(&self.salts_path).map_err(|error| LoginError::Key(error.to_string())) };
        self.salts.get_or_try_init(kept).await
    }

    pub(super) async fn credentials(&self, password: &str) -> Result<Credentials> {
        // RFC 4013: what is kept is the prepared form, as RFC 5802 §2.2 has it for SCRAM.
        let password = sasl::prepare(password).unwrap_or_else(|| password.to_owned());
        let (cost, scram) = (self.cost.clone(), self.scram);
        let create = move |meter: &mut Meter<'_>| -> std::result::Result<Credentials, HashError> {
            let hash = meter.time(|memory| PasswordHash::create(&password, &cost, memory))?;
            let scram = match scram {
                Scram::Off => None,
                Scram::On { iterations } => Some(scram::write(&scram::create(&password, iterations))),
            };
            Ok(Credentials {
                password: hash.text(),
                scram,
            })
        };
        Ok(self.hashing.run(create).await??)
    }

    /// Whether `password` has this hash, by computing it.
    async fn compute(&self, hash: PasswordHash, password: &str) -> Result<Judged> {
        let forms = forms(password);
        let verify = move |meter: &mut Meter<'_>| {
            let mut is_form = |form| meter.time(|memory| hash.verify(form, memory));
            forms.iter().any(|form| is_form(form))
        };
        match self.hashing.run(verify).await? {
            true => Ok(Judged::Right),
            false => Ok(Judged::Wrong),
        }
    }

    /// Takes a place among the hashes.
    #[cfg(test)]
    pub(super) async fn hold(&self, work: impl FnOnce(&mut Meter<'_>) + Send + 'static) {
        self.hashing.run(work).await.unwrap();
    }

    fn name(&self, login: &str) -> Name {
        self.process.hash(&[b"name", login.as_bytes()])
    }

    fn remembered(&self, key: &str, stored: &str, password: &str) -> [u8; 32] {
        let parts: [&[u8]; 4] = [b"known", key.as_bytes(), stored.as_bytes(), password.as_bytes()];
        self.process.hash(&parts)
    }

    /// Whether the account could keep more or better than it does.
    fn is_outdated(&self, account: &Account, hash: &PasswordHash) -> bool {
        !hash.is_current(&self.cost) || (self.offers_scram() && account.scram.is_none())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Right,
    Wrong,
}

/// A password is tried as SASLprep has it and, for hashes that came from elsewhere, as it was typed.
fn forms(password: &str) -> Vec<String> {
    let typed = password.to_owned();
    match sasl::prepare(password) {
        Some(prepared) if prepared != typed => vec![prepared, typed],
        _ => vec![typed],
    }
}

/// Answers a question of SASL (or USER and PASS).
pub(super) async fn answer(directory: &Directory, question: Question, client: IpAddr) -> Result<Answer> {
    match question {
        Question::Password { login, password } => judge(directory, &login, &password, client).await,
        Question::Keys { login } => keys(directory, &login, client).await,
        Question::Proof { login, account } => proof(directory, &login, account, client).await,
    }
}

async fn judge(directory: &Directory, login: &str, password: &str, client: IpAddr) -> Result<Answer> {
    let logins = &directory.logins;
    let key = directory.login_key(login).await?;
    let name = logins.name(key.as_deref().unwrap_or(login));
    let attempt = logins.throttle.enter(client, name).await?;
    let begun = Instant::now();
    let judged = match key {
        Some(key) => known_or_not(directory, key, password).await,
        None => logins.compute(logins.decoy.clone(), password).await.map(|_| None),
    };
    match judged {
        Ok(Some(account)) => {
            attempt.succeeded();
            Ok(Answer::Granted { account })
        }
        Ok(None) => {
            attempt.failed();
            tokio::time::sleep_until(begun + DENIAL).await;
            Ok(Answer::Denied)
        }
        Err(error) => {
            attempt.withdraw();
            Err(error)
        }
    }
}

/// The mailbox, if the password is that of its account.
async fn known_or_not(directory: &Directory, key: String, password: &str) -> Result<Option<String>> {
    let logins = &directory.logins;
    let account = directory.store.account(&key).await?;
    let stored = account.and_then(|account| {
        let hash = PasswordHash::parse(account.password.as_deref()?).ok()?;
        Some((account, hash))
    });
    let Some((account, hash)) = stored else {
        logins.compute(logins.decoy.clone(), password).await?;
        return Ok(None);
    };
    let stored = account.password.as_deref().unwrap_or_default();
    let remembered = logins.remembered(&key, stored, password);
    if logins.known.contains_key(&remembered) {
        metrics::counter!("postern_login_cache_hits_total").increment(1);
        return Ok(Some(key));
    }
    if logins.compute(hash.clone(), password).await? == Judged::Wrong {
        return Ok(None);
    }
    if logins.is_outdated(&account, &hash) {
        renew(directory, &key, stored, password).await;
    } else {
        logins.known.insert(remembered, ());
    }
    Ok(Some(key))
}

/// Replaces what the account keeps of its password by argon2id and, where SCRAM is on, its keys. A
/// login does not fail because of it: the next one tries again.
async fn renew(directory: &Directory, key: &str, stored: &str, password: &str) {
    let credentials = match directory.credentials(password).await {
        Ok(credentials) => credentials,
        Err(error) => return tracing::info!(account = key, %error, "the password hash is renewed later"),
    };
    // Somebody may have set another password since it was read.
    let replace = |account: &mut Account| {
        if account.password.as_deref() == Some(stored) {
            account.password = Some(credentials.password.clone());
            account.scram.clone_from(&credentials.scram);
        }
    };
    match directory.change_account(key, replace).await {
        Ok(_) => tracing::info!(account = key, "the password hash was renewed"),
        Err(error) => tracing::warn!(account = key, %error, "the password hash could not be renewed"),
    }
}

/// The keys of a login, or made-up ones. Asking for them is an attempt; [`proof`] says how it ended.
async fn keys(directory: &Directory, login: &str, client: IpAddr) -> Result<Answer> {
    let logins = &directory.logins;
    let Scram::On { iterations } = logins.scram else {
        return Ok(Answer::Denied);
    };
    let key = directory.login_key(login).await?;
    let name = key.as_deref().unwrap_or(login);
    // Dropped before the proof: until that is right, it is a failure.
    logins.throttle.enter(client, logins.name(name)).await?;
    let made_up = scram::made_up(logins.salts().await?, name, iterations);
    let account = match &key {
        Some(key) => directory.store.account(key).await?,
        None => None,
    };
    let kept = account
        .filter(|account| account.password.is_some())
        .and_then(|account| scram::read(account.scram.as_deref()?));
    let account = kept.as_ref().and(key);
    Ok(Answer::Keys {
        keys: kept.unwrap_or(made_up),
        account,
        server_nonce: scram::nonce(),
    })
}

async fn proof(
    directory: &Directory,
    login: &str,
    account: Option<String>,
    client: IpAddr,
) -> Result<Answer> {
    let logins = &directory.logins;
    let key = directory.login_key(login).await?;
    let attempt = logins
        .throttle
        .resume(client, logins.name(key.as_deref().unwrap_or(login)));
    match account {
        Some(account) => {
            attempt.succeeded();
            Ok(Answer::Granted { account })
        }
        None => {
            attempt.failed();
            Ok(Answer::Denied)
        }
    }
}
