//! Whether a JavaScript policy exports what its world promises: the encoder does not look, and each call would trap.

use std::collections::HashSet;

/// What is missing in the text of a module, of interfaces with their functions in the spelling of WIT. None: nothing is, or
/// the text does not tell.
pub(super) fn missing(text: &str, promised: &[(&str, Vec<&str>)]) -> Option<String> {
    // What another file of the project has is not looked for there.
    if ["\"./", "'./", "\"../", "'../"]
        .iter()
        .any(|file| text.contains(file))
    {
        return None;
    }
    let words = words(text);
    let exported = exported(&words)?;
    let lack = promised.iter().find(|(interface, functions)| {
        let is_written = |function: &&str| words.contains(&&*camel(function));
        !exported.contains(&*camel(interface)) || !functions.iter().all(is_written)
    });
    let (interface, functions) = lack?;
    let functions: Vec<String> = functions.iter().map(|function| camel(function)).collect();
    Some(format!("{} with {}", camel(interface), functions.join(" and ")))
}

/// Names, keywords and marks in their order.
fn words(text: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let parts = text.split_inclusive(|c: char| !is_name(c)).flat_map(|part| {
        let name = part.trim_end_matches(|c: char| !is_name(c));
        [name, part.get(name.len()..).unwrap_or_default()]
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

/// Names that the module exports. None where `export *` and `export default` leave it open.
fn exported<'a>(words: &[&'a str]) -> Option<HashSet<&'a str>> {
    let mut names = HashSet::new();
    for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "export") {
        let mut behind = words.iter().skip(at + 1).copied();
        let declares = ["const", "let", "var", "class", "function", "async"];
        match behind.find(|word| !declares.contains(word))? {
            "*" | "default" => return None,
            // `export { own as name, other }` exports what stands last before each comma.
            "{" => {
                let listed: Vec<&str> = behind.take_while(|word| *word != "}").collect();
                names.extend(listed.split(|word| *word == ",").filter_map(|one| one.last()));
            }
            name => {
                names.insert(name);
            }
        }
    }
    Some(names)
}

/// `message-filter` as JavaScript has it.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (letter, rest) = word.split_at_checked(1).unwrap_or_default();
        name + &letter.to_ascii_uppercase() + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(text: &str) -> Option<String> {
        missing(
            text,
            &[
                ("lifecycle", vec!["validate"]),
                ("sender-filter", vec!["on-mail"]),
            ],
        )
    }

    #[test]
    fn a_promise_that_is_misspelt_is_named() {
        let policy = |filter: &str, function: &str| {
            format!(
                "// A senderFilter answers onMail.\nexport const lifecycle = {{ validate() {{}} }};\n\
                 export const {filter} = {{\n  {function}() {{ return {{ tag: \"accept\" }}; }},\n}};\n"
            )
        };
        assert_eq!(lacks(&policy("senderFilter", "onMail")), None);
        let missing = Some("senderFilter with onMail".to_owned());
        assert_eq!(lacks(&policy("senderFiltr", "onMail")), missing);
        let function = policy("senderFilter", "onMial").replace("answers onMail", "answers");
        assert_eq!(lacks(&function), missing);
        assert_eq!(lacks("").as_deref(), Some("lifecycle with validate"));
    }

    #[test]
    fn all_ways_to_export_are_known_or_leave_it_open() {
        let filter = "const own = { onMail() {} }; const lifecycle = { validate() {} };\n";
        for export in [
            "export { own as senderFilter, lifecycle };",
            "export {lifecycle,\n own as senderFilter\n}",
            "export * from \"./other.js\";",
            "export default own;",
            "import { Filter } from './filter.js'; export const senderFilter = new Filter();",
            "export class senderFilter {}; export let lifecycle;",
            "export async function senderFilter() {}; export function lifecycle() {}",
        ] {
            assert_eq!(lacks(&format!("{filter}{export}")), None, "{export}");
        }
        let other = lacks(&format!("{filter}export {{ own as sender, lifecycle }};"));
        assert_eq!(other.as_deref(), Some("senderFilter with onMail"));
    }
}
