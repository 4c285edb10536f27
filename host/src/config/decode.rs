//! From text to a mirror of what may be written, past every fault: what cannot be decoded is noted with its path, cut out, and
//! the rest is decoded again, so that one run reports everything.

use super::fault::{Collector, Fault, Faults, aliased};
use super::units::ByteSize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use serde_yaml::Value;

/// Octets that aliases (`*name`) may stand for in one text: each brings all of what it names.
const ALIASED: usize = 1 << 20;
/// Faults that are looked for in one text: each costs another decoding.
const FAULTS: usize = 100;

/// Decodes as much as can be. Err only where the text is no YAML at all, or has too many faults.
pub(crate) fn decode<T: DeserializeOwned + Default>(text: &str, faults: &mut Collector) -> Result<T, Faults> {
    mirror(value(text)?, faults)
}

/// Decodes as much of it as can be.
pub(crate) fn mirror<T: DeserializeOwned + Default>(
    mut value: Value,
    faults: &mut Collector,
) -> Result<T, Faults> {
    if value.is_null() {
        value = Value::Mapping(serde_yaml::Mapping::new());
    }
    for _ in 0..FAULTS {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(mirror) => return Ok(mirror),
            Err(error) => error,
        };
        let text = error.inner().to_string();
        let (path, keys) = known_part(error.path(), &text);
        faults.add(path, text);
        // Each round removes a node, so this ends.
        if !cut(&mut value, &keys) {
            return Ok(T::default());
        }
    }
    let text = format!("{FAULTS} faults were found and there may be more; mend these first");
    faults.add(String::new(), text);
    Err(faults.give_up())
}

/// The text as it is, whatever may be written in it.
pub(crate) fn value(text: &str) -> Result<Value, Faults> {
    if aliased(text, ALIASED) > ALIASED {
        return Err(Faults(vec![Fault {
            path: String::new(),
            line: None,
            text: format!(
                "its aliases (*name) stand for more than {}; write less of them",
                ByteSize(ALIASED as u64)
            ),
        }]));
    }
    serde_yaml::from_str(text).map_err(|error| no_yaml(&error))
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
fn known_part(path: &Path, fault: &str) -> (String, Vec<Key>) {
    let mut text = String::new();
    let mut keys = Vec::new();
    for segment in path {
        match segment {
            // The key that names a variant goes with what it is the variant of.
            Segment::Map { key } if fault.starts_with(&format!("unknown variant `{key}`")) => break,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn decoded(text: &str) -> Result<BTreeMap<String, Value>, Faults> {
        decode(text, &mut Collector::new(text))
    }

    #[test]
    fn aliases_stand_for_so_much_and_no_more() {
        // Each node counts 16 octets and those of its text: the list has two.
        let of_one = |octets: usize| format!("a: &a [{}]\nb: *a\n", "x".repeat(octets - 32));
        assert_eq!(aliased(&of_one(ALIASED), ALIASED), ALIASED);
        assert!(decoded(&of_one(ALIASED)).is_ok());
        let error = decoded(&of_one(ALIASED + 1)).unwrap_err().to_string();
        assert_eq!(
            error,
            "its aliases (*name) stand for more than 1MiB; write less of them"
        );
    }

    #[test]
    fn aliases_of_aliases_are_counted_as_they_expand_and_quickly() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..60 {
            let before = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![before; 8].join(", "));
        }
        let error = decoded(&text).unwrap_err().to_string();
        assert!(
            error.starts_with("its aliases (*name) stand for more than"),
            "{error}"
        );
        let many = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(5000), "*a, ".repeat(5000));
        assert!(decoded(&many).is_err(), "their number and size together");
    }

    #[test]
    fn so_many_faults_are_told_and_then_that_there_may_be_more() {
        let text = |wrong: usize| {
            let lines: Vec<_> = (0..wrong).map(|key| format!("k{key}: -1\n")).collect();
            lines.concat()
        };
        let decoded = |text: &str| {
            let mut faults = Collector::new(text);
            let read: Result<BTreeMap<String, u8>, Faults> = decode(text, &mut faults);
            read.and_then(|read| faults.unless_any(Some(read))).unwrap_err().0
        };
        assert_eq!(decoded(&text(FAULTS - 1)).len(), FAULTS - 1);
        let faults = decoded(&text(FAULTS * 100));
        assert_eq!(faults.len(), FAULTS + 1);
        let told = faults
            .iter()
            .any(|fault| fault.text.ends_with("there may be more; mend these first"));
        assert!(told, "{faults:?}");
    }
}
