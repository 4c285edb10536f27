//! Whether a JavaScript policy exports what its world promises: the encoder does not look, and each call would trap.

use std::collections::HashSet;

/// What is missing in the text of a module, of interfaces with their functions in the spelling of WIT. None: nothing is, or
/// the text does not tell.
pub(super) fn missing(text: &str, promised: &[(&str, Vec<&str>)]) -> Option<String> {
    let code = without_comments(text)?;
    // What another file of the project has is not looked for there.
    if ["\"./", "'./", "\"../", "'../"]
        .iter()
        .any(|file| code.contains(file))
    {
        return None;
    }
    let words = words(&code);
    let exported = exported(&words)?;
    let lack = promised.iter().find(|(interface, functions)| {
        let is_written = |function: &&str| words.contains(&&*camel(function));
        !exported.contains(&*camel(interface)) || !functions.iter().all(is_written)
    });
    let (interface, functions) = lack?;
    let functions: Vec<String> = functions.iter().map(|function| camel(function)).collect();
    Some(format!("{} with {}", camel(interface), functions.join(" and ")))
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// With a space in the place of each comment. None where something that was begun has no end: it is not understood.
fn without_comments(text: &str) -> Option<String> {
    let (mut code, mut rest) = (String::with_capacity(text.len()), text);
    // Of each template that is open, how many braces are in what it takes in.
    let mut open: Vec<usize> = Vec::new();
    while let Some(first) = rest.chars().next() {
        let comment = match rest.get(..2) {
            Some("//") => Some(rest.find('\n').unwrap_or(rest.len())),
            Some("/*") => Some(rest.get(2..)?.find("*/")? + 4),
            _ => None,
        };
        let length = match (comment, first) {
            (Some(length), _) => length,
            (None, '"' | '\'') => quoted(rest, first)?,
            (None, '/') if expects_value(&code) => quoted(rest, first)?,
            (None, '`') => template(rest, &mut open)?,
            (None, '}') if open.last() == Some(&0) => {
                open.pop();
                template(rest, &mut open)?
            }
            (None, _) => first.len_utf8(),
        };
        match (first, open.last_mut()) {
            ('{', Some(braces)) if length == 1 => *braces += 1,
            ('}', Some(braces)) if length == 1 => *braces = braces.saturating_sub(1),
            _ => {}
        }
        let (token, behind) = rest.split_at_checked(length)?;
        code.push_str(if comment.is_some() { " " } else { token });
        rest = behind;
    }
    open.is_empty().then_some(code)
}

/// Octets of a template's text up to its end, or to `${`, behind which it is open.
fn template(text: &str, open: &mut Vec<usize>) -> Option<usize> {
    let mut before = ' ';
    for (at, c) in text.char_indices().skip(1) {
        before = match (before, c) {
            ('\\', _) => ' ',
            ('$', '{') => {
                open.push(0);
                return Some(at + 1);
            }
            (_, '`') => return Some(at + 1),
            (_, c) => c,
        };
    }
    None
}

/// Octets of the string or regular expression that a text begins with.
fn quoted(text: &str, mark: char) -> Option<usize> {
    let (mut is_escaped, mut is_class) = (false, false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\n' => return None,
            '[' if mark == '/' => is_class = true,
            ']' => is_class = false,
            _ if c == mark && !is_class => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// Whether a slash behind this code begins a regular expression; otherwise it divides.
fn expects_value(code: &str) -> bool {
    let code = code.trim_end();
    let word = code.rsplit(|c| !is_name(c)).next().unwrap_or_default();
    match code.chars().next_back() {
        Some(')' | ']' | '"' | '\'' | '`') => false,
        Some(c) if is_name(c) => ["return", "typeof", "case", "throw", "in", "of", "else"].contains(&word),
        Some(_) | None => true,
    }
}

/// Names, keywords and marks in their order.
fn words(text: &str) -> Vec<&str> {
    let parts = text.split_inclusive(|c: char| !is_name(c)).flat_map(|part| {
        let name = part.trim_end_matches(|c: char| !is_name(c));
        [name, part.get(name.len()..).unwrap_or_default()]
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

/// Names that the module exports, and some that it may not. None where the words leave it open.
fn exported<'a>(words: &[&'a str]) -> Option<HashSet<&'a str>> {
    let mut names = HashSet::new();
    for statement in words.split(|word| *word == "export").skip(1) {
        match statement {
            // `export { own as name, other }` exports what stands last before each comma; a name in quotes is of any spelling.
            ["{", rest @ ..] => {
                let listed = rest.split(|word| *word == "}").next()?;
                if listed.iter().any(|word| ["\"", "'"].contains(word)) {
                    return None;
                }
                names.extend(listed.split(|word| *word == ",").filter_map(|one| one.last()));
            }
            ["const" | "let" | "var", "{" | "[", rest @ ..] => names.extend(rest),
            // `export const one = 1, name = 2`
            ["const" | "let" | "var", first, rest @ ..] => {
                names.insert(*first);
                names.extend(rest.windows(2).filter_map(|pair| match pair {
                    [",", name] => Some(*name),
                    _ => None,
                }));
            }
            ["function", "*", ..] | ["async", "function", "*", ..] => return None,
            ["class" | "function", name, ..] | ["async", "function", name, ..] => {
                names.insert(*name);
            }
            _ => return None,
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
        assert_eq!(lacks(&policy("senderFilter", "onMial")), missing);
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
            "export const limits = [1, 2], senderFilter = own, lifecycle = {};",
            "export let lifecycle, senderFilter; senderFilter = own;",
            "export const { lifecycle, filter: senderFilter = own } = make();",
            "export const [senderFilter, lifecycle] = both();",
            "export { own as \"postern:policy/sender-filter@0.1.0\", lifecycle };",
            "export { own as 'senderFilter', lifecycle };",
            "export { senderFilter, lifecycle } from \"./other.js\";",
            "export * as senderFilter from \"other\";",
            "export function* senderFilter() {}",
        ] {
            assert_eq!(lacks(&format!("{filter}{export}")), None, "{export}");
        }
        for export in [
            "export { own as sender, lifecycle };",
            "export const sender = own, lifecycle = {};",
            "export const lifecycle = {}; // export { own as senderFilter };",
            "export { lifecycle, /* senderFilter, */ own };",
            "export { lifecycle }; // as in \"./other.js\"",
        ] {
            let lacks = lacks(&format!("{filter}{export}"));
            assert_eq!(lacks.as_deref(), Some("senderFilter with onMail"), "{export}");
        }
    }

    #[test]
    fn only_a_comment_is_left_out() {
        let export =
            "export const senderFilter = { onMail() {} }; export const lifecycle = { validate() {} };";
        for before in [
            "const url = \"http://a.example\";",
            "const odd = 'it\\'s // not';",
            "const pattern = /[/\"'`]\\/\\//;",
            "const half = (1 + 1) / 2; const third = half / 3;",
            "const text = `${[1, 2].map((n) => { return `//${n}`; })} /*`;",
            "const text = `\\`//`;",
            "const matches = (text) => { return /`/.test(text); };",
            "/* export const senderFiltr */",
        ] {
            assert_eq!(lacks(&format!("{before} {export}")), None, "{before}");
            let without = export.replace("onMail", "onMial");
            assert!(
                lacks(&format!("{before} {without}\n// onMail")).is_some(),
                "{before}"
            );
        }
        // What has no end is not judged.
        for odd in ["const text = `", "const text = `${", "/* ", "const text = 'a\n"] {
            assert_eq!(
                lacks(&format!("export const lifecycl = {{}};\n{odd}")),
                None,
                "{odd}"
            );
        }
    }
}
