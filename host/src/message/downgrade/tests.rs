use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

fn down(head: &str) -> String {
    String::from_utf8(downgraded(head.as_bytes()).into_owned()).unwrap()
}

/// The field with its encoded words written out, as a reader shows it.
fn shown(head: &str) -> String {
    let mut out = String::new();
    let down = down(head).replace("\r\n ", " ");
    let mut rest = down.as_str();
    let mut was_encoded = false;
    while let Some((before, behind)) = rest.split_once("=?UTF-8?B?") {
        let (word, behind) = behind.split_once("?=").unwrap();
        if !(was_encoded && before == " ") {
            out.push_str(before);
        }
        out.push_str(&String::from_utf8(STANDARD.decode(word).unwrap()).unwrap());
        was_encoded = true;
        rest = behind;
    }
    out + rest
}

#[test]
fn ascii_is_borrowed_as_it_is_even_where_it_is_odd() {
    let head = b"From: a@b\r\nno field at all\r\nX: \x01\x7f \t\r\n\tmore\r\n\r\n";
    assert!(matches!(downgraded(head), Cow::Borrowed(same) if same == head));
    assert!(matches!(downgraded(b""), Cow::Borrowed(b"")));
}

#[test]
fn a_subject_is_written_in_encoded_words_and_what_is_ascii_in_it_stays() {
    assert_eq!(
        down("Subject: Re: \u{fc}ber alles\r\nX-A: 1\r\n\r\n"),
        "Subject: Re: =?UTF-8?B?w7xiZXI=?= alles\r\nX-A: 1\r\n\r\n"
    );
    assert_eq!(
        shown("Subject: ein\r\n sch\u{f6}ner Gr\u{fc}\u{df}\r\n"),
        "Subject: ein sch\u{f6}ner Gr\u{fc}\u{df}\r\n"
    );
}

#[test]
fn the_space_between_two_encoded_words_is_not_lost() {
    assert_eq!(
        shown("Subject: =?UTF-8?B?w6Q=?= \u{f6} =?UTF-8?B?w7w=?=\r\n"),
        "Subject: \u{e4} \u{f6} \u{fc}\r\n"
    );
}

#[test]
fn long_text_is_folded_and_no_character_is_split() {
    let text = "\u{20ac}".repeat(400);
    let head = format!("Subject: {text}\r\n\r\n");
    assert!(down(&head).lines().all(|line| line.len() <= FOLD));
    assert_eq!(shown(&head), head);
}

#[test]
fn octets_that_are_not_utf_8_are_passed_on_as_unknown() {
    let out = downgraded(b"Subject: caf\xe9\r\n");
    assert_eq!(out.as_ref(), b"Subject: =?unknown-8bit?B?Y2Fm6Q==?=\r\n");
}

#[test]
fn a_name_is_encoded_and_its_address_stays() {
    assert_eq!(
        shown("From: \"J\u{f6}rg \\\"x\\\" M.\" <joerg@example.org>\r\n"),
        "From: J\u{f6}rg \"x\" M. <joerg@example.org>\r\n"
    );
    assert_eq!(
        down("To: \"a, b\" <a@b>, J\u{f6}rg <j@x> (\u{fc}), c@d\r\n"),
        "To: \"a, b\" <a@b>, =?UTF-8?B?SsO2cmc=?= <j@x>, c@d\r\n"
    );
    assert_eq!(down("To: <a@b> (\u{fc})\r\n"), "To: <a@b>\r\n");
}

#[test]
fn an_address_that_is_not_ascii_becomes_an_empty_group_that_shows_it() {
    assert_eq!(
        shown("Cc: Fred Foo <fr\u{e9}d@example.org>, <\u{fc}@b\u{fc}cher.example>, c@d\r\n"),
        "Cc: Fred Foo <fr\u{e9}d@example.org> :;, \u{fc}@b\u{fc}cher.example :;, c@d\r\n"
    );
}

#[test]
fn in_a_group_it_becomes_a_mailbox_that_nothing_reaches() {
    assert_eq!(
        shown("To: Fr\u{fc}nde: \u{fc}@x, a@[IPv6:::1];, b@c\r\n"),
        format!(
            "To: Fr\u{fc}nde : \u{fc}@x <{INVALID}>, a@[IPv6:::1];, b@c\r\n",
            INVALID = addresses::INVALID
        )
    );
}

#[test]
fn a_return_path_stays_a_path() {
    assert_eq!(
        down("Return-Path: <\u{fc}@x>\r\nReturn-Path: <>\r\n"),
        format!("Return-Path: <{}>\r\nReturn-Path: <>\r\n", addresses::INVALID)
    );
}

#[test]
fn mime_parameters_that_are_not_ascii_go_and_the_others_stay() {
    assert_eq!(
        down("Content-Type: text/plain; name=\"r\u{e9}sum\u{e9};.txt\"; charset=utf-8\r\n"),
        "Content-Type: text/plain; charset=utf-8\r\n"
    );
    assert_eq!(
        down("Content-Disposition: attachment; filename=\u{e9}\r\n"),
        "Content-Disposition: attachment\r\n"
    );
    assert_eq!(down("Content-Type: t\u{e9}xt/plain\r\n\r\n"), "\r\n");
}

#[test]
fn all_other_fields_that_are_not_ascii_go_with_their_continuation_lines() {
    let head = "Received: from x\r\n by \u{fc}\r\nX-\u{fc}: a\r\n\u{fc} no field\r\nComments: \u{fc}\r\nDate: now\r\n\r\n";
    assert_eq!(down(head), "Date: now\r\n\r\n");
}

#[test]
fn a_field_that_cannot_be_folded_goes_at_the_edge_of_998_octets() {
    let field = |octets: usize| {
        let address = format!("{}@x", "a".repeat(octets - 2));
        down(&format!("To: \u{fc} <u@x>, {address}\r\n"))
    };
    // The long address is on a line of its own behind one space.
    let most = field(MOST - 1);
    assert!(most.lines().any(|line| line.len() == MOST));
    assert_eq!(field(MOST), "");
}

#[test]
fn what_stands_behind_the_empty_line_stays() {
    assert_eq!(down("X: \u{fc}\r\n\r\n\u{fc}\r\n"), "\r\n\u{fc}\r\n");
}

#[test]
fn parts_of_a_header_section_are_downgraded_alike_together_and_apart() {
    let (trace, head) = ("Return-Path: <\u{fc}@x>\r\n", "Subject: \u{fc}\r\n\r\n");
    assert_eq!(down(&format!("{trace}{head}")), down(trace) + &down(head));
}

/// Fields that are likely to meet every rule, and their pieces in any order.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "From:",
        "To:",
        "Subject:",
        "Content-Type:",
        "X:",
        " ",
        "\t",
        "\r\n",
        "\r\n ",
        "\u{fc}",
        "\u{20ac}",
        "a@b",
        "<",
        ">",
        "\"",
        "\\",
        "(",
        ")",
        ",",
        ";",
        ":",
        "[",
        "]",
        "=?UTF-8?B?w7w=?=",
        "word",
        "\n",
        "\r",
    ]);
    let piece = piece.prop_map(|piece| piece.as_bytes().to_vec());
    let any = prop::collection::vec(any::<u8>(), 0..4);
    let long = Just(b"x".repeat(600));
    let mixed = prop_oneof![12 => piece, 2 => any, 1 => long];
    prop::collection::vec(mixed, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_comes_what_goes_out_is_ascii_foldable_stable_and_as_long_as_said(head in head()) {
        // Behind the empty line nothing is touched.
        let end = if head.starts_with(b"\r\n") { Some(0) } else {
            head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 2)
        };
        let head = &head[..end.unwrap_or(head.len())];
        let out = downgraded(head);
        prop_assert!(out.is_ascii());
        prop_assert_eq!(downgraded(&out), out.clone());
        prop_assert_eq!(downgraded_len(head), out.len() as u64);
        if !head.is_ascii() {
            let ascii_lines: Vec<_> = head.split(|octet| *octet == b'\n').collect();
            for line in out.split(|octet| *octet == b'\n') {
                prop_assert!(line.len() <= MOST + 1 || ascii_lines.contains(&line));
            }
        }
    }
}
