use super::*;

fn mx() -> Settings {
    settings(Role::Mx)
}

fn after_ehlo(input: &str) -> String {
    let log = said(&mx(), &format!("EHLO a\r\n{input}"));
    log.strip_prefix("220 250 ").unwrap_or(&log).to_owned()
}

#[test]
fn commands_of_a_transaction_have_an_order() {
    assert_eq!(
        said(&mx(), "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n"),
        "220 503 503 503"
    );
    assert_eq!(
        after_ehlo("RCPT TO:<a@b>\r\nDATA\r\nBDAT 3\r\nabc"),
        "503 503 503"
    );
    assert_eq!(
        after_ehlo("MAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\nBDAT 1\r\nx"),
        "250 503 503 503"
    );
}

#[test]
fn a_transaction_ends_with_rset_or_a_hello_and_only_then_is_anything_reset() {
    assert_eq!(
        after_ehlo("RSET\r\nMAIL FROM:<>\r\nRSET\r\nRSET\r\n"),
        "250 250 [reset] 250 250"
    );
    assert_eq!(
        after_ehlo("MAIL FROM:<>\r\nEHLO b\r\nMAIL FROM:<>\r\n"),
        "250 [reset] 250 250"
    );
    assert_eq!(
        after_ehlo("MAIL FROM:<>\r\nEHLO\r\nRCPT TO:<a@b>\r\n"),
        "250 501 250"
    );
}

#[test]
fn what_is_pipelined_behind_a_refusal_is_no_error_of_the_client() {
    let behind = "RCPT TO:<a@b>\r\n".repeat(5);
    let log = after_ehlo(&format!("MAIL FROM:<no-one@b>\r\n{behind}DATA\r\nNOOP\r\n"));
    assert_eq!(log, "550 503 503 503 503 503 503 250");
    let all_refused = "MAIL FROM:<>\r\nRCPT TO:<later-a@b>\r\nDATA\r\nRSET\r\n".repeat(5);
    assert_eq!(after_ehlo(&all_refused), ["250 451 503 [reset] 250"; 5].join(" "));
}

#[test]
fn recipients_are_taken_up_to_the_limit() {
    let input = format!("MAIL FROM:<>\r\n{}RCPT TO:<>\r\n", "RCPT TO:<a@b>\r\n".repeat(4));
    assert_eq!(after_ehlo(&input), "250 250 250 250 452 501");
}

#[test]
fn a_client_that_guesses_recipients_is_sent_away() {
    let guesses = |count: usize| format!("MAIL FROM:<>\r\n{}NOOP\r\n", "RCPT TO:<no-a@b>\r\n".repeat(count));
    assert_eq!(after_ehlo(&guesses(2)), "250 550 550 250");
    assert_eq!(after_ehlo(&guesses(3)), "250 550 550 421 [close]");
    let deferred = format!("MAIL FROM:<>\r\n{}", "RCPT TO:<later-a@b>\r\n".repeat(5));
    assert_eq!(after_ehlo(&deferred), "250 451 451 451 451 451");
}

#[test]
fn the_driver_can_close_at_each_question() {
    assert_eq!(after_ehlo("MAIL FROM:<bye-a@b>\r\nNOOP\r\n"), "421 [close]");
    assert_eq!(
        after_ehlo("MAIL FROM:<>\r\nRCPT TO:<bye-a@b>\r\nNOOP\r\n"),
        "250 421 [close]"
    );
}

#[test]
fn parameters_are_judged_before_the_sender_is() {
    assert_eq!(after_ehlo("MAIL FROM:<> SIZE=1000\r\n"), "250");
    assert_eq!(after_ehlo("MAIL FROM:<> SIZE=1001\r\n"), "552");
    assert_eq!(
        after_ehlo("MAIL FROM:<> RET=FULL\r\nMAIL FROM:<> RET=X\r\n"),
        "555 501"
    );
    assert_eq!(
        said(&mx(), "HELO a\r\nMAIL FROM:<> SIZE=1\r\nMAIL FROM:<>\r\n"),
        "220 250 555 250"
    );
}

#[test]
fn utf8_addresses_need_smtputf8() {
    assert_eq!(
        after_ehlo("MAIL FROM:<ü@b>\r\nMAIL FROM:<ü@b> SMTPUTF8\r\nRCPT TO:<ü@b>\r\n"),
        "553 250 250"
    );
    assert_eq!(
        after_ehlo("MAIL FROM:<>\r\nRCPT TO:<ü@b>\r\nRCPT TO:<a@xn--bcher-kva.b>\r\n"),
        "250 553 250"
    );
}

#[test]
fn words_of_policies_are_ascii_for_clients_that_did_not_ask_for_more() {
    let grumble = |driver: &mut Driver| {
        let (reply, _) = Reply::from_policy(crate::smtp::Refusal::Permanent, 550, "5.7.1", "grün");
        driver.begin = Answer::Reply(reply);
    };
    let input = |parameter: &str| format!("EHLO a\r\nMAIL FROM:<>{parameter}\r\nRCPT TO:<a@b>\r\nDATA\r\n");
    let (plain, _) = converse(&mx(), grumble, input("").as_bytes(), usize::MAX);
    assert!(plain.ends_with("550 5.7.1 gr?n\r\n"), "{plain}");
    let (utf8, _) = converse(&mx(), grumble, input(" SMTPUTF8").as_bytes(), usize::MAX);
    assert!(utf8.ends_with("550 5.7.1 grün\r\n"), "{utf8}");
}

#[test]
fn verbs_without_effect_are_served_at_any_time() {
    assert_eq!(
        said(&mx(), "NOOP x\r\nRSET\r\nVRFY a\r\nHELP\r\nEXPN a\r\n"),
        "220 250 250 252 214 502"
    );
    assert_eq!(
        said(&mx(), "VRFY\r\nRSET x\r\nQUIT x\r\nQUIT\r\n"),
        "220 501 501 501 221 [close]"
    );
}
