//! The policy in force that has the candidate's name: `spam-words` is that of `60-spam-words.wasm`.

use super::source::Source;
use crate::policy::stand::own_name;
use anyhow::{Context as _, bail};
use std::path::PathBuf;

/// Its file.
pub(super) fn file(source: &mut Source, candidate: &str) -> anyhow::Result<PathBuf> {
    let folder = source.config()?.policy_folder.clone();
    let folder =
        folder.context("the configuration names no policy.folder: nothing is in force to compare with")?;
    let wanted = plain(candidate);
    if let Some(plugins) = source.plugins()? {
        // The gateway knows which version of which file decides.
        let found = plugins
            .into_iter()
            .find(|plugin| plain(&plugin.name) == wanted && plugin.serving.is_some());
        let Some(plugin) = found else { bail!(none(&wanted)) };
        if plugin.serving.as_deref() != Some(plugin.digest.as_str()) {
            bail!(
                "an earlier version of {} decides, and its file is gone: mend the one in the folder, or leave --against out",
                plugin.name
            );
        }
        return Ok(folder.join(plugin.file.file_name().unwrap_or_default()));
    }
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let named = |file: &PathBuf| {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        file.extension().is_some_and(|extension| extension == "wasm") && plain(&stem) == wanted
    };
    files.into_iter().find(named).with_context(|| none(&wanted))
}

fn none(wanted: &str) -> String {
    format!("no policy named {wanted} is in force: name the candidate like it, or leave --against out")
}

/// Without its number, and as the folder spells what cargo writes with `_`.
pub(super) fn plain(name: &str) -> String {
    own_name(name).replace('_', "-")
}
