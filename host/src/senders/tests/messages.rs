//! DKIM, ARC and DMARC.

mod silent;

use super::*;
use crate::policy::MessageSource;
use crate::policy::stand::Mail;
use crate::store;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults};
use rcgen::PublicKeyData as _;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;

const PLAIN: &str =
    "From: Ann <ann@example.net>\r\nSubject: x\r\n\r\nOne  line\t \r\n\r\nand more\r\n\r\n\r\n";

/// A key, and the record with its other half.
fn key() -> (Ed25519Key, String) {
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().unwrap()).unwrap();
    let record = format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.public_key()));
    (key, record)
}

fn rsa_key() -> (RsaKey<Sha256>, String) {
    let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let key = RsaKey::from_key_der(PrivateKeyDer::Pkcs8(pair.serialize_der().into())).unwrap();
    let record = format!(
        "v=DKIM1; k=rsa; p={}",
        STANDARD.encode(pair.subject_public_key_info())
    );
    (key, record)
}

fn signed(key: impl SigningKey, domain: &str, message: &str) -> String {
    let signer = DkimSigner::from_key(key)
        .domain(domain)
        .selector("s")
        .headers(["From", "Subject"]);
    format!(
        "{}{message}",
        signer.sign(message.as_bytes()).unwrap().to_header()
    )
}

async fn found(senders: &Senders, message: &str, sender: &str) -> Verified {
    let spf = spf_of(senders, sender).await;
    let mail = Mail::new(message);
    senders.verify(&mail.head(), &*mail, &spf).await
}

/// The only signature's word.
async fn dkim(senders: &Senders, message: &str) -> &'static str {
    let verified = found(senders, message, "ann@example.net").await;
    assert_eq!(verified.dkim.len(), 1, "{verified:?}");
    verified.dkim[0].outcome.word
}

#[tokio::test]
async fn dkim_says_every_word() {
    let (pass, record) = key();
    let (other, _) = key();
    let (keyless, _) = key();
    let (broken, _) = key();
    let (partial, partial_record) = key();
    let server = Records::default()
        .txt("s._domainkey.example.net", &record)
        .txt("s._domainkey.partial.example", &partial_record)
        .failing("s._domainkey.broken.example")
        .serve()
        .await;
    let senders = senders(&server, "");
    let good = signed(pass, "example.net", PLAIN);
    assert_eq!(dkim(&senders, &good).await, "pass");
    assert_eq!(
        dkim(&senders, &good.replace("and more", "and less")).await,
        "fail"
    );
    assert_eq!(
        dkim(&senders, &good.replace("Subject: x", "Subject: y")).await,
        "fail"
    );
    assert_eq!(dkim(&senders, &signed(other, "example.net", PLAIN)).await, "fail");
    assert_eq!(
        dkim(&senders, &signed(keyless, "keyless.example", PLAIN)).await,
        "permerror"
    );
    assert_eq!(
        dkim(&senders, &signed(broken, "broken.example", PLAIN)).await,
        "temperror"
    );
    let unreadable = format!(
        "DKIM-Signature: v=7; a=ed25519-sha256; d=example.net; s=s; h=From; bh=AA==; b=AA==\r\n{PLAIN}"
    );
    assert_eq!(dkim(&senders, &unreadable).await, "neutral");
    let signer = DkimSigner::from_key(partial)
        .domain("partial.example")
        .selector("s")
        .headers(["From"]);
    let signature = signer.body_length(true).sign(PLAIN.as_bytes()).unwrap();
    let appended = format!("{}{PLAIN}appended\r\n", signature.to_header());
    assert_eq!(dkim(&senders, &appended).await, "policy");
    let none = found(&senders, PLAIN, "ann@example.net").await;
    assert_eq!(none.dkim, []);
}

#[tokio::test]
async fn a_long_text_is_verified_as_it_is_read_by_either_canonicalisation_and_kind_of_key() {
    let text = format!("{}\r\n", "word  and \tmore\r\n".repeat(20_000));
    let message = format!("From: ann@example.net\r\nSubject: x\r\n\r\n{text}");
    for canonical in [Canonicalization::Simple, Canonicalization::Relaxed] {
        let (key, record) = rsa_key();
        let server = Records::default()
            .txt("s._domainkey.example.net", &record)
            .serve()
            .await;
        let signer = DkimSigner::from_key(key)
            .domain("example.net")
            .selector("s")
            .headers(["From"]);
        let signature = signer
            .body_canonicalization(canonical)
            .sign(message.as_bytes())
            .unwrap();
        let whole = format!("{}{message}", signature.to_header());
        assert_eq!(dkim(&senders(&server, ""), &whole).await, "pass", "{canonical:?}");
        let cut = whole.trim_end().to_owned() + " x\r\n";
        assert_eq!(dkim(&senders(&server, ""), &cut).await, "fail", "{canonical:?}");
    }
}

#[tokio::test]
async fn so_many_signatures_are_verified_and_one_result_stands_for_the_others() {
    let records = ["a", "b", "c"].map(|name| {
        let (key, record) = key();
        (format!("{name}.example"), key, record)
    });
    let mut zone = Records::default();
    let mut message = PLAIN.to_owned();
    for (domain, key, record) in records {
        zone = zone.txt(&format!("s._domainkey.{domain}"), &record);
        message = signed(key, &domain, &message);
    }
    let server = zone.serve().await;
    let limit = "sender_auth.signatures";
    let all = senders(&server, "signatures: 3");
    let (is_met, verified) = met(limit, found(&all, &message, "ann@example.net")).await;
    let words = |verified: &Verified| {
        let each = verified
            .dkim
            .iter()
            .map(|one| (one.outcome.word, one.domain.clone()));
        each.collect::<Vec<_>>()
    };
    assert!(
        !is_met && words(&verified).iter().all(|(word, _)| *word == "pass"),
        "{verified:?}"
    );
    let some = senders(&server, "signatures: 1");
    let (is_met, verified) = met(limit, found(&some, &message, "ann@example.net")).await;
    assert!(is_met);
    let expected = [
        ("pass", "c.example".to_owned()),
        ("policy", "b.example".to_owned()),
    ];
    assert_eq!(words(&verified), expected);
}

#[tokio::test]
async fn signatures_that_cannot_be_read_hide_none_that_can() {
    let (key, record) = key();
    let server = Records::default()
        .txt("s._domainkey.example.net", &record)
        .serve()
        .await;
    let unreadable = "DKIM-Signature: v=7; a=rsa-sha256; d=a.example; s=s; h=From; bh=AA==; b=AA==\r\n";
    let message = format!("{}{}", unreadable.repeat(5), signed(key, "example.net", PLAIN));
    let few = senders(&server, "signatures: 2");
    let verified = found(&few, &message, "ann@example.net").await;
    let words: Vec<_> = verified.dkim.iter().map(|one| one.outcome.word).collect();
    assert_eq!(words, ["pass", "neutral"]);
}

#[tokio::test]
async fn a_signature_that_names_more_fields_than_can_be_found_is_not_verified() {
    let server = Records::default().serve().await;
    let senders = senders(&server, "");
    let naming = |names: usize| {
        let names = vec!["From"; names].join(":");
        format!(
            "DKIM-Signature: v=1; a=ed25519-sha256; d=example.net; s=s; h={names}; bh=AAAA; b=AAAA\r\n{PLAIN}"
        )
    };
    assert_eq!(dkim(&senders, &naming(900)).await, "fail", "its text is another");
    assert_eq!(dkim(&senders, &naming(1000)).await, "policy");
}

#[tokio::test]
async fn a_signature_that_leaves_the_author_out_counts_for_nothing() {
    let (key, record) = key();
    let server = Records::default()
        .txt("s._domainkey.example.net", &record)
        .txt("_dmarc.example.net", "v=DMARC1; p=reject")
        .serve()
        .await;
    let signer = DkimSigner::from_key(key)
        .domain("example.net")
        .selector("s")
        .headers(["Subject"]);
    let signature = signer.sign(PLAIN.as_bytes()).unwrap();
    let message = format!("{}{PLAIN}", signature.to_header());
    let verified = found(&senders(&server, ""), &message, "bob@other.example").await;
    assert_eq!(
        verified.dkim[0].outcome,
        Outcome::because("permerror", "From is not signed")
    );
    assert_eq!(verified.dmarc.word, "fail");
}

#[tokio::test]
async fn dmarc_says_every_word_and_what_the_domain_wishes() {
    let (key, record) = key();
    let server = Records::default()
        .txt("s._domainkey.example.net", &record)
        .txt("_dmarc.example.net", "v=DMARC1; p=reject")
        .txt("_dmarc.quarantine.example", "v=DMARC1; p=quarantine")
        .txt("_dmarc.lax.example", "v=DMARC1; p=none")
        .txt("lax.example", "v=spf1 ip4:192.0.2.1 -all")
        .failing("_dmarc.broken.example")
        .serve()
        .await;
    let senders = senders(&server, "");
    let from = |domain: &str| PLAIN.replace("example.net", domain);
    let long = format!("{}.example", "a".repeat(64));
    for (message, sender, word, policy) in [
        (
            signed(key, "example.net", PLAIN),
            "bob@other.example",
            "pass",
            "reject",
        ),
        (from("example.net"), "bob@other.example", "fail", "reject"),
        (
            from("sub.quarantine.example"),
            "bob@other.example",
            "fail",
            "quarantine",
        ),
        (from("lax.example"), "bob@lax.example", "pass", "none"),
        (from("lax.example"), "bob@other.example", "fail", "none"),
        (from("nothing.example"), "bob@other.example", "none", ""),
        (from("broken.example"), "bob@other.example", "temperror", ""),
        (from(&long), "bob@other.example", "permerror", ""),
        (
            "Subject: x\r\n\r\nno author\r\n".to_owned(),
            "bob@other.example",
            "permerror",
            "",
        ),
    ] {
        let verified = found(&senders, &message, sender).await;
        assert_eq!(
            (verified.dmarc.word, verified.policy),
            (word, policy),
            "{message}"
        );
    }
}

/// Fields, and what comes of them: the word, the wish, the domain.
const AUTHORS: [(&str, &str, &str, &str); 13] = [
    ("From: x@evil.example", "pass", "reject", "evil.example"),
    (
        "From: ceo@bank.example\r\nFrom: x@evil.example",
        "fail",
        "reject",
        "bank.example",
    ),
    (
        "From: x@evil.example\r\nfrom : ceo@bank.example",
        "fail",
        "reject",
        "bank.example",
    ),
    (
        "From: x@evil.example, ceo@Bank.example.",
        "fail",
        "reject",
        "bank.example",
    ),
    (
        "From: Two: x@evil.example, ceo@bank.example;",
        "fail",
        "reject",
        "bank.example",
    ),
    (
        "From: a@shop.example, b@bank.example",
        "fail",
        "reject",
        "bank.example",
    ),
    (
        "From: a@shop.example, x@evil.example",
        "fail",
        "quarantine",
        "shop.example",
    ),
    (
        "From: x@evil.example, a@bücher.example",
        "fail",
        "none",
        "xn--bcher-kva.example",
    ),
    (
        "From: x@evil.example, a@nothing.example",
        "none",
        "",
        "nothing.example",
    ),
    (
        "From: x@evil.example, a@broken.example",
        "temperror",
        "",
        "broken.example",
    ),
    (
        "From: x@evil.example, y@EVIL.example",
        "pass",
        "reject",
        "evil.example",
    ),
    (
        "From: x@evil.example\r\nFrom: nobody",
        "permerror",
        "",
        "evil.example",
    ),
    ("From: x@evil.example\r\nFrom:", "permerror", "", "evil.example"),
];

#[tokio::test]
async fn every_author_is_asked_about_and_the_worst_result_counts() {
    let server = Records::default()
        .txt("_dmarc.bank.example", "v=DMARC1; p=reject")
        .txt("_dmarc.shop.example", "v=DMARC1; p=quarantine")
        .txt("_dmarc.evil.example", "v=DMARC1; p=reject")
        .txt("evil.example", "v=spf1 ip4:192.0.2.1 -all")
        .txt("_dmarc.xn--bcher-kva.example", "v=DMARC1; p=none")
        .failing("_dmarc.broken.example")
        .serve()
        .await;
    let senders = senders(&server, "");
    for (fields, word, policy, from) in AUTHORS {
        let message = format!("{fields}\r\n\r\nx\r\n");
        let verified = found(&senders, &message, "x@evil.example").await;
        assert_eq!(
            (verified.dmarc.word, verified.policy, verified.from.as_str()),
            (word, policy, from),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_field_that_may_be_read_as_another_authors_is_an_error() {
    let server = Records::default()
        .txt("_dmarc.bank.example", "v=DMARC1; p=reject")
        .txt("_dmarc.evil.example", "v=DMARC1; p=reject")
        .txt("evil.example", "v=spf1 +all")
        .txt("_dmarc.odd.example", "v=DMARC1; p=frown; sp=frown; pct=x; adkim=")
        .serve()
        .await;
    let senders = senders(&server, "");
    let malformed = Outcome::because("permerror", "a From field is malformed");
    let unaligned = Outcome::of("fail");
    for (field, expected) in [
        ("Ann <ceo@bank.example, x@evil.example>", &malformed),
        ("Ann <ceo@bank.example> <x@evil.example>", &malformed),
        ("a@x.example, ceo@bank.example <x@evil.example>", &unaligned),
        ("ceo@bank.example <x@evil.example>", &unaligned),
        ("ceo@bank.example\u{b}", &malformed),
        ("<ceo@bank.example\u{7f}>", &malformed),
        ("ceo@[bank.example]", &malformed),
        ("=?utf-8?q?ceo@bank.example?= , x@evil.example", &malformed),
        (
            "=?utf-8?b?PGNlb0BiYW5rLmV4YW1wbGU+?=, <x@evil.example>",
            &malformed,
        ),
        ("ceo@bank.example: <x@evil.example>", &malformed),
        ("<x@evil.example> ceo@bank.example", &malformed),
        ("<ceo@bank.example@evil.example>", &malformed),
        ("Ann <x@evil.example", &malformed),
        ("\"ceo@bank.example\" <x@evil.example>", &Outcome::of("pass")),
        ("Ann <x@evil.example> (ceo@bank.example)", &Outcome::of("pass")),
        (
            "=?utf-8?q?x@evil.example?= <x@evil.example>",
            &Outcome::of("pass"),
        ),
    ] {
        let message = format!("From: {field}\r\n\r\nx\r\n");
        let verified = found(&senders, &message, "x@evil.example").await;
        assert_eq!(&verified.dmarc, expected, "{field}");
        let wish = if expected == &malformed { "" } else { "reject" };
        assert_eq!(verified.policy, wish, "{field}");
    }
    let odd = found(&senders, "From: x@odd.example\r\n\r\nx\r\n", "x@evil.example").await;
    assert_eq!(
        (odd.dmarc.word, odd.policy),
        ("permerror", "none"),
        "{:?}",
        odd.dmarc
    );
}

#[tokio::test]
async fn a_panic_of_one_parser_is_our_trouble_and_what_the_other_reads_counts() {
    let (key, record) = key();
    let server = Records::default()
        .txt("s._domainkey.example.net", &record)
        .txt("_dmarc.example.net", "v=DMARC1; p=reject")
        .txt("example.net", "v=spf1 +all")
        .serve()
        .await;
    let senders = senders(&server, "");
    let message = signed(key, "example.net", PLAIN);
    let mail = Mail::new(&message);
    let head = mail.head();
    let ours = async |read, sender: &str| {
        let spf = spf_of(&senders, sender).await;
        let facts = (&spf, tokio::time::Instant::now());
        senders.verify_read(read, &*mail, facts).await
    };
    let parsed = || AuthenticatedMessage::parse(&head);
    let authors = || Ok(vec!["example.net".to_owned()]);
    let verified = ours(message::read(parsed, || panic!("of From")), "bob@other.example").await;
    assert_eq!(verified.dmarc, Outcome::trouble("From cannot be read"));
    assert_eq!(verified.dkim[0].outcome.word, "pass");
    let unread = Outcome::trouble("the message cannot be read");
    for (sender, dmarc) in [
        ("bob@other.example", &unread),
        ("ann@example.net", &Outcome::of("pass")),
    ] {
        let verified = ours(message::read(|| panic!("of the rest"), authors), sender).await;
        assert_eq!(&verified.dmarc, dmarc, "{sender}");
        assert_eq!(
            (verified.from.as_str(), verified.policy),
            ("example.net", "reject")
        );
        assert_eq!((&verified.dkim[0].outcome, &verified.arc), (&unread, &unread));
    }
}

#[tokio::test]
async fn authors_of_so_many_domains_are_asked_about() {
    let server = Records::default().serve().await;
    let senders = senders(&server, "");
    for (domains, expected) in [
        (5, Outcome::of("none")),
        (6, Outcome::because("permerror", "authors of more than 5 domains")),
    ] {
        let authors: Vec<String> = (0..domains).map(|n| format!("a@d{n}.example")).collect();
        let message = format!("From: {}\r\n\r\nx\r\n", authors.join(", "));
        let (is_met, verified) = met("sender_auth.authors", found(&senders, &message, "")).await;
        assert_eq!((is_met, verified.dmarc), (expected.word == "permerror", expected));
    }
    let none = found(&senders, "Subject: x\r\n\r\nx\r\n", "").await;
    assert_eq!(none.dmarc, Outcome::because("permerror", "no From field"));
    let longest = 64 * 1024;
    for (octets, expected) in [
        (longest, Outcome::of("none")),
        (
            longest + 1,
            Outcome::because("permerror", "From of more than 64 KiB"),
        ),
    ] {
        let (first, second) = ("From: a@d.example\r\n", "FROM: Ann <a@d.example>\r\n");
        let name = "A".repeat(octets - first.len() - second.len() + 3);
        let message = format!("{first}{}\r\nx\r\n", second.replace("Ann", &name));
        let (is_met, verified) = met("sender_auth.authors", found(&senders, &message, "")).await;
        assert_eq!((is_met, verified.dmarc), (expected.word == "permerror", expected));
    }
}

fn sealed(key: Ed25519Key, message: &str) -> String {
    let parsed = AuthenticatedMessage::parse(message.as_bytes()).unwrap();
    let results = AuthenticationResults::new("forwarder.example");
    let sealer = ArcSealer::from_key(key)
        .domain("forwarder.example")
        .selector("s")
        .headers(["From", "Subject"]);
    let set = sealer.seal(&parsed, &results, &ArcOutput::default()).unwrap();
    format!("{}{message}", set.to_header())
}

#[tokio::test]
async fn arc_says_every_word() {
    let (good, record) = key();
    let (broken, _) = key();
    let server = Records::default()
        .txt("s._domainkey.forwarder.example", &record)
        .serve()
        .await;
    let failing = Records::default()
        .failing("s._domainkey.forwarder.example")
        .serve()
        .await;
    let chain = sealed(good, PLAIN);
    let word = async |server: &Server, message: &str| {
        found(&senders(server, ""), message, "ann@example.net")
            .await
            .arc
            .word
    };
    assert_eq!(word(&server, &chain).await, "pass");
    assert_eq!(
        word(&server, &chain.replace("and more", "and less")).await,
        "fail"
    );
    assert_eq!(word(&server, &sealed(broken, PLAIN)).await, "fail");
    assert_eq!(
        word(&server, &chain.replacen("ARC-Seal", "X-Seal", 1)).await,
        "fail"
    );
    assert_eq!(word(&server, PLAIN).await, "none");
    assert_eq!(word(&failing, &chain).await, "temperror");
}

#[tokio::test]
async fn what_takes_too_long_is_temperror_and_names_the_signatures() {
    let (key, _) = key();
    let server = Records::default()
        .silent("s._domainkey.example.net")
        .silent("_dmarc.example.net")
        .serve()
        .await;
    let message = signed(key, "example.net", PLAIN);
    let limit = "sender_auth.timeout";
    let hasty = senders(&server, "timeout: 30ms");
    let mail = Mail::new(&message);
    let spf = spf_of(&hasty, "ann@other.example").await;
    let (is_met, verified) = met(limit, hasty.verify(&mail.head(), &*mail, &spf)).await;
    assert!(is_met);
    let late = Outcome::trouble(LATE);
    assert_eq!((&verified.dmarc, verified.from.as_str()), (&late, "example.net"));
    assert_eq!(
        (&verified.dkim[0].outcome, verified.dkim[0].domain.as_str()),
        (&late, "example.net")
    );
    let patient = senders(&server, "");
    let (is_met, verified) = met(limit, patient.verify(&mail.head(), &*mail, &spf)).await;
    assert_eq!((is_met, verified.dkim[0].outcome.word), (false, "temperror"));
}

#[derive(Debug)]
struct Unreadable;

#[async_trait]
impl MessageSource for Unreadable {
    fn head(&self) -> Bytes {
        Bytes::new()
    }

    fn size(&self) -> u64 {
        0
    }

    async fn read_text(&self, _: u64, _: usize) -> store::Result<Bytes> {
        Err(store::StoreError::Full)
    }
}

/// A text that is read when it is told so.
#[derive(Debug)]
struct Slow(Arc<Mail>, tokio::sync::Notify);

#[async_trait]
impl MessageSource for Slow {
    fn head(&self) -> Bytes {
        self.0.head()
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    async fn read_text(&self, offset: u64, len: usize) -> store::Result<Bytes> {
        if offset == 0 {
            self.1.notified().await;
        }
        self.0.read_text(offset, len).await
    }
}

#[tokio::test]
async fn a_text_that_is_read_slowly_keeps_no_other_check_waiting() {
    let (key, record) = key();
    let server = Records::default()
        .txt("s._domainkey.example.net", &record)
        .txt("quick.example", "v=spf1 +all")
        .serve()
        .await;
    let senders = with_places(&server, 1);
    let spf = spf_of(&senders, "ann@example.net").await;
    let slow = Slow(
        Mail::new(signed(key, "example.net", PLAIN)),
        tokio::sync::Notify::new(),
    );
    let head = slow.head();
    let verified = senders.verify(&head, &slow, &spf);
    let other = async {
        let spf = spf_of(&senders, "ann@quick.example").await;
        slow.1.notify_one();
        spf
    };
    let (verified, other) = tokio::join!(verified, other);
    assert_eq!(
        (verified.dkim[0].outcome.word, other.outcome.word),
        ("pass", "pass")
    );
}

#[tokio::test]
async fn a_text_that_cannot_be_read_is_our_trouble() {
    let (key, record) = key();
    let server = Records::default()
        .txt("s._domainkey.example.net", &record)
        .serve()
        .await;
    let senders = senders(&server, "");
    let spf = spf_of(&senders, "ann@example.net").await;
    let message = signed(key, "example.net", PLAIN);
    let verified = senders
        .verify(&Mail::new(&message).head(), &Unreadable, &spf)
        .await;
    assert_eq!(
        verified.dkim[0].outcome,
        Outcome::trouble("the message cannot be read")
    );
    assert_eq!(verified.dmarc.word, "temperror");
}

#[tokio::test]
async fn the_field_names_every_method_and_what_it_is_about() {
    let (key, record) = key();
    let server = Records::default()
        .ptr("192.0.2.1", "client.example.")
        .address("client.example", "192.0.2.1")
        .txt("example.net", "v=spf1 ip4:192.0.2.1 -all")
        .txt("s._domainkey.example.net", &record)
        .txt("_dmarc.example.net", "v=DMARC1; p=reject")
        .serve()
        .await;
    let senders = senders(&server, "");
    let name = senders.client_name(ip("192.0.2.1")).await;
    let spf = spf_of(&senders, "ann@example.net").await;
    let mail = Mail::new(signed(key, "example.net", PLAIN));
    let verified = senders.verify(&mail.head(), &*mail, &spf).await;
    let tag = verified.dkim[0].tag.clone();
    assert_eq!(tag.len(), 8);
    let tag = match tag.contains('/') {
        true => format!("\"{tag}\""),
        false => tag,
    };
    assert_eq!(
        field("mx.example.org", &name, &spf, &verified),
        format!(
            "Authentication-Results: mx.example.org;\r\n\
             \tiprev=pass policy.iprev=192.0.2.1 (client.example);\r\n\
             \tspf=pass smtp.mailfrom=ann@example.net;\r\n\
             \tdkim=pass header.d=example.net header.s=s header.b={tag};\r\n\
             \tdmarc=pass (p=reject) header.from=example.net;\r\n\
             \tarc=none\r\n"
        )
    );
    let facts = verified.facts(&spf);
    assert_eq!(
        (facts.spf.as_str(), facts.dmarc.as_str(), facts.arc.as_str()),
        ("pass", "pass", "none")
    );
    assert_eq!(
        (facts.dkim[0].status.as_str(), facts.dkim[0].selector.as_str()),
        ("pass", "s")
    );
    assert_eq!(facts.dmarc_policy, "reject");
}

#[tokio::test]
async fn the_field_says_why_and_what_an_empty_return_path_was_checked_by() {
    let server = Records::default().serve().await;
    let senders = senders(&server, "");
    let name = senders.client_name(ip("2001:db8::1")).await;
    let spf = spf_of(&senders, "").await;
    let mail = Mail::new("X: y\r\n\r\n");
    let verified = senders.verify(&mail.head(), &*mail, &spf).await;
    assert_eq!(
        field("mx.example.org", &name, &spf, &verified),
        "Authentication-Results: mx.example.org;\r\n\
         \tiprev=permerror reason=\"the address has no name\" policy.iprev=\"2001:db8::1\";\r\n\
         \tspf=none smtp.helo=helo.example;\r\n\
         \tdkim=none;\r\n\tdmarc=permerror reason=\"no From field\";\r\n\tarc=none\r\n"
    );
}

#[tokio::test]
async fn results_are_counted_by_method() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counting = metrics::set_default_local_recorder(&recorder);
    let server = Records::default().txt("example.net", "v=spf1 -all").serve().await;
    let senders = senders(&server, "");
    senders.client_name(ip("192.0.2.1")).await;
    found(&senders, PLAIN, "ann@example.net").await;
    drop(counting);
    let page = recorder.handle().render();
    for (method, result) in [
        ("iprev", "permerror"),
        ("spf", "fail"),
        ("dkim", "none"),
        ("dmarc", "none"),
        ("arc", "none"),
    ] {
        let line = format!("postern_sender_auth_total{{method=\"{method}\",result=\"{result}\"}} 1");
        assert!(page.contains(&line), "{line}: {page}");
    }
}
