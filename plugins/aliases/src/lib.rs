//! Routes mail by its settings: exact aliases, patterns, whole domains to others, and what is left of a
//! domain to one place.
//!
//! What it does not know it passes on, and so it does with an address that leads to itself. Settings that
//! go in a circle or cannot be read refuse the component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, router};
use bindings::postern::policy::types::{Reply, Route};
use bindings::postern::policy::{config, directory};
use serde::Deserialize;
use settings::{OneOrMany, closest, domain_of, named, same};
use std::collections::BTreeMap;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:aliases;
            world plugin {
                include postern:policy/capabilities@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/router@0.1.0;
            }
        ",
        generate_all,
        additional_derives: [PartialEq],
    });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

mod check;
#[cfg(test)]
mod tests;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Addresses, or patterns of them, and where their mail goes.
    aliases: BTreeMap<String, OneOrMany<String>>,
    /// `old.example: example.org`: the same local part there.
    domains: BTreeMap<String, String>,
    /// What no other rule takes of a domain.
    catch_all: BTreeMap<String, CatchAll>,
    /// Where a detail begins: `anna+list` is `anna` if no alias says otherwise.
    detail: Option<char>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatchAll {
    to: OneOrMany<String>,
    /// Addresses, or patterns of them, that go on to the gateway's own accounts. It must be written where the
    /// gateway does not let policies see its accounts: the catch-all would take their mail unasked.
    except: Option<OneOrMany<String>>,
}

/// What the settings say about one address.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    Targets(Vec<String>),
    /// These, unless the gateway itself knows the address.
    Otherwise(Vec<String>),
}

impl Settings {
    fn answer(&self, recipient: &str) -> Answer {
        let found = self
            .alias(recipient)
            .or_else(|| self.alias(&self.without_detail(recipient)?));
        let found = found.or_else(|| self.renamed(recipient).map(|target| vec![target]));
        match (found, self.left_over(recipient)) {
            (Some(targets), _) if leads_on(&targets, recipient) => Answer::Targets(targets),
            (None, Some(targets)) if leads_on(&targets, recipient) => Answer::Otherwise(targets),
            _ => Answer::Nothing,
        }
    }

    /// An alias of exactly that name, else the pattern that says most.
    fn alias(&self, address: &str) -> Option<Vec<String>> {
        closest(&self.aliases, address).map(|targets| targets.to_vec())
    }

    fn without_detail(&self, address: &str) -> Option<String> {
        let (local, domain) = address.rsplit_once('@')?;
        let (plain, _) = local.split_once(self.detail?)?;
        (!plain.is_empty()).then(|| format!("{plain}@{domain}"))
    }

    fn renamed(&self, address: &str) -> Option<String> {
        let (local, domain) = address.rsplit_once('@')?;
        let to = named(&self.domains, domain)?;
        Some(format!("{local}@{to}"))
    }

    fn left_over(&self, address: &str) -> Option<Vec<String>> {
        let rule = named(&self.catch_all, domain_of(address))?;
        let excepted = rule.except.as_ref().is_some_and(|except| except.matches(address));
        (!excepted).then(|| rule.to.to_vec())
    }
}

/// An address that is its own only target has arrived.
fn leads_on(targets: &[String], recipient: &str) -> bool {
    targets.iter().any(|target| !same(target, recipient))
}

struct Plugin;

/// What the directory answers a policy that may not see it.
const NOT_GRANTED: &str = "not granted";

/// Does the gateway have an account or alias of that name? Without the grant nothing is known.
fn known(recipient: &str) -> Result<bool, String> {
    let mailbox = directory::mailbox_of(recipient);
    match mailbox.and_then(|mailbox| Ok(mailbox.is_some() || !directory::aliases_of(recipient)?.is_empty())) {
        Err(error) if error == NOT_GRANTED => Ok(false),
        answer => answer,
    }
}

impl router::Guest for Plugin {
    fn resolve(recipient: String) -> Route {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return Route::Pass; // `validate` has refused these
        };
        match settings.answer(&recipient) {
            Answer::Nothing => Route::Pass,
            Answer::Targets(targets) => Route::Rewrite(targets),
            Answer::Otherwise(targets) => match known(&recipient) {
                Ok(true) => Route::Pass,
                Ok(false) => Route::Rewrite(targets),
                Err(_) => Route::Defer(Reply {
                    code: 451,
                    enhanced: "4.3.0".to_owned(),
                    text: "the directory cannot be asked at present".to_owned(),
                }),
            },
        }
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        let settings = settings::parse::<Settings>(&config::json())?;
        settings.check()?;
        match directory::is_local_domain("localhost") {
            Err(error) if error == NOT_GRANTED => settings.check_blind(),
            _ => Ok(()),
        }
    }
}
