//! Trees of messages that are by the book, and of those that are not.

use super::*;
use crate::policy::limits::tests::{hits, hits_of};

const GENEROUS: Bounds = Bounds {
    depth: 20,
    parts: 1000,
    decoded: 1 << 20,
    parameters: 10,
};

fn tree(bounds: Bounds, head: &str, text: &str) -> Tree {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Tree::within(bounds, bytes(head), bytes(text))
}

const MIXED: &str = "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n";
const TWO: &str = "preamble\r\n--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\ncaf\u{e9}\r\n--b \r\n\
    Content-Type: application/zip; name=\"x.zip\"\r\nContent-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename*=utf-8''%C3%A4.zip\r\n\r\naGVsbG8=\r\n--b--\r\nepilogue";

#[test]
fn a_message_without_content_fields_is_one_plain_part() {
    let tree = tree(GENEROUS, "Subject: x\r\n\r\n", "hello\r\n");
    assert_eq!(tree.nodes.len(), 1);
    assert_eq!(tree.nodes[0].media_type, "text/plain");
    assert_eq!(tree.nodes[0].body, "hello\r\n");
    assert_eq!(tree.completeness, Completeness::Whole);
}

#[test]
fn parts_come_in_the_order_of_the_message_and_are_decoded() {
    let tree = tree(GENEROUS, MIXED, TWO);
    let found: Vec<(u32, &str, &str)> = tree
        .nodes
        .iter()
        .map(|node| (node.parent, node.media_type.as_str(), node.name.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (0, "multipart/mixed", ""),
            (0, "text/html", ""),
            (0, "application/zip", "\u{e4}.zip")
        ]
    );
    assert_eq!(
        tree.nodes[2].body, "hello",
        "the disposition's name, the decoded octets"
    );
    assert_eq!(tree.nodes[2].read(3, 64), "lo");
    assert_eq!(tree.nodes[2].read(9, 64), "");
}

#[test]
fn a_message_in_a_message_is_opened_even_if_it_is_encoded() {
    let inner = "Content-Type: text/csv\r\n\r\na,b\r\n";
    let plain = tree(GENEROUS, "Content-Type: message/rfc822\r\n\r\n", inner);
    assert_eq!(plain.nodes.len(), 2);
    assert_eq!(
        (plain.nodes[1].parent, plain.nodes[1].media_type.as_str()),
        (0, "text/csv")
    );
    let encoded = "Q29udGVudC1UeXBlOiB0ZXh0L2NzdgoKYSxiCg==";
    let head = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let encoded = tree(GENEROUS, head, encoded);
    assert_eq!(encoded.nodes[1].media_type, "text/csv");
    assert_eq!(encoded.nodes[1].body, "a,b\n");
}

#[test]
fn parts_of_a_digest_are_messages() {
    let head = "Content-Type: multipart/digest; boundary=b\r\n\r\n";
    let tree = tree(GENEROUS, head, "--b\r\n\r\nSubject: one\r\n\r\ntext\r\n--b--\r\n");
    let types: Vec<&str> = tree.nodes.iter().map(|node| node.media_type.as_str()).collect();
    assert_eq!(types, ["multipart/digest", "message/rfc822", "text/plain"]);
}

#[test]
fn a_multipart_without_its_end_or_its_boundary_loses_nothing() {
    let cut = tree(GENEROUS, MIXED, "--b\r\n\r\none\r\n--b\r\n\r\ntwo");
    assert_eq!(cut.nodes[2].body, "two");
    let none = tree(GENEROUS, MIXED, "no delimiter at all");
    assert_eq!(none.nodes[0].body, "no delimiter at all");
    assert_eq!(
        tree(GENEROUS, MIXED, "--bb\r\n\r\nx\r\n").nodes.len(),
        1,
        "another boundary"
    );
}

#[test]
fn text_is_utf8_whatever_it_was_and_never_ends_within_a_character() {
    let head =
        "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    let latin = tree(GENEROUS, head, "caf=E9 au lait");
    assert_eq!(latin.nodes[0].text(64), "caf\u{e9} au lait");
    assert_eq!(latin.nodes[0].text(5), "caf\u{e9}");
    assert_eq!(latin.nodes[0].text(4), "caf");
}

#[test]
fn exactly_so_many_parts_are_listed() {
    let with = |parts| tree(Bounds { parts, ..GENEROUS }, MIXED, TWO);
    assert_eq!(
        (with(3).nodes.len(), with(3).completeness),
        (3, Completeness::Whole)
    );
    assert_eq!(
        (with(2).nodes.len(), with(2).completeness),
        (2, Completeness::Cut)
    );
}

#[test]
fn levels_below_the_bound_are_not_opened() {
    let with = |depth| tree(Bounds { depth, ..GENEROUS }, MIXED, TWO);
    assert_eq!(
        (with(1).nodes.len(), with(1).completeness),
        (3, Completeness::Whole)
    );
    assert_eq!(
        (with(0).nodes.len(), with(0).completeness),
        (1, Completeness::Cut)
    );
}

#[test]
fn so_many_octets_are_decoded_and_no_more() {
    let with = |decoded| tree(Bounds { decoded, ..GENEROUS }, MIXED, TWO);
    assert_eq!(with(5).nodes[2].body, "hello");
    assert_eq!(with(5).completeness, Completeness::Whole);
    assert_eq!(with(4).nodes[2].body, "");
    assert_eq!(with(4).completeness, Completeness::Cut);
}

#[test]
fn a_message_nested_without_end_is_cut_and_costs_no_stack() {
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    let tree = tree(GENEROUS, "Content-Type: message/rfc822\r\n\r\n", &deep);
    assert_eq!(tree.nodes.len(), 21);
    assert_eq!(tree.completeness, Completeness::Cut);
}

#[test]
fn a_tree_that_is_cut_is_counted_once_under_the_bound_that_it_met() {
    for (bounds, limit) in [
        (Bounds { parts: 2, ..GENEROUS }, Limit::MimeParts),
        (Bounds { depth: 0, ..GENEROUS }, Limit::MimeDepth),
        (
            Bounds {
                decoded: 4,
                ..GENEROUS
            },
            Limit::MimeText,
        ),
    ] {
        assert_eq!(hits(limit, || drop(tree(bounds, MIXED, TWO))), 1, "{limit:?}");
        assert_eq!(hits(limit, || drop(tree(GENEROUS, MIXED, TWO))), 0, "{limit:?}");
    }
}

/// What is too long for us may be read by the recipient's program: the tree must not pass for whole.
#[test]
fn a_part_whose_header_is_too_long_to_be_read_cuts_the_tree() {
    let with = |head: &str| {
        let text = format!("--b\r\n{head}\r\n\r\nx\r\n--b--\r\n");
        tree(GENEROUS, MIXED, &text).completeness
    };
    // Without the empty line at its end.
    let head = |octets: usize| format!("X: {}", "x".repeat(octets - "X: \r\n".len()));
    for (octets, completeness, times) in [
        (256 << 10, Completeness::Whole, 0),
        ((256 << 10) + 1, Completeness::Cut, 1),
    ] {
        let of_head = || assert_eq!(with(&head(octets)), completeness, "{octets}");
        assert_eq!(hits(Limit::MimeHeader, of_head), times, "{octets}");
    }
    let field = |octets: usize| {
        let name = "Content-Disposition: attachment; x=";
        format!("{name}{}", "x".repeat(octets - name.len() - 2))
    };
    assert_eq!(with(&field(16 << 10)), Completeness::Whole);
    assert_eq!(with(&field((16 << 10) + 1)), Completeness::Cut);
    let nested = |octets: usize| {
        let boundary = "c".repeat(octets);
        format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n--{boundary}\r\n\r\nx")
    };
    assert_eq!(with(&nested(256)), Completeness::Whole);
    assert_eq!(with(&nested(257)), Completeness::Cut);
    let long = tree(GENEROUS, &format!("{}\r\n\r\n", head(300 << 10)), "x");
    assert_eq!(
        long.completeness,
        Completeness::Whole,
        "the message's own was received whole"
    );
}

/// A name in 60,000 sections used up the time of every policy that asked for it.
#[test]
fn so_many_parameters_may_a_part_have_and_one_more_cuts_the_tree() {
    let with = |section: &str, sections: usize| {
        let head = format!("Content-Disposition: attachment{}", section.repeat(sections));
        tree(GENEROUS, MIXED, &format!("--b\r\n{head}\r\n\r\nx\r\n--b--\r\n"))
    };
    for section in ["; filename*0=aaaa", ";\r\n filename*1*=%41", "; x=y"] {
        let (most, more) = (with(section, 10), with(section, 11));
        assert_eq!(most.completeness, Completeness::Whole, "{section}");
        assert_eq!(
            (more.nodes.len(), more.completeness),
            (2, Completeness::Cut),
            "{section}"
        );
    }
    let two_fields =
        "--b\r\nContent-Type: x/y; a=b\r\nContent-Disposition: inline; c=d\r\n\r\nx\r\n--b--\r\n";
    let with = |parameters| {
        let bounds = Bounds {
            parameters,
            ..GENEROUS
        };
        tree(bounds, MIXED, two_fields)
    };
    assert_eq!(with(2).completeness, Completeness::Whole);
    assert_eq!(with(1).completeness, Completeness::Cut);
    assert_eq!(hits(Limit::MimeParameters, || drop(with(1))), 1);
    assert_eq!(hits(Limit::MimeParameters, || drop(with(2))), 0);
}

fn room(text: u64, room: u64) -> Room {
    Room::new(MimeLimits {
        text,
        room,
        ..crate::config::PolicyLimits::default().mime
    })
}

#[tokio::test]
async fn a_text_too_large_for_the_room_has_only_its_root() {
    let room = room(100_000, 1 << 20);
    for (text, times) in [(100_000, 0), (100_001, 1)] {
        let (met, share) = hits_of(Limit::MimeText, room.share(text)).await;
        assert_eq!((met, share.is_none()), (times, times == 1), "{text}");
    }
    let tree = Tree::unread(&Bytes::from_static(MIXED.as_bytes()));
    assert_eq!((tree.nodes.len(), tree.completeness), (1, Completeness::Cut));
}

#[tokio::test]
async fn who_finds_no_room_waits_until_there_is_some() {
    let room = room(64 << 10, 256 << 10);
    let two = async { [room.share(64 << 10).await, room.share(64 << 10).await].map(Option::unwrap) };
    let (met, [first, _second]) = hits_of(Limit::MimeRoom, two).await;
    assert_eq!(met, 0, "two and what they decode to fill it");
    let third = tokio::spawn({
        let room = room.clone();
        async move { room.share(64 << 10).await.is_some() }
    });
    let (met, ()) = hits_of(Limit::MimeRoom, tokio::task::yield_now()).await;
    assert_eq!(met, 1);
    assert!(!third.is_finished(), "the room is full");
    drop(first);
    assert!(third.await.unwrap());
}
