use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn from(argument: &str) -> Option<(Option<Address>, &str)> {
    sender(argument).ok().map(|(address, _, rest)| (address, rest))
}

#[test]
fn a_sender_is_an_address_or_nothing() {
    assert_eq!(from("FROM:<>"), Some((None, "")));
    assert_eq!(
        from("from:<a@b.example>"),
        Some((Some(address("a@b.example")), ""))
    );
    assert_eq!(
        from("FROM: <a@b.example> SIZE=1"),
        Some((Some(address("a@b.example")), " SIZE=1"))
    );
}

#[test]
fn a_source_route_is_ignored() {
    let plain = Some((Some(address("a@b.example")), ""));
    assert_eq!(from("FROM:<@one.example,@two.example:a@b.example>"), plain);
    assert_eq!(from("FROM:<@one.example:a@b.example>"), plain);
    assert_eq!(from("FROM:<@one.example,two.example:a@b.example>"), None);
    assert_eq!(from("FROM:<@:a@b.example>"), None);
    assert_eq!(from("FROM:<@one.example>"), None);
}

#[test]
fn an_angle_bracket_within_quotes_ends_nothing() {
    let (found, _) = from(r#"FROM:<"a>b"@b.example>"#).unwrap();
    assert_eq!(found.unwrap().local(), "a>b");
    let (found, rest) = from(r#"FROM:<"a\">"@b.example> X"#).unwrap();
    assert_eq!(found.unwrap().local(), "a\">");
    assert_eq!(rest, " X");
    assert_eq!(from(r#"FROM:<"a>b@b.example>"#), None);
}

#[test]
fn what_is_no_path_is_refused() {
    for bad in [
        "FROM:a@b.example",
        "FROM:<a@b.example",
        "FROM:<a@b.example>SIZE=1",
        "FROM:<a>",
    ] {
        assert_eq!(sender(bad).unwrap_err(), Reply::bad_sender_syntax(), "{bad}");
    }
    for bad in [
        "",
        "FROM",
        "FROM <a@b.example>",
        "TO:<a@b.example>",
        "üüü:<a@b.example>",
    ] {
        assert_eq!(sender(bad).unwrap_err(), Reply::syntax(), "{bad}");
    }
    assert_eq!(recipient("TO:<>").unwrap_err(), Reply::bad_recipient_syntax());
    assert_eq!(recipient("TO:<a@>").unwrap_err(), Reply::bad_recipient_syntax());
}

#[test]
fn postmaster_needs_no_domain() {
    let (path, ..) = recipient("TO:<PostMaster>").unwrap();
    assert_eq!(path, ForwardPath::Postmaster);
    let (path, ..) = recipient("TO:<postmaster@b.example>").unwrap();
    assert_eq!(path, ForwardPath::Address(address("postmaster@b.example")));
}

#[test]
fn the_spelling_tells_whether_smtputf8_is_needed() {
    assert_eq!(sender("FROM:<a@b.example>").unwrap().1, Spelling::Ascii);
    assert_eq!(sender("FROM:<ü@b.example>").unwrap().1, Spelling::Utf8);
    assert_eq!(recipient("TO:<a@bücher.example>").unwrap().1, Spelling::Utf8);
    assert_eq!(
        recipient("TO:<a@xn--bcher-kva.example>").unwrap().1,
        Spelling::Ascii
    );
}

#[test]
fn address_literals_are_addresses() {
    for literal in ["a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"] {
        let (path, ..) = recipient(&format!("TO:<{literal}>")).unwrap();
        assert_eq!(path, ForwardPath::Address(address(literal)));
    }
}
