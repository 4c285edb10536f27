//! Whatever a client says and a driver answers: one line, one reply, and the same however it is split.

use super::*;
use crate::pop3::{Extent, Message, UniqueId};
use crate::sasl;
use proptest::prelude::*;

const LINES: [&str; 26] = [
    "USER ann",
    "USER",
    "PASS secret",
    "AUTH PLAIN",
    "AUTH PLAIN AGFubgBzZWNyZXQ=",
    "AUTH LOGIN",
    "AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj",
    "YW5u",
    "*",
    "STLS",
    "UTF8",
    "CAPA",
    "LANG",
    "STAT",
    "LIST",
    "LIST 2",
    "UIDL",
    "RETR 1",
    "TOP 2 1",
    "DELE 1",
    "DELE 2",
    "RSET",
    "NOOP",
    "XYZZY",
    "a\nb",
    "a\0b",
];

/// The answer to a question, by a number: a fitting one mostly.
fn answer(question: &Question, choice: u8) -> Answer {
    let account = "ann@example.org".to_owned();
    match (question, choice % 4) {
        (_, 0) => Answer::Trouble(Trouble::Temporary),
        (Question::Auth(_), 1) => Answer::Auth(sasl::Answer::Denied),
        (Question::Auth(_), _) => Answer::Auth(sasl::Answer::Granted { account }),
        (Question::Open { .. }, 1) => Answer::Refused(Refusal::InUse),
        (Question::Open { .. }, _) => Answer::Opened(messages()),
        (Question::Fetch(_), _) => Answer::Ready,
        (Question::Remove(_), _) => Answer::Removed,
    }
}

fn messages() -> Vec<Message> {
    let message = |size| Message {
        size,
        downgraded_size: size + 1,
        uidl: UniqueId::Text(format!("u{size}").into()),
    };
    (1..=3).map(message).collect()
}

fn session() -> Session {
    Session::new(Settings {
        hostname: "mx.example.org".to_owned(),
        limits: Limits { bad_commands: 6 },
        stls: true,
        tls: None,
        mechanisms: vec![Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256],
        plaintext_auth: true,
        login_delay: None,
    })
}

/// Everything that happens with the input in pieces of that size.
fn run(input: &[u8], size: usize, choices: &[u8]) -> Vec<Step> {
    let mut session = session();
    let mut choices = choices.iter().cycle();
    let mut steps = Vec::new();
    for piece in input.chunks(size) {
        session.feed(piece);
        loop {
            let step = session.step();
            match &step {
                Step::Read => break,
                Step::Close => {
                    steps.push(step);
                    return steps;
                }
                Step::Ask(question) => session.answer(answer(question, *choices.next().unwrap())),
                // Here the rest of the input is what was pipelined in clear.
                Step::Upgrade | Step::Write(_) | Step::Send(_) => {}
            }
            steps.push(step);
        }
    }
    steps
}

fn replies(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Write(_))).count()
}

proptest! {
    #[test]
    fn each_line_has_one_reply_and_splits_make_no_difference(
        lines in prop::collection::vec(prop::sample::select(&LINES[..]), 1..24),
        choices in prop::collection::vec(any::<u8>(), 1..12),
        size in 1_usize..40,
    ) {
        let input: String = lines.iter().flat_map(|line| [line, "\r\n"]).collect();
        let steps = run(input.as_bytes(), usize::MAX, &choices);
        prop_assert_eq!(&run(input.as_bytes(), size, &choices), &steps);
        // The greeting, and then one for each line, unless the end or TLS came before it.
        let last = steps.last();
        if matches!(last, Some(Step::Close | Step::Upgrade)) {
            prop_assert!(replies(&steps) <= lines.len() + 1);
        } else {
            prop_assert_eq!(replies(&steps), lines.len() + 1);
        }
    }

    #[test]
    fn only_what_was_marked_and_not_unmarked_is_removed(
        marks in prop::collection::vec(prop::sample::select(&["DELE 1", "DELE 2", "DELE 3", "RSET", "NOOP"][..]), 0..12),
    ) {
        let mut input = "USER ann\r\nPASS secret\r\n".to_owned();
        let mut marked = std::collections::BTreeSet::new();
        for mark in &marks {
            input.push_str(mark);
            input.push_str("\r\n");
            match mark.strip_prefix("DELE ") {
                Some(number) => {
                    marked.insert(number.parse::<usize>().unwrap() - 1);
                }
                None if *mark == "RSET" => marked.clear(),
                None => {}
            }
        }
        input.push_str("QUIT\r\n");
        let steps = run(input.as_bytes(), usize::MAX, &[2]);
        let removed = steps.iter().find_map(|step| match step {
            Step::Ask(Question::Remove(places)) => Some(places.clone()),
            _ => None,
        });
        prop_assert_eq!(removed.unwrap_or_default(), marked.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn any_octets_are_answered_and_split_alike(input in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..40) {
        prop_assert_eq!(run(&input, size, &[2]), run(&input, usize::MAX, &[2]));
    }

    #[test]
    fn a_message_is_sent_right_behind_its_reply(
        lines in prop::collection::vec(prop::sample::select(&["RETR 1", "TOP 2 1", "RETR 9", "NOOP"][..]), 1..12),
        choices in prop::collection::vec(any::<u8>(), 1..12),
    ) {
        let mut session = session();
        session.state = State::Transaction(Maildrop::new(messages(), Form::Utf8));
        session.feed(lines.iter().flat_map(|line| [line, "\r\n"]).collect::<String>().as_bytes());
        let mut choices = choices.iter().cycle();
        let mut before = Step::Read;
        loop {
            let step = session.step();
            match &step {
                Step::Read => break,
                Step::Ask(question) => session.answer(answer(question, *choices.next().unwrap())),
                Step::Send(fetch) => {
                    let Step::Write(reply) = &before else { panic!("{before:?}") };
                    prop_assert!(reply.is_positive());
                    match fetch.extent {
                        Extent::Whole => prop_assert_eq!(reply.text(), "1 octets"),
                        Extent::Top(lines) => prop_assert_eq!((fetch.place, lines), (1, 1)),
                    }
                }
                _ => {}
            }
            before = step;
        }
        prop_assert_eq!(session.faults, 0);
        prop_assert!(!session.met_its_limit_of_errors());
    }
}
