//! The fuzz targets without a fuzzer: the corpus in the tree, and random commands in every state.
//!
//! An input is what `fuzz/src/lib.rs` says. What a fuzzer finds goes into the corpus with its mend.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "the targets are a library for libFuzzer, and fail by panicking"
)]

#[path = "../fuzz/src/choice.rs"]
mod choice;
#[path = "../fuzz/src/login.rs"]
mod login;
#[path = "../fuzz/src/pop3.rs"]
mod pop3;
#[path = "../fuzz/src/smtp.rs"]
mod smtp;

use proptest::prelude::*;
use std::path::Path;

fn run_corpus(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        eprintln!("{}", path.display());
        run(&std::fs::read(&path).expect("a readable input"));
        count += 1;
    }
    assert!(count > 0, "no inputs in {}", folder.display());
}

#[test]
fn smtp_corpus_holds() {
    run_corpus("smtp_session", smtp::run);
}

#[test]
fn pop3_corpus_holds() {
    run_corpus("pop3_session", pop3::run);
}

/// Commands and their parts, so that random ones get far.
const SMTP: [&str; 30] = [
    "EHLO c.example\r\n",
    "HELO c.example\r\n",
    "LHLO c.example\r\n",
    "MAIL FROM:<>",
    "MAIL FROM:<a@c.example>\r\n",
    " SIZE=201",
    " SMTPUTF8\r\n",
    "RCPT TO:<b@s.example>\r\n",
    "RCPT TO:<bö@s.example>\r\n",
    "DATA\r\n",
    "BDAT 3\r\n",
    "BDAT 5 LAST\r\n",
    "BDAT 0 LAST\r\n",
    "a\r\nb",
    "RSET\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
    "AUTH LOGIN\r\n",
    "YW5u\r\n",
    "*\r\n",
    "NOOP\r\n",
    "QUIT\r\n",
    "VRFY x\r\n",
    "\r\n.\r\n",
    "\n.\r\n",
    "\r",
    "\n",
    ".",
    "\0",
    "xxxxxxxxxxxxxxxxxxxxxxxxx",
];

const POP3: [&str; 24] = [
    "USER ann\r\n",
    "PASS secret\r\n",
    "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
    "AUTH LOGIN\r\n",
    "YW5u\r\n",
    "*\r\n",
    "CAPA\r\n",
    "STLS\r\n",
    "UTF8\r\n",
    "LANG *\r\n",
    "STAT\r\n",
    "LIST\r\n",
    "LIST 2\r\n",
    "UIDL\r\n",
    "RETR 1\r\n",
    "TOP 3 0\r\n",
    "DELE 1\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "QUIT\r\n",
    "\r",
    "\n",
    "\0",
    "\u{16}\u{3}",
];

fn inputs(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        9 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    let sent = proptest::collection::vec(word, 0..16);
    (any::<[u8; 3]>(), sent).prop_map(|(header, sent)| [header.to_vec(), sent.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_smtp_holds_in_every_state(input in inputs(&SMTP)) {
        smtp::run(&input);
    }

    #[test]
    fn random_pop3_holds_in_every_state(input in inputs(&POP3)) {
        pop3::run(&input);
    }
}
