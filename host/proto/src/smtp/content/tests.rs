use super::*;
use proptest::prelude::*;

/// Wide enough for all that the tests of other rules write.
const WIDE: Bounds = Bounds {
    message_size: 1 << 20,
    line: 1 << 16,
    headers: 1 << 18,
    eight_bit: EightBit::Accepted,
};

/// What came of an input: the content, what stayed behind its end, and the fault. `None`: no end.
type Outcome = (Vec<u8>, Option<Vec<u8>>, Option<Reply>);

fn data(bounds: Bounds, pieces: &[&[u8]]) -> Outcome {
    let mut content = Content::new(bounds);
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut done = false;
    for piece in pieces {
        input.extend_from_slice(piece);
        if !done {
            done = content.data(&mut input, &mut out) == Progress::Done;
        }
    }
    (out.to_vec(), done.then(|| input.to_vec()), content.fault())
}

fn chunks(bounds: Bounds, pieces: &[&[u8]]) -> (Vec<u8>, Option<Reply>) {
    let mut content = Content::new(bounds);
    let mut out = BytesMut::new();
    for piece in pieces {
        content.chunk(piece, &mut out);
    }
    content.finish(&mut out);
    (out.to_vec(), content.fault())
}

/// The dots of RFC 5321 §4.5.2 and the end.
fn stuff(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::new();
    for line in content.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed.extend_from_slice(b".\r\n");
    stuffed
}

/// Pieces of `input`, cut at each of `cuts` modulo its length.
fn pieces<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.extend([0, input.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

#[test]
fn only_crlf_dot_crlf_ends_data() {
    let (content, rest, fault) = data(WIDE, &[b"a\r\n.\r\nQUIT\r\n"]);
    assert_eq!(content, b"a\r\n");
    assert_eq!(rest.as_deref(), Some(&b"QUIT\r\n"[..]));
    assert_eq!(fault, None);
}

#[test]
fn a_dot_at_once_is_an_empty_message() {
    assert_eq!(data(WIDE, &[b".\r\n"]), (vec![], Some(vec![]), None));
}

#[test]
fn one_leading_dot_is_taken_away() {
    let (content, rest, fault) = data(WIDE, &[b"..\r\n...\r\n.a\r\na.\r\n.\r\n"]);
    assert_eq!(content, b".\r\n..\r\na\r\na.\r\n");
    assert_eq!((rest, fault), (Some(vec![]), None));
}

/// Each of these ended a message somewhere, and what was behind it became a second one (CVE-2023-51764 and
/// its kin). Here the real end is the one behind `MAIL`.
#[test]
fn no_other_spelling_of_the_end_ends_data() {
    let spellings: [(&[u8], Reply); 12] = [
        (b"\n.\n", Reply::bare_lf()),
        (b"\n.\r\n", Reply::bare_lf()),
        (b"\r\n.\n", Reply::bare_lf()),
        (b"\r.\r", Reply::bare_cr()),
        (b"\r.\r\n", Reply::bare_cr()),
        (b"\r\n.\r", Reply::bare_cr()),
        (b"\r\n.\r\r\n", Reply::bare_cr()),
        (b"\r.\n", Reply::bare_cr()),
        (b"\n.\r", Reply::bare_lf()),
        (b"\n\r\n.\n", Reply::bare_lf()),
        (b"\r\n\0.\r\n", Reply::content_nul()),
        (b"\r\n.\0\r\n", Reply::content_nul()),
    ];
    for (spelling, reply) in spellings {
        let input = [b"a", spelling, b"MAIL\r\n.\r\nQUIT\r\n"].concat();
        let (_, rest, fault) = data(WIDE, &[&input]);
        assert_eq!(
            rest.as_deref(),
            Some(&b"QUIT\r\n"[..]),
            "{}",
            spelling.escape_ascii()
        );
        assert_eq!(fault, Some(reply), "{}", spelling.escape_ascii());
    }
}

#[test]
fn nothing_is_given_out_behind_a_fault() {
    let (content, rest, fault) = data(WIDE, &[b"good\r\nba\nd\r\nmore\r\n", b"more\r\n.\r\n"]);
    assert_eq!(content, b"good\r\nba");
    assert_eq!((rest, fault), (Some(vec![]), Some(Reply::bare_lf())));
}

#[test]
fn the_first_fault_is_the_one_named() {
    let (_, _, fault) = data(WIDE, &[b"a\0b\nc\rd\r\n.\r\n"]);
    assert_eq!(fault, Some(Reply::content_nul()));
}

#[test]
fn a_line_may_be_as_long_as_the_bound_with_its_crlf() {
    let bounds = Bounds { line: 10, ..WIDE };
    assert_eq!(data(bounds, &[b"12345678\r\n.\r\n"]).2, None);
    let long = data(bounds, &[b"123456789\r\n.\r\n"]);
    assert_eq!(long.2, Some(Reply::content_line_too_long()));
    assert_eq!(long.1, Some(vec![]));
}

#[test]
fn the_dot_of_transparency_counts_neither_in_the_line_nor_in_the_message() {
    let bounds = Bounds {
        line: 10,
        message_size: 10,
        ..WIDE
    };
    assert_eq!(data(bounds, &[b"..2345678\r\n.\r\n"]).2, None);
    let long = data(bounds, &[b"..23456789\r\n.\r\n"]);
    assert_eq!(long.2, Some(Reply::content_line_too_long()));
}

#[test]
fn an_endless_line_is_a_fault_long_before_its_end() {
    let bounds = Bounds { line: 100, ..WIDE };
    let mut content = Content::new(bounds);
    let mut out = BytesMut::new();
    content.data(&mut BytesMut::from(&[b'x'; 100][..]), &mut out);
    assert_eq!(content.fault(), None);
    content.data(&mut BytesMut::from(&b"x"[..]), &mut out);
    assert_eq!(content.fault(), Some(Reply::content_line_too_long()));
    assert_eq!(out.len(), 100);
}

#[test]
fn the_header_section_may_fill_its_bound_and_the_empty_line_is_not_of_it() {
    let bounds = Bounds { headers: 12, ..WIDE };
    for body in ["", "\r\n", "\r\nbody\r\nlonger than headers may be\r\n"] {
        let message = format!("A: b\r\nC: d\r\n{body}.\r\n");
        assert_eq!(data(bounds, &[message.as_bytes()]).2, None, "{body:?}");
    }
    let over = data(bounds, &[b"A: b\r\nC: dd\r\n\r\n.\r\n"]);
    assert_eq!(over.2, Some(Reply::headers_too_long()));
    let third = data(bounds, &[b"A: b\r\nC: d\r\nE\r\n\r\n.\r\n"]);
    assert_eq!(third.2, Some(Reply::headers_too_long()));
}

#[test]
fn a_message_may_be_as_big_as_the_bound() {
    let bounds = Bounds {
        message_size: 12,
        ..WIDE
    };
    assert_eq!(data(bounds, &[b"A: b\r\nC: d\r\n.\r\n"]).2, None);
    let over = data(bounds, &[b"A: b\r\nC: dd\r\n.\r\nQUIT"]);
    assert_eq!(over.2, Some(Reply::too_big()));
    assert_eq!(over.1.as_deref(), Some(&b"QUIT"[..]));
}

#[test]
fn eight_bit_is_refused_only_where_it_must_be_declared() {
    let message = "gr\u{fc}n\r\n.\r\n".as_bytes();
    assert_eq!(data(WIDE, &[message]).2, None);
    let strict = Bounds {
        eight_bit: EightBit::Refused,
        ..WIDE
    };
    assert_eq!(data(strict, &[message]).2, Some(Reply::undeclared_8bit()));
    assert_eq!(data(strict, &[b"\x7f\r\n.\r\n"]).2, None);
    assert_eq!(
        data(strict, &[b"\x80\r\n.\r\n"]).2,
        Some(Reply::undeclared_8bit())
    );
}

#[test]
fn chunks_are_taken_as_they_are_dots_and_all() {
    assert_eq!(
        chunks(WIDE, &[b"a\r\n.", b"\r\n", b"..\r", b"\n"]),
        (b"a\r\n.\r\n..\r\n".to_vec(), None)
    );
}

#[test]
fn a_missing_final_crlf_is_added_and_nothing_else() {
    assert_eq!(chunks(WIDE, &[b"a\r\nb"]), (b"a\r\nb\r\n".to_vec(), None));
    assert_eq!(chunks(WIDE, &[b"a\r\nb\r\n"]), (b"a\r\nb\r\n".to_vec(), None));
    assert_eq!(chunks(WIDE, &[b".", b""]), (b".\r\n".to_vec(), None));
}

#[test]
fn no_chunk_at_all_is_an_empty_message() {
    assert_eq!(chunks(WIDE, &[]), (vec![], None));
    assert_eq!(chunks(WIDE, &[b""]), (vec![], None));
}

#[test]
fn what_only_the_end_of_the_last_chunk_shows() {
    assert_eq!(chunks(WIDE, &[b"a\r"]).1, Some(Reply::bare_cr()));
    let bounds = Bounds { line: 10, ..WIDE };
    assert_eq!(chunks(bounds, &[b"12345678"]).1, None);
    assert_eq!(
        chunks(bounds, &[b"123456789"]).1,
        Some(Reply::content_line_too_long())
    );
}

#[test]
fn the_added_crlf_is_not_charged_to_the_client() {
    let bounds = Bounds {
        message_size: 3,
        ..WIDE
    };
    assert_eq!(chunks(bounds, &[b"abc"]), (b"abc\r\n".to_vec(), None));
    assert_eq!(chunks(bounds, &[b"abcd"]).1, Some(Reply::too_big()));
}

#[test]
fn chunks_obey_the_rules_of_data() {
    assert_eq!(chunks(WIDE, &[b"a\n"]).1, Some(Reply::bare_lf()));
    assert_eq!(chunks(WIDE, &[b"a\rb\r\n"]).1, Some(Reply::bare_cr()));
    assert_eq!(chunks(WIDE, &[b"a\r", b"b\r\n"]).1, Some(Reply::bare_cr()));
    assert_eq!(chunks(WIDE, &[b"a\0"]).1, Some(Reply::content_nul()));
}

/// Octets that matter, so that few of them meet every state.
fn telling() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        4 => Just(b'\r'),
        4 => Just(b'\n'),
        3 => Just(b'.'),
        3 => Just(b'a'),
        1 => Just(0),
        1 => Just(0xc3),
    ];
    let part = prop_oneof![
        3 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r\n.\r\n".to_vec()),
        4 => octet.prop_map(|octet| vec![octet]),
        2 => (1usize..12).prop_map(|length| vec![b'x'; length]),
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let eight_bit = prop_oneof![Just(EightBit::Accepted), Just(EightBit::Refused)];
    (3u64..80, 3usize..20, 3usize..40, eight_bit).prop_map(|(message_size, line, headers, eight_bit)| {
        Bounds {
            message_size,
            line,
            headers,
            eight_bit,
        }
    })
}

/// Whole lines, as a correct client has them.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec("[.a\u{e9} ]{0,5}", 0..12).prop_map(|lines| {
        lines
            .iter()
            .flat_map(|line| format!("{line}\r\n").into_bytes())
            .collect()
    })
}

proptest! {
    #[test]
    fn data_is_the_same_in_any_pieces(
        input in telling(),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
        bounds in prop_oneof![Just(WIDE), bounds()],
    ) {
        let whole = data(bounds, &[&input]);
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&data(bounds, &octets), &whole);
        prop_assert_eq!(&data(bounds, &pieces(&input, &cuts)), &whole);
    }

    #[test]
    fn chunks_are_the_same_in_any_pieces(
        input in telling(),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
        bounds in prop_oneof![Just(WIDE), bounds()],
    ) {
        let whole = chunks(bounds, &[&input]);
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&chunks(bounds, &octets), &whole);
        prop_assert_eq!(&chunks(bounds, &pieces(&input, &cuts)), &whole);
    }

    #[test]
    fn data_ends_exactly_at_the_first_crlf_dot_crlf(input in telling()) {
        // As if the content began behind a CRLF: `.CRLF` at once is an end too.
        let behind_crlf = [b"\r\n", &input[..]].concat();
        let end = behind_crlf.windows(5).position(|five| five == b"\r\n.\r\n");
        let rest = end.map(|end| behind_crlf[end + 5..].to_vec());
        prop_assert_eq!(data(WIDE, &[&input]).1, rest);
    }

    #[test]
    fn what_was_stuffed_comes_back(content in lines(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let stuffed = stuff(&content);
        prop_assert_eq!(data(WIDE, &pieces(&stuffed, &cuts)), (content.clone(), Some(vec![]), None));
        prop_assert_eq!(chunks(WIDE, &pieces(&content, &cuts)), (content, None));
    }
}
