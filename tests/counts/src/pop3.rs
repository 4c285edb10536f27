//! POP3 as the machine answers it: the listing of a large maildrop.

use crate::{letters, measured};
use postern_proto::pop3::{Answer, Limits, Message, Question, Session, Settings, Step, UniqueId};
use postern_proto::sasl;

/// Messages of the maildrop.
const MESSAGES: usize = 10_000;

/// From the login to QUIT: STAT, LIST and UIDL.
pub(crate) fn listing() {
    let listed = (0..MESSAGES).map(|nth| Message {
        size: 4096 + nth as u64,
        downgraded_size: 4096 + nth as u64,
        uidl: UniqueId::Number(*letters::id(nth).as_bytes()),
    });
    let mut listed: Vec<Message> = listed.collect();
    let mut session = Session::new(Settings {
        hostname: "mx.example.org".to_owned(),
        limits: Limits { bad_commands: 5 },
        stls: false,
        tls: None,
        mechanisms: Vec::new(),
        plaintext_auth: true,
        login_delay: None,
    });
    let mut output = Vec::new();
    let lines = measured(&mut || {
        let commands = ["", "USER ann", "PASS secret", "STAT", "LIST", "UIDL", "QUIT"];
        let said = commands.iter().map(|command| {
            output.clear();
            if !command.is_empty() {
                session.feed(format!("{command}\r\n").as_bytes());
            }
            while let Some(step) = next(&mut session) {
                match step {
                    Step::Write(reply) => reply.encode(&mut output),
                    Step::Ask(question) => session.answer(answer(&question, &mut listed)),
                    other => panic!("nobody asked for {other:?}"),
                }
            }
            output.iter().filter(|octet| **octet == b'\n').count()
        });
        said.sum()
    });
    // One line for each, and of the two listings the first and the last besides.
    assert_eq!(lines, 5 + 2 * (MESSAGES + 2));
}

/// None: it waits, or it is over.
fn next(session: &mut Session) -> Option<Step> {
    Some(session.step()).filter(|step| !matches!(step, Step::Read | Step::Close))
}

fn answer(question: &Question, listed: &mut Vec<Message>) -> Answer {
    match question {
        Question::Auth(_) => Answer::Auth(sasl::Answer::Granted {
            account: "ann@example.org".to_owned(),
        }),
        Question::Open { .. } => Answer::Opened(std::mem::take(listed)),
        other => panic!("nobody asked for {other:?}"),
    }
}
