//! Encoded words (RFC 2047) for what is not plain.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Octets of text in one encoded word: with its charset 48 of base64 stay under 75 (RFC 2047 §2), and
/// beside the name of a field under 76.
const PIECE: usize = 36;

/// The text as tokens to be parted by white space: those words that are plain as they are, the others in
/// encoded words.
pub(super) fn tokens(text: &[u8], is_plain: impl Fn(&[u8]) -> bool) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut run = Vec::new();
    let words = text.split(|octet| matches!(octet, b' ' | b'\t'));
    for word in words.filter(|word| !word.is_empty()) {
        match std::str::from_utf8(word) {
            Ok(plain) if is_plain(word) => {
                // RFC 2047 §6.2: white space between encoded words is not shown, so it is encoded.
                if !run.is_empty() && is_encoded(plain) {
                    run.push(b' ');
                }
                encode(&mut run, &mut tokens);
                tokens.push(plain.to_owned());
            }
            _ => {
                let follows = tokens.last().is_some_and(|last: &String| is_encoded(last));
                if !run.is_empty() || follows {
                    run.push(b' ');
                }
                run.extend_from_slice(word);
            }
        }
    }
    encode(&mut run, &mut tokens);
    tokens
}

fn is_encoded(word: &str) -> bool {
    word.starts_with("=?") && word.ends_with("?=")
}

/// Moves the run into encoded words, none of which splits a character (RFC 2047 §5).
fn encode(run: &mut Vec<u8>, tokens: &mut Vec<String>) {
    let bytes = std::mem::take(run);
    match std::str::from_utf8(&bytes) {
        Ok(text) => {
            let mut rest = text;
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.floor_char_boundary(PIECE));
                tokens.push(word("UTF-8", piece.as_bytes()));
                rest = behind;
            }
        }
        Err(_) => tokens.extend(bytes.chunks(PIECE).map(|piece| word("unknown-8bit", piece))),
    }
}

fn word(charset: &str, piece: &[u8]) -> String {
    format!("=?{charset}?B?{}?=", STANDARD.encode(piece))
}
