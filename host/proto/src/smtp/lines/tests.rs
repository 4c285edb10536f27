use super::*;

type Read = Vec<Result<Vec<u8>, Fault>>;

fn lines(pieces: &[&[u8]]) -> Read {
    let (mut lines, mut input, mut read) = (Lines::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(line) = lines.next(&mut input) {
            read.push(line.map(|line| line.to_vec()));
        }
    }
    read
}

/// The same whole and byte by byte.
fn both(input: &[u8]) -> Read {
    let whole = lines(&[input]);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(lines(&bytes), whole);
    whole
}

fn line(text: &str) -> Result<Vec<u8>, Fault> {
    Ok(text.as_bytes().to_vec())
}

#[test]
fn lines_end_with_crlf() {
    assert_eq!(
        both(b"NOOP\r\n\r\nQUIT\r\nRS"),
        [line("NOOP"), line(""), line("QUIT")]
    );
}

#[test]
fn a_bare_cr_or_lf_or_a_nul_spoils_its_line_and_no_other() {
    for bad in ["a\nb", "a\rb", "a\0b", "a\n", "\0\0", "a\r"] {
        let input = format!("one\r\n{bad}\r\ntwo\r\n");
        assert_eq!(
            both(input.as_bytes()),
            [line("one"), Err(Fault::Unclean), line("two")],
            "{bad:?}"
        );
    }
}

#[test]
fn a_line_of_the_greatest_length_is_taken_and_one_octet_more_is_not() {
    let longest = "x".repeat(LONGEST - 2);
    assert_eq!(both(format!("{longest}\r\n").as_bytes()), [line(&longest)]);
    let longer = both(format!("{longest}x\r\nNOOP\r\n").as_bytes());
    assert_eq!(longer, [Err(Fault::TooLong), line("NOOP")]);
}

#[test]
fn what_is_skipped_is_not_kept() {
    let (mut lines, mut input) = (Lines::default(), BytesMut::from(&b"\n"[..]));
    assert_eq!(lines.next(&mut input), Some(Err(Fault::Unclean)));
    input.extend_from_slice(&vec![b'x'; 100_000]);
    assert_eq!(lines.next(&mut input), None);
    assert!(input.is_empty());
    assert!(!lines.at_start());
}
