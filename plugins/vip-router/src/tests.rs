use super::*;

/// 2026-01-31 is a Saturday.
const SATURDAY: i64 = 1_769_817_600;

fn office() -> Settings {
    settings::parse(
        r#"{
            "routes": [
                {"from": "*@board.example", "to": "*@example.org", "rewrite": ["first@example.org"]},
                {"to": "office@example.org", "hours": "18:00-08:00", "days": ["mon", "tue", "wed", "thu", "fri"],
                 "local": "duty@example.org"},
                {"to": "office@example.org", "days": "sat", "rewrite": ["office@example.org", "duty@example.org"]},
                {"to": "loop@example.org", "rewrite": "Loop@example.org"},
                {"to": "ours@example.org", "authenticated": true, "local": "ours@example.org"}
            ],
            "utc_offset": "+01:00"
        }"#,
    )
    .unwrap()
}

fn mail<'a>(from: &'a str, to: &'a str, now: i64) -> Mail<'a> {
    Mail {
        from,
        to,
        authenticated: false,
        spf: "",
        now: DateTime::from_timestamp(now, 0).unwrap().fixed_offset(),
    }
}

fn to(all: &[&str]) -> Route {
    Route::Rewrite(all.iter().map(|&one| one.to_owned()).collect())
}

#[test]
fn the_first_route_whose_conditions_hold_decides() {
    let office = office();
    assert_eq!(office.check(), Ok(()));
    let monday = SATURDAY + 2 * 86_400;
    let ask = |from, to, now| office.route(mail(from, to, now));
    assert_eq!(
        ask("Chair@Board.example", "office@example.org", SATURDAY),
        to(&["first@example.org"])
    );
    assert_eq!(
        ask("chair@board.example", "office@example.net", SATURDAY),
        Route::Pass
    );
    let duty = Route::Local("duty@example.org".to_owned());
    assert_eq!(ask("", "office@example.org", monday), duty, "midnight");
    assert_eq!(ask("", "office@example.org", monday + 8 * 3600 - 1), duty);
    assert_eq!(ask("", "office@example.org", monday + 8 * 3600), Route::Pass);
    assert_eq!(ask("", "office@example.org", monday + 18 * 3600 - 1), Route::Pass);
    assert_eq!(ask("", "office@example.org", monday + 18 * 3600), duty);
    assert_eq!(
        ask("", "office@example.org", SATURDAY),
        to(&["office@example.org", "duty@example.org"])
    );
    assert_eq!(
        ask("", "office@example.org", SATURDAY - 1),
        duty,
        "Friday's last second"
    );
}

#[test]
fn a_route_to_where_the_mail_is_already_says_nothing() {
    assert_eq!(office().route(mail("", "loop@example.org", 0)), Route::Pass);
}

#[test]
fn a_route_may_be_for_own_users_alone() {
    let from_outside = mail("ann@example.org", "ours@example.org", 0);
    assert_eq!(office().route(from_outside), Route::Pass);
    let ours = Mail {
        authenticated: true,
        ..from_outside
    };
    assert_eq!(office().route(ours), Route::Local("ours@example.org".to_owned()));
}

#[test]
fn a_route_may_want_spf_to_have_passed() {
    let json = r#"{"routes": [{"from": "*@board.example", "spf": "pass", "local": "first@example.org"}]}"#;
    let settings: Settings = settings::parse(json).unwrap();
    let forged = mail("chair@board.example", "ann@example.org", 0);
    assert_eq!(settings.route(forged), Route::Pass);
    assert_eq!(
        settings.route(Mail {
            spf: "fail",
            ..forged
        }),
        Route::Pass
    );
    let theirs = settings.route(Mail {
        spf: "pass",
        ..forged
    });
    assert_eq!(theirs, Route::Local("first@example.org".to_owned()));
}

#[test]
fn local_time_is_an_offset_from_utc() {
    let local = |offset: &str, now: u64| {
        let settings: Settings = settings::parse(&format!(r#"{{"utc_offset": "{offset}"}}"#)).unwrap();
        settings.local(now).naive_local().to_string()
    };
    assert_eq!(local("+01:00", 999), "1970-01-01 01:00:00.999");
    assert_eq!(local("-05:30", 20_000_000), "1970-01-01 00:03:20");
    assert_eq!(
        Settings::default().local(0).naive_local().to_string(),
        "1970-01-01 00:00:00"
    );
    for wrong in ["01:00", "+1", "+24:00", "", "+aa:bb", "é", "+01:00x"] {
        assert!(Offset::try_from(wrong.to_owned()).is_err(), "{wrong} was taken");
    }
}

#[test]
fn hours_go_from_the_first_to_before_the_second() {
    let hours = |text: &str| Hours::try_from(text.to_owned());
    for wrong in [
        "",
        "8-9",
        "08:00",
        "08:00-08:00",
        "00:00-00:00",
        "25:00-26:00",
        "08:60-09:00",
        "24:00-08:00",
        "24:00-24:00",
    ] {
        let error = hours(wrong).unwrap_err();
        assert_eq!(error, format!("`{wrong}` are no hours: write 18:00-08:00"));
    }
    let at = |seconds| NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0).unwrap();
    let day = hours("08:00-24:00").unwrap();
    assert!(day.contain(at(86_399)) && day.contain(at(8 * 3600)) && !day.contain(at(8 * 3600 - 1)));
    let always = hours("00:00-24:00").unwrap();
    assert!(always.contain(at(0)) && always.contain(at(86_399)));
    let night = hours("18:00-08:00").unwrap();
    assert!(night.contain(at(0)) && night.contain(at(18 * 3600)) && !night.contain(at(8 * 3600)));
}

#[test]
fn what_says_too_little_or_leads_nowhere_is_refused() {
    let refused = |json: &str| {
        settings::parse::<Settings>(json)
            .and_then(|settings| settings.check())
            .unwrap_err()
    };
    for (json, error) in [
        (r#"{"routes": [{"to": "a@x.org"}]}"#, "number 1 needs one of"),
        (
            r#"{"routes": [{"to": "a@x.org", "local": "b@x.org", "rewrite": "b@x.org"}]}"#,
            "needs one of",
        ),
        (
            r#"{"routes": [{"to": "a@x.org", "rewrite": []}]}"#,
            "needs one of",
        ),
        (
            r#"{"routes": [{"to": "a@x.org", "local": "b"}]}"#,
            "routes[0].local: `b` is not an address",
        ),
        (
            r#"{"routes": [{"hours": "18:00-08:00", "local": "b@x.org"}]}"#,
            "everybody's mail",
        ),
        (
            r#"{"routes": [{"hours": "night"}]}"#,
            "routes[0].hours: `night` are no hours",
        ),
        (r#"{"routes": [{"days": ["mon", "x"]}]}"#, "routes[0].days: "),
        (r#"{"utc_offset": "CET"}"#, "utc_offset: `CET` is no offset"),
    ] {
        let said = refused(json);
        assert!(said.contains(error), "{json}: {said}");
    }
}
