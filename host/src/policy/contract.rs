//! The version of the contract that is served, and what is in it.
//!
//! Within a track, `0.1`, functions and interfaces are added and nothing else changes: a component of any version of it
//! fits that has no gap. Another track never fits; it would be served beside this one, as another module like this.

use std::collections::{BTreeSet, HashMap};

pub(super) const PACKAGE: &str = "postern:policy";
/// The newest version that is known.
pub(super) const VERSION: &str = "0.1.0";
/// Package and version, for people.
pub(super) const SERVED: &str = "postern:policy 0.1.0";
/// What the version of each component of this track begins with.
const TRACK: &str = "0.1.";

const CAPABILITIES: &str = include_str!("../../../wit/capabilities.wit");
const QUESTIONS: &str = include_str!("../../../wit/questions.wit");

/// The functions of each interface.
type Interfaces = HashMap<&'static str, BTreeSet<&'static str>>;

/// An interface or a question of the contract by its full name.
pub(super) fn full_name(interface: &str) -> String {
    format!("{PACKAGE}/{interface}@{VERSION}")
}

/// `postern:policy/session@0.1.0` as package, interface and version; what is not there is empty.
pub(super) fn split(name: &str) -> (&str, &str, &str) {
    let (path, version) = name.split_once('@').unwrap_or((name, ""));
    let (package, interface) = path.split_once('/').unwrap_or(("", path));
    (package, interface, version)
}

/// Whether a version is one of the track that is served.
pub(super) fn is_of_track(version: &str) -> bool {
    version.starts_with(TRACK)
}

/// What can be imported; `types` has no functions.
pub(super) fn capabilities() -> Interfaces {
    let mut interfaces = read(CAPABILITIES);
    interfaces.insert("types", BTreeSet::new());
    interfaces
}

/// What can be exported, and is asked.
pub(super) fn questions() -> Interfaces {
    read(QUESTIONS)
}

fn read(wit: &'static str) -> Interfaces {
    let (mut interfaces, mut interface) = (Interfaces::new(), "");
    for line in wit.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("interface ") {
            interface = name.trim_end_matches('{').trim_end();
            interfaces.insert(interface, BTreeSet::new());
        } else if let Some((function, _)) = line.split_once(": func(")
            && !line.starts_with("//")
        {
            interfaces.entry(interface).or_default().insert(function);
        }
    }
    interfaces
}

#[cfg(test)]
mod tests;
