//! The policy in force that has the candidate's name: `spam-words` is that of `60-spam-words.wasm`, also where the
//! candidate is `60-spam-words.candidate.wasm` beside it. What does not enforce is not in force.

use super::source::Source;
use crate::control::PluginRecord;
use crate::policy::stand::{enforced_name, is_enforced, own_name};
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};

/// Its file.
pub(super) fn file(source: &mut Source, candidate: &str) -> anyhow::Result<PathBuf> {
    let folder = source.config()?.policy_folder.clone();
    let folder =
        folder.context("the configuration names no policy.folder: nothing is in force to compare with")?;
    let wanted = plain(candidate);
    let found = match source.plugins()? {
        // The gateway knows which version of which file decides.
        Some(plugins) => deciding(plugins, &wanted)?.map(|file| folder.join(file)),
        None => enforced(&folder, &wanted)?,
    };
    found.with_context(|| {
        format!("no policy named {wanted} is in force: name the candidate like it, or leave --against out")
    })
}

/// The name of its file, as the gateway lists it.
fn deciding(plugins: Vec<PluginRecord>, wanted: &str) -> anyhow::Result<Option<PathBuf>> {
    let mut own = plugins.into_iter().filter(|plugin| {
        let is_beside = enforced_name(&plugin.name) != plugin.name;
        plain(&plugin.name) == wanted && !is_beside && plugin.serving.is_some()
    });
    // The mode of a file that is refused is not known: what serves on was enforced.
    let Some(plugin) = own.find(|plugin| ["enforce", ""].contains(&plugin.mode.as_str())) else {
        return Ok(None);
    };
    if plugin.serving.as_deref() != Some(plugin.digest.as_str()) {
        bail!(
            "an earlier version of {} decides, and its file is gone: mend the one in the folder, or leave --against out",
            plugin.name
        );
    }
    Ok(plugin.file.file_name().map(PathBuf::from))
}

/// Where no gateway runs: what one would start with.
fn enforced(folder: &Path, wanted: &str) -> anyhow::Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let is_named =
            file.extension().is_some_and(|extension| extension == "wasm") && plain(&stem) == wanted;
        if is_named && is_enforced(&file).map_err(|fault| anyhow::anyhow!("{fault}"))? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Without its number and what a candidate has behind it, and as the folder spells what cargo writes with `_`.
pub(super) fn plain(name: &str) -> String {
    own_name(enforced_name(name)).replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, mode: &str, serving: Option<&str>) -> PluginRecord {
        PluginRecord {
            name: name.to_owned(),
            state: "loaded".to_owned(),
            status: "loaded".to_owned(),
            compiling: false,
            fault: None,
            answers: Vec::new(),
            file: format!("plugins.d/{name}.wasm").into(),
            digest: "01".to_owned(),
            serving: serving.map(str::to_owned),
            deadline_ms: 0,
            memory: 0,
            kv: None,
            mode: mode.to_owned(),
            trouble: None,
        }
    }

    #[test]
    fn of_what_a_gateway_lists_only_what_it_enforces_is_in_force() {
        let beside = || {
            vec![
                listed("50-x", "shadow", Some("01")),
                listed("60-x.candidate", "shadow", Some("01")),
                listed("70-x", "canary 5 %", Some("01")),
            ]
        };
        assert_eq!(deciding(beside(), "x").unwrap(), None);
        let with = |mode, serving| {
            let mut all = beside();
            all.push(listed("60-x", mode, serving));
            deciding(all, "x")
        };
        assert_eq!(with("enforce", Some("01")).unwrap(), Some("60-x.wasm".into()));
        assert_eq!(with("enforce", None).unwrap(), None, "disabled");
        let earlier = with("", Some("02")).unwrap_err().to_string();
        assert!(
            earlier.starts_with("an earlier version of 60-x decides"),
            "{earlier}"
        );
    }

    #[test]
    fn of_a_folder_only_what_its_own_files_let_enforce_is_in_force() {
        let site = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(site.path().join(name), text).unwrap();
        let found = || enforced(site.path(), &plain("60-spam_words.candidate")).unwrap();
        write("60-spam-words.candidate.wasm", "");
        write("50-spam-words.wasm", "");
        write("50-spam-words.yaml", "mode: shadow\n");
        write("55-spam-words.wasm", "");
        write("55-spam-words.yaml", "enabled: false\n");
        assert_eq!(found(), None);
        write("60-spam-words.wasm", "");
        assert_eq!(found(), Some(site.path().join("60-spam-words.wasm")));
        write("60-spam-words.yaml", "mode: { canary: 5 }\n");
        assert_eq!(found(), None);
        write("60-spam-words.yaml", "mod: enforce\n");
        assert!(enforced(site.path(), "spam-words").is_err());
    }
}
