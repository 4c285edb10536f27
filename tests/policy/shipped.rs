//! What the shipped policies say about a small corpus, asked through the host as the gateway asks them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

#[path = "folder.rs"]
mod folder;

use folder::{Folder, Mail, answers, facts, load, load_with, refusal};
use postern::policy::{Decision, Edit, Facts, Policies, QuotaDecision, Route, Verdict};
use postern::store::memory::MemoryStore;
use postern::store::{Ceiling, Kv, KvWrite, Usage};
use postern_proto::smtp::Reply;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const PLAIN: &[u8] = b"From: <bob@shop.example>\r\nSubject: hello\r\n\r\nhello\r\n";

/// Code, enhanced code and text of a refusal.
fn heard(reply: &Reply) -> String {
    let enhanced = reply.enhanced().map_or_else(String::new, |code| code.to_string());
    format!("{} {enhanced} {}", reply.code(), reply.text())
}

/// What the client hears of a verdict: `250` for all that is a yes.
fn answer(decision: &Decision) -> String {
    match &decision.verdict {
        Verdict::Accept => "250".to_owned(),
        Verdict::Reject(reply) | Verdict::Defer(reply) => heard(reply),
        Verdict::Quarantine(reason) => format!("quarantine: {reason}"),
        Verdict::Discard => "discard".to_owned(),
    }
}

/// The file that is shipped beside a policy.
fn shipped_manifest(policy: &str, name: &str) -> String {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = host
        .join("../plugins")
        .join(policy)
        .join(name)
        .with_extension("yaml");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

async fn message(policies: &Policies, octets: &[u8]) -> Decision {
    policies.message(&facts(), Mail::new(octets), &[]).await
}

/// A message with one attachment: its Content-Type and Content-Disposition fields, and its decoded start.
fn attached(fields: &str, content: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let content = base64::engine::general_purpose::STANDARD.encode(content);
    format!(
        "From: <bob@shop.example>\r\nSubject: invoice\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
         --b\r\n{fields}\r\nContent-Transfer-Encoding: base64\r\n\r\n{content}\r\n--b--\r\n"
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_set_loads_with_the_files_that_are_shipped_with_it() {
    let shipped = [
        ("10-rate-limit", "rate-limit", &["connect", "mail", "rcpt"][..]),
        ("15-greylist", "greylist", &["rcpt"]),
        ("12-dnsbl", "dnsbl", &["connect", "mail"]),
        ("18-auth-policy", "auth-policy", &["message"]),
        ("20-block-attachments", "block-attachments", &["message"]),
        ("25-spam-words", "spam-words", &["message"]),
        ("30-tag-subject", "tag-subject", &["message"]),
        ("35-user-rules", "user-rules", &["message"]),
        ("38-vip-router", "vip-router", &["router"]),
        ("40-aliases", "aliases", &["router"]),
        ("50-quota-tiers", "quota-tiers", &["quota"]),
        ("55-domain-quota", "domain-quota", &["quota"]),
    ];
    let folder = shipped.iter().fold(Folder::new(), |folder, (file, guest, _)| {
        folder.with(file, guest, &shipped_manifest(guest, file))
    });
    let policies = load(&folder).await;
    for (file, _, questions) in shipped {
        let answers = answers(&policies, file);
        for question in questions {
            assert!(answers.iter().any(|word| word == question), "{file}: {answers:?}");
        }
    }
    let decision = message(&policies, PLAIN).await;
    assert_eq!(answer(&decision), "250");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_beside_it_each_policy_loads_and_objects_to_nothing() {
    for guest in [
        "rate-limit",
        "greylist",
        "block-attachments",
        "tag-subject",
        "aliases",
        "quota-tiers",
        "dnsbl",
        "auth-policy",
        "spam-words",
        "user-rules",
        "vip-router",
        "domain-quota",
    ] {
        let policies = load(&Folder::new().with("10-policy", guest, "")).await;
        let facts = facts();
        assert_eq!(answer(&policies.connect(&facts).await), "250", "{guest}");
        assert_eq!(answer(&policies.mail(&facts).await), "250", "{guest}");
        assert_eq!(
            answer(&policies.rcpt(&facts, "ann@example.org").await),
            "250",
            "{guest}"
        );
        let decision = message(&policies, PLAIN).await;
        assert_eq!(
            (answer(&decision), decision.edits),
            ("250".to_owned(), vec![]),
            "{guest}"
        );
        let routed = policies.route(&facts, "ann@example.org").await.0;
        assert_eq!(routed, Route::Pass, "{guest}");
        let allowed = policies
            .quota(&facts, "ann@example.org", Usage::default(), 1 << 40)
            .await
            .0;
        assert_eq!(allowed, QuotaDecision::Allow(Ceiling::default()), "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_not_understood_refuse_the_policy_in_one_line() {
    for (guest, settings, word) in [
        ("rate-limit", "address: { messages: 100 }", "100/1h"),
        ("greylist", "wait: 3d", "shorter"),
        ("block-attachments", "kinds: [exe]", "exe"),
        ("tag-subject", "rules: [{ tag: \"\" }]", "tag"),
        (
            "aliases",
            "aliases: { \"a@x.org\": \"b@x.org\", \"b@x.org\": \"a@x.org\" }",
            "circle",
        ),
        (
            "aliases",
            "catch_all: { example.org: { to: ann@example.org } }",
            "except",
        ),
        ("quota-tiers", "default: { bytes: much }", "much"),
        ("dnsbl", "lists: [{ zone: a b }]", "a b"),
        ("auth-policy", "reject: bounce", "bounce"),
        ("spam-words", "words: { \"*\": 1 }", "a pattern of one word"),
        (
            "user-rules",
            "mailboxes: { ann@example.org: [{ then: [] }] }",
            "mailboxes.ann@example.org[0].then: must say what is done",
        ),
        (
            "vip-router",
            "routes: [{ local: ann@example.org }]",
            "everybody's mail",
        ),
        (
            "domain-quota",
            "domains: { example.org: { bytes: 1KiB, mailboxes: 0, reserved: { a@example.org: 1KiB } } }",
            "reserves for 1",
        ),
    ] {
        let manifest = format!("settings:\n  {settings}\n");
        let policies = load(&Folder::new().with("10-policy", guest, &manifest)).await;
        let refusal = refusal(&policies, "10-policy");
        assert!(
            refusal.contains(word) && !refusal.contains('\n'),
            "{guest}: {refusal}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_refused_by_name_and_by_first_bytes() {
    let folder = Folder::new().with(
        "20-block-attachments",
        "block-attachments",
        "settings: { advice: \"Send a link.\" }",
    );
    let policies = load(&folder).await;
    let program = [b"MZ\x90\0".as_slice(), &[0; 60]].concat();
    let named = |name: &str| format!("Content-Disposition: attachment; filename=\"{name}\"");
    for (fields, content, expected) in [
        (named("report.pdf"), b"%PDF-1.7".as_slice(), "250".to_owned()),
        (named("a.exe.txt"), b"text", "250".to_owned()),
        (
            named("invoice.exe"),
            b"text",
            "550 5.7.1 the attachment \"invoice.exe\" (*.exe) is not allowed here. Send a link.".to_owned(),
        ),
        (
            named("holiday.jpg"),
            &program,
            "550 5.7.1 the attachment \"holiday.jpg\" (content: pe) is not allowed here. Send a link."
                .to_owned(),
        ),
        (
            "Content-Disposition: attachment; filename*=utf-8''na%C3%AFve.scr".to_owned(),
            b"text",
            "550 5.7.1 the attachment \"na?ve.scr\" (*.scr) is not allowed here. Send a link.".to_owned(),
        ),
        (
            "Content-Type: application/octet-stream; name=\"x.vbs\"\r\n".to_owned() + &named("x.txt"),
            b"text",
            "550 5.7.1 the attachment \"x.vbs\" (*.vbs) is not allowed here. Send a link.".to_owned(),
        ),
    ] {
        let decision = message(&policies, &attached(&fields, content)).await;
        assert_eq!(answer(&decision), expected, "{fields}");
    }
    assert_eq!(answer(&message(&policies, PLAIN).await), "250");
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_may_go_to_quarantine_instead() {
    let folder = Folder::new().with(
        "20-block",
        "block-attachments",
        "settings: { action: quarantine }",
    );
    let policies = load(&folder).await;
    let octets = attached("Content-Disposition: attachment; filename=a.exe", b"x");
    let said = answer(&message(&policies, &octets).await);
    assert_eq!(
        said,
        "quarantine: the attachment \"a.exe\" (*.exe) is not allowed"
    );
}

/// Many small parts, of which the gateway lists so many and no more.
fn many_parts(count: usize) -> Vec<u8> {
    let parts = "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n".repeat(count);
    format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_looked_through_is_refused() {
    let unseen = "the message is too large or too deeply nested to be looked through";
    for (settings, expected) in [
        ("{}", format!("550 5.7.1 {unseen}.")),
        ("{ incomplete: defer }", format!("451 4.7.1 {unseen}.")),
        ("{ action: quarantine }", format!("quarantine: {unseen}")),
        ("{ incomplete: accept }", "250".to_owned()),
    ] {
        let manifest = format!("settings: {settings}");
        let folder = Folder::new().with("20-block-attachments", "block-attachments", &manifest);
        let policies = load(&folder).await;
        // The message itself is a part.
        let whole = message(&policies, &many_parts(999)).await;
        assert_eq!(answer(&whole), "250", "{settings}");
        let cut = message(&policies, &many_parts(1000)).await;
        assert_eq!(answer(&cut), expected, "{settings}");
    }
}

/// A program so many multiparts deep.
fn hidden(levels: usize) -> Vec<u8> {
    let mut text = "Content-Disposition: attachment; filename=\"a.exe\"\r\n\r\nMZ\r\n".to_owned();
    for level in 0..levels {
        text = format!(
            "Content-Type: multipart/mixed; boundary=d{level}\r\n\r\n--d{level}\r\n{text}\r\n--d{level}--\r\n"
        );
    }
    text.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_refused_however_deep_it_is_and_however_its_name_is_cut() {
    let folder = Folder::new().with("20-block-attachments", "block-attachments", "settings: {}");
    let policies = load(&folder).await;
    for levels in [1, 20] {
        let said = answer(&message(&policies, &hidden(levels)).await);
        assert!(said.starts_with("550 5.7.1 the attachment"), "{levels}: {said}");
    }
    for levels in [21, 50] {
        let said = answer(&message(&policies, &hidden(levels)).await);
        assert!(said.contains("to be looked through"), "{levels}: {said}");
    }
    for (sections, expected) in [(100, "250"), (101, "550 5.7.1 the message is too large")] {
        let name = ";\r\n filename*0=aaaaaaaaaa".repeat(sections);
        let octets = format!("Content-Disposition: attachment{name}\r\n\r\nx\r\n");
        let said = answer(&message(&policies, octets.as_bytes()).await);
        assert!(said.starts_with(expected), "{sections}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_tagged_where_the_condition_holds() {
    let manifest = "settings: { rules: [ { tag: \"[EXTERNAL]\", when: { authenticated: false } } ] }";
    let policies = load(&Folder::new().with("30-tag-subject", "tag-subject", manifest)).await;
    let subject = |value: &str| {
        vec![
            Edit::RemoveHeader {
                name: "Subject".to_owned(),
            },
            Edit::AddHeader {
                name: "Subject".to_owned(),
                value: value.to_owned(),
            },
        ]
    };
    for (octets, edits) in [
        (PLAIN, subject("[EXTERNAL] hello")),
        (
            b"From: <b@x.org>\r\nSubject: Re: [EXTERNAL] hello\r\n\r\n",
            vec![],
        ),
        (b"From: <b@x.org>\r\n\r\n", subject("[EXTERNAL]")),
    ] {
        let decision = message(&policies, octets).await;
        assert_eq!((answer(&decision), decision.edits), ("250".to_owned(), edits));
    }
    let ours = Facts {
        auth_user: Some("ann@example.org".to_owned()),
        ..facts()
    };
    let decision = policies.message(&ours, Mail::new(PLAIN), &[]).await;
    assert!(decision.edits.is_empty(), "{decision:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_routed_by_name_pattern_and_domain() {
    let manifest = "settings:\n  aliases:\n    \"info@example.org\": [ann@example.org, bob@example.org]\n    \
                    \"sales-*@example.org\": bob@example.org\n  domains: { old.example: example.org }\n";
    let policies = load(&Folder::new().with("40-aliases", "aliases", manifest)).await;
    let to = |all: &[&str]| Route::Rewrite(all.iter().map(|&one| one.to_owned()).collect());
    for (recipient, route) in [
        ("info@example.org", to(&["ann@example.org", "bob@example.org"])),
        ("sales-berlin@example.org", to(&["bob@example.org"])),
        ("Ann@old.example", to(&["Ann@example.org"])),
        ("ann@example.org", Route::Pass),
        ("postmaster", Route::Pass),
    ] {
        assert_eq!(policies.route(&facts(), recipient).await.0, route, "{recipient}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_warns_and_denies_at_its_exact_edges() {
    let manifest =
        "settings: { default: { bytes: 1000, messages: 20, warn: 80, grace: 10 }, advice: Ask us. }";
    let policies = load(&Folder::new().with("50-quota-tiers", "quota-tiers", manifest)).await;
    let ceiling = Ceiling {
        bytes: Some(1100),
        messages: Some(22),
    };
    let full = "452 4.2.2 the mailbox ann@example.org is full. Ask us.";
    for (bytes, messages, incoming, expected) in [
        (0, 0, 799, "allow"),
        (0, 0, 800, "warn"),
        (1000, 0, 100, "warn"),
        (1000, 0, 101, full),
        (0, 14, 0, "allow"),
        (0, 15, 0, "warn"),
        (0, 21, 0, "warn"),
        (0, 22, 0, full),
    ] {
        let usage = Usage { bytes, messages };
        let decision = policies
            .quota(&facts(), "ann@example.org", usage, incoming)
            .await
            .0;
        let said = match decision {
            QuotaDecision::Allow(bound) => {
                assert_eq!(bound, ceiling);
                "allow".to_owned()
            }
            QuotaDecision::Warn { text, ceiling: bound } => {
                assert_eq!(bound, ceiling);
                assert!(text.starts_with("Your mailbox ann@example.org holds "), "{text}");
                "warn".to_owned()
            }
            QuotaDecision::Deny(reply) => heard(&reply),
        };
        assert_eq!(
            said, expected,
            "{incoming} to {bytes} bytes in {messages} messages"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_passes_its_last_and_refuses_the_next() {
    let manifest = "settings:\n  address: { connections: 3/1h, messages: 2/1h, recipients: 4/1h }\n  \
                    account: { messages: 5/1h }\ngrants: { kv: {} }\n";
    let folder = Folder::new().with("10-rate-limit", "rate-limit", manifest);
    let policies = load(&folder).await;
    let from = facts();
    for (most, refusal) in [(3, "connections"), (2, "messages"), (4, "recipients")] {
        for turn in 1..=most + 1 {
            let decision = match refusal {
                "connections" => policies.connect(&from).await,
                "messages" => policies.mail(&from).await,
                _ => policies.rcpt(&from, "ann@example.org").await,
            };
            let code = match refusal {
                "connections" => 421,
                "messages" => 451,
                _ => 450,
            };
            let refused = format!(
                "{code} 4.7.1 too many {refusal} from 192.0.2.7: {most} in 1h, please try again later"
            );
            let expected = if turn > most { refused } else { "250".to_owned() };
            assert_eq!(answer(&decision), expected, "{refusal}, number {turn}");
        }
    }
    let other = Facts {
        client_ip: "192.0.2.8".to_owned(),
        ..facts()
    };
    assert_eq!(answer(&policies.mail(&other).await), "250", "another address");
    let ann = Facts {
        auth_user: Some("ann@example.org".to_owned()),
        ..facts()
    };
    for turn in 1..=6 {
        let said = answer(&policies.mail(&ann).await);
        assert_eq!(
            said.starts_with("451"),
            turn > 5,
            "an account, number {turn}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_grant_a_rate_is_not_counted_and_mail_goes_on() {
    let manifest = "settings: { address: { messages: 1/1h } }";
    let policies = load(&Folder::new().with("10-rate-limit", "rate-limit", manifest)).await;
    for _ in 0..3 {
        assert_eq!(answer(&policies.mail(&facts()).await), "250");
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

/// What `greylist` keeps of a triplet that was first tried at that second.
fn tried(at: u64) -> KvWrite {
    KvWrite {
        value: [b"t".as_slice(), &at.to_be_bytes()].concat().into(),
        ttl: 0,
        now: at * 1000,
        quota: 1 << 20,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_asked_to_come_again_and_then_known() {
    let store = Arc::new(MemoryStore::new());
    let manifest = "settings: { wait: 1h, retry: 1d }\ngrants: { kv: { namespace: triplets } }\n";
    let folder = Folder::new().with("15-greylist", "greylist", manifest);
    let policies = load_with(&folder, store.clone()).await;
    let ask = async || answer(&policies.rcpt(&facts(), "Ann@example.org").await);
    assert_eq!(
        ask().await,
        "450 4.7.1 greylisted: please try again in 3600 seconds"
    );
    let again = ask().await;
    assert!(
        again.starts_with("450 4.7.1 greylisted: please try again in 3"),
        "too soon: {again}"
    );

    // The same triplet as if an hour, and a day, had passed.
    let key = "192.0.2.0 bob@shop.example ann@example.org";
    let kept = store
        .kv_get("triplets", key, now() * 1000)
        .await
        .expect("an answer");
    assert_eq!(
        kept.map(|value| value[0]),
        Some(b't'),
        "the try is remembered under its triplet"
    );
    // A minute is left for a slow machine.
    store
        .kv_set("triplets", key, tried(now() - 3540))
        .await
        .expect("written");
    assert!(ask().await.starts_with("450"), "not yet");
    store
        .kv_set("triplets", key, tried(now() - 3600))
        .await
        .expect("written");
    assert_eq!(ask().await, "250", "it waited");
    assert_eq!(ask().await, "250", "it is known");

    let neighbour = Facts {
        client_ip: "192.0.2.200".to_owned(),
        ..facts()
    };
    assert_eq!(
        answer(&policies.rcpt(&neighbour, "ann@example.org").await),
        "250",
        "the same network"
    );
    for stranger in [
        Facts {
            client_ip: "192.0.3.7".to_owned(),
            ..facts()
        },
        Facts {
            mail_from: "eve@shop.example".to_owned(),
            ..facts()
        },
    ] {
        let said = answer(&policies.rcpt(&stranger, "ann@example.org").await);
        assert!(said.starts_with("450"), "{stranger:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_users_lmtp_and_exempt_networks_are_never_asked_to_wait() {
    let manifest = "grants: { kv: {} }";
    let policies = load(&Folder::new().with("15-greylist", "greylist", manifest)).await;
    let stranger = policies.rcpt(&facts(), "new@example.org").await;
    assert!(answer(&stranger).starts_with("450"), "{stranger:?}");
    for never in [
        Facts {
            client_ip: "127.0.0.1".to_owned(),
            ..facts()
        },
        Facts {
            protocol: "lmtp".to_owned(),
            client_ip: "192.0.9.1".to_owned(),
            ..facts()
        },
        Facts {
            auth_user: Some("ann@example.org".to_owned()),
            client_ip: "192.0.9.1".to_owned(),
            ..facts()
        },
    ] {
        assert_eq!(
            answer(&policies.rcpt(&never, "new@example.org").await),
            "250",
            "{never:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_policy_labels_a_mailboxs_own_rules_act_on() {
    let words = "settings: { words: { casino: 5 }, tag: 5 }";
    let rules = "settings: { mailboxes: { ann@example.org: [ { if: { tag: spam }, then: [ { quarantine: spam } ] } ] } }";
    let folder =
        Folder::new()
            .with("25-spam-words", "spam-words", words)
            .with("35-user-rules", "user-rules", rules);
    let policies = load(&folder).await;
    let score = Edit::AddHeader {
        name: "X-Spam-Score".to_owned(),
        value: "5 (casino 5)".to_owned(),
    };
    let aside = Edit::RecipientVerdict {
        recipient: "ann@example.org".to_owned(),
        verdict: Verdict::Quarantine("spam".to_owned()),
    };
    let both = Facts {
        rcpt_to: vec!["ann@example.org".to_owned(), "bob@example.org".to_owned()],
        ..facts()
    };
    let spam = b"From: <b@x.org>\r\nSubject: hello\r\n\r\nThe casino.\r\n";
    let decision = policies.message(&both, Mail::new(spam), &[]).await;
    assert_eq!(answer(&decision), "250");
    assert_eq!(decision.edits, [score, Edit::Tag("spam".to_owned()), aside]);
    let honest = policies.message(&both, Mail::new(PLAIN), &[]).await;
    assert_eq!((answer(&honest), honest.edits), ("250".to_owned(), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_of_several_ceilings_holds() {
    let folder = Folder::new()
        .with(
            "50-quota-tiers",
            "quota-tiers",
            "settings: { default: { bytes: 300, messages: 9 } }",
        )
        .with(
            "55-domain-quota",
            "domain-quota",
            "settings: { domains: { example.org: { bytes: 1000, mailboxes: 5 } } }",
        );
    let policies = load(&folder).await;
    let decision = policies
        .quota(&facts(), "ann@example.org", Usage::default(), 1)
        .await
        .0;
    let ceiling = Ceiling {
        bytes: Some(200),
        messages: Some(9),
    };
    assert_eq!(decision, QuotaDecision::Allow(ceiling));
}
