//! Texts as lines of words, for policies that look for some.

use crate::fits;
use std::collections::BTreeSet;

/// Words of texts, ` one two ` in a line for each text: so a phrase is found with its spaces, and not from one text
/// into the next.
#[must_use]
pub fn lines(texts: impl IntoIterator<Item = String>) -> String {
    let mut lines = String::new();
    for text in texts {
        lines.extend([" ", &plain(&text.replace(['*', '?'], " ")), " \n"]);
    }
    lines
}

/// Lines, and the words in them, each once.
#[derive(Debug)]
pub struct Text<'a>(&'a str, BTreeSet<&'a str>);

impl<'a> Text<'a> {
    #[must_use]
    pub fn of(lines: &'a str) -> Self {
        Self(lines, lines.split_whitespace().collect())
    }

    /// Is a word, a phrase, or a pattern of one word, as [`plain`] has it, in these lines?
    #[must_use]
    pub fn has(&self, pattern: &str) -> bool {
        let Self(lines, words) = self;
        match pattern.contains(['*', '?']) {
            true => words.iter().any(|word| fits(pattern, word)),
            false if !pattern.contains(' ') => words.contains(pattern),
            false => {
                pattern.split(' ').all(|word| words.contains(word)) && lines.contains(&format!(" {pattern} "))
            }
        }
    }
}

/// Texts up to so many octets of them all.
pub fn first(texts: impl Iterator<Item = String>, octets: u32) -> impl Iterator<Item = String> {
    let mut left = octets as usize;
    texts.map_while(move |mut text| {
        text.truncate(text.floor_char_boundary(left));
        left -= text.len();
        (!text.is_empty() || left > 0).then_some(text)
    })
}

/// Words in lower case with one space between them; what stands for letters in a pattern is a part of its word.
#[must_use]
pub fn plain(text: &str) -> String {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '*' | '?'));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Text, first, lines};

    #[test]
    fn texts_are_read_up_to_the_bound_of_them_all() {
        let read = |octets| {
            let texts = ["abc", "", "d\u{fc}", "e"].map(str::to_owned);
            first(texts.into_iter(), octets).collect::<Vec<_>>().join("|")
        };
        assert_eq!(read(8), "abc||d\u{fc}|e");
        assert_eq!(read(7), "abc||d\u{fc}|e");
        assert_eq!(read(6), "abc||d\u{fc}");
        assert_eq!(read(5), "abc||d|e", "no half of a character");
        assert_eq!(read(3), "abc");
        assert_eq!(read(2), "ab");
    }

    /// An attacker took the policy out of service by a few words, many times over.
    #[test]
    fn a_word_is_looked_at_once_however_often_it_is_there() {
        let lines = lines(["a B a ".repeat(1000), "b c d a".to_owned()]);
        let Text(_, words) = Text::of(&lines);
        assert_eq!(Vec::from_iter(words), ["a", "b", "c", "d"]);
    }
}
