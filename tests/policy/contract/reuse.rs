//! An instance that answers several calls: what it sees is each time that call's alone.

use crate::folder::{Folder, Mail, facts, load};
use crate::probe::lines;
use postern::policy::{Facts, Policies};

const LETTER: &[u8] = b"Subject: one\r\n\r\nfirst text\r\n";
const OTHER: &[u8] = b"Subject: another\r\n\r\nand more of it\r\n";

/// What the probe saw, without what is another thing each time.
async fn report(policies: &Policies, facts: &Facts, letter: &[u8]) -> Vec<String> {
    let decision = policies.message(facts, Mail::new(letter), &[]).await;
    let mut report = lines(&decision.edits);
    report.retain(|line| !line.starts_with("kv."));
    assert!(!report.is_empty(), "{decision:?}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_call_of_an_instance_sees_what_a_fresh_one_would() {
    let fresh = load(&Folder::new().with("10-probe", "probe", "grants: { kv: {} }")).await;
    let manifest = "grants: { kv: {} }\nreuse: { calls: 1000 }\n";
    let reused = load(&Folder::new().with("10-probe", "probe", manifest)).await;
    let other = Facts {
        helo: "other.example".to_owned(),
        auth_user: Some("ann@example.org".to_owned()),
        tags: vec!["odd".to_owned()],
        ..Facts::default()
    };
    for _ in 0..20 {
        for (facts, letter) in [(&facts(), LETTER), (&other, OTHER)] {
            assert_eq!(
                report(&reused, facts, letter).await,
                report(&fresh, facts, letter).await
            );
        }
    }
}
