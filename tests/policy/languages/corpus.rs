//! Odd mail, and what the sample filter says of it. Its phrase is `WIRE the Geld für`.

use std::fmt::Write as _;

/// A message of the corpus.
pub(crate) struct Letter {
    pub(crate) name: &'static str,
    pub(crate) from: &'static str,
    pub(crate) octets: Vec<u8>,
    /// Whether the phrase is in it.
    refused: bool,
}

const FROM: &str = "bob@shop.example";
/// Octets of one reading.
const PIECE: usize = 64 << 10;

fn letter(name: &'static str, octets: impl Into<Vec<u8>>) -> Letter {
    Letter {
        name,
        from: FROM,
        octets: octets.into(),
        refused: false,
    }
}

/// Likewise one that the filter refuses.
fn refused(letter: Letter) -> Letter {
    Letter {
        refused: true,
        ..letter
    }
}

fn text(name: &'static str, octets: &[u8]) -> Letter {
    letter(name, [b"Subject: text\r\n\r\n", octets].concat())
}

/// The phrase, so that it begins at that octet of the body.
fn at(name: &'static str, offset: usize) -> Letter {
    let mut body = vec![b'x'; offset];
    body.extend("wire THE geld für\r\n".as_bytes());
    refused(text(name, &body))
}

#[allow(clippy::too_many_lines, reason = "a list")]
pub(crate) fn letters() -> Vec<Letter> {
    let nested = (0..12).fold("Content-Type: text/plain\r\n\r\ninside\r\n".to_owned(), |inner, depth| {
        format!(
            "Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n{inner}\r\n--b{depth}\r\n\r\nbeside\r\n--b{depth}--\r\n"
        )
    });
    let base64 = "Subject: coded\r\nContent-Transfer-Encoding: base64\r\n\r\nd2lyZSB0aGUgR2VsZCBmw7xy\r\n";
    let all: Vec<u8> = (0..=u8::MAX).filter(|octet| !b"\r\n".contains(octet)).collect();
    let subject = |subject: &[u8]| [b"Subject: ", subject, b"\r\n\r\nbody\r\n"].concat();
    let mut letters = vec![
        letter("plain", "Subject: lunch\r\n\r\nAt noon?\r\n"),
        letter("nothing but an empty line", "\r\n\r\n"),
        letter("no body", "Subject: none\r\n\r\n"),
        letter("no subject", "From: <bob@shop.example>\r\n\r\nbody\r\n"),
        letter("an empty subject", "Subject:\r\n\r\nbody\r\n"),
        letter(
            "two subjects",
            "Subject: one\r\nSubject: wire the Geld für\r\n\r\nbody\r\n",
        ),
        refused(letter(
            "the phrase in a subject of 8 bits",
            subject("Fwd: Wire the gELD für".as_bytes()),
        )),
        refused(letter(
            "the phrase in an encoded subject",
            subject(b"=?utf-8?B?V0lSRSB0aGUgR2VsZCBmw7xyIGFsbGU=?="),
        )),
        refused(letter(
            "the phrase in a subject in Latin 1",
            subject(b"=?iso-8859-1?Q?wire_the_Geld_f=FCr?="),
        )),
        refused(letter(
            "the phrase in two words of a folded subject",
            subject(b"=?utf-8?Q?wire_the?=\r\n =?utf-8?Q?_Geld_f=C3=BCr?="),
        )),
        letter(
            "a capital letter beyond Z differs",
            subject("wire the Geld fÜr".as_bytes()),
        ),
        letter("the sign of Kelvin is no K", subject("\u{212a}elvin".as_bytes())),
        letter(
            "a subject in octets that are no UTF-8",
            subject(b"\xff\xfe wire \x80"),
        ),
        letter(
            "a subject in an unknown charset",
            subject(b"=?x-nothing?Q?wire?="),
        ),
        letter(
            "a subject of signs beyond 16 bits",
            subject("💸💸 wire".as_bytes()),
        ),
        refused(text(
            "the phrase in the body",
            "Please WIRE THE GELD für us.\r\n".as_bytes(),
        )),
        text("the phrase broken by a line", b"wire the\r\nGeld f\xc3\xbcr\r\n"),
        text("the phrase in Latin 1", b"wire the Geld f\xfcr\r\n"),
        text(
            "the phrase without its last octet",
            b"wire the Geld f\xc3\xbc\r\n",
        ),
        refused(text(
            "half of it, then all of it",
            "wire the wire the Geld für\r\n".as_bytes(),
        )),
        text("every octet, and NUL first", &all),
        refused(text(
            "NUL before the phrase",
            "\0\0\0wire the Geld für\0".as_bytes(),
        )),
        letter("the phrase in base64, which is not decoded", base64),
        letter("a tree of many levels", format!("MIME-Version: 1.0\r\n{nested}")),
        letter(
            "a boundary that never ends",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhalf\r\n",
        ),
        letter(
            "a multipart without a boundary",
            "Content-Type: multipart/mixed\r\n\r\nhalf\r\n",
        ),
        letter(
            "a name in octets",
            b"Content-Disposition: attachment; filename=\"\xff.exe\"\r\n\r\nMZ\r\n".as_slice(),
        ),
        letter("a header of a mebibyte", many_fields(1 << 20).octets),
        letter(
            "a subject of 100 KiB",
            subject("a very long matter ".repeat(5400).as_bytes()),
        ),
        at("the phrase at the body's begin", 0),
        at("the phrase before the end of a reading", PIECE - 18),
        at("the phrase at the end of a reading", PIECE - 10),
        at("the phrase behind a reading", PIECE),
        at("the phrase across the second reading", 2 * PIECE - 1),
        text("a body of a mebibyte", &large(1 << 20)),
        text("a body of one reading", &vec![b'w'; PIECE]),
    ];
    letters.push(Letter {
        from: "",
        ..letter("a bounce", "Subject: bounced\r\n\r\nSorry.\r\n")
    });
    letters.push(Letter {
        from: "ünï@shöp.example",
        ..letter("a sender beyond ASCII", "Subject: hello\r\n\r\nhello\r\n")
    });
    letters.push(letter("one too many", "Subject: lunch\r\n\r\nAt noon?\r\n"));
    letters
}

/// Messages in an hour, so that the last is one too many.
pub(crate) fn hourly() -> usize {
    let counted = |letter: &&Letter| letter.from == FROM && !letter.refused;
    letters().iter().filter(counted).count() - 1
}

/// What all languages say, with the grant to count and without it.
pub(crate) fn check(all: &[String]) {
    let letters = letters();
    assert_eq!(all.len(), 2 * letters.len());
    let (granted, denied) = all.split_at(letters.len());
    for said in [granted, denied] {
        for (said, letter) in said.iter().zip(&letters) {
            assert_eq!(said.contains("is not taken here"), letter.refused, "{said}");
        }
    }
    let said = |name: &str, all: &[String], part: &str| {
        let found = all.iter().find(|said| said.starts_with(&format!("{name}: ")));
        let found = found.unwrap_or_else(|| panic!("no {name}"));
        assert!(found.contains(part), "{part}: {found}");
    };
    said("plain", granted, "\"10 octets, 1 part; message 1 of this hour\"");
    said("plain", denied, "\"10 octets, 1 part\"");
    said("a bounce", granted, "\"8 octets, 1 part\"");
    said("a sender beyond ASCII", granted, "; message 1 of this hour");
    said("one too many", granted, "too many messages from bob@shop.example");
    said("one too many", denied, "Accept");
}

/// A message of about that many octets, of lines that differ.
pub(crate) fn large(octets: usize) -> Vec<u8> {
    let mut text = "Subject: large\r\n\r\n".to_owned();
    let mut line = 0_u64;
    while text.len() < octets {
        line += 1;
        let _ = write!(
            text,
            "{line:09} {:064x}\r\n",
            u128::from(line) * 0x9e37_79b9_7f4a_7c15
        );
    }
    text.into_bytes()
}

pub(crate) struct Fields {
    pub(crate) octets: Vec<u8>,
    /// Octets of all values together.
    pub(crate) values: usize,
}

/// A message with so many octets of header fields, each of which has its number.
pub(crate) fn many_fields(octets: usize) -> Fields {
    let mut head = String::new();
    let mut values = 0;
    for number in 0.. {
        if head.len() >= octets {
            break;
        }
        let value = format!("field {number} {}", "y".repeat(800));
        values += value.len();
        let _ = write!(head, "X-Field: {value}\r\n");
    }
    Fields {
        octets: (head + "\r\nbody\r\n").into_bytes(),
        values,
    }
}
