use super::*;
use crate::pop3::{Extent, Message, UniqueId};
use crate::sasl;

fn tls() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        exporter: None,
    }
}

fn session() -> Session {
    let mut session = Session::new(Settings {
        hostname: "mx.example.org".to_owned(),
        limits: Limits { bad_commands: 2 },
        stls: true,
        tls: Some(tls()),
        mechanisms: vec![Mechanism::Plain],
        plaintext_auth: false,
        login_delay: None,
    });
    assert!(matches!(session.step(), Step::Write(greeting) if greeting.is_positive()));
    session
}

/// What is said by and by until more input is needed or the session is over.
fn said(session: &mut Session, input: &[u8]) -> Vec<Step> {
    session.feed(input);
    let mut steps = Vec::new();
    loop {
        match session.step() {
            Step::Read => return steps,
            Step::Close => {
                steps.push(Step::Close);
                return steps;
            }
            step => steps.push(step),
        }
    }
}

fn text(step: &Step) -> String {
    match step {
        Step::Write(reply) => reply.text().to_owned(),
        other => format!("{other:?}"),
    }
}

fn logged_in() -> Session {
    let mut session = session();
    said(&mut session, b"USER ann\r\nPASS secret\r\n");
    session.answer(Answer::Auth(sasl::Answer::Granted {
        account: "ann@example.org".to_owned(),
    }));
    assert!(matches!(session.step(), Step::Ask(Question::Open { .. })));
    session.answer(Answer::Opened(vec![Message {
        size: 5,
        downgraded_size: 7,
        uidl: UniqueId::Text("u1".into()),
    }]));
    assert_eq!(said(&mut session, b"").len(), 1);
    session
}

#[test]
fn as_many_errors_as_allowed_are_answered_and_the_next_is_the_end() {
    let mut session = session();
    assert_eq!(said(&mut session, b"ONE\r\nTWO\r\n").len(), 2);
    let last = said(&mut session, b"THREE\r\nQUIT\r\n");
    assert_eq!(last.len(), 2, "{last:?}");
    assert!(text(&last[0]).ends_with("too many errors, bye"));
    assert_eq!(last[1], Step::Close);
}

#[test]
fn while_a_question_is_open_nothing_else_is_done() {
    let mut session = session();
    let steps = said(&mut session, b"USER ann\r\nPASS secret\r\nCAPA\r\n");
    assert!(matches!(steps[..], [Step::Write(_), Step::Ask(_)]), "{steps:?}");
    assert_eq!(said(&mut session, b"NOOP\r\n"), []);
    session.answer(Answer::Auth(sasl::Answer::Denied));
    assert_eq!(said(&mut session, b"").len(), 3);
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let mut session = session();
    session.answer(Answer::Opened(Vec::new()));
    assert_eq!(text(&said(&mut session, b"STAT\r\n")[0]), "only after login");
    let mut session = logged_in();
    session.answer(Answer::Ready);
    assert_eq!(text(&said(&mut session, b"STAT\r\n")[0]), "1 7");
}

#[test]
fn the_verb_is_known_for_each_step_and_made_up_for_none() {
    let mut session = session();
    assert_eq!(session.verb(), "greeting");
    for (line, verb) in [
        (&b"uSeR ann\r\n"[..], "USER"),
        (b"XYZZY ann\r\n", "none"),
        (b"\n\r\n", "none"),
        (b"QUIT\r\n", "QUIT"),
    ] {
        said(&mut session, line);
        assert_eq!(session.verb(), verb);
    }
}

#[test]
fn a_response_within_auth_belongs_to_auth() {
    let mut session = session();
    said(&mut session, b"AUTH PLAIN\r\n");
    let steps = said(&mut session, b"AGFubgBzZWNyZXQ=\r\n");
    assert_eq!(session.verb(), "AUTH");
    assert!(matches!(steps[..], [Step::Ask(Question::Auth(_))]));
}

#[test]
fn the_message_is_sent_behind_its_reply_and_before_what_was_pipelined() {
    let mut session = logged_in();
    let fetch = Fetch {
        place: 0,
        form: Form::Downgraded,
        extent: Extent::Whole,
    };
    let asked = said(&mut session, b"RETR 1\r\nNOOP\r\n");
    assert_eq!(asked, [Step::Ask(Question::Fetch(fetch))]);
    session.answer(Answer::Ready);
    let steps = said(&mut session, b"");
    assert_eq!(text(&steps[0]), "7 octets");
    assert_eq!(steps[1], Step::Send(fetch));
    assert_eq!(text(&steps[2]), "still here");
}

#[test]
fn the_driver_can_end_a_session_in_each_state_but_only_once() {
    let over = Reply::shutting_down();
    let mut open = logged_in();
    said(&mut open, b"DELE 1\r\n");
    let mut fetching = logged_in();
    said(&mut fetching, b"RETR 1\r\n");
    let mut removing = logged_in();
    said(&mut removing, b"DELE 1\r\nQUIT\r\n");
    for mut session in [session(), open, fetching, removing] {
        session.abort(over.clone());
        session.abort(over.clone());
        let steps = said(&mut session, b"QUIT\r\n");
        assert_eq!(steps, [Step::Write(over.clone()), Step::Close]);
    }
    let mut quit = session();
    session_is_over(&mut quit);
    quit.abort(over);
    assert_eq!(quit.step(), Step::Close);
}

fn session_is_over(session: &mut Session) {
    let steps = said(session, b"QUIT\r\n");
    assert_eq!(steps.last(), Some(&Step::Close));
}

#[test]
fn an_answer_that_comes_after_the_end_removes_nothing_and_says_nothing() {
    let mut session = logged_in();
    said(&mut session, b"DELE 1\r\nQUIT\r\n");
    session.abort(Reply::shutting_down());
    session.answer(Answer::Removed);
    assert_eq!(said(&mut session, b"").len(), 2);
}

#[test]
fn no_password_is_shown_by_debug() {
    let mut session = session();
    session.feed(b"USER ann\r\nPASS sesame\r\nPASS sesame\r\n");
    assert!(matches!(session.step(), Step::Write(_)));
    let before = format!("{session:?}");
    let asked = session.step();
    assert!(matches!(asked, Step::Ask(_)));
    for shown in [before, format!("{session:?}"), format!("{asked:?}")] {
        assert!(!shown.contains("sesame"), "{shown}");
    }
}
