//! `postern check`: every fault of the configuration at once, or a short summary of what it means.
//!
//! Exit code 1 if anything is wrong, certificates that do not load and policies that are refused included.
//! Nothing is made or bound, so it may run beside a gateway, which is then asked for its domains. Policies that it compiled
//! it keeps in the user's cache folder.

mod roles;

use super::policies;
use super::serve::word;
use crate::config::{Config, StoreConfig, TlsMode};
use crate::policy::{Policies, State};
use crate::store::cassandra::session;
use crate::tls::{self, Loaded};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Checks and prints.
pub(super) fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(path)?;
    let (loaded, mut faults) = tls::inspect(&config);
    let (policies, refused) = policies::inspect(&config)?;
    faults.extend(refused.iter().map(ToString::to_string));
    if let StoreConfig::Cassandra(cluster) = &config.store {
        faults.extend(session::inspect(cluster).err().map(|fault| fault.to_string()));
    }
    if !faults.is_empty() {
        anyhow::bail!(faults.join("\n"));
    }
    let mut summary = summary(path, &config, &loaded);
    summary.push_str(&plugins(&config, &policies));
    summary.push_str(&roles::lines(&config)?);
    std::io::stdout().write_all(summary.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn summary(path: &Path, config: &Config, certificates: &[Loaded]) -> String {
    let mut text = format!("{} is right.\n", path.display());
    for listener in &config.listeners {
        let tls = match listener.tls {
            TlsMode::StartTls => "STARTTLS",
            TlsMode::Implicit => "TLS",
            TlsMode::None => "in clear",
        };
        let (name, address, role) = (&listener.name, listener.address, word(listener.role));
        let _ = writeln!(text, "listener      {name}: {role} on {address}, {tls}");
    }
    let _ = writeln!(
        text,
        "postmaster    mail for postmaster and abuse goes to {} where no address of that name exists",
        config.postmaster
    );
    for certificate in certificates {
        let (chain, names) = (certificate.source.chain.display(), certificate.names.join(", "));
        let _ = writeln!(
            text,
            "certificate   {chain}: {names}; until {}",
            certificate.not_after_text
        );
    }
    if certificates.is_empty() {
        let folder = config.state.join("tls");
        let _ = writeln!(
            text,
            "certificate   self-signed, made at the first start in {}",
            folder.display()
        );
    }
    text
}

/// What decides, in the order in which it is asked.
fn plugins(config: &Config, policies: &Policies) -> String {
    let Some(folder) = &config.policy_folder else {
        return "policies      none: policy.folder is not set\n".to_owned();
    };
    let mut text = String::new();
    for listed in policies.list() {
        let says = match listed.state {
            State::Loaded => listed.answers.join(", "),
            State::Disabled | State::Refused(_) | State::Earlier { .. } => listed.state.to_string(),
        };
        let _ = writeln!(text, "policy        {}: {says}", listed.name);
    }
    if text.is_empty() {
        let _ = writeln!(text, "policies      none in {}", folder.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_where_mail_for_postmaster_goes() {
        let text = "hostname: a.example\npostmaster: ann@example.org\npolicy: { folder: . }\n\
            listeners: [ { role: lmtp, address: \"127.0.0.1:2424\", tls: none } ]\n";
        let folder = tempfile::tempdir().unwrap();
        let config = Config::parse(text, folder.path()).unwrap();
        let summary = summary(Path::new("x.yaml"), &config, &[]);
        assert!(summary.starts_with("x.yaml is right.\n"));
        assert!(summary.contains("lmtp-2424: lmtp on 127.0.0.1:2424, in clear"));
        assert!(summary.contains("abuse goes to ann@example.org where"));
        assert!(summary.contains("self-signed, made at the first start"));
        let (policies, faults) = policies::inspect(&config).unwrap();
        assert!(faults.is_empty());
        let none = format!("policies      none in {}\n", folder.path().display());
        assert_eq!(plugins(&config, &policies), none);
    }

    #[test]
    fn a_certificate_that_does_not_load_is_a_fault_with_its_key_path() {
        let config = tls::tests::config(Path::new("/nowhere"), &["a", "b"]);
        let (loaded, faults) = tls::inspect(&config);
        assert!(loaded.is_empty());
        assert_eq!(faults.len(), 2);
        assert!(
            faults[1].starts_with("tls.certificates[1]: cannot read /nowhere/b.pem"),
            "{}",
            faults[1]
        );
    }
}
