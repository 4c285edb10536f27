use super::*;
use std::collections::{BTreeMap, BTreeSet};

fn size(text: &str) -> Result<u64, String> {
    text.parse::<Size>().map(|size| size.0)
}

fn seconds(text: &str) -> Result<u32, String> {
    text.parse::<Seconds>().map(|seconds| seconds.0)
}

#[test]
fn sizes_have_binary_and_decimal_units() {
    assert_eq!(size("1GiB"), Ok(1 << 30));
    assert_eq!(size("500MB"), Ok(500_000_000));
    assert_eq!(size("2 kib"), Ok(2048));
    assert_eq!(size("17"), Ok(17));
    assert_eq!(size("0"), Ok(0));
    for wrong in ["", "GiB", "1G", "-1", "1.5GiB", "1GiBs", "16777216TiB"] {
        assert!(size(wrong).is_err(), "{wrong} was taken");
    }
    assert_eq!(size("16777215TiB"), Ok(16_777_215 << 40), "the largest that fits");
}

#[test]
fn sizes_are_shown_to_the_nearest_tenth() {
    assert_eq!(Size(1023).to_string(), "1023 B");
    assert_eq!(Size(1024).to_string(), "1 KiB");
    assert_eq!(Size(1024 + 51).to_string(), "1 KiB");
    assert_eq!(Size(1024 + 52).to_string(), "1.1 KiB");
    assert_eq!(Size(u64::MAX).to_string(), "16777216 TiB");
    assert_eq!(Size(3 << 29).to_string(), "1.5 GiB");
}

#[test]
fn durations_need_a_unit_and_are_never_zero() {
    assert_eq!(seconds("1s"), Ok(1));
    assert_eq!(seconds("5m"), Ok(300));
    assert_eq!(seconds("4h"), Ok(14_400));
    assert_eq!(seconds("36d"), Ok(3_110_400));
    for wrong in ["0s", "5", "5 minutes", "100ms", "", "49711d"] {
        assert!(seconds(wrong).is_err(), "{wrong} was taken");
    }
    assert!(seconds("49710d").is_ok(), "the most days that 32 bits hold");
}

#[test]
fn durations_are_shown_in_their_largest_whole_unit() {
    assert_eq!(Seconds(59).to_string(), "59s");
    assert_eq!(Seconds(300).to_string(), "5m");
    assert_eq!(Seconds(3600).to_string(), "1h");
    assert_eq!(Seconds(172_800).to_string(), "2d");
    assert_eq!(Seconds(3601).to_string(), "3601s");
}

#[test]
fn stars_and_question_marks_match_without_regard_to_case() {
    for (pattern, text) in [
        ("*", ""),
        ("*.exe", "Setup.EXE"),
        ("sales-*@example.org", "sales-@example.org"),
        ("a*b*c", "a-b-b-c"),
        ("*.tar.?z", "x.tar.gz"),
        ("ÄRGER*", "ärger.doc"),
        ("**", "x"),
    ] {
        assert!(matches(pattern, text), "{pattern} should match {text}");
    }
    for (pattern, text) in [
        ("", "x"),
        ("*.exe", "x.exe.txt"),
        ("?", ""),
        ("a*b*c", "a-c-b"),
        ("*a", "ab"),
    ] {
        assert!(!matches(pattern, text), "{pattern} should not match {text}");
    }
}

#[test]
fn many_stars_do_not_take_for_ever() {
    let (pattern, text) = ("*a".repeat(200) + "b", "a".repeat(5_000));
    assert!(!matches(&pattern, &text));
}

#[test]
fn networks_contain_their_edges_and_nothing_beyond() {
    let network: Network = "192.0.2.77/25".parse().unwrap();
    for (address, inside) in [
        ("192.0.2.0", true),
        ("192.0.2.127", true),
        ("192.0.2.128", false),
        ("192.0.1.255", false),
        ("::ffff:192.0.2.1", false),
    ] {
        assert_eq!(network.contains(address.parse().unwrap()), inside, "{address}");
    }
    assert!(
        "0.0.0.0/0"
            .parse::<Network>()
            .unwrap()
            .contains("203.0.113.9".parse().unwrap())
    );
    assert!(
        "2001:db8::/32"
            .parse::<Network>()
            .unwrap()
            .contains("2001:db8:ffff::1".parse().unwrap())
    );
    for wrong in [
        "192.0.2.0/33",
        "2001:db8::/129",
        "example.org",
        "192.0.2/24",
        "192.0.2.0/",
    ] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong} was taken");
    }
}

#[test]
fn a_client_counts_as_its_neighbourhood() {
    assert_eq!(neighbourhood("192.0.2.77", 24), "192.0.2.0");
    assert_eq!(neighbourhood("192.0.2.77", 32), "192.0.2.77");
    assert_eq!(neighbourhood("2001:db8:1:2:3:4:5:6", 24), "2001:db8:1:2::");
    assert_eq!(neighbourhood("", 24), "");
}

#[test]
fn settings_name_what_they_do_not_know() {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Known {
        limit: Option<Size>,
        of: OneOrMany<String>,
    }
    assert!(parse::<Known>("").unwrap().limit.is_none());
    assert!(parse::<Known>("null").unwrap().of.is_empty());
    let read: Known = parse(r#"{"limit": 7, "of": "one"}"#).unwrap();
    assert_eq!((read.limit, &*read.of), (Some(Size(7)), &["one".to_owned()][..]));
    let error = parse::<Known>(r#"{"limits": 7}"#).unwrap_err();
    assert!(
        error.contains("unknown field `limits`") && !error.contains("line"),
        "{error}"
    );
    let error = parse::<Known>(r#"{"limit": "7 fathoms"}"#).unwrap_err();
    assert!(error.starts_with("limit: `7 fathoms` is not a size"), "{error}");
    let error = parse::<BTreeMap<String, Vec<Known>>>(r#"{"all": [{}, {"limit": -1}]}"#).unwrap_err();
    assert!(error.starts_with("all[1].limit: "), "{error}");
}

#[test]
fn what_is_wrong_with_one_of_several_is_told() {
    let read = parse::<OneOrMany<Size>>;
    assert_eq!(read("1"), Ok(OneOrMany(vec![Size(1)])));
    assert_eq!(read(r#"["1KiB", 2]"#), Ok(OneOrMany(vec![Size(1024), Size(2)])));
    for wrong in [r#""much""#, r#"[1, "much"]"#] {
        let error = read(wrong).unwrap_err();
        assert!(error.starts_with("`much` is not a size"), "{error}");
    }
}

#[test]
fn private_networks_are_known_by_their_edges() {
    let private = Network::private();
    for inside in [
        "10.255.255.255",
        "172.31.0.1",
        "100.127.0.1",
        "127.0.0.1",
        "::1",
        "fdff::1",
        "febf::1",
    ] {
        assert!(listed(&private, inside), "{inside}");
    }
    for outside in [
        "11.0.0.0",
        "172.32.0.0",
        "100.128.0.0",
        "192.0.2.1",
        "2001:db8::1",
        "fec0::1",
    ] {
        assert!(!listed(&private, outside), "{outside}");
    }
}

#[test]
fn texts_are_checked_when_they_are_read() {
    let field = |name: &str| FieldName::try_from(name.to_owned());
    assert_eq!(&*field("X-Spam-Score").unwrap(), "X-Spam-Score");
    assert!(field(&"x".repeat(76)).is_ok());
    for wrong in ["", "a b", "a:", "é", "a\r\n", &"x".repeat(77)] {
        assert!(field(wrong).is_err(), "{wrong} was taken");
    }
    let wrong = |json: &str| parse::<(Address, Zone, Words)>(json).unwrap_err();
    assert_eq!(wrong(r#"["ann", "a.b", "x"]"#), "[0]: `ann` is not an address");
    assert!(wrong(r#"["*@a.b", "a..b", "x"]"#).starts_with("[1]: `a..b` is no zone: write zen.example.org"));
    assert!(wrong(r#"["*@a.b", "a.b", " "]"#).starts_with("[2]: ` ` is empty"));
    for pattern in ["*.example", "a b", "x@a.b", ""] {
        assert!(!is_domain(pattern), "{pattern} was taken");
    }
}

#[test]
fn zones_leave_room_for_an_address() {
    let zone = |text: &str| Zone::try_from(text.to_owned());
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{}", "a".repeat(52));
    assert_eq!(long.len(), 180);
    for good in [
        "zen.example.net",
        "key_1.dq.Example-2.net",
        "local",
        &label,
        &long,
    ] {
        assert_eq!(zone(good).map(|zone| zone.to_string()), Ok(good.to_owned()));
    }
    for wrong in [
        "https://zen.example.net",
        "a/b",
        "a:53",
        "*.example.net",
        "zen.example.net.",
        ".example.net",
        "bücher.example",
        "",
        &format!("{label}a"),
        &format!("{long}a"),
    ] {
        assert!(zone(wrong).is_err(), "{wrong} was taken");
    }
}

#[test]
fn bits_are_powers_of_two_in_an_octet() {
    let bit = |text: &str| Bit::try_from(text.to_owned());
    assert_eq!((bit("1"), bit("128")), (Ok(Bit(1)), Ok(Bit(128))));
    for wrong in ["0", "3", "256", "", "x"] {
        assert!(bit(wrong).is_err(), "{wrong} was taken");
    }
}

#[test]
fn numbers_hold_to_their_bounds() {
    let read = parse::<Within<-5, 7>>;
    assert_eq!((read("-5"), read("7")), (Ok(Within(-5)), Ok(Within(7))));
    for wrong in ["-6", "8"] {
        assert_eq!(read(wrong), Err(format!("{wrong} is not within -5 to 7")));
    }
    assert!(reaches(3, Some(Within(3))) && !reaches(2, Some(Within(3))) && !reaches(2, None));
}

#[test]
fn a_name_is_found_in_any_case_and_before_the_pattern_that_says_most() {
    let all: BTreeMap<String, u8> = [
        ("*", 1),
        ("*.Example", 2),
        ("Shop.example", 3),
        ("sh*.example", 4),
    ]
    .map(|(name, number)| (name.to_owned(), number))
    .into();
    assert_eq!(named(&all, "shop.EXAMPLE"), Some(&3));
    assert_eq!(named(&all, "a.example"), None);
    assert_eq!(closest(&all, "SHOP.example"), Some(&3));
    assert_eq!(closest(&all, "a.example"), Some(&2));
    assert_eq!(closest(&all, "shed.example"), Some(&4));
    assert_eq!(closest(&all, "example.org"), Some(&1));
    assert!(same("Ärger@x.org", "äRGER@X.ORG") && !same("a", "b"));
}

#[test]
fn an_address_is_named_in_dns_from_its_end() {
    assert_eq!(reversed("192.0.2.99".parse().unwrap()), "99.2.0.192");
    // RFC 5782 §2.4 has this example.
    assert_eq!(
        reversed("2001:db8:1:2:3:4:567:89ab".parse().unwrap()),
        "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
    );
}

#[test]
fn addresses_are_what_is_in_brackets_and_never_what_is_quoted() {
    let of = |field: &str| addresses(field).map(|all| all.join(" "));
    for (field, found) in [
        ("Bob <bob@Shop.example>", "bob@Shop.example"),
        (" bob@shop.example", "bob@shop.example"),
        ("\"ann@bank.example\" <bob@shop.example>", "bob@shop.example"),
        (
            "\"Ann, of <b@y.example>\" (c@z.example) <a@x.example>",
            "a@x.example",
        ),
        ("\"a b\"@x.example", "@x.example"),
        ("a@x.example, <b@y.example>", "a@x.example b@y.example"),
        ("<a@x.example> <b@y.example>", "a@x.example b@y.example"),
        ("ann@bank.example <b@y.example>", "b@y.example"),
        (
            "G: a@x.example, b@x.example; c@y.example",
            "a@x.example b@x.example c@y.example",
        ),
        ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("<a@>", "a@"),
        ("nobody", ""),
        ("", ""),
    ] {
        assert_eq!(of(field).as_deref(), Some(found), "{field}");
    }
    for endless in [
        "a\\, <b@y>",
        "Bob <a@x.example",
        "<a@x.example>, \"b@y",
        "<a@x.example> (b@y",
        "a)",
        "a\\",
    ] {
        assert_eq!(of(endless), None, "{endless}");
    }
}

#[test]
fn domains_are_those_that_the_gateway_finds() {
    #[derive(Deserialize)]
    struct Fields {
        malformed: Vec<String>,
        read: Vec<(String, String, String)>,
    }
    let fields = include_str!("../../../tests/from-fields.json");
    let fields: Fields = serde_json::from_str(fields).unwrap();
    for (field, addresses, names) in fields.read {
        let all: BTreeSet<String> = [addresses, names]
            .iter()
            .flat_map(|domains| domains.split(' '))
            .filter(|domain| !domain.is_empty())
            .map(str::to_owned)
            .collect();
        assert_eq!(domains(&field), Some(all), "{field}");
    }
    for field in fields.malformed {
        assert_eq!(domains(&field), None, "{field}");
    }
}

#[test]
fn a_domain_is_a_name_that_dns_can_have() {
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(long.len(), 253);
    for good in [
        "a.b",
        "localhost",
        "x_y.A-1",
        "b\u{fc}cher.example",
        &label,
        &long,
    ] {
        assert!(is_domain(good), "{good}");
    }
    let (label, long) = (format!("{label}a"), format!("{long}a"));
    for wrong in [
        "a..b",
        "a.",
        "-a.b",
        "a:b",
        "a/b",
        "[a.b]",
        "a\u{a0}.b",
        "a\u{7f}.b",
        &label,
        &long,
    ] {
        assert!(!is_domain(wrong), "{wrong} was taken");
    }
}

#[test]
fn a_condition_holds_where_all_that_is_written_does() {
    let holds = |json: &str| {
        let mail = Mail {
            authenticated: false,
            sender: "bob@shop.example",
            tags: &["spam".to_owned()],
            size: &|| 1024,
            header: &|name| match name {
                "Subject" => Some(" A great OFFER ".to_owned()),
                "From" => Some("Bob <sales@Shop.example>".to_owned()),
                "Cc" => Some("\"Ann, or Al\" <ann@example.org>, <boss@x.org> <list@example.net>".to_owned()),
                _ => None,
            },
            raw: &|name| match name {
                "From" => vec![b"Bob <sales@Shop.example>".to_vec()],
                "Cc" => vec![
                    b"\"Ann, or Al\" <ann@example.org>, =?utf-8?b?PGJvc3NAeC5vcmc+?= <list@example.net>"
                        .to_vec(),
                ],
                _ => vec![],
            },
            known: Known::default(),
            names: &|| vec![String::new(), "disk.ISO".to_owned()],
        };
        parse::<Condition>(json).unwrap().holds(&mail)
    };
    for json in [
        "",
        r#"{"authenticated": false, "tag": ["odd", "spam"], "attachment": true, "attached": "*.iso"}"#,
        r#"{"session_tag": "spam", "sender_domain": "*.example", "not_sender_domain": "*.org"}"#,
        r#"{"larger": 1023, "smaller": 1025}"#,
        r#"{"header": {"Subject": {"contains": ["no", "great offer"]}}}"#,
        r#"{"header": {"Subject": {"is": "a great offer"}}}"#,
        r#"{"header": {"Subject": {"matches": "a * offer"}}}"#,
        r#"{"header": {"Subject": ["x", "a*"]}}"#,
        r#"{"from": {"is": "bob@shop.example"}}"#,
        r#"{"from": {"is": "sales@shop.example"}, "to": {"is": "ann@example.org"}}"#,
        r#"{"from": {"contains": "bob <"}, "to": "list@*"}"#,
        r#"{"to": {"contains": "boss@x.org"}}"#,
    ] {
        assert!(holds(json), "{json}");
    }
    for json in [
        r#"{"authenticated": true}"#,
        r#"{"tag": "spam", "larger": 1024}"#,
        r#"{"smaller": 1024}"#,
        r#"{"tag": []}"#,
        r#"{"attachment": false}"#,
        r#"{"attached": "?"}"#,
        r#"{"sender_domain": []}"#,
        r#"{"not_sender_domain": ["x", "shop.*"]}"#,
        r#"{"header": {"Subject": {"is": "a great"}}}"#,
        r#"{"header": {"Subject": "a*", "X-Other": "*"}}"#,
        r#"{"from": {"is": "bob"}}"#,
        r#"{"to": {"is": "bob@shop.example"}}"#,
        r#"{"to": {"is": "boss@x.org"}}"#,
    ] {
        assert!(!holds(json), "{json}");
    }
    let error = parse::<Condition>(r#"{"from": {"like": "x"}}"#).unwrap_err();
    assert!(error.contains("unknown variant `like`"), "{error}");
}

#[test]
fn of_a_field_its_beginning_is_read_and_the_addresses_that_are_whole_in_it() {
    let holds = |to: &str, json: &str| {
        let mail = Mail {
            authenticated: false,
            sender: "",
            tags: &[],
            size: &|| 0,
            header: &|name| (name == "To").then(|| to.to_owned()),
            raw: &|name| match name {
                "To" => vec![to.into(), b"other@x.org".to_vec()],
                _ => vec![],
            },
            known: Known::default(),
            names: &Vec::new,
        };
        parse::<Condition>(json).unwrap().holds(&mail)
    };
    let is = r#"{"to": {"is": "last@x.org"}}"#;
    let contains = r#"{"header": {"To": {"contains": "x.org"}}}"#;
    let bound = 64 << 10;
    let fitting = format!("{}last@x.org", "a@b,".repeat((bound - 10) / 4));
    let padded = |more: usize| format!("{}{fitting}", " ".repeat(bound - fitting.len() + more));
    assert!(holds(&padded(0), is) && holds(&padded(0), contains));
    assert!(!holds(&padded(1), is) && !holds(&padded(1), contains));
    let cut = format!("{},end@x.org", padded(0));
    assert!(!holds(&cut, is), "what follows is not known");
    assert!(holds(&format!("last@x.org,{}", padded(0)), is));
    assert!(
        !holds("last@x.org", r#"{"to": {"is": "other@x.org"}}"#),
        "the first"
    );
    assert!(holds(
        &"\u{fc}".repeat(bound),
        r#"{"header": {"To": {"contains": "\u00fc"}}}"#
    ));
}
