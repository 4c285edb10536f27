//! From text to a mirror of what may be written, past every fault: what cannot be decoded is noted with its path, cut out, and
//! the rest is decoded again, so that one run reports everything.

use super::fault::{Collector, Fault, Faults};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use serde_yaml::Value;

/// Decodes as much as can be. Err only where the text is no YAML at all.
pub(crate) fn decode<T: DeserializeOwned + Default>(text: &str, faults: &mut Collector) -> Result<T, Faults> {
    Ok(mirror(parsed(text)?, faults))
}

/// The text as YAML, whatever it means.
pub(crate) fn parsed(text: &str) -> Result<Value, Faults> {
    serde_yaml::from_str(text).map_err(|error| no_yaml(&error))
}

/// Decodes as much of it as can be.
pub(crate) fn mirror<T: DeserializeOwned + Default>(mut value: Value, faults: &mut Collector) -> T {
    if value.is_null() {
        value = Value::Mapping(serde_yaml::Mapping::new());
    }
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(mirror) => return mirror,
            Err(error) => error,
        };
        let (path, keys) = known_part(error.path());
        faults.add(path, error.inner().to_string());
        // Each round removes a node, so this ends.
        if !cut(&mut value, &keys) {
            return T::default();
        }
    }
}

fn no_yaml(error: &serde_yaml::Error) -> Faults {
    Faults(vec![Fault {
        path: String::new(),
        line: error.location().map(|location| location.line()),
        text: format!("this is not YAML: {error}; mend the syntax there"),
    }])
}

enum Key {
    Name(String),
    Index(usize),
}

/// The path as text and as keys, up to the first part that is neither a name nor an index.
fn known_part(path: &Path) -> (String, Vec<Key>) {
    let mut text = String::new();
    let mut keys = Vec::new();
    for segment in path {
        match segment {
            Segment::Map { key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
                keys.push(Key::Name(key.clone()));
            }
            Segment::Seq { index } => {
                text.push_str(&format!("[{index}]"));
                keys.push(Key::Index(*index));
            }
            Segment::Enum { .. } | Segment::Unknown => break,
        }
    }
    (text, keys)
}

/// Removes the node at `keys`; an item of a list becomes null, so that the others keep their index.
fn cut(value: &mut Value, keys: &[Key]) -> bool {
    let Some((last, parents)) = keys.split_last() else {
        return false;
    };
    let mut node = value;
    for key in parents {
        let child = match key {
            Key::Name(name) => node.get_mut(name.as_str()),
            Key::Index(index) => node.get_mut(*index),
        };
        let Some(child) = child else { return false };
        node = child;
    }
    match (last, node) {
        (Key::Name(name), Value::Mapping(map)) => map.remove(name.as_str()).is_some(),
        (Key::Index(index), Value::Sequence(list)) => list
            .get_mut(*index)
            .is_some_and(|item| !std::mem::replace(item, Value::Null).is_null()),
        _ => false,
    }
}
