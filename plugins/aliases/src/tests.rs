use super::*;

fn settings(json: &str) -> Settings {
    settings::parse(json).unwrap()
}

fn targets(all: &[&str]) -> Answer {
    Answer::Targets(all.iter().map(|&one| one.to_owned()).collect())
}

fn office() -> Settings {
    settings(
        r#"{
            "aliases": {
                "info@example.org": ["anna@example.org", "bert@example.org"],
                "sales-*@example.org": "sales@example.org",
                "sales-eu-*@example.org": "eu@example.org",
                "sales-eu-north@example.org": "north@example.org",
                "boss@example.org": ["boss@example.org", "anna@example.org"]
            },
            "domains": {"old.example": "example.org", "older.example": "old.example"},
            "detail": "+"
        }"#,
    )
}

#[test]
fn the_office_is_accepted() {
    assert_eq!(office().check(), Ok(()));
}

#[test]
fn an_exact_alias_goes_to_all_its_targets_whatever_the_case() {
    let both = targets(&["anna@example.org", "bert@example.org"]);
    assert_eq!(office().answer("info@example.org"), both);
    assert_eq!(office().answer("INFO@example.org"), both);
    assert_eq!(office().answer("info@example.net"), Answer::Nothing);
    assert_eq!(office().answer("postmaster"), Answer::Nothing);
}

#[test]
fn the_pattern_that_says_most_wins_and_an_exact_name_over_all() {
    assert_eq!(
        office().answer("sales-us@example.org"),
        targets(&["sales@example.org"])
    );
    assert_eq!(
        office().answer("sales-eu-south@example.org"),
        targets(&["eu@example.org"])
    );
    assert_eq!(
        office().answer("sales-eu-north@example.org"),
        targets(&["north@example.org"])
    );
    assert_eq!(
        office().answer("sales@example.org"),
        Answer::Nothing,
        "the pattern has a dash"
    );
    assert_eq!(
        office().answer("sales-@example.org"),
        targets(&["sales@example.org"])
    );
}

#[test]
fn a_domain_map_keeps_the_local_part_as_it_was_written() {
    assert_eq!(
        office().answer("Anna+x@old.example"),
        targets(&["Anna+x@example.org"])
    );
    assert_eq!(
        office().answer("anna@older.example"),
        targets(&["anna@old.example"])
    );
    assert_eq!(office().answer("anna@sub.old.example"), Answer::Nothing);
}

#[test]
fn a_detail_is_left_out_only_if_the_settings_name_its_mark() {
    assert_eq!(
        office().answer("info+web@example.org"),
        office().answer("info@example.org")
    );
    assert_eq!(office().answer("+web@example.org"), Answer::Nothing);
    let plain = settings(r#"{"aliases": {"info@example.org": "anna@example.org"}}"#);
    assert_eq!(plain.answer("info+web@example.org"), Answer::Nothing);
}

#[test]
fn an_alias_may_keep_a_copy_for_itself() {
    assert_eq!(
        office().answer("boss@example.org"),
        targets(&["boss@example.org", "anna@example.org"])
    );
}

#[test]
fn an_address_that_leads_to_itself_alone_is_passed_on() {
    let own = settings(r#"{"aliases": {"*@example.org": "team@example.org"}}"#);
    assert_eq!(own.check(), Ok(()));
    assert_eq!(own.answer("anna@example.org"), targets(&["team@example.org"]));
    assert_eq!(own.answer("Team@example.org"), Answer::Nothing);
}

#[test]
fn a_catch_all_takes_what_is_left_but_not_its_exceptions_nor_its_own_target() {
    let rest = settings(
        r#"{
            "aliases": {"info@example.org": "anna@example.org"},
            "catch_all": {"example.org": {"to": "office@example.org", "except": ["anna@example.org", "staff-*"]}}
        }"#,
    );
    assert_eq!(rest.check(), Ok(()));
    let office = Answer::Otherwise(vec!["office@example.org".to_owned()]);
    assert_eq!(rest.answer("nobody@example.org"), office);
    assert_eq!(rest.answer("nobody@example.net"), Answer::Nothing);
    assert_eq!(rest.answer("info@example.org"), targets(&["anna@example.org"]));
    for passed in [
        "anna@example.org",
        "ANNA@example.org",
        "staff-7@example.org",
        "office@example.org",
    ] {
        assert_eq!(rest.answer(passed), Answer::Nothing, "{passed}");
    }
}

#[test]
fn circles_are_refused_when_loaded() {
    for (json, chain) in [
        (
            r#"{"aliases": {"a@x.org": "b@x.org", "b@x.org": "c@x.org", "c@x.org": "a@x.org"}}"#,
            "a@x.org → b@x.org → c@x.org → a@x.org",
        ),
        (
            r#"{"domains": {"x.org": "y.org", "y.org": "x.org"}}"#,
            "any@x.org → any@y.org → any@x.org",
        ),
        (
            r#"{"aliases": {"a@x.org": ["z@z.org", "b@y.org"]}, "domains": {"y.org": "x.org"}}"#,
            "",
        ),
    ] {
        let error = settings(json).check();
        match chain {
            "" => assert_eq!(error, Ok(()), "b@x.org is no alias"),
            chain => assert_eq!(error, Err(format!("{chain} goes in a circle"))),
        }
    }
    let mixed = r#"{"aliases": {"a@x.org": "a@y.org"}, "domains": {"y.org": "x.org"}}"#;
    assert!(settings(mixed).check().unwrap_err().ends_with("goes in a circle"));
}

#[test]
fn what_is_no_address_is_named() {
    for (json, word) in [
        (r#"{"aliases": {"a@x.org": []}}"#, "leads nowhere"),
        (
            r#"{"aliases": {"a@x.org": "anna"}}"#,
            "`anna`, which is not an address",
        ),
        (r#"{"aliases": {"a@x.org": "a b@x.org"}}"#, "not an address"),
        (r#"{"aliases": {"a@x.org": "*@x.org"}}"#, ""),
        (r#"{"aliases": {"x.org": "a@x.org"}}"#, "domains go to"),
        (
            r#"{"domains": {"xn--bcher-kva.example": "x.org"}}"#,
            "plain letters",
        ),
        (r#"{"domains": {"a@x.org": "x.org"}}"#, "not a domain"),
        (r#"{"catch_all": {"x.org": {"to": []}}}"#, "leads nowhere"),
    ] {
        let checked = settings(json).check();
        if word.is_empty() {
            assert_eq!(
                checked,
                Ok(()),
                "a star is a letter like others in an address: {json}"
            );
        } else {
            assert!(
                checked.as_ref().is_err_and(|error| error.contains(word)),
                "{json}: {checked:?}"
            );
        }
    }
    assert!(settings::parse::<Settings>(r#"{"catchall": {}}"#).is_err());
}

#[test]
fn a_catch_all_that_cannot_see_accounts_must_say_which_it_leaves_alone() {
    let check = |rule: &str| {
        let json = format!(r#"{{"catch_all": {{"example.org": {{"to": "office@example.org"{rule}}}}}}}"#);
        settings::parse::<Settings>(&json).unwrap().check_blind()
    };
    let error = check("").unwrap_err();
    assert!(
        error.contains("example.org would also take the mail of existing accounts"),
        "{error}"
    );
    assert_eq!(check(r#", "except": "anna@example.org""#), Ok(()));
    assert_eq!(check(r#", "except": []"#), Ok(()), "it is meant");
}
