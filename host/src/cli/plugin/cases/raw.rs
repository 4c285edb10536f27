//! A case as it is written.

use super::auth::RawAuth;
use super::dns::RawZone;
use super::value::Value;
use crate::cli::plugin::session::Session;
use crate::config::units::ByteSize;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCase {
    pub(super) name: Option<String>,
    pub(super) session: Option<Session>,
    pub(super) message: Option<String>,
    pub(super) message_file: Option<PathBuf>,
    pub(super) settings: Option<serde_json::Map<String, serde_json::Value>>,
    pub(super) kv: Option<BTreeMap<String, Value>>,
    pub(super) auth: Option<RawAuth>,
    pub(super) dns: Option<RawZone>,
    pub(super) now: Option<String>,
    #[serde(default, with = "serde_yaml::with::singleton_map_recursive")]
    pub(super) ask: Option<RawAsk>,
    pub(super) expect: Option<RawExpect>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAsk {
    Connect,
    Mail,
    Rcpt(String),
    Message,
    Route(String),
    Quota(RawQuota),
    Validate,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuota {
    pub(super) mailbox: String,
    /// What it holds.
    pub(super) bytes: Option<ByteSize>,
    pub(super) messages: Option<u64>,
    pub(super) incoming: Option<ByteSize>,
}

/// What is not written is not compared, save failures.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    pub(super) verdict: Option<String>,
    pub(super) route: Option<String>,
    pub(super) quota: Option<String>,
    pub(super) valid: Option<bool>,
    pub(super) failure: Option<String>,
    pub(super) reply: Option<RawReply>,
    pub(super) reason: Option<String>,
    pub(super) to: Option<Vec<String>>,
    pub(super) ceiling: Option<RawCeiling>,
    pub(super) warning: Option<String>,
    pub(super) error: Option<String>,
    #[serde(default, with = "serde_yaml::with::singleton_map_recursive")]
    pub(super) edits: Option<Vec<RawEdit>>,
    pub(super) kv: Option<BTreeMap<String, Value>>,
    pub(super) log: Option<Vec<String>>,
    pub(super) calls: Option<Vec<String>>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReply {
    pub(super) code: Option<u16>,
    pub(super) enhanced: Option<String>,
    pub(super) text: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCeiling {
    pub(super) bytes: Option<ByteSize>,
    pub(super) messages: Option<u64>,
}

/// An edit by its name in the contract.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawEdit {
    AddHeader(RawField),
    InsertHeader(RawField),
    RemoveHeader(String),
    AddRecipient(String),
    RemoveRecipient(String),
    Redirect(String),
    Tag(String),
    RecipientVerdict(RawRecipientVerdict),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) name: String,
    pub(super) value: String,
}

/// The verdict as `plugin run` prints it: `reject 550 5.7.1 not today`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecipientVerdict {
    pub(super) recipient: String,
    pub(super) verdict: String,
}

impl RawEdit {
    /// As [`words::edit`](crate::cli::plugin::words::edit) has it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::AddHeader(RawField { name, value }) => format!("add-header {name}: {value}"),
            Self::InsertHeader(RawField { name, value }) => format!("insert-header {name}: {value}"),
            Self::RemoveHeader(name) => format!("remove-header {name}"),
            Self::AddRecipient(address) => format!("add-recipient {address}"),
            Self::RemoveRecipient(address) => format!("remove-recipient {address}"),
            Self::Redirect(address) => format!("redirect {address}"),
            Self::Tag(name) => format!("tag {name}"),
            Self::RecipientVerdict(RawRecipientVerdict { recipient, verdict }) => {
                format!("recipient-verdict {recipient} {verdict}")
            }
        }
    }
}
