//! Ways of mail that come back to where they were.
//!
//! A change that makes one is refused, because mail for every address on it would be deferred until its sender
//! gives up. Looked at is what the tables say; where routers lead is known when mail comes.

use super::{ControlContext, Outcome, Refusal};
use crate::directory::{Planned, Resolution};
use crate::store::{Alias, Domain, pages};
use futures_util::stream::TryStreamExt as _;
use postern_proto::Address;
use std::collections::HashSet;
use std::pin::pin;

/// Steps after which routing gives up, and so does this.
const DEPTH: usize = 16;

/// Refuses an alias that leads to itself, by whatever way.
pub(super) async fn refuse_alias(context: &ControlContext, alias: &Alias) -> Outcome<()> {
    // One that is an account leads to its mailbox, and is refused as such.
    match context.store.account(&alias.address).await? {
        Some(_) => Ok(()),
        None => refuse(context, alias, Planned::Alias(alias)).await,
    }
}

/// Refuses a domain if an alias that has leads to it would then lead to itself.
pub(super) async fn refuse_domain(context: &ControlContext, domain: &Domain) -> Outcome<()> {
    let of_domain = |target: &String| {
        let address = Address::parse(target);
        address.is_ok_and(|address| address.domain().eq_ignore_ascii_case(&domain.name))
    };
    let mut aliases = pin!(pages::aliases(&*context.store));
    while let Some(alias) = aliases.try_next().await? {
        if alias.targets.iter().any(of_domain) {
            refuse(context, &alias, Planned::Domain(domain)).await?;
        }
    }
    Ok(())
}

async fn refuse(context: &ControlContext, alias: &Alias, planned: Planned<'_>) -> Outcome<()> {
    match round(context, alias, planned).await? {
        None => Ok(()),
        Some(way) => Err(Refusal(format!(
            "mail would go round for ever: {}; name another target",
            way.join(" -> ")
        ))),
    }
}

/// The addresses of the first way round that is found, its beginning again at its end.
async fn round(
    context: &ControlContext,
    alias: &Alias,
    planned: Planned<'_>,
) -> Outcome<Option<Vec<String>>> {
    let mut seen = HashSet::new();
    let mut pending: Vec<(Address, Vec<String>)> = Vec::new();
    let led_to = |targets: Vec<Address>, way: &[String]| {
        let way = way.to_vec();
        targets.into_iter().rev().map(move |target| (target, way.clone()))
    };
    let targets = alias.targets.iter();
    let targets = targets.filter_map(|target| Address::parse(target).ok()).collect();
    pending.extend(led_to(targets, std::slice::from_ref(&alias.address)));
    while let Some((address, mut way)) = pending.pop() {
        let key = address.key();
        if let Some(at) = way.iter().position(|known| *known == key) {
            way.push(key);
            return Ok(Some(way.split_off(at)));
        }
        if way.len() > DEPTH || !seen.insert(key.clone()) {
            continue;
        }
        if let Resolution::Targets(targets) = context.directory.resolve_with(&address, planned).await? {
            way.push(key);
            pending.extend(led_to(targets, &way));
        }
    }
    Ok(None)
}
