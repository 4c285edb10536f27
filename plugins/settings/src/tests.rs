use super::*;

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
    assert!(parse::<Known>("null").unwrap().of.as_slice().is_empty());
    let read: Known = parse(r#"{"limit": 7, "of": "one"}"#).unwrap();
    assert_eq!(
        (read.limit, read.of.as_slice()),
        (Some(Size(7)), &["one".to_owned()][..])
    );
    let error = parse::<Known>(r#"{"limits": 7}"#).unwrap_err();
    assert!(
        error.contains("unknown field `limits`") && !error.contains("line"),
        "{error}"
    );
    let error = parse::<Known>(r#"{"limit": "7 fathoms"}"#).unwrap_err();
    assert!(error.contains("`7 fathoms` is not a size"), "{error}");
}

#[test]
fn what_is_wrong_with_one_of_several_is_told() {
    let read = parse::<OneOrMany<Size>>;
    assert_eq!(read("1"), Ok(OneOrMany::One(Size(1))));
    assert_eq!(
        read(r#"["1KiB", 2]"#),
        Ok(OneOrMany::Many(vec![Size(1024), Size(2)]))
    );
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
fn a_field_name_is_printable_without_a_colon() {
    assert!(is_field_name("X-Spam-Score") && is_field_name(&"x".repeat(76)));
    for wrong in ["", "a b", "a:", "é", "a\r\n", &"x".repeat(77)] {
        assert!(!is_field_name(wrong), "{wrong} was taken");
    }
}
