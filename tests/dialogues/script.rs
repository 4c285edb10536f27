//! Dialogues as files: one entry a line, a letter for who speaks, `: `, and what is said.
//!
//! `#` begins a comment, `=` a setting of the session. In what is said, `\0 \r \n \\ \xHH` are octets,
//! `{base64:…}` is encoded and `{repeat:N:…}` repeated. Every mode of a runner gives the machine the same
//! octets in other pieces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

/// One file.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    /// The words of each setting.
    pub(crate) settings: Vec<Vec<String>>,
    pub(crate) entries: Vec<Entry>,
}

/// One line of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) speaker: char,
    pub(crate) said: Vec<u8>,
}

impl Entry {
    /// How an entry is shown and compared.
    pub(crate) fn shown(&self) -> String {
        shown(self.speaker, &self.said)
    }

    pub(crate) fn words(&self) -> Vec<String> {
        words(&String::from_utf8(self.said.clone()).unwrap())
    }
}

pub(crate) fn shown(speaker: char, said: &[u8]) -> String {
    format!("{speaker}: {}", said.escape_ascii())
}

/// All dialogues of a folder, by name.
pub(crate) fn folder(folder: &Path) -> Vec<Script> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Script {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let (mut settings, mut entries) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let mut letters = line.chars();
        match (letters.next(), letters.next()) {
            (None | Some('#'), _) => {}
            (Some('='), _) => settings.push(words(&line[1..])),
            (Some(speaker), Some(':')) => entries.push(Entry {
                speaker,
                said: expand(line[2..].strip_prefix(' ').unwrap_or_default().as_bytes()),
            }),
            _ => panic!("{name}:{}: not an entry: {line}", number + 1),
        }
    }
    Script {
        name,
        settings,
        entries,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Escapes and braces as octets.
fn expand(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        match octet {
            b'\\' => rest = escape(behind, &mut octets),
            b'{' => {
                let end = behind.iter().position(|octet| *octet == b'}').unwrap();
                octets.extend(brace(&behind[..end]));
                rest = &behind[end + 1..];
            }
            _ => octets.push(octet),
        }
    }
    octets
}

fn escape<'t>(behind: &'t [u8], octets: &mut Vec<u8>) -> &'t [u8] {
    let (octet, length) = match behind[0] {
        b'0' => (0, 1),
        b'r' => (b'\r', 1),
        b'n' => (b'\n', 1),
        b'\\' => (b'\\', 1),
        b'x' => (
            u8::from_str_radix(std::str::from_utf8(&behind[1..3]).unwrap(), 16).unwrap(),
            3,
        ),
        other => panic!("no escape: {}", char::from(other)),
    };
    octets.push(octet);
    &behind[length..]
}

fn brace(inner: &[u8]) -> Vec<u8> {
    let inner = std::str::from_utf8(inner).unwrap();
    let (name, argument) = inner.split_once(':').unwrap();
    match name {
        "base64" => STANDARD.encode(expand(argument.as_bytes())).into_bytes(),
        "repeat" => {
            let (times, what) = argument.split_once(':').unwrap();
            expand(what.as_bytes()).repeat(times.parse().unwrap())
        }
        _ => panic!("no such brace: {name}"),
    }
}

/// The input in pieces of these sizes, over and over.
pub(crate) fn pieces<'i>(input: &'i [u8], sizes: &[usize]) -> Vec<&'i [u8]> {
    let mut rest = input;
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*size).clamp(1, rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
