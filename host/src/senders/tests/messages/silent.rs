//! Strangers whose DNS says nothing: it takes their own time, and changes nothing of what the author's owner says.

use super::*;

/// Signatures that take longer than there is time.
const MANY: usize = 40;
const BOUNDS: &str = "timeout: 6s, signatures: 50";

fn bank() -> Records {
    Records::default().txt("_dmarc.bank.example", "v=DMARC1; p=reject")
}

/// Above the message, by domains without an answer.
fn signed_by_strangers(zone: Records, below: &str, message: &str) -> (Records, String) {
    (0..MANY).fold((zone, message.to_owned()), |(zone, message), place| {
        let domain = format!("d{place}.{below}");
        let zone = zone.silent(&format!("s._domainkey.{domain}"));
        (zone, signed(key().0, &domain, &message))
    })
}

#[tokio::test]
async fn signatures_by_silent_domains_leave_the_author_time_for_dmarc() {
    let from = PLAIN.replace("example.net", "bank.example");
    let (zone, message) = signed_by_strangers(bank(), "evil.example", &from);
    let server = zone.serve().await;
    let senders = patient(&server, BOUNDS);
    let asked = found(&senders, &message, "x@evil.example");
    let (is_met, verified) = met("sender_auth.timeout", asked).await;
    assert!(is_met);
    assert_eq!((verified.dmarc.word, verified.policy), ("fail", "reject"));
    assert!(verified.dkim.iter().all(|one| one.outcome.word == "temperror"));
    assert_eq!(verified.dkim.last().unwrap().outcome, Outcome::trouble(LATE));
}

#[tokio::test]
async fn the_authors_own_signature_is_verified_before_those_of_strangers() {
    let (own, record) = key();
    let from = PLAIN.replace("example.net", "bank.example");
    let (zone, message) = signed_by_strangers(bank(), "evil.example", &signed(own, "bank.example", &from));
    let server = zone.txt("s._domainkey.bank.example", &record).serve().await;
    let few = patient(&server, "timeout: 6s, signatures: 2");
    let verified = found(&few, &message, "x@evil.example").await;
    let words: Vec<_> = verified.dkim.iter().map(|one| one.outcome.word).collect();
    assert_eq!(words, ["pass", "temperror", "policy"]);
    assert_eq!((verified.dmarc.word, verified.policy), ("pass", "reject"));
}

#[tokio::test]
async fn a_second_author_with_many_signatures_hides_none_that_is_forged() {
    let from = PLAIN.replace("Ann <ann@example.net>", "ceo@bank.example, x@a.b.evil.example");
    let forged = signed(key().0, "bank.example", &from);
    let (zone, message) = signed_by_strangers(bank(), "a.b.evil.example", &forged);
    let (_, record) = key();
    let server = zone.txt("s._domainkey.bank.example", &record).serve().await;
    let verified = found(&patient(&server, BOUNDS), &message, "x@evil.example").await;
    let late = verified.dkim.iter().find(|one| one.domain == "bank.example");
    assert_eq!(late.unwrap().outcome, Outcome::trouble(LATE));
    assert_eq!(
        (verified.dmarc.word, verified.policy, verified.from.as_str()),
        ("fail", "reject", "bank.example")
    );
}

#[tokio::test]
async fn authors_whose_domains_are_silent_leave_the_others_their_time() {
    let silent = (0..4).map(|place| format!("d{place}.example"));
    let (zone, authors) = silent.fold(
        (bank(), "ceo@bank.example".to_owned()),
        |(zone, authors), domain| {
            let zone = zone.silent(&format!("_dmarc.{domain}"));
            (zone, format!("x@{domain}, {authors}"))
        },
    );
    let server = zone.serve().await;
    // One after the other they would take 4 s, and there are 3.
    let senders = patient(&server, "timeout: 4s");
    let message = format!("From: {authors}\r\n\r\nx\r\n");
    let verified = found(&senders, &message, "x@evil.example").await;
    assert_eq!(
        (verified.dmarc.word, verified.policy, verified.from.as_str()),
        ("fail", "reject", "bank.example")
    );
}

#[tokio::test]
async fn a_place_that_is_not_free_in_time_for_signatures_is_waited_for_by_dmarc() {
    let from = PLAIN.replace("example.net", "bank.example");
    let message = signed(key().0, "evil.example", &from);
    let server = bank().serve().await;
    let senders = asking(
        server.address,
        "timeout: 1s, attempts: 1, in_flight: 1",
        "timeout: 6s",
    );
    let spf = spf_of(&senders, "x@evil.example").await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let counting = metrics::set_default_local_recorder(&recorder);
    let place = senders.dns.check().await.unwrap();
    let mail = Mail::new(&message);
    let head = mail.head();
    let waits = "postern_limit_hits_total{limit=\"dns.in_flight\"} 2";
    let leaving = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(10));
        // The first for the signature, the second for the author.
        while !recorder.handle().render().contains(waits) {
            tick.tick().await;
        }
        drop(place);
    };
    let (verified, ()) = tokio::join!(senders.verify(&head, &*mail, &spf), leaving);
    drop(counting);
    assert_eq!(verified.dkim[0].outcome, Outcome::trouble(LATE));
    assert_eq!((verified.dmarc.word, verified.policy), ("fail", "reject"));
}
