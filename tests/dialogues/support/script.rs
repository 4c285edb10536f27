//! Reading a script.

use std::fmt::Write as _;

/// One dialogue.
#[derive(Debug, Default)]
pub(crate) struct Script {
    settings: Vec<(String, String)>,
    pub(crate) turns: Vec<Turn>,
}

/// What is sent together, and all that is expected before more is sent.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Where it begins in the script.
    pub(crate) line: usize,
    pub(crate) input: Vec<u8>,
    /// Lines in the spelling of the log, with their places in the script.
    pub(crate) expected: Vec<(usize, String)>,
}

/// Marks whose text is octets.
const OCTETS: [&str; 4] = ["S", "S+", "B", "B+"];

impl Script {
    pub(crate) fn parse(text: &str) -> Self {
        let mut script = Self::default();
        for (index, line) in text.lines().enumerate() {
            script.line(index + 1, line);
        }
        script
    }

    /// The value of a setting.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        let mut settings = self.settings.iter();
        settings
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        match self.setting(key) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => panic!("{key}: {other}"),
        }
    }

    pub(crate) fn number(&self, key: &str, default: usize) -> usize {
        self.setting(key)
            .map_or(default, |value| value.parse().expect("a number"))
    }

    /// Names of all settings, so that a misspelt one is found.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().map(|(key, _)| key.as_str())
    }

    /// All answers, in order.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &str> {
        let lines = self.turns.iter().flat_map(|turn| &turn.expected);
        lines.filter_map(|(_, line)| line.strip_prefix("A: "))
    }

    fn line(&mut self, number: usize, line: &str) {
        if line.trim().is_empty() || line.starts_with('#') {
            return;
        }
        let (mark, text) = match line.split_once(':') {
            Some((mark, text)) => (mark, text.strip_prefix(' ').unwrap_or(text)),
            None => (line, ""),
        };
        match mark {
            "C" => self.input(number, &[unescape(text), b"\r\n".to_vec()].concat()),
            "C+" => self.input(number, &unescape(text)),
            _ if OCTETS.contains(&mark) => {
                let canonical = escape(&unescape(text));
                self.expect(number, format!("{mark}: {canonical}"));
            }
            "Q" | "A" => self.expect(number, format!("{mark}: {text}")),
            _ if mark.bytes().all(|octet| octet.is_ascii_uppercase()) => self.expect(number, mark.to_owned()),
            _ if self.turns.is_empty() => self.settings.push((mark.to_owned(), text.trim().to_owned())),
            _ => panic!("line {number}: what is {line:?}?"),
        }
    }

    fn input(&mut self, number: usize, octets: &[u8]) {
        match self.turns.last_mut() {
            Some(turn) if turn.expected.is_empty() => turn.input.extend_from_slice(octets),
            _ => self.turns.push(Turn {
                line: number,
                input: octets.to_vec(),
                expected: Vec::new(),
            }),
        }
    }

    fn expect(&mut self, number: usize, line: String) {
        if self.turns.is_empty() {
            self.input(number, b"");
        }
        if let Some(turn) = self.turns.last_mut() {
            turn.expected.push((number, line));
        }
    }
}

/// Octets as a script writes them.
pub(crate) fn escape(octets: &[u8]) -> String {
    let mut text = String::new();
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\0' => text.push_str("\\0"),
                '\\' => text.push_str("\\\\"),
                _ if character.is_ascii_control() => {
                    let _ = write!(text, "\\x{:02x}", u32::from(character));
                }
                _ => text.push(character),
            }
        }
        for octet in chunk.invalid() {
            let _ = write!(text, "\\x{octet:02x}");
        }
    }
    text
}

/// The octets that a script's text stands for.
fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        octets.extend_from_slice(plain.as_bytes());
        let mut characters = escaped.chars();
        let kind = characters.next();
        rest = characters.as_str();
        match kind {
            Some('r') => octets.push(b'\r'),
            Some('n') => octets.push(b'\n'),
            Some('0') => octets.push(0),
            Some('\\') => octets.push(b'\\'),
            Some('x') => {
                let (digits, behind) = rest.split_at(2);
                octets.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                rest = behind;
            }
            Some('{') => {
                let (inner, behind) = rest.split_once('}').expect("a closing brace");
                let (count, text) = inner.split_once(' ').expect("a count and a text");
                octets.extend(unescape(text).repeat(count.parse().expect("a count")));
                rest = behind;
            }
            other => panic!("unknown escape {other:?} in {text:?}"),
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    octets
}
