//! What is wrong with settings, told before they route any mail.

use super::{Answer, Settings};
use settings::{is_domain, same};

impl Settings {
    pub(crate) fn check(&self) -> Result<(), String> {
        let named = self.aliases.iter().map(|(name, to)| (name, &**to));
        let left = self.catch_all.iter().map(|(domain, rule)| (domain, &*rule.to));
        for (name, targets) in named.chain(left) {
            if targets.is_empty() {
                return Err(format!("`{name}` leads nowhere: name at least one address"));
            }
            if let Some(wrong) = targets.iter().find(|target| !address(target)) {
                return Err(format!("`{name}` leads to `{wrong}`, which is not an address"));
            }
        }
        if let Some(name) = self
            .aliases
            .keys()
            .find(|name| !address(&name.replace(['*', '?'], "x")))
        {
            return Err(format!(
                "aliases: `{name}` is not an address; domains go to `domains` or `catch_all`"
            ));
        }
        let domains = self
            .domains
            .iter()
            .flat_map(|(from, to)| [from, to])
            .chain(self.catch_all.keys());
        if let Some(wrong) = domains.into_iter().find(|name| !domain(name)) {
            return Err(format!(
                "`{wrong}` is not a domain in plain letters, `bücher.example`"
            ));
        }
        let renamed = self.domains.keys().map(|domain| format!("any@{domain}"));
        let starts = self
            .aliases
            .keys()
            .filter(|name| !name.contains(['*', '?']))
            .cloned()
            .chain(renamed);
        starts.into_iter().try_for_each(|start| self.follow(&start, &[]))
    }

    /// What must be said where the gateway's accounts cannot be seen.
    pub(crate) fn check_blind(&self) -> Result<(), String> {
        let blind = self.catch_all.iter().find(|(_, rule)| rule.except.is_none());
        match blind {
            Some((domain, _)) => Err(format!(
                "catch_all: that of {domain} would also take the mail of existing accounts, which this gateway does not \
                 show to policies; name them in `except` (`except: []` if it is meant), or leave it to the \
                 gateway: postern alias add @{domain}"
            )),
            None => Ok(()),
        }
    }

    /// Refuses a chain that comes back to where it was.
    fn follow(&self, address: &str, chain: &[&str]) -> Result<(), String> {
        let chain = [chain, &[address]].concat();
        let Answer::Targets(targets) = self.answer(address) else {
            return Ok(());
        };
        for target in targets.iter().filter(|target| !same(target, address)) {
            if chain.iter().any(|earlier| same(earlier, target)) {
                return Err(format!("{} → {target} goes in a circle", chain.join(" → ")));
            }
            self.follow(target, &chain)?;
        }
        Ok(())
    }
}

fn address(text: &str) -> bool {
    let parts = text.rsplit_once('@').filter(|(local, _)| !local.is_empty());
    parts.is_some_and(|(_, behind)| domain(behind)) && !text.contains(char::is_whitespace)
}

/// Settings are compared with addresses as policies see them: the domain as U-labels.
fn domain(text: &str) -> bool {
    is_domain(text) && !text.split('.').any(|label| label.starts_with("xn--"))
}
