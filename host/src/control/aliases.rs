//! Aliases, groups and catch-alls.
//!
//! Adding to one that exists adds targets to those it has. Refused: domains that are not ours or are other
//! names of ours, an address that is an account, targets that are no addresses, an alias that leads to itself
//! by whatever way. A target that leads nowhere yet is taken, and the answer says so.

use super::{ControlContext, Outcome, Record, Records, Refusal, loops};
use crate::directory::{CHANGED_AT_MOST, Resolution};
use crate::store::{Alias, Created, Domain, pages};
use futures_util::stream::TryStreamExt as _;
use postern_proto::Address;
use std::pin::pin;

/// Targets of one alias.
const MOST_TARGETS: usize = 10_000;

pub(super) async fn add(context: &ControlContext, address: &str, new: &[String]) -> Outcome<String> {
    let _alone = context.alone.lock().await;
    let key = parse(address)?;
    local(context, &key).await?;
    for _ in 0..CHANGED_AT_MOST {
        let before = context.store.alias_to_change(&key).await?;
        let (after, text) = with_targets(context, (&key, before.as_ref()), new).await?;
        loops::refuse_alias(context, &after).await?;
        let done = match &before {
            Some(before) => context.store.replace_alias(before, after).await?,
            None => context.store.create_alias(after).await? == Created::Yes,
        };
        if done {
            return Ok(text);
        }
        if context.store.account_to_change(&key).await?.is_some() {
            return Err(Refusal(format!(
                "{key} is a user: mail for it goes to its mailbox; `postern user remove {key}` first"
            )));
        }
    }
    Err(Refusal(format!("{key} is being changed by others")))
}

/// The alias with these targets too, and what is to be said of it.
async fn with_targets(
    context: &ControlContext,
    (key, before): (&str, Option<&Alias>),
    new: &[String],
) -> Outcome<(Alias, String)> {
    let mut targets = before.map(|alias| alias.targets.clone()).unwrap_or_default();
    let mut notes = String::new();
    for target in new {
        let target = Address::parse(target)
            .map_err(|error| Refusal(format!("{target} is not an address: {error}")))?;
        if target.key() == key {
            return Err(Refusal(format!("{key} cannot lead to itself")));
        }
        notes.push_str(&doubt(context, &target).await?);
        if !targets.iter().any(|known| known.to_lowercase() == target.key()) {
            targets.push(target.to_string());
        }
    }
    if targets.len() > MOST_TARGETS {
        return Err(Refusal(format!("an alias has at most {MOST_TARGETS} targets")));
    }
    let text = format!("alias {key} leads to {}{notes}", targets.join(", "));
    let alias = Alias {
        address: key.to_owned(),
        targets,
    };
    Ok((alias, text))
}

/// What is to be said of a target that mail cannot reach now.
async fn doubt(context: &ControlContext, target: &Address) -> Outcome<String> {
    Ok(match context.directory.resolve(target).await? {
        Resolution::Mailbox(_) | Resolution::Targets(_) => String::new(),
        Resolution::UnknownUser => format!("; {target} does not exist yet: mail is refused until it does"),
        Resolution::Elsewhere => {
            format!("; {target} is on another host: mail is refused (550 5.7.1), it cannot be sent on yet")
        }
    })
}

pub(super) async fn list(context: &ControlContext, records: &Records) -> Outcome<String> {
    let mut aliases = pin!(pages::aliases(&*context.store));
    while let Some(alias) = aliases.try_next().await? {
        records.send(Record::Alias(alias)).await?;
    }
    Ok(String::new())
}

pub(super) async fn remove(context: &ControlContext, address: &str) -> Outcome<String> {
    let _alone = context.alone.lock().await;
    let key = parse(address)?;
    match context.store.remove_alias(&key).await? {
        true => Ok(format!("alias {key} removed")),
        false => Err(Refusal(format!(
            "there is no alias {key}: `postern alias list` shows those there are"
        ))),
    }
}

/// The key of `local@domain` or of the catch-all `@domain`.
fn parse(address: &str) -> Outcome<String> {
    let refusal = || Refusal(format!("{address} is neither an address nor @domain"));
    match address.strip_prefix('@') {
        Some(domain) => {
            let any = Address::parse(&format!("any@{domain}")).map_err(|_| refusal())?;
            Ok(format!("@{}", any.domain()))
        }
        None => Ok(Address::parse(address).map_err(|_| refusal())?.key()),
    }
}

async fn local(context: &ControlContext, key: &str) -> Outcome<()> {
    let name = key.rsplit_once('@').map_or("", |(_, domain)| domain);
    match context.store.domain(name).await? {
        Some(Domain { alias_of: None, .. }) => Ok(()),
        Some(Domain {
            alias_of: Some(first),
            ..
        }) => Err(Refusal(format!(
            "{name} is another name of {first}: what is set there holds for both"
        ))),
        None => Err(Refusal(format!(
            "there is no domain {name}: `postern domain add {name}` first"
        ))),
    }
}
