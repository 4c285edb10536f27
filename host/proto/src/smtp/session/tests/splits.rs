//! Whatever is sent, how it is cut makes no difference, and the session lives until it says that it ends.

use super::*;
use crate::sasl::Mechanism;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Lines and pieces of content, good and bad, from every part of the protocol.
const PIECES: &[&str] = &[
    "EHLO a\r\n",
    "HELO a\r\n",
    "LHLO a\r\n",
    "MAIL FROM:<>\r\n",
    "MAIL FROM:<a@b> SIZE=2000\r\n",
    "MAIL FROM:<no-a@b>\r\n",
    "RCPT TO:<a@b>\r\n",
    "RCPT TO:<no-a@b>\r\n",
    "DATA\r\n",
    "BDAT 5\r\nA: b\r",
    "BDAT 8 LAST\r\n\r\n\r\nab\r\n",
    "BDAT 3\r\n\n\n\n",
    "BDAT 0 LAST\r\n",
    "BDAT x\r\n",
    "A: b\r\n",
    "..\r\n",
    ".\r\n",
    "\r\n.\r\n",
    "\r",
    "\n",
    "\0",
    "\u{16}",
    "\u{3}",
    "RSET\r\n",
    "NOOP\r\n",
    "AUTH PLAIN\r\n",
    "AUTH LOGIN YW5u\r\n",
    "c2VjcmV0\r\n",
    "*\r\n",
    "STARTT",
    "QUIT\r\n",
];

fn any_settings() -> impl Strategy<Value = Settings> {
    let roles = select(vec![Role::Mx, Role::Submission, Role::Lmtp]);
    (roles, any::<bool>()).prop_map(|(role, clear)| Settings {
        mechanisms: vec![Mechanism::Plain, Mechanism::Login],
        plaintext_auth: clear,
        ..settings(role)
    })
}

fn any_input() -> impl Strategy<Value = Vec<u8>> {
    let opening = select(vec![
        "",
        "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n",
        "LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n",
        "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n",
    ]);
    (opening, prop::collection::vec(select(PIECES), 0..20))
        .prop_map(|(opening, pieces)| [opening.as_bytes(), pieces.concat().as_bytes()].concat())
}

fn in_pieces(settings: &Settings, input: &[u8], cuts: &[Index]) -> (String, Vec<u8>) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    let mut driver = Driver::new(settings.clone());
    driver.run();
    let mut start = 0;
    for end in ends {
        driver.feed_open(&input[start..end]);
        start = end;
    }
    (driver.log, driver.body)
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        settings in any_settings(),
        input in any_input(),
        cuts in prop::collection::vec(any::<Index>(), 0..10),
    ) {
        let whole = in_pieces(&settings, &input, &[]);
        prop_assert_eq!(in_pieces(&settings, &input, &cuts), whole.clone());
        prop_assert_eq!(converse(&settings, |_| {}, &input, 1), whole);
    }

    #[test]
    fn a_line_has_at_most_one_reply(settings in any_settings(), input in any_input()) {
        let (log, _) = in_pieces(&settings, &input, &[]);
        let lines = input.split(|byte| *byte == b'\n').count() + input.iter().filter(|b| **b == b'\r').count() + 1;
        let replies = codes(&log).split(' ').filter(|word| !word.starts_with('[')).count();
        prop_assert!(replies <= lines, "{replies} replies to {lines} lines: {log}");
    }
}
