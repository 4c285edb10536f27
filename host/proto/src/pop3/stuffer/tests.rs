use super::*;
use proptest::prelude::*;

fn stuffed(extent: Extent, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stuffer = Stuffer::new(extent);
    let mut out = Vec::new();
    for piece in pieces {
        if stuffer.push(piece, &mut out) == Flow::Enough {
            break;
        }
    }
    stuffer.finish(&mut out);
    out
}

fn whole(content: &str) -> String {
    String::from_utf8(stuffed(Extent::Whole, &[content.as_bytes()])).unwrap()
}

fn top(lines: u64, content: &str) -> String {
    String::from_utf8(stuffed(Extent::Top(lines), &[content.as_bytes()])).unwrap()
}

/// What a client makes of it (RFC 1939 §3), with all that stands behind the last line as a fault.
fn unstuffed(mut octets: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = memchr::memmem::find(octets, b"\r\n").expect("a line");
        let (line, rest) = octets.split_at(end + 2);
        if line == b".\r\n" {
            assert!(rest.is_empty(), "octets behind the last line");
            return content;
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        octets = rest;
    }
}

#[test]
fn a_dot_is_added_where_a_line_begins_with_one_and_nowhere_else() {
    assert_eq!(
        whole(".a\r\n..\r\nb.\r\n.\r\n a.b\r\n"),
        "..a\r\n...\r\nb.\r\n..\r\n a.b\r\n.\r\n"
    );
}

#[test]
fn a_line_end_is_added_only_where_there_is_none() {
    assert_eq!(whole("a\r\n"), "a\r\n.\r\n");
    assert_eq!(whole("a"), "a\r\n.\r\n");
    assert_eq!(whole("a\r\n."), "a\r\n..\r\n.\r\n");
    assert_eq!(whole(""), ".\r\n");
    assert_eq!(whole("\r\n"), "\r\n.\r\n");
}

#[test]
fn pieces_may_be_empty_and_split_everything() {
    let pieces: [&[u8]; 8] = [b"", b"a\r", b"", b"\n", b"", b".", b"\r\n", b""];
    assert_eq!(stuffed(Extent::Whole, &pieces), b"a\r\n..\r\n.\r\n");
}

#[test]
fn top_with_no_lines_ends_with_the_blank_line() {
    let message = "A: b\r\nC: d\r\n\r\none\r\n.two\r\nthree\r\n";
    assert_eq!(top(0, message), "A: b\r\nC: d\r\n\r\n.\r\n");
    assert_eq!(top(1, message), "A: b\r\nC: d\r\n\r\none\r\n.\r\n");
    assert_eq!(top(2, message), "A: b\r\nC: d\r\n\r\none\r\n..two\r\n.\r\n");
}

#[test]
fn top_with_as_many_lines_as_there_are_or_more_is_the_whole() {
    let message = "A: b\r\n\r\none\r\ntwo";
    for lines in [2, 3, u64::MAX] {
        assert_eq!(top(lines, message), "A: b\r\n\r\none\r\ntwo\r\n.\r\n");
    }
    assert_eq!(top(1, message), "A: b\r\n\r\none\r\n.\r\n");
}

#[test]
fn top_counts_blank_lines_of_the_body() {
    assert_eq!(
        top(2, "A: b\r\n\r\n\r\n\r\nlast\r\n"),
        "A: b\r\n\r\n\r\n\r\n.\r\n"
    );
}

#[test]
fn top_of_a_message_without_header_or_without_body() {
    assert_eq!(top(0, "\r\nbody\r\n"), "\r\n.\r\n");
    assert_eq!(top(5, "A: b\r\n"), "A: b\r\n.\r\n");
    assert_eq!(top(5, ""), ".\r\n");
    // A line of blanks is no blank line.
    assert_eq!(top(0, "A: b\r\n \r\n\r\nbody\r\n"), "A: b\r\n \r\n\r\n.\r\n");
}

#[test]
fn enough_is_said_as_soon_as_top_has_its_lines_and_nothing_is_sent_behind() {
    let mut stuffer = Stuffer::new(Extent::Top(1));
    let mut out = Vec::new();
    assert_eq!(stuffer.push(b"A: b\r\n\r\none\r", &mut out), Flow::More);
    assert_eq!(stuffer.push(b"\ntwo", &mut out), Flow::Enough);
    assert_eq!(stuffer.push(b"three\r\n", &mut out), Flow::Enough);
    stuffer.finish(&mut out);
    assert_eq!(out, b"A: b\r\n\r\none\r\n.\r\n");
    assert_eq!(
        Stuffer::new(Extent::Whole).push(b"a\r\n", &mut Vec::new()),
        Flow::More
    );
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just("\r\n"),
        3 => Just("."),
        2 => Just("a"),
        1 => Just("A: b"),
        1 => Just(" "),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat().into_bytes())
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![Just(Extent::Whole), (0_u64..8).prop_map(Extent::Top)]
}

proptest! {
    #[test]
    fn splits_make_no_difference(
        content in content(),
        extent in extent(),
        sizes in prop::collection::vec(1_usize..6, 1..12),
    ) {
        let mut pieces = Vec::new();
        let mut rest = &content[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(stuffed(extent, &pieces), stuffed(extent, &[&content]));
    }

    #[test]
    fn a_client_gets_back_what_was_sent(content in content()) {
        let mut expected = content.clone();
        if !content.is_empty() && !content.ends_with(b"\r\n") {
            expected.extend_from_slice(b"\r\n");
        }
        prop_assert_eq!(unstuffed(&stuffed(Extent::Whole, &[&content])), expected);
    }

    #[test]
    fn top_is_the_beginning_of_the_whole(content in content(), lines in 0_u64..8) {
        let whole = unstuffed(&stuffed(Extent::Whole, &[&content]));
        let top = unstuffed(&stuffed(Extent::Top(lines), &[&content]));
        prop_assert!(whole.starts_with(&top));
        let head = match whole.starts_with(b"\r\n") {
            true => Some(2),
            false => memchr::memmem::find(&whole, b"\r\n\r\n").map(|at| at + 4),
        };
        let body = &whole[head.unwrap_or(whole.len())..];
        let wanted = body.split_inclusive(|octet| *octet == b'\n').take(usize::try_from(lines).unwrap());
        let wanted: usize = wanted.map(<[u8]>::len).sum();
        prop_assert_eq!(top.len(), head.unwrap_or(whole.len()) + wanted);
    }
}
