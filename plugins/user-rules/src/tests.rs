use super::*;
use std::cell::RefCell;

const OFFER: &str = r#"{"mailboxes": {
    "ann@example.org": [
        {"if": {"from": {"matches": "*@shop.example"}, "header": {"Subject": {"contains": ["offer", "sale"]}}},
         "then": [{"header": {"X-Folder": "Shop"}}, {"quarantine": "an offer"}]},
        {"if": {"tag": "spam"}, "then": ["discard"]},
        {"if": {"larger": "1KiB", "attached": "*.iso"}, "then": [{"redirect": "files@example.org"}]},
        {"if": {"to": {"is": "list@example.net"}, "smaller": 10}, "then": ["stop"]},
        {"if": {"attachment": false}, "then": [{"tag": "plain"}]}
    ],
    "*@example.org": [{"then": [{"reject": "not here"}]}]
}}"#;

/// Subject, To, size, file names, tags.
#[derive(Default)]
struct Letter(
    &'static str,
    &'static str,
    u32,
    Vec<&'static str>,
    Vec<&'static str>,
);

fn said(action: &Action) -> String {
    match action {
        Action::Header(fields) => format!("header {}", fields.len()),
        Action::Tag(text) => format!("tag {text}"),
        Action::Quarantine(text) => format!("quarantine {text}"),
        Action::Discard => "discard".to_owned(),
        Action::Redirect(to) => format!("redirect {to}"),
        Action::Reject(text) => format!("reject {text}"),
        Action::Stop => "stop".to_owned(),
    }
}

fn done(mailbox: &str, sender: &str, letter: Letter) -> Vec<String> {
    let settings: Settings = settings::parse(OFFER).unwrap();
    let Letter(subject, to, size, names, tags) = letter;
    let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
    let mail = Mail {
        authenticated: false,
        sender,
        tags: &tags,
        size: &|| size,
        header: &|name| match name {
            "Subject" => Some(subject.to_owned()),
            "Cc" => Some(to.to_owned()),
            _ => None,
        },
        raw: &|name| match name {
            "Cc" => vec![to.as_bytes().to_vec()],
            _ => vec![],
        },
        names: &|| names.iter().map(|&name| name.to_owned()).collect(),
    };
    let actions = settings.actions(mailbox, &mail);
    actions.iter().map(|action| said(action)).collect()
}

#[test]
fn all_conditions_must_hold_and_what_decides_ends_the_rules() {
    let offer = done(
        "Ann@example.org",
        "x@SHOP.example",
        Letter("A great Offer", "", 1, vec![], vec!["spam"]),
    );
    assert_eq!(offer, ["header 1", "quarantine an offer"]);
    let other = done(
        "ann@example.org",
        "x@shop.example",
        Letter("lunch", "", 1, vec![], vec!["spam"]),
    );
    assert_eq!(other, ["discard"]);
    let elsewhere = done(
        "ann@example.org",
        "x@shop.example.net",
        Letter("offer", "", 1, vec!["a"], vec![]),
    );
    assert_eq!(elsewhere, ["reject not here"], "the pattern's rules come behind");
}

#[test]
fn conditions_behind_what_decides_are_not_asked() {
    let asked = |mailbox: &str| {
        let settings: Settings = settings::parse(
            r#"{"mailboxes": {
                "ann@example.org": [
                    {"if": {"header": {"X-First": "*"}}, "then": [{"tag": "first"}]},
                    {"if": {"header": {"X-Second": "no"}}, "then": ["discard"]},
                    {"if": {"header": {"X-Third": "*"}}, "then": ["stop"]},
                    {"if": {"header": {"X-Fourth": "*"}, "larger": 1, "attachment": true}, "then": ["discard"]}
                ],
                "*@example.org": [{"if": {"header": {"X-Fifth": "*"}}, "then": ["discard"]}]
            }}"#,
        )
        .unwrap();
        let names = RefCell::new(Vec::new());
        let mail = Mail {
            authenticated: false,
            sender: "",
            tags: &[],
            size: &|| panic!("nobody has to know the size"),
            header: &|name| {
                names.borrow_mut().push(name.to_owned());
                Some("x".to_owned())
            },
            raw: &|_| panic!("nobody has to know addresses"),
            names: &|| panic!("nobody has to know the parts"),
        };
        let actions = settings.actions(mailbox, &mail);
        let done: Vec<String> = actions.iter().map(|action| said(action)).collect();
        (done.join(" "), names.take().join(" "))
    };
    let [first, third] = ["tag first stop", "X-First X-Second X-Third"].map(str::to_owned);
    assert_eq!(asked("ann@example.org"), (first, third));
    let [discard, fifth] = ["discard", "X-Fifth"].map(str::to_owned);
    assert_eq!(asked("bob@example.org"), (discard, fifth));
}

#[test]
fn sizes_hold_at_their_edges() {
    let iso = |size| done("ann@example.org", "", Letter("", "", size, vec!["x.ISO"], vec![]));
    assert_eq!(iso(1025), ["redirect files@example.org"]);
    assert_eq!(iso(1024), ["reject not here"]);
    let list = |size| {
        done(
            "ann@example.org",
            "",
            Letter("", " List@example.net", size, vec!["x"], vec![]),
        )
    };
    assert_eq!(list(9), ["stop"], "and the pattern's rules are not asked");
    assert_eq!(list(10), ["reject not here"]);
}

#[test]
fn what_does_not_decide_goes_on_to_the_next_rule() {
    let plain = done("ann@example.org", "", Letter::default());
    assert_eq!(plain, ["tag plain", "reject not here"]);
    assert_eq!(
        done("bob@example.org", "", Letter::default()),
        ["reject not here"]
    );
    assert!(done("bob@example.net", "", Letter::default()).is_empty());
}

#[test]
fn what_cannot_be_meant_is_refused_by_mailbox_and_place() {
    let refused = |rules: &str| {
        let json = format!(r#"{{"mailboxes": {{"ann@example.org": {rules}}}}}"#);
        settings::parse::<Settings>(&json).unwrap_err()
    };
    for (rules, error) in [
        (
            r#"[{"then": ["stop"]}, {"then": []}]"#,
            "mailboxes.ann@example.org[1].then: must say",
        ),
        (r#"[{"then": ["stop", {"tag": "x"}]}]"#, "is never done"),
        (
            r#"[{"then": [{"redirect": "files"}]}]"#,
            "`files` is not an address",
        ),
        (r#"[{"then": [{"header": {"a b": "x"}}]}]"#, "`a b` is no name"),
        (r#"[{"then": [{"reject": " "}]}]"#, "` ` is empty"),
        (r#"[{"then": ["drop"]}]"#, "unknown variant `drop`"),
        (
            r#"[{"if": {"form": {"is": "x"}}, "then": ["stop"]}]"#,
            "unknown field `form`",
        ),
        (
            r#"[{"if": {"from": {"like": "x"}}, "then": ["stop"]}]"#,
            "unknown variant `like`",
        ),
    ] {
        let said = refused(rules);
        assert!(said.contains(error), "{rules}: {said}");
    }
    let error = settings::parse::<Settings>(r#"{"mailboxes": {"ann": []}}"#).unwrap_err();
    assert!(error.contains("`ann` is not an address"), "{error}");
}
