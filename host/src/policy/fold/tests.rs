use super::*;

fn tag(name: &str) -> Edit {
    Edit::Tag(name.to_owned())
}

#[test]
fn the_first_refusal_ends_it_and_earlier_edits_are_void() {
    let refusals = [
        Verdict::Reject(Reply::policy_refused()),
        Verdict::Defer(Reply::policy_deferred()),
        Verdict::Discard,
    ];
    for verdict in refusals {
        let mut filters = Filters::after(&[]);
        assert_eq!(filters.take(Verdict::Accept, vec![tag("a")]), Next::Ask);
        assert_eq!(filters.take(verdict.clone(), vec![tag("b")]), Next::Stop);
        let decision = filters.decision();
        assert_eq!(decision.verdict, verdict);
        assert_eq!(decision.edits, []);
    }
}

#[test]
fn quarantine_and_edits_accumulate_and_edits_of_earlier_stages_are_not_repeated() {
    let mut filters = Filters::after(&[tag("before")]);
    filters.take(Verdict::Quarantine("a virus".to_owned()), vec![tag("a")]);
    assert_eq!(
        filters.edits(),
        [tag("before"), tag("a")],
        "the next one sees both"
    );
    assert_eq!(filters.own(), [tag("a")]);
    filters.take(Verdict::Accept, vec![tag("b")]);
    filters.take(Verdict::Quarantine("spam".to_owned()), Vec::new());
    let decision = filters.decision();
    assert_eq!(decision.verdict, Verdict::Quarantine("a virus; spam".to_owned()));
    assert_eq!(decision.edits, [tag("a"), tag("b")]);
}

#[test]
fn a_failed_filter_comes_to_what_its_policy_says() {
    let outcome = |wanted| {
        let mut filters = Filters::after(&[]);
        filters.take(Verdict::Accept, vec![tag("a")]);
        let next = filters.fail(wanted);
        (next, filters.decision())
    };
    let (next, decision) = outcome(OnFailure::Defer);
    assert_eq!(next, Next::Stop);
    assert_eq!(decision.verdict, Verdict::Defer(Reply::policy_deferred()));
    let (next, decision) = outcome(OnFailure::Reject);
    assert_eq!(next, Next::Stop);
    assert_eq!(decision.verdict, Verdict::Reject(Reply::policy_refused()));
    let (next, decision) = outcome(OnFailure::Accept);
    assert_eq!(next, Next::Stop, "later filters are not asked");
    assert_eq!(
        (decision.verdict, decision.edits),
        (Verdict::Accept, vec![tag("a")])
    );
    let (next, decision) = outcome(OnFailure::Skip);
    assert_eq!(next, Next::Ask);
    assert_eq!(decision.verdict, Verdict::Accept);
}

#[test]
fn the_next_policy_sees_recipients_and_tags_as_they_were_edited() {
    let facts = Facts {
        rcpt_to: vec!["Ann@x.example".to_owned(), "bob@x.example".to_owned()],
        tags: vec!["before".to_owned()],
        ..Facts::default()
    };
    let edits = [
        tag("before"),
        Edit::RemoveRecipient("ann@X.example".to_owned()),
        Edit::AddRecipient("cy@x.example".to_owned()),
        Edit::AddRecipient("BOB@x.example".to_owned()),
        tag("mine"),
    ];
    let seen = super::seen(&facts, &edits, &edits[1..]);
    assert_eq!(seen.rcpt_to, ["bob@x.example", "cy@x.example"]);
    assert_eq!(seen.tags, ["before", "mine"]);
    let redirected = super::seen(&facts, &[Edit::Redirect("d@x.example".to_owned())], &[]);
    assert_eq!(redirected.rcpt_to, ["d@x.example"]);
}

#[test]
fn the_lowest_ceiling_holds_in_each_measure_and_the_first_warning_is_read() {
    let ceiling = |bytes, messages| Ceiling { bytes, messages };
    let mut quotas = Quotas::default();
    quotas.take(QuotaDecision::Allow(ceiling(Some(100), None)));
    let warn = |text: &str, ceiling| QuotaDecision::Warn {
        text: text.to_owned(),
        ceiling,
    };
    quotas.take(warn("first", ceiling(Some(200), Some(5))));
    quotas.take(warn("second", ceiling(None, Some(7))));
    assert_eq!(quotas.decision(), warn("first", ceiling(Some(100), Some(5))));
}

#[test]
fn a_denial_ends_it_whatever_was_allowed_before() {
    let mut quotas = Quotas::default();
    assert_eq!(quotas.take(QuotaDecision::Allow(Ceiling::default())), Next::Ask);
    assert_eq!(
        quotas.take(QuotaDecision::Deny(Reply::mailbox_full())),
        Next::Stop
    );
    assert_eq!(quotas.decision(), QuotaDecision::Deny(Reply::mailbox_full()));
}
