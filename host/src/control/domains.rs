//! Local domains.
//!
//! Refused: names that are no domain, a second name for what is itself a second name, a domain that makes
//! aliases lead to themselves, and the removal of a domain that accounts, aliases or other names still need.

use super::{ControlContext, Outcome, Record, Records, Refusal, loops};
use crate::store::{Created, Domain, pages};
use futures_util::stream::TryStreamExt as _;
use postern_proto::Address;
use std::pin::pin;

pub(super) async fn add(context: &ControlContext, name: &str, alias_of: Option<&str>) -> Outcome<String> {
    let _alone = context.alone.lock().await;
    let name = parse(name)?;
    let alias_of = match alias_of {
        Some(other) => Some(original(context, &name, &parse(other)?).await?),
        None => None,
    };
    let text = match &alias_of {
        Some(other) => format!("domain {name} added as another name of {other}"),
        None => format!("domain {name} added"),
    };
    let domain = Domain {
        name: name.clone(),
        alias_of,
    };
    loops::refuse_domain(context, &domain).await?;
    match context.store.create_domain(domain).await? {
        Created::Yes => Ok(text),
        Created::Exists => Err(Refusal(format!("domain {name} is there already"))),
    }
}

/// The domain that another one may be a second name of.
async fn original(context: &ControlContext, name: &str, other: &str) -> Outcome<String> {
    if name == other {
        return Err(Refusal(format!("{name} cannot be another name of itself")));
    }
    match context.store.domain(other).await? {
        Some(Domain { alias_of: None, name }) => Ok(name),
        Some(Domain {
            alias_of: Some(first),
            ..
        }) => Err(Refusal(format!(
            "{other} is itself another name of {first}: name that"
        ))),
        None => Err(Refusal(format!(
            "there is no domain {other}: `postern domain add {other}` first"
        ))),
    }
}

pub(super) async fn list(context: &ControlContext, records: &Records) -> Outcome<String> {
    for domain in context.store.domains().await? {
        records.send(Record::Domain(domain)).await?;
    }
    Ok(String::new())
}

pub(super) async fn remove(context: &ControlContext, name: &str) -> Outcome<String> {
    let _alone = context.alone.lock().await;
    let name = parse(name)?;
    if let Some(need) = needed(context, &name).await? {
        return Err(Refusal(format!(
            "{name} is still used by {need}: remove that first"
        )));
    }
    match context.store.remove_domain(&name).await? {
        true => Ok(format!("domain {name} removed")),
        false => Err(Refusal(format!("there is no domain {name}"))),
    }
}

/// What would be left without its domain.
async fn needed(context: &ControlContext, name: &str) -> Outcome<Option<String>> {
    let domains = context.store.domains().await?;
    let other = domains
        .into_iter()
        .find(|domain| domain.alias_of.as_deref() == Some(name));
    if let Some(other) = other {
        return Ok(Some(format!("domain {}", other.name)));
    }
    let of_domain = |key: &str| key.rsplit_once('@').is_some_and(|(_, domain)| domain == name);
    let mut accounts = pin!(pages::accounts(&*context.store));
    while let Some(account) = accounts.try_next().await? {
        let key = account.address.to_lowercase();
        if of_domain(&key) {
            return Ok(Some(format!("user {key}")));
        }
    }
    let mut aliases = pin!(pages::aliases(&*context.store));
    while let Some(alias) = aliases.try_next().await? {
        if of_domain(&alias.address) {
            return Ok(Some(format!("alias {}", alias.address)));
        }
    }
    Ok(None)
}

/// Lower case, U-labels, and no address literal.
fn parse(name: &str) -> Outcome<String> {
    // No top-level domain is a number (RFC 3696 §2): 1.2.3.4 is an address.
    let numeric = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or_default();
        last.bytes().all(|octet| octet.is_ascii_digit())
    };
    match Address::parse(&format!("postmaster@{name}")) {
        Ok(address) if !name.contains('@') && !name.starts_with('[') && !numeric(address.domain()) => {
            Ok(address.domain().to_owned())
        }
        _ => Err(Refusal(format!(
            "{name} is not a domain: write it like example.org"
        ))),
    }
}
