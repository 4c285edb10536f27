use super::*;

fn parse(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_local_part_keeps_its_case_and_the_domain_does_not() {
    let address = parse("Ann.Lee+News@MX.Example.ORG");
    assert_eq!(address.local(), "Ann.Lee+News");
    assert_eq!(address.domain(), "mx.example.org");
    assert_eq!(address.to_string(), "Ann.Lee+News@mx.example.org");
    assert_eq!(address.key(), "ann.lee+news@mx.example.org");
}

#[test]
fn what_is_no_address_says_which_side_is_at_fault() {
    for text in ["", "ann", "@a.example", "ann@", "\"ann\"", "\"ann\"@"] {
        assert_eq!(Address::parse(text), Err(AddressError::Incomplete), "{text}");
    }
    for text in [
        ".a@b",
        "a.@b",
        "a..b@c",
        "a b@c",
        "a\"b@c",
        "(a)@b",
        "\"a@b",
        "\"\"@b",
        "\"a\u{7f}\"@b",
        "a\u{80}@b",
    ] {
        assert_eq!(Address::parse(text), Err(AddressError::Local), "{text}");
    }
    for text in [
        "a@b_c",
        "a@b c",
        "a@-b",
        "a@b..c",
        "a@b.",
        "a@b@c",
        "a@.",
        "a@xn--0",
        "a@[1.2.3]",
        "a@[::1]",
        "a@[IPv6:1]",
    ] {
        assert_eq!(Address::parse(text), Err(AddressError::Domain), "{text}");
    }
}

#[test]
fn lengths_are_bounded() {
    assert!(Address::parse(&format!("{}@b", "a".repeat(64))).is_ok());
    assert_eq!(
        Address::parse(&format!("{}@b", "a".repeat(65))),
        Err(AddressError::Local)
    );
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert!(Address::parse(&format!("a@{longest}")).is_ok());
    assert_eq!(
        Address::parse(&format!("a@{longest}a")),
        Err(AddressError::Domain)
    );
    assert_eq!(Address::parse(&format!("a@a{label}")), Err(AddressError::Domain));
}

#[test]
fn a_quoted_local_part_is_unquoted_and_quoted_again_only_where_it_must_be() {
    assert_eq!(parse(r#""ann"@b.example"#), parse("ann@b.example"));
    let odd = parse(r#""a \"b\\@c"@d.example"#);
    assert_eq!(odd.local(), r#"a "b\@c"#);
    assert_eq!(odd.to_string(), r#""a \"b\\@c"@d.example"#);
    assert_eq!(parse(&odd.key()), odd);
    assert_eq!(parse(r#""a..b"@c"#).to_string(), r#""a..b"@c"#);
}

#[test]
fn names_in_a_labels_and_u_labels_are_the_same() {
    assert_eq!(parse("ü@BÜCHER.example"), parse("ü@xn--bcher-kva.example"));
    assert_eq!(parse("a@xn--bcher-kva.example").domain(), "bücher.example");
    assert!(!parse("a@bücher.example").is_ascii());
    assert!(!parse("ü@b.example").is_ascii());
    assert!(parse("a@b.example").is_ascii());
}

#[test]
fn address_literals_have_one_spelling() {
    assert_eq!(parse("a@[192.0.2.1]").domain(), "[192.0.2.1]");
    assert_eq!(parse("a@[ipv6:2001:DB8:0::1]").domain(), "[IPv6:2001:db8::1]");
}

#[test]
fn a_detail_needs_something_before_it() {
    assert_eq!(parse("ann+a+b@c").detail('+'), ("ann", Some("a+b")));
    assert_eq!(parse("ann@c").detail('+'), ("ann", None));
    assert_eq!(parse("+ann@c").detail('+'), ("+ann", None));
}
