use super::*;
use proptest::prelude::*;

type Taken = Result<Vec<u8>, Fault>;

fn all(lines: &mut Lines, bound: usize) -> Vec<Taken> {
    std::iter::from_fn(|| lines.next(bound))
        .map(|line| line.map(|line| line.to_vec()))
        .collect()
}

fn of(input: &[u8], bound: usize) -> Vec<Taken> {
    let mut lines = Lines::default();
    lines.feed(input);
    all(&mut lines, bound)
}

fn line(text: &str) -> Taken {
    Ok(text.as_bytes().to_vec())
}

#[test]
fn a_line_of_the_bound_with_its_crlf_is_taken_and_one_octet_more_is_not() {
    assert_eq!(of(b"12345678\r\nnext\r\n", 10), [line("12345678"), line("next")]);
    assert_eq!(
        of(b"123456789\r\nnext\r\n", 10),
        [Err(Fault::TooLong), line("next")]
    );
}

#[test]
fn a_long_line_is_a_fault_before_its_end_comes() {
    let mut lines = Lines::default();
    lines.feed(b"12345678");
    assert_eq!(lines.next(10), None);
    lines.feed(b"\r");
    assert_eq!(lines.next(10), None);
    lines.feed(b"\n123456789");
    assert_eq!(all(&mut lines, 10), [line("12345678"), Err(Fault::TooLong)]);
}

#[test]
fn a_fault_is_told_once_for_each_line() {
    let faults = b"a\nb\nc\0d\re\r\nf\r\n\0\r\n\rg\r\n";
    let told = [
        Err(Fault::BareLineEnd),
        line("f"),
        Err(Fault::Nul),
        Err(Fault::BareLineEnd),
    ];
    assert_eq!(of(faults, 255), told);
}

#[test]
fn a_handshake_is_told_from_a_nul() {
    assert_eq!(of(b"\x16\x03\x01\x00", 255), [Err(Fault::Handshake)]);
    assert_eq!(
        of(b"\x16\x03", 255),
        [Err(Fault::Handshake)],
        "it may send no more"
    );
    assert_eq!(of(b"\x16", 255), []);
    assert_eq!(of(b"\x16\x04\x01\x00", 255), [Err(Fault::Nul)]);
    assert_eq!(of(b"\x17\x03\x01\x00", 255), [Err(Fault::Nul)]);
}

#[test]
fn what_is_thrown_away_is_bounded_and_not_kept() {
    let faulty = |gone| [b"\n", &vec![b'x'; gone][..], b"\r\nnext\r\n"].concat();
    assert_eq!(of(&faulty(SKIPPED), 255), [Err(Fault::BareLineEnd), line("next")]);
    let told = of(&faulty(SKIPPED + 1), 255);
    assert_eq!(told, [Err(Fault::BareLineEnd), Err(Fault::Endless), line("next")]);

    let mut lines = Lines::default();
    lines.feed(b"\n");
    assert_eq!(lines.next(255), Some(Err(Fault::BareLineEnd)));
    for _ in 0..60 {
        lines.feed(&[b'x'; 1000]);
        assert_eq!(lines.next(255), None);
        assert_eq!(lines.octets().len(), 0);
    }
}

#[test]
fn what_was_fed_can_be_forgotten_even_within_a_faulty_line() {
    let mut lines = Lines::default();
    lines.feed(b"a\nb");
    assert_eq!(lines.next(255), Some(Err(Fault::BareLineEnd)));
    lines.clear();
    lines.feed(b"c\r\n");
    assert_eq!(all(&mut lines, 255), [line("c")]);
}

#[test]
fn no_input_is_shown() {
    let mut lines = Lines::default();
    lines.feed(b"PASS secret");
    assert_eq!(format!("{lines:?}"), "Lines(11 octets)");
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just("\r\n"),
        3 => Just("ab"),
        1 => Just("\r"),
        1 => Just("\n"),
        1 => Just("\0"),
        1 => Just("\x16"),
        1 => Just("a longer part"),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn splits_make_no_difference(input in input(), size in 1_usize..9) {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for piece in input.chunks(size) {
            lines.feed(piece);
            told.extend(all(&mut lines, 20));
        }
        prop_assert_eq!(told, of(&input, 20));
    }
}
