//! `postern check`: every fault of the configuration at once, or a short summary of what it means.
//!
//! Exit code 1 if anything is wrong, certificates that do not load and a policy folder that cannot be read
//! included. Nothing is made, opened for writing or bound, so it may run beside a gateway.

use super::serve::word;
use crate::config::{Config, TlsMode};
use crate::tls::{self, Loaded};
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// Checks and prints.
pub(super) fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(path)?;
    let (loaded, mut faults) = tls::inspect(&config);
    faults.extend(folder_fault(&config));
    if !faults.is_empty() {
        anyhow::bail!(faults.join("\n"));
    }
    let summary = summary(path, &config, &loaded);
    std::io::stdout().write_all(summary.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A policy folder that is there and cannot be read: with it a gateway does not start.
fn folder_fault(config: &Config) -> Option<String> {
    let folder = config.policy_folder.as_deref()?;
    let error = std::fs::read_dir(folder).err()?;
    (error.kind() != ErrorKind::NotFound).then(|| {
        let folder = folder.display();
        format!(
            "policy.folder: cannot read {folder}: {error}; name a folder that the gateway's user may read"
        )
    })
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
    text.push_str(&plugins(config));
    text
}

/// The components of the policy folder, in the order in which they are asked.
fn plugins(config: &Config) -> String {
    let Some(folder) = &config.policy_folder else {
        return "policies      none: policy.folder is not set\n".to_owned();
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return format!("policies      none: cannot read {}: {error}\n", folder.display()),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".wasm") && !name.starts_with('.'))
        .collect();
    names.sort();
    match names.as_slice() {
        [] => format!("policies      none in {}\n", folder.display()),
        names => format!(
            "policies      {} in {}: {}\n",
            names.len(),
            folder.display(),
            names.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_where_mail_for_postmaster_goes_and_which_policies_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["20-b.wasm", "10-a.wasm", "10-a.yaml", ".30-c.wasm.new"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let text = "hostname: a.example\npostmaster: ann@example.org\npolicy: { folder: . }\n\
            listeners: [ { role: lmtp, address: \"127.0.0.1:2424\", tls: none } ]\n";
        let config = Config::parse(text, folder.path()).unwrap();
        let summary = summary(Path::new("x.yaml"), &config, &[]);
        assert!(summary.starts_with("x.yaml is right.\n"));
        assert!(summary.contains("lmtp-2424: lmtp on 127.0.0.1:2424, in clear"));
        assert!(summary.contains("abuse goes to ann@example.org where"));
        assert!(summary.contains("self-signed, made at the first start"));
        assert!(summary.contains(": 10-a.wasm, 20-b.wasm\n"), "{summary}");
    }

    #[test]
    fn a_policy_folder_that_is_none_is_a_fault_and_one_that_is_not_there_yet_is_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a-file"), "").unwrap();
        let fault = |policies: &str| {
            let text = format!(
                "hostname: a.example\npostmaster: ann@example.org\npolicy: {{ folder: {policies} }}\n\
                 listeners: [ {{ role: lmtp, address: \"127.0.0.1:2424\", tls: none }} ]\n"
            );
            folder_fault(&Config::parse(&text, folder.path()).unwrap())
        };
        let said = fault("a-file").unwrap();
        assert!(said.starts_with("policy.folder: cannot read "), "{said}");
        assert_eq!(fault("."), None);
        assert_eq!(fault("not-yet"), None);
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
