use super::super::tests::record;
use super::*;
use std::slice::from_ref;

const NOBODY: &str = "no policy refused it or held it back";
const FULL: &str = "452 4.2.2 Mailbox full";

fn brief(record: &ExplainRecord) -> String {
    let mut out = Vec::new();
    write(&mut out, record).unwrap();
    String::from_utf8(out).unwrap()
}

fn step(policy: &str, said: &str) -> Step {
    Step {
        policy: policy.to_owned(),
        question: "message".to_owned(),
        said: said.to_owned(),
        ..Step::default()
    }
}

/// About ann.
fn about(question: &str, policy: &str, said: &str) -> Step {
    Step {
        question: question.to_owned(),
        about: "ann@example.org".to_owned(),
        ..step(policy, said)
    }
}

fn edited(policy: &str, edits: &[&str]) -> Step {
    Step {
        edits: edits.iter().map(|edit| (*edit).to_owned()).collect(),
        ..step(policy, "accept")
    }
}

fn explained(reply: &str, steps: &[Step]) -> Explanation {
    Explanation {
        steps: steps.to_vec(),
        replies: vec![reply.to_owned()],
        ..Explanation::default()
    }
}

#[test]
fn the_reply_and_the_outcome_go_before_who_decided() {
    let mut record = record(Some(Explanation {
        outcomes: vec!["ann@example.org: quarantine odd".to_owned()],
        ..explained(
            "250 2.0.0 Delivered as Q",
            &[step("40-four", "quarantine odd\u{1b}")],
        )
    }));
    let expected = "\
id        Q  2023-11-14T22:13:20Z  <> to ann@example.org
reply     250 2.0.0 Delivered as Q
outcome   ann@example.org: quarantine odd
decided   40-four at message: quarantine odd\\u{1b}
";
    assert_eq!(brief(&record), expected);
    record.rcpt_cut = 4;
    if let Some(explained) = &mut record.explained {
        explained.outcomes_cut = 5;
    }
    let more = brief(&record);
    assert!(more.contains("to ann@example.org, and 4 more\n"), "{more}");
    assert!(
        more.contains("ann@example.org: quarantine odd; and 5 more\n"),
        "{more}"
    );
    assert!(more.ends_with("; 5 more outcomes were not recorded\n"), "{more}");
    record.explained = None;
    assert_eq!(brief(&record).lines().count(), 2);
}

#[test]
fn three_recipients_are_named_and_the_others_counted() {
    let to = |count: usize| {
        let mut record = record(None);
        record.rcpt_to = (1..=count).map(|place| format!("u{place}@example.org")).collect();
        let text = brief(&record);
        let (_, to) = text.lines().next().unwrap().split_once("<> to ").unwrap();
        to.to_owned()
    };
    let three = "u1@example.org, u2@example.org, u3@example.org";
    assert_eq!(to(3), three);
    assert_eq!(to(4), format!("{three}, and 1 more"));
    assert_eq!(to(2000), format!("{three}, and 1997 more"));
}

#[test]
fn a_refusal_of_the_whole_message_is_told_alone() {
    let held = [
        step("10-one", "quarantine odd"),
        step("20-two", "quarantine odder"),
        step("30-three", "quarantine oddest"),
    ];
    let taken = explained("250 2.0.0 ok", &held);
    let all = "10-one at message: quarantine odd; 20-two at message: quarantine odder; \
               30-three at message: quarantine oddest";
    assert_eq!(decided(&taken), all);
    let four = [held.to_vec(), vec![step("40-four", "quarantine x")]].concat();
    assert_eq!(
        decided(&explained("250 2.0.0 ok", &four)),
        format!("{all}; and 1 more")
    );
    for (said, reply) in [
        ("reject 550 5.7.1 no", "550 5.7.1 no"),
        ("defer 451 4.7.1 later", "451 4.7.1 later"),
        ("discard", "250 2.0.0 ok"),
    ] {
        let mut steps = vec![about("rcpt", "05-zero", "quarantine early")];
        steps.extend(held.to_vec());
        steps.push(edited(
            "35-verdict",
            &["recipient-verdict ann@example.org quarantine odd"],
        ));
        steps.push(step("40-four", said));
        assert_eq!(
            decided(&explained(reply, &steps)),
            format!("40-four at message: {said}")
        );
    }
}

#[test]
fn the_refusal_of_a_recipient_makes_void_what_was_said_before() {
    let mail = |policy: &str| Step {
        question: "mail".to_owned(),
        ..step(policy, "quarantine odd")
    };
    let steps = [
        mail("10-one"),
        mail("20-two"),
        mail("30-three"),
        about("rcpt", "40-four", "quarantine odd"),
        about("rcpt", "50-five", "defer 451 4.7.1 later"),
    ];
    let refused = explained("451 4.7.1 later", &steps);
    assert_eq!(
        decided(&refused),
        "50-five at rcpt ann@example.org: defer 451 4.7.1 later"
    );
    // The client named the recipient again, and the message was taken.
    let again = [steps.to_vec(), vec![about("rcpt", "50-five", "accept")]].concat();
    let text = decided(&explained("250 2.0.0 ok", &again));
    assert!(
        text.starts_with("10-one at mail: quarantine odd; ") && text.ends_with("; and 1 more"),
        "{text}"
    );
    for (question, said) in [
        ("router", "reject 550 5.1.1 who"),
        ("quota", "deny 552 5.2.2 too much"),
    ] {
        let (_, reply) = said.split_once(' ').unwrap();
        let step = about(question, "60-six", said);
        assert_eq!(
            decided(&explained(reply, &[step])),
            format!("60-six at {question} ann@example.org: {said}")
        );
    }
}

#[test]
fn a_failed_call_decides_with_what_it_comes_to() {
    let failed = |said: &str| Step {
        failed: Some("trap: unreachable; it wrote: no rules".to_owned()),
        ..about("rcpt", "20-two", said)
    };
    let deferred = told::reply(&Reply::policy_deferred());
    assert_eq!(
        decided(&explained(&deferred, &[failed("defer")])),
        "20-two at rcpt ann@example.org: defer, for its call failed: trap: unreachable; it wrote: no rules"
    );
    let refused = told::reply(&Reply::policy_refused());
    let text = decided(&explained(&refused, &[failed("reject")]));
    assert!(
        text.starts_with("20-two at rcpt ann@example.org: reject, for "),
        "{text}"
    );
    for said in ["accept", "skip"] {
        assert_eq!(decided(&explained("250 2.0.0 ok", &[failed(said)])), NOBODY);
    }
}

#[test]
fn verdicts_about_recipients_are_told_whatever_their_addresses_are() {
    let verdict = r#"recipient-verdict "a b"@example.org reject 550 5.7.1 no"#;
    let steps = [edited(
        "30-three",
        &["tag odd", "recipient-verdict ann@example.org accept", verdict],
    )];
    let text = format!("30-three at message: {verdict}");
    assert_eq!(decided(&explained("550 5.7.1 no", &steps)), text);
    let both = Explanation {
        outcomes: vec![
            "ann@example.org: deliver".to_owned(),
            r#""a b"@example.org: refuse 550 5.7.1 no"#.to_owned(),
        ],
        ..explained("250 2.0.0 ok", &steps)
    };
    assert_eq!(decided(&both), text);
    let kept = Explanation {
        outcomes: vec![r#""a b"@example.org: quarantine, refused with 550 5.7.1 no"#.to_owned()],
        ..explained("250 2.0.0 ok", &steps)
    };
    assert_eq!(decided(&kept), text);
    let long = format!("550 5.7.1 {}", "x".repeat(200));
    let cut = |most| crate::explain::cut(&long, most);
    let verdict = format!("recipient-verdict ann@example.org reject {}", cut(100));
    let steps = [edited("30-three", &[&verdict])];
    assert_eq!(
        decided(&explained(&cut(160), &steps)),
        format!("30-three at message: {verdict}")
    );
}

#[test]
fn what_no_policy_said_the_gateway_did() {
    let plain = about("rcpt", "10-one", "accept");
    let no_such = "550 5.1.1 No such mailbox here";
    let by_itself = format!("the gateway itself: {no_such}");
    assert_eq!(decided(&explained(no_such, from_ref(&plain))), by_itself);
    let held = about("rcpt", "20-two", "quarantine odd");
    let of_another = Step {
        about: "bob@example.org".to_owned(),
        ..about("rcpt", "20-two", "reject 550 5.7.1 no")
    };
    assert_eq!(decided(&explained(no_such, &[held, of_another])), by_itself);
    assert_eq!(decided(&explained("250 2.0.0 ok", from_ref(&plain))), NOBODY);
    let deferred = told::reply(&Reply::policy_deferred());
    assert_eq!(
        decided(&explained(&deferred, &[plain])),
        "an address that a policy put in cannot be delivered here"
    );
}

#[test]
fn a_full_mailbox_is_told_with_the_ceilings_that_it_may_be_full_by() {
    assert_eq!(told::reply(&Reply::mailbox_full()), FULL);
    let own = "the gateway itself: the mailbox is full by its account's quota";
    let unbounded = about("quota", "10-one", "allow without a ceiling");
    assert_eq!(decided(&explained(FULL, &[])), own);
    assert_eq!(decided(&explained(FULL, from_ref(&unbounded))), own);
    let bounded = about("quota", "20-two", "allow up to 1MiB");
    let warned = about("quota", "30-three", "warn up to 3 messages: nearly full");
    let steps = [unbounded, bounded.clone(), warned, bounded];
    let by = "the mailbox is full, by its account's quota or by \
              20-two at quota ann@example.org: allow up to 1MiB, \
              30-three at quota ann@example.org: warn up to 3 messages: nearly full";
    assert_eq!(decided(&explained(FULL, &steps)), by);
    let of_one = Explanation {
        outcomes: vec![format!("ann@example.org: refuse {FULL}")],
        ..explained("250 2.0.0 ok", &steps)
    };
    assert_eq!(decided(&of_one), by);
}

#[test]
fn what_was_left_out_and_may_have_decided_is_counted() {
    let cut = |cut, reply: &str, steps: &[Step]| {
        decided(&Explanation {
            cut,
            ..explained(reply, steps)
        })
    };
    let steps = "2 more steps and replies were not recorded";
    assert_eq!(
        cut(2, "250 2.0.0 ok", &[]),
        format!("nothing that was recorded refused it or held it back; {steps}")
    );
    assert_eq!(
        cut(2, "550 5.7.1 no", &[]),
        format!("who refused it was not recorded: 550 5.7.1 no; {steps}")
    );
    assert_eq!(cut(2, FULL, &[]), format!("the mailbox is full; {steps}"));
    let refused = step("50-five", "reject 550 5.7.1 no");
    assert_eq!(
        cut(2, "550 5.7.1 no", &[refused]),
        "50-five at message: reject 550 5.7.1 no"
    );
    let many = step("10-one", "accept").with_edits(vec!["tag odd".to_owned(); 20]);
    let left = many.cut;
    assert!(left > 0);
    assert_eq!(
        cut(0, "550 5.7.1 no", &[many]),
        format!(
            "who refused it was not recorded: 550 5.7.1 no; \
             {left} more reads and edits of 10-one at message were not recorded"
        )
    );
}
