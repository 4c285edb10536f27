//! Deliveries through copies of tag-subject, from none to ten, each of which does its work; and through the policies
//! of a folder.

use super::deliveries::Warm;
use super::{Bench, MAILBOXES, Trial, mailboxes, say};
use crate::gateway::{PASSWORD, Policy};
use crate::pace::Pace;
use crate::pop3::Session;
use anyhow::{Context as _, bail, ensure};
use memchr::memmem;
use serde_json::json;
use std::path::Path;

const COUNTS: [usize; 6] = [0, 1, 2, 3, 5, 10];
/// Through a folder's policies, which may be slow: so few that a call's deadline is not spent on waiting for a core.
const FEW: usize = 2;

pub(super) async fn policies(bench: &mut Bench) -> anyhow::Result<()> {
    let Some(policy) = bench.policy.clone() else {
        say("no policy was named (--policy WASM YAML): none is measured");
        return Ok(());
    };
    let settings = tempfile::tempdir()?;
    for round in 1..=bench.rounds {
        for count in COUNTS {
            let trial = Trial::new("policies", "gateway", json!({ "policies": count }), round);
            if bench.lacks(&[trial.id()]) {
                let copies = copies(&policy.component, count, settings.path())?;
                let warm = Warm::start(bench, &copies).await?;
                let tags = tags(&first_message(&warm).await?);
                ensure!(
                    tags == count,
                    "a message through {count} copies of tag-subject has {tags} tags"
                );
                let clients = (warm.senders(MAILBOXES), Pace::Closed);
                bench.load(&trial, &warm.gateway, clients).await?;
            }
        }
    }
    Ok(())
}

/// What the folder's policies take together, beside none.
pub(super) async fn mixed(bench: &mut Bench) -> anyhow::Result<()> {
    let Some(folder) = bench.mixed.clone() else {
        bail!("name the folder whose policies are measured with --mixed FOLDER");
    };
    let policies = of_folder(&folder)?;
    for round in 1..=bench.rounds {
        for some in [&[][..], &policies] {
            let trial = Trial::new("mixed", "gateway", json!({ "policies": some.len() }), round);
            if bench.lacks(&[trial.id()]) {
                let gateway = bench.gateway(&mailboxes(), some)?;
                let warm = Warm::of(bench, gateway, FEW).await?;
                let clients = (warm.senders(FEW), Pace::Closed);
                bench.load(&trial, &warm.gateway, clients).await?;
            }
        }
    }
    Ok(())
}

/// Every component with the YAML beside it, by name.
fn of_folder(folder: &Path) -> anyhow::Result<Vec<Policy>> {
    let files = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut components = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|ending| ending == "wasm") {
            components.push(path);
        }
    }
    ensure!(!components.is_empty(), "{} holds no .wasm", folder.display());
    components.sort();
    let policy = |component: std::path::PathBuf| {
        let settings = component.with_extension("yaml");
        ensure!(settings.is_file(), "{} is not there", settings.display());
        Ok(Policy { component, settings })
    };
    components.into_iter().map(policy).collect()
}

/// A subject has a tag once, so each copy has one of its own.
pub(super) fn copies(component: &Path, count: usize, folder: &Path) -> anyhow::Result<Vec<Policy>> {
    let one = |nth| {
        let settings = folder.join(format!("{nth}.yaml"));
        let tag = tag(nth);
        std::fs::write(
            &settings,
            format!("settings: {{ rules: [ {{ tag: \"{tag}\" }} ] }}\n"),
        )?;
        Ok(Policy {
            component: component.to_owned(),
            settings,
        })
    };
    (0..count).map(one).collect()
}

fn tag(nth: usize) -> String {
    format!("[copy-{nth}]")
}

/// One that the warming sent.
async fn first_message(warm: &Warm) -> anyhow::Result<Vec<u8>> {
    let user = mailboxes().swap_remove(0);
    let mut session = Session::login(&warm.gateway.pop3.into(), &user, PASSWORD).await?;
    let mut message = Vec::new();
    session
        .retrieve_at_once(1..=1, |octets| message = octets.to_vec())
        .await
        .with_context(|| format!("{user} has no mail"))?;
    session.ask("QUIT").await?;
    Ok(message)
}

/// Those that are in a message's header section.
fn tags(message: &[u8]) -> usize {
    let end = memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
    let head = message.get(..end).unwrap_or_default();
    let is_there = |nth: &usize| memmem::find(head, tag(*nth).as_bytes()).is_some();
    (0..COUNTS.into_iter().max().unwrap_or_default())
        .filter(is_there)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_tags_that_differ() {
        let folder = tempfile::tempdir().unwrap();
        let copies = copies(Path::new("tag.wasm"), 10, folder.path()).unwrap();
        let settings = copies
            .iter()
            .map(|copy| std::fs::read_to_string(&copy.settings).unwrap());
        let different: std::collections::HashSet<_> = settings.collect();
        assert_eq!(different.len(), 10);
        assert!(different.contains("settings: { rules: [ { tag: \"[copy-9]\" } ] }\n"));
    }

    #[test]
    fn a_folder_s_policies_come_by_name_each_with_its_yaml() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        let told = |fault: anyhow::Result<Vec<Policy>>| fault.unwrap_err().to_string();
        assert!(told(of_folder(folder.path())).ends_with("holds no .wasm"));
        for name in ["20-b.wasm", "10-a.wasm", "10-a.yaml", "README.md"] {
            put(name);
        }
        assert!(told(of_folder(folder.path())).ends_with("20-b.yaml is not there"));
        put("20-b.yaml");
        let policies = of_folder(folder.path()).unwrap();
        let names = policies
            .iter()
            .map(|policy| policy.component.file_name().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["10-a.wasm", "20-b.wasm"]);
    }

    #[test]
    fn tags_are_counted_above_the_text() {
        let message = b"From: a\r\nSubject: [copy-1]\r\n [copy-0] message 1\r\n\r\n[copy-2]\r\n";
        assert_eq!(tags(message), 2);
        assert_eq!(tags(b"Subject: [copy-10] one\r\n\r\n"), 0);
    }
}
