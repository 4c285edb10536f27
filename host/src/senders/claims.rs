//! Takes out `Authentication-Results` fields that claim to be ours (RFC 8601 §5): the one change that is made to a
//! message behind its trace.
//!
//! A field claims it if its authserv-id is this host's name, in whatever case, with or without a final dot, as a
//! quoted string, behind comments and folds, with any version. One that cannot be read claims it if the name occurs in it at
//! all: others may read it otherwise. All other fields stay byte for byte.

use crate::message::head;
use bytes::Bytes;

/// The header section without such fields; the very same memory where there are none.
pub fn without_claims(head: &Bytes, hostname: &str) -> Bytes {
    if !head::fields(head).any(|field| claims(&field, hostname)) {
        return head.clone();
    }
    let mut kept = Vec::with_capacity(head.len());
    let mut at = 0;
    for field in head::fields(head) {
        at += field.raw.len();
        if !claims(&field, hostname) {
            kept.extend_from_slice(field.raw);
        }
    }
    kept.extend_from_slice(head.get(at..).unwrap_or_default());
    kept.into()
}

fn claims(field: &head::Field<'_>, hostname: &str) -> bool {
    if !field.is("Authentication-Results") {
        return false;
    }
    let colon = field.raw.iter().position(|octet| *octet == b':');
    let value = colon
        .and_then(|colon| field.raw.get(colon + 1..))
        .unwrap_or_default();
    match authserv_id(value) {
        Some(id) => is(&id, hostname),
        None => String::from_utf8_lossy(&squeezed(value))
            .to_lowercase()
            .contains(hostname),
    }
}

fn is(id: &[u8], hostname: &str) -> bool {
    let Ok(id) = std::str::from_utf8(id) else {
        return false;
    };
    let id = id.trim_matches('.');
    let ascii = match id.is_ascii() {
        true => id.to_ascii_lowercase(),
        false => idna::domain_to_ascii(id).unwrap_or_default(),
    };
    ascii == hostname
}

/// The id, without its quotes; None where the field is not written as it should be.
fn authserv_id(value: &[u8]) -> Option<Vec<u8>> {
    let rest = behind_cfws(value)?;
    let (id, rest) = match rest.first()? {
        b'"' => quoted(rest)?,
        _ => token(rest)?,
    };
    // RFC 8601 §2.2: a version may follow, then the results.
    let rest = behind_cfws(rest)?;
    let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let rest = behind_cfws(rest.get(digits..)?)?;
    matches!(rest.first(), None | Some(b';')).then_some(id)
}

/// What follows white space, folds and comments (RFC 5322 §3.2.2); None where a comment has no end.
fn behind_cfws(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        match rest.first() {
            Some(b' ' | b'\t' | b'\r' | b'\n') => rest = rest.get(1..)?,
            Some(b'(') => rest = behind_comment(rest)?,
            _ => return Some(rest),
        }
    }
}

fn behind_comment(rest: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(octet) = rest.get(at) {
        at += 1;
        match octet {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' if depth == 1 => return rest.get(at..),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What is in quotes, without white space and folds, which no name has, and what is behind them.
fn quoted(rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut content = Vec::new();
    let mut octets = rest.iter().enumerate().skip(1);
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return Some((content, rest.get(at + 1..)?)),
            b'\\' => content.push(*octets.next()?.1),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            octet => content.push(*octet),
        }
    }
    None
}

/// RFC 2045 §5.1, and beyond it what RFC 6531 lets a name have.
fn token(rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let ends = |octet: &u8| octet.is_ascii_control() || b" ()<>@,;:\\\"/[]?=".contains(octet);
    let length = rest.iter().position(ends).unwrap_or(rest.len());
    let (id, rest) = rest.split_at(length);
    (!id.is_empty()).then(|| (id.to_vec(), rest))
}

/// Without white space, quotes, backslashes and comments.
fn squeezed(mut rest: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(rest.len());
    while let Some((octet, behind)) = rest.split_first() {
        rest = match octet {
            b'(' => behind_comment(rest).unwrap_or(behind),
            _ => behind,
        };
        if !b" \t\r\n\"\\(".contains(octet) {
            kept.push(*octet);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleared(fields: &str) -> String {
        let head = Bytes::from(format!("From: a@example.net\r\n{fields}Subject: x\r\n\r\n"));
        let cleared = without_claims(&head, "mx.example.org");
        String::from_utf8(cleared.to_vec()).unwrap()
    }

    const NONE: &str = "From: a@example.net\r\nSubject: x\r\n\r\n";

    #[test]
    fn a_claim_is_taken_out_however_it_is_written() {
        for claim in [
            "Authentication-Results: mx.example.org; spf=pass",
            "authentication-results:MX.Example.ORG;spf=pass",
            "AUTHENTICATION-RESULTS : mx.example.org",
            "Authentication-Results:\tmx.example.org.; none",
            "Authentication-Results: mx.example.org 1; spf=pass",
            "Authentication-Results: mx.example.org(c)1 (d) ; spf=pass",
            "Authentication-Results: mx.example.org 99; spf=pass",
            "Authentication-Results:\r\n mx.example.org;\r\n spf=pass",
            "Authentication-Results:\r\n\t\r\n\tmx.example.org\r\n\t1\r\n\t; spf=pass",
            "Authentication-Results: (a (nested \\) one)) mx.example.org; spf=pass",
            "Authentication-Results: ()\r\n (b)mx.example.org(c); spf=pass",
            "Authentication-Results: \"mx.example.org\"; spf=pass",
            "Authentication-Results: \"mx\\.example.org\" 1; spf=pass",
            "Authentication-Results: \"mx.exam\r\nple.org\"; spf=pass"
                .replace("\r\np", "\r\n p")
                .as_str(),
            "Authentication-Results: (never closed mx.example.org; spf=pass",
            "Authentication-Results: \"mx.example.org; spf=pass",
            "Authentication-Results: mx.example.org spf=pass",
            "Authentication-Results: mx .example.org; spf=pass",
            "Authentication-Results: mx(x).example.org; spf=pass",
            "Authentication-Results: mx.example.org/1; spf=pass",
            "Authentication-Results: ; mx.example.org; spf=pass",
        ] {
            assert_eq!(cleared(&format!("{claim}\r\n")), NONE, "{claim:?}");
        }
    }

    #[test]
    fn what_others_found_stays_byte_for_byte() {
        for other in [
            "Authentication-Results: mx.example.net; spf=pass",
            "Authentication-Results: mx.example.org.example.net; spf=pass",
            "Authentication-Results: amx.example.org; spf=pass",
            "Authentication-Results:  other.example  1 ;\r\n\tspf=pass smtp.mailfrom=mx.example.org",
            "Authentication-Results: (mx.example.org) mx.example.net; none",
            "X-Authentication-Results: mx.example.org; spf=pass",
            "ARC-Authentication-Results: i=1; mx.example.org; spf=pass",
            "Authentication-Results:",
            "Authentication-Results: \"unclear; spf=pass",
            "Received: from mx.example.org",
        ] {
            let expected = NONE.replacen("Subject", &format!("{other}\r\nSubject"), 1);
            assert_eq!(cleared(&format!("{other}\r\n")), expected, "{other:?}");
        }
        let head = Bytes::from_static(b"Authentication-Results: mx.example.net; none\r\n\r\n");
        assert_eq!(without_claims(&head, "mx.example.org").as_ptr(), head.as_ptr());
    }

    #[test]
    fn every_claim_goes_and_the_fields_around_keep_their_order() {
        let claim = "Authentication-Results: mx.example.org; spf=pass\r\n";
        let fields = format!("{claim}A: 1\r\n{claim}B: 2\r\n 3\r\n{claim}");
        let expected = NONE.replacen("Subject", "A: 1\r\nB: 2\r\n 3\r\nSubject", 1);
        assert_eq!(cleared(&fields), expected);
    }

    #[test]
    fn a_host_whose_name_has_a_labels_is_known_by_its_other_name() {
        let head = Bytes::from("Authentication-Results: mx.bücher.example; none\r\n\r\n");
        assert_eq!(without_claims(&head, "mx.xn--bcher-kva.example"), "\r\n");
    }
}
