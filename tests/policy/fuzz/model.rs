//! What must decide, by what lies in the folder and what decided before: the promise of a watched folder, said
//! anew and shortly.

use std::collections::{BTreeMap, HashSet};

/// What a component's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wasm {
    Absent,
    /// With the reason that it gives at connect.
    Good(String),
    Bad,
}

/// What the file beside it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yaml {
    /// Or not there.
    Good,
    Disables,
    Bad,
}

#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) wasm: Wasm,
    pub(crate) yaml: Yaml,
    /// Everybody may write to the component.
    pub(crate) is_open: bool,
    /// The component's file is a link, which nobody writes through.
    pub(crate) is_link: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            wasm: Wasm::Absent,
            yaml: Yaml::Good,
            is_open: false,
            is_link: false,
        }
    }
}

/// The folder, and what decides.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) files: BTreeMap<String, Files>,
    deciding: BTreeMap<String, String>,
}

impl Model {
    pub(crate) fn files(&mut self, name: &str) -> &mut Files {
        self.files.entry(name.to_owned()).or_default()
    }

    /// The gateway has looked.
    pub(crate) fn look(&mut self) {
        let before = std::mem::take(&mut self.deciding);
        let mut names = HashSet::new();
        for (file, files) in &self.files {
            let name = file.split_once('-').map_or(file.as_str(), |(_, name)| name);
            let is_taken = names.contains(name);
            let earlier = before.get(file).filter(|_| !is_taken).cloned();
            let deciding = match (&files.wasm, files.yaml) {
                (Wasm::Absent, _) | (_, Yaml::Disables) => None,
                (Wasm::Good(reason), Yaml::Good) if !is_taken && !files.is_open => Some(reason.clone()),
                _ => earlier,
            };
            if let Some(reason) = deciding {
                names.insert(name);
                self.deciding.insert(file.clone(), reason);
            }
        }
    }

    /// The gateway has looked and found no folder.
    pub(crate) fn forget(&mut self) {
        self.deciding.clear();
    }

    /// What is said at connect: the reasons in the order of the files' names.
    pub(crate) fn said(&self) -> Vec<&str> {
        self.deciding.values().map(String::as_str).collect()
    }
}
