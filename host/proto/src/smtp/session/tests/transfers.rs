use super::*;

const OPEN: &str = "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n";

fn sent(input: &str) -> (String, String) {
    arranged_mx(|_| {}, input)
}

fn arranged_mx(arrange: fn(&mut Driver), input: &str) -> (String, String) {
    let (log, body) = arranged(&settings(Role::Mx), arrange, format!("{OPEN}{input}").as_bytes());
    let log = log.strip_prefix("220 250 250 250 ").unwrap_or(&log).to_owned();
    (log, String::from_utf8(body).unwrap())
}

/// LMTP with two recipients.
fn local(arrange: fn(&mut Driver), input: &str) -> String {
    let open = OPEN.replace("EHLO", "LHLO") + "RCPT TO:<no-a@b>\r\nRCPT TO:<b@b>\r\n";
    let (log, _) = arranged(
        &settings(Role::Lmtp),
        arrange,
        format!("{open}{input}").as_bytes(),
    );
    log.strip_prefix("220 250 250 250 550 250 ")
        .unwrap_or(&log)
        .to_owned()
}

#[test]
fn data_is_unstuffed_and_committed_and_the_transaction_is_over() {
    let (log, body) = sent("DATA\r\nA: b\r\n\r\n..c\r\n.\r\nDATA\r\nMAIL FROM:<>\r\n");
    assert_eq!(log, "354 [commit] 250 503 250");
    assert_eq!(body, "A: b\r\n\r\n.c\r\n");
}

#[test]
fn chunks_are_one_message() {
    let (log, body) = sent("BDAT 3\r\nA: BDAT 0\r\nBDAT 3 LAST\r\n.\r\nNOOP\r\n");
    assert_eq!(log, "250 250 [commit] 250 250");
    assert_eq!(body, "A: .\r\n");
    assert_eq!(sent("BDAT 4\r\nA: bBDAT 0 LAST\r\n").1, "A: b\r\n");
}

#[test]
fn between_chunks_only_chunks_and_an_end_are_served() {
    let between = "BDAT 2\r\nA:DATA\r\nRCPT TO:<a@b>\r\nMAIL FROM:<>\r\nNOOP\r\nRSET\r\nMAIL FROM:<>\r\n";
    assert_eq!(sent(between).0, "250 503 503 503 250 [reset] 250 250");
}

#[test]
fn a_fault_is_told_when_all_is_read() {
    let (log, body) = sent("DATA\r\nA: b\r\nc\nd\r\n.\r\nNOOP\r\n");
    assert_eq!(log, "354 [reset] 554 250");
    assert!(body.starts_with("A: b\r\n") && !body.contains('d'), "{body}");
    assert_eq!(sent("BDAT 4 LAST\r\na\nb\rNOOP\r\n").0, "[reset] 554 250");
}

#[test]
fn after_a_fault_chunks_are_refused_until_the_last() {
    let ruined = "BDAT 2\r\na\nBDAT 3\r\nabcDATA\r\nBDAT 3 LAST\r\nabcMAIL FROM:<>\r\n";
    assert_eq!(sent(ruined).0, "[reset] 554 554 503 554 250");
    assert_eq!(sent("BDAT 2\r\na\nMAIL FROM:<>\r\n").0, "[reset] 554 250");
    assert_eq!(
        sent("BDAT 2\r\na\nRSET\r\nMAIL FROM:<>\r\n").0,
        "[reset] 554 250 250"
    );
}

#[test]
fn a_chunk_that_is_refused_is_read_all_the_same() {
    let (log, _) = arranged(
        &settings(Role::Mx),
        |_| {},
        b"EHLO a\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
    );
    assert_eq!(log, "220 250 503 250");
    let (log, _) = arranged(&settings(Role::Mx), |_| {}, b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    assert_eq!(log, "220 503 250");
}

#[test]
fn a_malformed_chunk_command_ends_the_session() {
    assert_eq!(sent("BDAT x\r\nNOOP\r\n").0, "501 [close]");
    assert_eq!(sent("BDAT 1 2\r\nNOOP\r\n").0, "501 [close]");
}

#[test]
fn content_that_is_not_wanted_is_refused_before_it_comes_or_read_past() {
    let full: fn(&mut Driver) = |driver| driver.begin = Answer::Reply(Reply::disk_full());
    assert_eq!(arranged_mx(full, "DATA\r\nRSET\r\n").0, "452 [reset] 250");
    assert_eq!(
        arranged_mx(full, "BDAT 5\r\nQUIT\nBDAT 3 LAST\r\nabcNOOP\r\n").0,
        "[reset] 452 452 250"
    );
}

#[test]
fn a_transfer_is_never_taken_as_delivered_by_a_confused_answer() {
    let confused: fn(&mut Driver) = |driver| driver.begin = Answer::Reply(Reply::ok());
    assert_eq!(arranged_mx(confused, "DATA\r\n").0, "451");
    let each: fn(&mut Driver) = |driver| driver.commit = Answer::Each(vec![Reply::ok()]);
    assert_eq!(arranged_mx(each, "DATA\r\n.\r\n").0, "354 [commit] 451");
}

#[test]
fn a_message_of_the_greatest_size_is_taken_and_one_octet_more_is_not() {
    let message = "\r\n".to_owned() + &"0123456\r\n".repeat(111);
    assert_eq!(message.len(), 1001);
    let fitting = message.replacen('0', "", 1);
    assert_eq!(sent(&format!("BDAT 1000 LAST\r\n{fitting}")).0, "[commit] 250");
    assert_eq!(sent(&format!("BDAT 1001 LAST\r\n{message}")).0, "[reset] 552");
}

#[test]
fn lmtp_answers_for_each_recipient_that_was_accepted() {
    assert_eq!(local(|_| {}, "DATA\r\n.\r\nNOOP\r\n"), "354 [commit] 250 250 250");
    assert_eq!(
        local(|_| {}, "DATA\r\na\n\r\n.\r\nNOOP\r\n"),
        "354 [reset] 554 554 250"
    );
    assert_eq!(
        local(|_| {}, "BDAT 2\r\na\nBDAT 0 LAST\r\nNOOP\r\n"),
        "[reset] 554 554 554 250"
    );
    let differ: fn(&mut Driver) =
        |driver| driver.commit = Answer::Each(vec![Reply::ok(), Reply::mailbox_full()]);
    assert_eq!(local(differ, "DATA\r\n.\r\nNOOP\r\n"), "354 [commit] 250 452 250");
    let few: fn(&mut Driver) = |driver| driver.commit = Answer::Each(vec![Reply::ok()]);
    assert_eq!(local(few, "DATA\r\n.\r\nNOOP\r\n"), "354 [commit] 250 451 250");
    let many: fn(&mut Driver) = |driver| driver.commit = Answer::Each(vec![Reply::ok(); 3]);
    assert_eq!(local(many, "DATA\r\n.\r\nNOOP\r\n"), "354 [commit] 250 250 250");
}

#[test]
fn undeclared_8_bit_is_refused_where_the_listener_insists() {
    let strict = Settings {
        strict_8bitmime: true,
        ..settings(Role::Mx)
    };
    let input = |parameters: &str| {
        format!("EHLO a\r\nMAIL FROM:<>{parameters}\r\nRCPT TO:<a@b>\r\nDATA\r\nü\r\n.\r\n")
    };
    assert_eq!(said(&strict, &input("")), "220 250 250 250 354 [reset] 554");
    assert_eq!(
        said(&strict, &input(" BODY=8BITMIME")),
        "220 250 250 250 354 [commit] 250"
    );
    assert_eq!(
        said(&strict, &input(" SMTPUTF8")),
        "220 250 250 250 354 [commit] 250"
    );
    assert_eq!(
        said(&settings(Role::Mx), &input("")),
        "220 250 250 250 354 [commit] 250"
    );
}

#[test]
fn a_chunk_of_twice_the_largest_message_is_skipped_and_a_larger_one_ends_the_session() {
    // 8 octets and 1992.
    let content = format!("A: b\r\n\r\n{}", "x\r\n".repeat(664));
    let skipped = format!("BDAT 2000 LAST\r\n{content}NOOP\r\n");
    assert_eq!(sent(&skipped).0, "[reset] 552 250");
    assert_eq!(sent("BDAT 2001 LAST\r\nNOOP\r\n").0, "552 [close]");
    assert_eq!(sent("BDAT 18446744073709551615\r\nNOOP\r\n").0, "552 [close]");
    assert_eq!(sent("BDAT 2\r\nA:BDAT 2001\r\nNOOP\r\n").0, "250 552 [close]");
}
