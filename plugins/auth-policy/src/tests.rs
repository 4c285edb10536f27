use super::*;

fn facts(dmarc: &str, wish: &str) -> Facts {
    Facts {
        dmarc: dmarc.to_owned(),
        wish: wish.to_owned(),
        from: Some("shop.example".to_owned()),
        ..Facts::default()
    }
}

fn decide(json: &str, facts: &Facts) -> Action {
    settings::parse::<Settings>(json).unwrap().decide(facts).0
}

#[test]
fn the_owners_wish_is_done() {
    assert_eq!(decide("", &facts("fail", "reject")), Action::Reject);
    assert_eq!(decide("", &facts("fail", "quarantine")), Action::Quarantine);
    assert_eq!(decide("", &facts("fail", "none")), Action::Tag);
    for (dmarc, wish) in [
        ("pass", "reject"),
        ("none", ""),
        ("", ""),
        ("temperror", "reject"),
        ("permerror", "none"),
    ] {
        assert_eq!(decide("", &facts(dmarc, wish)), Action::None, "{dmarc}");
    }
    let milder = r#"{"reject": "quarantine", "quarantine": "tag"}"#;
    assert_eq!(decide(milder, &facts("fail", "reject")), Action::Quarantine);
    assert_eq!(decide(milder, &facts("fail", "quarantine")), Action::Tag);
    let (_, enhanced, why) = Settings::default().decide(&facts("fail", "reject"));
    assert_eq!(
        (enhanced, why.as_str()),
        ("5.7.1", "mail from shop.example does not pass DMARC (RFC 9989)")
    );
}

#[test]
fn mail_of_nobody_who_can_be_checked_is_refused_unless_the_settings_say_otherwise() {
    let nobody = facts("permerror", "");
    assert_eq!(decide("", &nobody), Action::Reject);
    assert_eq!(
        decide(r#"{"no_author": "quarantine"}"#, &nobody),
        Action::Quarantine
    );
    assert_eq!(
        decide("", &facts("permerror", "none")),
        Action::None,
        "a broken record"
    );
    let several = Facts {
        from: None,
        ..facts("fail", "reject")
    };
    let (_, _, why) = Settings::default().decide(&several);
    assert_eq!(why, "mail from several domains does not pass DMARC (RFC 9989)");
}

#[test]
fn a_domain_may_be_treated_otherwise_and_the_pattern_that_says_most_counts() {
    let json = r#"{"domains": {"*.example": "quarantine", "shop.example": "none", "*": "tag"}}"#;
    assert_eq!(decide(json, &facts("fail", "reject")), Action::None);
    let other = Facts {
        from: Some("a.example".to_owned()),
        ..facts("fail", "reject")
    };
    assert_eq!(decide(json, &other), Action::Quarantine);
    let several = Facts {
        from: None,
        ..facts("fail", "reject")
    };
    assert_eq!(
        decide(r#"{"domains": {"*.example": "none"}}"#, &several),
        Action::Reject
    );
}

#[test]
fn what_a_trusted_sealer_found_good_is_let_pass() {
    let sealed = Facts {
        sealer: Some("lists.example.net".to_owned()),
        ..facts("fail", "reject")
    };
    assert_eq!(decide("", &sealed), Action::Reject);
    assert_eq!(
        decide(r#"{"sealers": "lists.example.net"}"#, &sealed),
        Action::None
    );
    assert_eq!(
        decide(r#"{"sealers": ["*.example.org"]}"#, &sealed),
        Action::Reject
    );
}

#[test]
fn spf_counts_where_there_is_no_dmarc() {
    let spf = |dmarc: &str, spf: &str| Facts {
        spf: spf.to_owned(),
        ..facts(dmarc, "")
    };
    let json = r#"{"spf_fail": "reject"}"#;
    assert_eq!(decide(json, &spf("none", "fail")), Action::Reject);
    assert_eq!(decide("", &spf("none", "fail")), Action::None);
    for (dmarc, word) in [
        ("pass", "fail"),
        ("none", "softfail"),
        ("temperror", "fail"),
        ("none", "temperror"),
    ] {
        assert_eq!(decide(json, &spf(dmarc, word)), Action::None, "{dmarc} {word}");
    }
}

#[test]
fn the_authors_domain_is_the_only_one() {
    let of = |fields: &[&str]| {
        let fields: Vec<Vec<u8>> = fields.iter().map(|field| field.as_bytes().to_vec()).collect();
        only_domain(&fields)
    };
    for one in [
        &["\"ann@bank.example\" <bob@Shop.example>"][..],
        &["a@shop.example, b@shop.example"],
        &["a@shop.example", "Bob <b@SHOP.example>"],
    ] {
        assert_eq!(of(one).as_deref(), Some("shop.example"), "{one:?}");
    }
    for several in [
        &["a@x.example, b@y.example"][..],
        &["a@x.example", "a@y.example"],
        &["a@x.example", "\"b@y.example"],
        &["Ann <ceo@bank.example, x@evil.example>"],
        &["Ann <ceo@bank.example> <x@evil.example>"],
        &["<x@evil.example> ceo@bank.example"],
        &["<ceo@bank.example@evil.example>"],
        &["nobody"],
        &["<a@>"],
        &["<ceo@bank.example x>"],
        &["ceo@bank.example x"],
        &["<ceo@bank.*>"],
        &["ceo@bank.example <x@evil.example>"],
        &["ceo@bank.example\u{b}"],
        &["=?utf-8?q?ceo@bank.example?= , x@evil.example"],
        &[],
    ] {
        assert_eq!(of(several), None, "{several:?}");
    }
}

fn sealer(seals: &[&str], results: &[&str]) -> Option<String> {
    super::sealer(|name: &str| {
        let all = if name == "ARC-Seal" { seals } else { results };
        all.iter().map(|field| field.as_bytes().to_vec()).collect()
    })
}

#[test]
fn the_last_sealer_must_have_seen_dmarc_pass() {
    let seals = [
        "i=2; a=rsa-sha256; d=Lists.example.net; cv=pass; b=x",
        "i=1; d=first.example; b=y",
    ];
    let good = "i=2; lists.example.net; spf=pass smtp.mailfrom=x; dmarc=pass header.from=shop.example";
    assert_eq!(sealer(&seals, &[good]).as_deref(), Some("lists.example.net"));
    assert_eq!(
        sealer(&seals, &["i=1; x; dmarc=pass"]),
        None,
        "not what the last one says"
    );
    for bad in [
        "i=2; x; dmarc=fail",
        "i=2; x; spf=pass (dmarc=pass)",
        "i=2; dmarc=passed",
        "dmarc=pass",
    ] {
        assert_eq!(sealer(&seals, &[bad]), None, "{bad}");
    }
    assert_eq!(sealer(&[], &[good]), None);
}

#[test]
fn settings_that_are_not_understood_are_refused() {
    let error = settings::parse::<Settings>(r#"{"reject": "bounce"}"#).unwrap_err();
    assert!(error.contains("unknown variant `bounce`"), "{error}");
}
