//! To whom `postmaster` and `abuse` of each domain go (RFC 5321 §4.5.1, RFC 2142).
//!
//! A gateway that runs is asked, else its embedded store is looked into; where there is none yet, or it cannot be
//! looked into, that is said and is no fault of the configuration. Routers may send such mail elsewhere.

use crate::cli::client::Gateway;
use crate::config::{Config, StoreConfig};
use crate::control::{Operation, Record};
use crate::gateway;
use crate::store::embedded;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;

const ROLES: [&str; 2] = ["postmaster", "abuse"];

/// What the directory holds, as far as roles need it.
#[derive(Debug, Default)]
struct Tables {
    /// With the domain that each is another name of.
    domains: BTreeMap<String, Option<String>>,
    /// Accounts (to themselves) and aliases, by key.
    leads: BTreeMap<String, Vec<String>>,
}

/// A line for each role of each domain.
pub(super) fn lines(config: &Config) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(match runtime.block_on(tables(config)) {
        Ok(Some(tables)) => tables.lines(&config.postmaster.to_string()),
        Ok(None) => "domains       none yet\n".to_owned(),
        Err(error) => format!("domains       not looked at: {error:#}\n"),
    })
}

/// None: there is no store yet.
async fn tables(config: &Config) -> anyhow::Result<Option<Tables>> {
    let mut gateway = match Gateway::running(config).await? {
        Some(gateway) => gateway,
        // A check asks nothing of other machines, which may be away.
        None if matches!(config.store, StoreConfig::Cassandra(_)) => {
            anyhow::bail!("no gateway runs here; `postern domain list` asks the cluster")
        }
        None => {
            let folder = gateway::store_folder(config);
            if !embedded::was_made(&folder)? {
                return Ok(None);
            }
            // Whoever opens a store leaves files of its own there, which its owner could not open then.
            anyhow::ensure!(
                folder.metadata()?.uid() == rustix::process::geteuid().as_raw(),
                "the store is another user's; run this as that user"
            );
            Gateway::to_read(config).await?
        }
    };
    let mut tables = Tables::default();
    for operation in [Operation::DomainList, Operation::UserList, Operation::AliasList] {
        gateway
            .ask(&operation, &mut |record| {
                tables.take(record);
                Ok(())
            })
            .await?;
    }
    Ok(Some(tables))
}

impl Tables {
    fn take(&mut self, record: Record) {
        match record {
            Record::Domain(domain) => {
                self.domains.insert(domain.name, domain.alias_of);
            }
            Record::User(user) => {
                self.leads.insert(user.address.to_lowercase(), vec![user.address]);
            }
            Record::Alias(alias) => {
                self.leads.insert(alias.address, alias.targets);
            }
            Record::Quarantined(_)
            | Record::Content(_)
            | Record::Gone(_)
            | Record::Plugin(_)
            | Record::Explained(_)
            | Record::Mail(_)
            | Record::Agreement(_)
            | Record::Fault { .. }
            | Record::Finding(_)
            | Record::Checked(_) => {}
        }
    }

    fn lines(&self, postmaster: &str) -> String {
        let mut text = String::new();
        for (domain, other) in &self.domains {
            for role in ROLES {
                let to = self.led(role, other.as_ref().unwrap_or(domain), postmaster);
                let _ = writeln!(text, "domain        {role}@{domain} goes to {to}");
            }
        }
        if text.is_empty() {
            text.push_str("domains       none yet\n");
        }
        text
    }

    /// As the directory resolves it: by name, then the catch-all, then the postmaster of the configuration.
    fn led(&self, role: &str, domain: &str, postmaster: &str) -> String {
        let key = format!("{role}@{domain}");
        let named = self.leads.get(&key);
        match named.or_else(|| self.leads.get(&format!("@{domain}"))) {
            Some(targets) => targets.join(", "),
            None if key == postmaster.to_lowercase() => "nobody: there is no such address".to_owned(),
            None => postmaster.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With an earlier embedded store beside it.
    #[test]
    fn a_cluster_is_not_opened_where_no_gateway_runs() {
        let text = "hostname: a.example\npostmaster: ann@example.org\nstate: .\n\
            listeners: [ { role: lmtp, address: \"127.0.0.1:2424\", tls: none } ]\n\
            store: { cassandra: { nodes: [\"127.0.0.1:1\"] } }\n";
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let config = Config::parse(text, folder.path()).unwrap();
        let said = lines(&config).unwrap();
        assert!(
            said.starts_with("domains       not looked at: no gateway runs here"),
            "{said}"
        );
    }

    #[test]
    fn a_role_goes_to_its_address_then_the_catch_all_then_the_postmaster() {
        let mut tables = Tables::default();
        for (name, other) in [
            ("a.example", None),
            ("b.example", None),
            ("c.example", Some("a.example")),
        ] {
            tables.domains.insert(name.to_owned(), other.map(str::to_owned));
        }
        let mut lead = |from: &str, to: &str| tables.leads.insert(from.to_owned(), vec![to.to_owned()]);
        lead("abuse@a.example", "ann@a.example");
        lead("@b.example", "bob@b.example");
        assert_eq!(
            tables.lines("Postmaster@a.example"),
            "domain        postmaster@a.example goes to nobody: there is no such address\n\
             domain        abuse@a.example goes to ann@a.example\n\
             domain        postmaster@b.example goes to bob@b.example\n\
             domain        abuse@b.example goes to bob@b.example\n\
             domain        postmaster@c.example goes to nobody: there is no such address\n\
             domain        abuse@c.example goes to ann@a.example\n"
        );
        assert_eq!(Tables::default().lines("x@y.example"), "domains       none yet\n");
    }
}
