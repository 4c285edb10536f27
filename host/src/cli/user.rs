//! `postern user`.

mod import;

use super::client::Gateway;
use super::password::{Password, Source, confirm};
use super::{ListFormat, output};
use crate::config::Config;
use crate::config::units::ByteSize;
use crate::control::{Hidden, Login, Operation, Proof, Quota, UserRecord};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Adds an account; asks for its password twice.
    Add {
        address: String,
        #[command(flatten)]
        password: Source,
        /// The account gets mail but cannot log in.
        #[arg(long, conflicts_with_all = ["password_stdin", "generate"])]
        no_login: bool,
        #[command(flatten)]
        quota: QuotaOptions,
    },
    /// Lists the accounts, their quota and what they hold.
    List(#[command(flatten)] ListFormat),
    /// Sets another password; asks for it twice.
    Passwd {
        address: String,
        #[command(flatten)]
        password: Source,
    },
    /// Sets the bounds of a mailbox anew; one that is not given is removed.
    Quota {
        address: String,
        #[command(flatten)]
        quota: QuotaOptions,
    },
    /// Removes an account and all mail in its mailbox.
    Remove {
        address: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Adds the accounts of a CSV file: a line each of `address,password` or `address,hash`, in which
    /// argon2id, bcrypt, SHA-512-crypt and PBKDF2 are read in Dovecot's spelling and in PHC's.
    Import { file: PathBuf },
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct QuotaOptions {
    /// The most octets the mailbox may hold, such as 1GiB.
    #[arg(long, value_name = "SIZE")]
    quota_bytes: Option<ByteSize>,
    /// The most messages it may hold.
    #[arg(long, value_name = "N")]
    quota_messages: Option<u64>,
}

impl From<QuotaOptions> for Quota {
    fn from(options: QuotaOptions) -> Self {
        Self {
            bytes: options.quota_bytes.map(|ByteSize(octets)| octets),
            messages: options.quota_messages,
        }
    }
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Add {
            address,
            password,
            no_login,
            quota,
        } => {
            let password = if no_login { None } else { Some(password.read()?) };
            let add = |password: Option<Hidden>| Operation::UserAdd {
                address,
                proof: password.map(Proof::Password),
                quota: quota.into(),
            };
            with_password(config, password, add).await
        }
        Command::Passwd { address, password } => {
            let password = Some(password.read()?);
            let set = |password: Option<Hidden>| Operation::UserPasswd {
                address,
                password: password.unwrap_or(Hidden(String::new())),
            };
            with_password(config, password, set).await
        }
        Command::List(format) => output::run_list(config, &Operation::UserList, format).await,
        Command::Quota { address, quota } => {
            let quota = quota.into();
            output::run_tell(config, &Operation::UserQuota { address, quota }).await
        }
        Command::Remove { address, yes } => {
            if !yes {
                confirm(&format!("this removes {address} and all mail in its mailbox"))?;
            }
            output::run_tell(config, &Operation::UserRemove { address }).await
        }
        Command::Import { file } => import::run(config, &file).await,
    }
}

/// A password that was made is all that standard output gets.
async fn with_password(
    config: &Config,
    password: Option<Password>,
    operation: impl FnOnce(Option<Hidden>) -> Operation,
) -> anyhow::Result<ExitCode> {
    let (password, made) = match password {
        Some(Password::Given(password)) => (Some(password), None),
        Some(Password::Made(password)) => (Some(password.clone()), Some(password)),
        None => (None, None),
    };
    let operation = operation(password.map(Hidden));
    let text = Gateway::of(config, &operation).await?.tell(&operation).await?;
    match made {
        Some(made) => {
            output::note(&format!("{text}; its password:"));
            output::say(&made)?;
        }
        None => output::say(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn line(user: &UserRecord) -> String {
    let of = |bound: Option<String>| bound.map(|bound| format!(" of {bound}")).unwrap_or_default();
    let login = match user.login {
        Login::None => "  cannot log in",
        Login::Password | Login::Scram => "",
    };
    format!(
        "{}  {}{}  {}{} messages{login}",
        user.address,
        ByteSize(user.bytes),
        of(user.quota.bytes.map(|bytes| ByteSize(bytes).to_string())),
        user.messages,
        of(user.quota.messages.map(|messages| messages.to_string())),
    )
}
