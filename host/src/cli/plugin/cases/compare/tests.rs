use super::*;
use crate::policy::Edit;
use crate::policy::stand::{Ending, Line, Seen};
use postern_proto::smtp::Refusal;
use std::time::Duration;

fn expect(yaml: &str) -> RawExpect {
    serde_yaml::from_str(yaml).unwrap()
}

fn heard(said: Said) -> Heard {
    Heard {
        said,
        took: Duration::ZERO,
        seen: Seen::default(),
    }
}

fn rejected() -> Said {
    let (reply, _) = Reply::from_policy(Refusal::Permanent, 550, "5.7.1", "not today");
    Said::Verdict {
        verdict: Verdict::Reject(reply),
        edits: Vec::new(),
    }
}

fn accepted(edits: Vec<Edit>) -> Said {
    Said::Verdict {
        verdict: Verdict::Accept,
        edits,
    }
}

/// Names of what differs.
fn differing(yaml: &str, heard: &Heard) -> Vec<&'static str> {
    let found = differences(&expect(yaml), heard, &BTreeMap::new());
    found.iter().map(|difference| difference.what).collect()
}

#[test]
fn what_is_not_written_is_not_compared() {
    assert_eq!(differing("verdict: reject", &heard(rejected())), [""; 0]);
    let all = "{ verdict: reject, reply: { code: 550, enhanced: 5.7.1, text: not today } }";
    assert_eq!(differing(all, &heard(rejected())), [""; 0]);
}

#[test]
fn each_part_of_a_reply_is_compared_by_itself() {
    let wrong = "{ verdict: defer, reply: { code: 551, enhanced: 5.7.2, text: not }, reason: x }";
    assert_eq!(
        differing(wrong, &heard(rejected())),
        ["verdict", "reply code", "enhanced code", "reply text", "reason"]
    );
    assert_eq!(
        differing("{ reply: { code: 550 } }", &heard(accepted(Vec::new()))),
        ["reply code"]
    );
}

#[test]
fn a_failure_that_nobody_expects_is_a_difference_whatever_it_comes_to() {
    let mut failed = heard(rejected());
    failed.seen.failure = Some(Ending {
        word: "trap",
        text: "unreachable".to_owned(),
        last_words: "at line 3\nno lunch".to_owned(),
    });
    let found = differences(&expect("verdict: reject"), &failed, &BTreeMap::new());
    assert_eq!(found[0].expected, ["none"]);
    assert_eq!(found[0].said, ["trap: unreachable", "at line 3", "no lunch"]);
    assert_eq!(differing("failure: timeout", &failed), ["failure"]);
    assert_eq!(differing("{ failure: trap, verdict: reject }", &failed), [""; 0]);
    assert_eq!(differing("failure: trap", &heard(rejected())), ["failure"]);
}

#[test]
fn edits_are_compared_in_their_order_and_shown_line_by_line() {
    let tags = |names: &[&str]| {
        heard(accepted(
            names.iter().map(|name| Edit::Tag((*name).to_owned())).collect(),
        ))
    };
    let wanted = "edits: [ { tag: a }, { tag: b }, { tag: c } ]";
    assert_eq!(differing(wanted, &tags(&["a", "b", "c"])), [""; 0]);
    let found = differences(&expect(wanted), &tags(&["a", "x", "c", "y"]), &BTreeMap::new());
    let lines = found[0].lines();
    assert_eq!(
        lines,
        [
            (' ', "tag a"),
            ('-', "tag b"),
            ('+', "tag x"),
            (' ', "tag c"),
            ('+', "tag y")
        ]
    );
    assert_eq!(differing("edits: []", &tags(&["a"])), ["edits"]);
}

#[test]
fn routes_and_ceilings_are_compared() {
    let rewrite = heard(Said::Route(Route::Rewrite(vec!["a@x.example".to_owned()])));
    assert_eq!(
        differing("{ route: rewrite, to: [a@x.example] }", &rewrite),
        [""; 0]
    );
    assert_eq!(differing("{ route: pass, to: [] }", &rewrite), ["route", "to"]);
    let bound = Ceiling {
        bytes: Some(1024),
        messages: None,
    };
    let warned = heard(Said::Quota(QuotaDecision::Warn {
        text: "full".to_owned(),
        ceiling: bound,
    }));
    assert_eq!(
        differing(
            "{ quota: warn, warning: full, ceiling: { bytes: 1KiB } }",
            &warned
        ),
        [""; 0]
    );
    let wrong = "{ quota: allow, warning: x, ceiling: { bytes: 1KiB, messages: 1 }, reply: { code: 452 } }";
    assert_eq!(
        differing(wrong, &warned),
        ["quota", "reply code", "warning", "ceiling"]
    );
}

#[test]
fn what_the_store_holds_is_compared_as_a_whole() {
    let kv = BTreeMap::from([("a".to_owned(), Bytes::from_static(b"1"))]);
    let found = |yaml: &str| differences(&expect(yaml), &heard(accepted(Vec::new())), &kv).len();
    assert_eq!((found("kv: { a: \"1\" }"), found("{}")), (0, 0));
    assert_eq!(
        (
            found("kv: {}"),
            found("kv: { a: 1 }"),
            found("kv: { a: \"1\", b: x }")
        ),
        (1, 1, 1)
    );
}

#[test]
fn lines_of_the_log_and_calls_are_looked_for_among_others() {
    let call = |function: &str, arguments: &str| HostCall {
        function: function.to_owned(),
        arguments: arguments.to_owned(),
        whole: None,
        answer: "none".to_owned(),
    };
    let mut seen = heard(accepted(Vec::new()));
    seen.seen.calls = vec![
        call("config.json", ""),
        call("kv.get", "\"a\""),
        call("kv.set", "\"a\", \"1\", 0"),
    ];
    seen.seen.lines = vec![Line {
        level: "warn",
        text: "off for this one".to_owned(),
    }];
    for good in [
        "calls: [ kv.get, kv.set ]",
        "calls: [ 'kv.get(\"a\")', 'kv.set(\"a\", \"1\", 0)' ]",
        "calls: []",
        "log: [ \"warn: off\" ]",
        "log: []",
    ] {
        assert_eq!(differing(good, &seen), [""; 0], "{good}");
    }
    for bad in [
        "calls: [ kv.set, kv.get ]",
        "calls: [ 'kv.get(\"b\")' ]",
        "calls: [ kv ]",
        "calls: [ kv.get, kv.get ]",
    ] {
        assert_eq!(differing(bad, &seen), ["calls"], "{bad}");
    }
    let found = differences(&expect("log: [ off, out ]"), &seen, &BTreeMap::new());
    assert_eq!(
        (found[0].what, found[0].expected.as_slice()),
        ("log", &["… out …".to_owned()][..])
    );
}

#[test]
fn a_policy_that_is_refused_differs_unless_that_is_expected() {
    let fault = Fault {
        path: "x.yaml".into(),
        text: "settings: wait must be shorter; mend them there".to_owned(),
        passes: false,
        ending: None,
        objection: Some("wait must be shorter".into()),
    };
    let names = |yaml: &str| -> Vec<&str> {
        refused(&expect(yaml), &fault)
            .iter()
            .map(|difference| difference.what)
            .collect()
    };
    assert_eq!(names("{ valid: false, error: wait must be shorter }"), [""; 0]);
    assert_eq!(names("valid: false"), [""; 0]);
    assert_eq!(names("{ valid: false, error: longer }"), ["error", "refused"]);
    assert_eq!(names("valid: true"), ["valid", "refused"]);
    assert_eq!(names("verdict: accept"), ["policy"]);
    assert_eq!(
        names("{ valid: false, error: settings }"),
        ["error", "refused"],
        "the policy's own words count"
    );
    let other = Fault {
        objection: None,
        ..fault.clone()
    };
    let difference = refused(&expect("valid: false"), &other);
    assert_eq!(
        difference[0].what, "policy",
        "that it does not load is another thing"
    );
    assert_eq!(differing("{ valid: true }", &heard(Said::Valid)), [""; 0]);
    assert_eq!(
        differing("{ valid: false, error: x }", &heard(Said::Valid)),
        ["valid", "error"]
    );
}
