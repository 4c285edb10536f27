use super::*;

fn recipient(address: &str) -> Recipient {
    Recipient {
        address: Address::parse(address).unwrap(),
        standing: Standing::Deliver,
        mailboxes: vec![address.into()],
    }
}

fn three() -> Vec<Recipient> {
    ["a@x.example", "b@x.example", "c@x.example"]
        .map(recipient)
        .to_vec()
}

fn verdict(recipient: &str, verdict: Verdict) -> Edit {
    Edit::RecipientVerdict {
        recipient: recipient.to_owned(),
        verdict,
    }
}

fn seen(shares: &[Share]) -> Vec<(String, Vec<usize>)> {
    let seen = shares
        .iter()
        .map(|share| (share.address.to_string(), share.answers_for.clone()));
    seen.collect()
}

#[test]
fn quarantine_accumulates_and_discard_stays() {
    let mut standing = Standing::default();
    standing.take(Verdict::Quarantine("spam".to_owned())).unwrap();
    standing.take(Verdict::Accept).unwrap();
    standing.take(Verdict::Quarantine("virus".to_owned())).unwrap();
    assert_eq!(standing, Standing::Quarantine("spam; virus".to_owned()));
    assert_eq!(
        standing.take(Verdict::Defer(Reply::our_trouble())),
        Err(Reply::our_trouble())
    );
    standing.take(Verdict::Discard).unwrap();
    standing.take(Verdict::Quarantine("late".to_owned())).unwrap();
    assert_eq!(standing, Standing::Discard);
}

#[test]
fn added_recipients_answer_for_nobody_and_removed_ones_are_gone_in_any_case() {
    let edits = [
        Edit::AddRecipient("archive@x.example".to_owned()),
        Edit::RemoveRecipient("B@X.example".to_owned()),
    ];
    let shares = shares(&three(), &Standing::Deliver, &edits);
    let expected = [
        ("a@x.example", vec![0]),
        ("c@x.example", vec![2]),
        ("archive@x.example", vec![]),
    ];
    assert_eq!(
        seen(&shares),
        expected.map(|(address, places)| (address.to_owned(), places))
    );
    assert_eq!(shares[2].mailboxes, None, "it is not routed yet");
}

#[test]
fn a_redirect_answers_for_all_and_later_edits_see_it() {
    let edits = [
        Edit::AddRecipient("archive@x.example".to_owned()),
        Edit::Redirect("trap@x.example".to_owned()),
        verdict("trap@x.example", Verdict::Reject(Reply::no_such_user())),
        verdict("a@x.example", Verdict::Discard),
    ];
    let shares = shares(&three(), &Standing::Deliver, &edits);
    assert_eq!(seen(&shares), [("trap@x.example".to_owned(), vec![0, 1, 2])]);
    assert_eq!(shares[0].fate(), Some(Fate::Refuse(Reply::no_such_user())));
}

#[test]
fn a_verdict_for_one_recipient_leaves_the_others_alone() {
    let edits = [
        verdict("a@x.example", Verdict::Quarantine("odd".to_owned())),
        verdict("b@x.example", Verdict::Defer(Reply::our_trouble())),
        verdict("b@x.example", Verdict::Discard),
    ];
    let shares = shares(&three(), &Standing::Deliver, &edits);
    assert_eq!(shares[0].fate(), Some(Fate::Quarantine("odd".to_owned())));
    assert_eq!(
        shares[1].fate(),
        Some(Fate::Refuse(Reply::our_trouble())),
        "the first refusal ends it"
    );
    assert_eq!(shares[2].fate(), None);
}

#[test]
fn what_was_decided_for_the_whole_holds_for_each_and_for_those_put_in() {
    let whole = Standing::Quarantine("sender".to_owned());
    let mut recipients = three();
    recipients[0].standing = Standing::Quarantine("own".to_owned());
    let shares = shares(
        &recipients,
        &whole,
        &[Edit::AddRecipient("d@x.example".to_owned())],
    );
    let fates: Vec<_> = shares.iter().map(Share::fate).collect();
    let held = |reason: &str| Some(Fate::Quarantine(reason.to_owned()));
    assert_eq!(
        fates,
        [
            held("own; sender"),
            held("sender"),
            held("sender"),
            held("sender")
        ]
    );
}

#[test]
fn the_only_recipient_is_the_only_one_after_edits() {
    let one = [recipient("a@x.example")];
    let named = |recipients: &[Recipient], edits: &[Edit]| {
        only(&shares(recipients, &Standing::Deliver, edits)).map(Address::to_string)
    };
    assert_eq!(named(&one, &[]).as_deref(), Some("a@x.example"));
    let added = [Edit::AddRecipient("archive@x.example".to_owned())];
    assert_eq!(
        named(&one, &added),
        None,
        "the archive is not to see whose copy it has"
    );
    let redirected = [Edit::Redirect("b@x.example".to_owned())];
    assert_eq!(named(&one, &redirected).as_deref(), Some("b@x.example"));
    assert_eq!(named(&three(), &[]), None);
}
