//! Text as words: lower case, and what is between them is one space.

use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(crate) struct Text {
    /// ` one two `: a phrase is found with its spaces.
    line: String,
    words: BTreeSet<String>,
}

impl Text {
    pub(crate) fn of(text: &str) -> Self {
        let mut read = Self::default();
        read.add(text);
        read
    }

    pub(crate) fn add(&mut self, text: &str) {
        let text = text.to_lowercase();
        for word in text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            self.line.push(' ');
            self.line.push_str(word);
            self.words.insert(word.to_owned());
        }
        // No phrase reaches from one part into the next.
        self.line.push_str(" \n");
    }

    /// A word, a phrase, or a pattern of one word, as [`plain`] has it.
    pub(crate) fn has(&self, pattern: &str) -> bool {
        match pattern.contains(['*', '?']) {
            true => self.words.iter().any(|word| settings::matches(pattern, word)),
            false => self.line.contains(&format!(" {pattern} ")),
        }
    }
}

/// A pattern as words are written in a [`Text`].
pub(crate) fn plain(pattern: &str) -> String {
    let lower = pattern.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric() && !matches!(c, '*' | '?'));
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What is shown of HTML. Marks of letters join what they part (`vi<b>ag</b>ra`), all others part words.
pub(crate) fn without_markup(html: &str) -> String {
    let mut shown = String::new();
    let mut rest = html;
    while let Some((before, behind)) = rest.split_once('<') {
        shown.push_str(before);
        if !behind.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!')) {
            shown.push('<');
            rest = behind;
            continue;
        }
        let (mark, after) = behind.split_once('>').unwrap_or((behind, ""));
        let name = mark
            .trim_start_matches('/')
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next();
        let name = name.unwrap_or_default().to_ascii_lowercase();
        let joins = [
            "a", "b", "big", "em", "font", "i", "small", "span", "strong", "u", "wbr",
        ]
        .contains(&name.as_str());
        if !joins && !mark.starts_with("!--") {
            shown.push(' ');
        }
        rest = match name.as_str() {
            "style" | "script" if !mark.starts_with('/') => {
                after.split_once("</").map_or("", |(_, behind)| behind)
            }
            _ => after,
        };
    }
    shown.push_str(rest);
    shown.replace("&nbsp;", " ").replace("&amp;", "&")
}
