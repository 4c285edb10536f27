use super::*;
use crate::sasl::Mechanism;

fn mx() -> Settings {
    settings(Role::Mx)
}

fn submission() -> Settings {
    Settings {
        mechanisms: vec![Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256Plus],
        ..settings(Role::Submission)
    }
}

fn text(settings: &Settings, input: &str) -> String {
    converse(settings, |_| {}, input.as_bytes(), usize::MAX).0
}

#[test]
fn keywords_are_shown_where_they_are_true_now() {
    let clear = text(&submission(), "EHLO a\r\n");
    assert!(
        clear.contains("250-SIZE 1000\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n"),
        "{clear}"
    );
    assert!(clear.contains("250-LIMITS RCPTMAX=3\r\n250 HELP\r\n"), "{clear}");
    assert!(!clear.contains("AUTH"), "{clear}");
    let secured = text(
        &Settings {
            tls: Some(tls()),
            ..submission()
        },
        "EHLO a\r\n",
    );
    assert!(secured.contains("250-AUTH PLAIN LOGIN\r\n"), "{secured}");
    assert!(!secured.contains("STARTTLS"), "{secured}");
    let hello = text(&mx(), "HELO a\r\n");
    assert!(hello.ends_with("ready\r\n250 mx.example\r\n"), "{hello}");
}

#[test]
fn each_role_has_its_own_hello() {
    assert_eq!(said(&mx(), "LHLO a\r\nEHLO a\r\nHELO a\r\n"), "220 500 250 250");
    assert_eq!(
        said(&settings(Role::Lmtp), "EHLO a\r\nHELO a\r\nLHLO a\r\n"),
        "220 500 500 250"
    );
    assert_eq!(said(&mx(), "EHLO\r\nEHLO a b\r\n"), "220 501 501");
}

#[test]
fn a_refused_greeting_leaves_only_quit() {
    let refusing = |driver: &mut Driver| {
        assert_eq!(driver.session.step(), Step::Ask(Question::Connect));
        driver
            .session
            .answer(Answer::Reply(Reply::spoke_before_greeting()));
    };
    let (log, _) = arranged(&mx(), refusing, b"EHLO a\r\nNOOP\r\nQUIT\r\n");
    assert_eq!(log, "554 503 503 221 [close]");
}

#[test]
fn a_client_that_errs_too_often_is_sent_away() {
    assert_eq!(said(&mx(), "A\r\nB\r\nC\r\nNOOP\r\n"), "220 500 500 500 250");
    assert_eq!(
        said(&mx(), "A\r\nB\r\nC\r\nD\r\nNOOP\r\n"),
        "220 500 500 500 421 [close]"
    );
}

#[test]
fn other_protocols_are_sent_away_at_once() {
    assert_eq!(said(&mx(), "GET / HTTP/1.1\r\nEHLO a\r\n"), "220 421 [close]");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\r\n";
    assert_eq!(arranged(&mx(), |_| {}, hello).0, "220 421 [close]");
}

#[test]
fn a_line_with_a_stray_octet_is_refused_and_the_next_is_not() {
    assert_eq!(said(&mx(), "NOOP\nQUIT\r\nNOOP\0\r\nNOOP\r\n"), "220 500 500 250");
}

#[test]
fn starttls_forgets_everything() {
    let before = "EHLO a\r\nMAIL FROM:<>\r\nSTARTTLS\r\nEHLO evil\r\n";
    assert_eq!(said(&mx(), "STARTTLS\r\n"), "220 503");
    let mut driver = Driver::new(mx());
    driver.run();
    driver.feed(before.as_bytes());
    assert_eq!(codes(&driver.log), "220 250 250 [reset] 220 [upgrade]");
    assert_eq!(
        driver.session.facts(),
        &Facts {
            tls: Some(tls()),
            ..Facts::default()
        }
    );
    driver.feed(b"MAIL FROM:<>\r\nEHLO a\r\nSTARTTLS\r\n");
    assert_eq!(
        codes(&driver.log),
        "220 250 250 [reset] 220 [upgrade] 503 250 503"
    );
}

#[test]
fn submission_needs_auth_and_auth_needs_tls() {
    let all = "EHLO a\r\nMAIL FROM:<>\r\nAUTH PLAIN\r\n";
    assert_eq!(said(&submission(), all), "220 250 530 538");
    let secured = Settings {
        tls: Some(tls()),
        ..submission()
    };
    let login = "EHLO a\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\nMAIL FROM:<>\r\nAUTH PLAIN\r\n";
    assert_eq!(said(&secured, login), "220 250 235 250 503");
    assert_eq!(said(&mx(), "EHLO a\r\nAUTH PLAIN\r\n"), "220 250 502");
}

#[test]
fn an_exchange_ends_with_a_login_a_refusal_or_a_star() {
    let secured = Settings {
        tls: Some(tls()),
        ..submission()
    };
    let login = "EHLO a\r\nAUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n";
    assert_eq!(said(&secured, login), "220 250 334 334 235");
    assert_eq!(
        said(&secured, "EHLO a\r\nAUTH PLAIN\r\nAGFubgB4\r\nNOOP\r\n"),
        "220 250 334 535 250"
    );
    assert_eq!(
        said(&secured, "EHLO a\r\nAUTH PLAIN\r\n*\r\nNOOP\r\n"),
        "220 250 334 501 250"
    );
    assert_eq!(
        said(&secured, "EHLO a\r\nAUTH PLAIN =\r\nAUTH PLAIN !\r\n"),
        "220 250 501 501"
    );
    assert_eq!(
        said(&secured, "EHLO a\r\nAUTH SCRAM-SHA-256-PLUS\r\nAUTH X\r\n"),
        "220 250 504 504"
    );
    let clear = Settings {
        plaintext_auth: true,
        ..submission()
    };
    assert_eq!(
        said(&clear, "HELO a\r\nAUTH PLAIN\r\nEHLO a\r\nAUTH PLAIN\r\n"),
        "220 250 503 250 334"
    );
}

#[test]
fn a_response_may_have_12288_octets() {
    let secured = Settings {
        tls: Some(tls()),
        ..submission()
    };
    let of = |length: usize| format!("EHLO a\r\nAUTH PLAIN\r\n{}\r\nNOOP\r\n", "A".repeat(length - 2));
    let longest = text(&secured, &of(12_288));
    assert!(
        longest.contains("501 5.5.2") && longest.ends_with("250 2.0.0 OK\r\n"),
        "{longest}"
    );
    let longer = text(&secured, &of(12_289));
    assert!(
        longer.contains("500 5.5.6") && longer.ends_with("250 2.0.0 OK\r\n"),
        "{longer}"
    );
}

#[test]
fn the_driver_can_end_a_session_at_any_time() {
    let mut driver = Driver::new(mx());
    driver.run();
    driver.feed(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nHalf");
    assert_eq!(driver.session.waiting(), Waiting::Content);
    assert_eq!(driver.session.verb(), "DATA");
    driver.session.abort(Reply::time_out());
    driver.run();
    assert!(
        driver.log.ends_with("421 4.4.2 Time-out, closing\r\n[close]"),
        "{}",
        driver.log
    );
}

#[test]
fn an_end_that_the_driver_wants_goes_before_questions_and_is_said_once() {
    let mut session = Session::new(mx());
    session.abort(Reply::shutting_down());
    session.abort(Reply::time_out());
    assert_eq!(session.step(), Step::Write(Reply::shutting_down()));
    assert_eq!(session.step(), Step::Close);
}

#[test]
fn a_user_without_tls_is_told_what_to_do_first() {
    let clear = text(&submission(), "EHLO a\r\nMAIL FROM:<>\r\n");
    assert!(clear.ends_with("530 5.7.0 Issue STARTTLS first\r\n"), "{clear}");
    let secured = text(
        &Settings {
            tls: Some(tls()),
            ..submission()
        },
        "EHLO a\r\nMAIL FROM:<>\r\n",
    );
    assert!(
        secured.ends_with("530 5.7.0 Authentication required\r\n"),
        "{secured}"
    );
}
