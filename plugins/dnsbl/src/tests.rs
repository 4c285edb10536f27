use super::*;

fn list(json: &str) -> List {
    settings::parse(json).unwrap()
}

fn codes(all: &[&str]) -> Vec<String> {
    all.iter().map(|&one| one.to_owned()).collect()
}

#[test]
fn the_name_has_the_address_backwards() {
    let list = list(r#"{"zone": "list.example"}"#);
    assert_eq!(
        list.name_of("192.0.2.99".parse().unwrap()),
        "99.2.0.192.list.example"
    );
    // RFC 5782 §2.4 has this example.
    assert_eq!(
        list.name_of("2001:db8:1:2:3:4:567:89ab".parse().unwrap()),
        "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.list.example"
    );
}

#[test]
fn an_answer_weighs_as_the_settings_say() {
    let any = list(r#"{"zone": "l.example"}"#);
    assert_eq!(any.score(&codes(&["127.0.0.2"])), Some(1));
    assert_eq!(any.score(&[]), None);
    for odd in ["203.0.113.9", "127.255.255.254", "::1", "x"] {
        assert_eq!(any.score(&codes(&[odd])), None, "{odd}");
    }
    let coded = list(r#"{"zone": "l.example", "codes": {"127.0.0.2": 5, "127.0.0.1?": 2, "127.0.0.9": 0}}"#);
    assert_eq!(
        coded.score(&codes(&["127.0.0.10", "127.0.0.2"])),
        Some(5),
        "the heaviest"
    );
    assert_eq!(coded.score(&codes(&["127.0.0.3"])), None);
    assert_eq!(coded.score(&codes(&["127.0.0.9"])), None);
    let bits = list(r#"{"zone": "l.example", "bits": {"2": 3, "8": 4}}"#);
    assert_eq!(bits.score(&codes(&["127.0.0.10"])), Some(7));
    assert_eq!(bits.score(&codes(&["127.0.0.3"])), Some(3));
    assert_eq!(bits.score(&codes(&["127.0.0.4"])), None);
    let good = list(r#"{"zone": "l.example", "weight": -5}"#);
    assert_eq!(good.score(&codes(&["127.0.0.2"])), Some(-5));
}

fn judge(settings: &Settings, stage: Stage, scores: &[i32]) -> String {
    let lists: Vec<List> = scores
        .iter()
        .map(|score| list(&format!(r#"{{"zone": "l{score}.example"}}"#)))
        .collect();
    let hits: Vec<Hit<'_>> = lists.iter().zip(scores.iter().copied()).collect();
    match settings.judge(stage, "192.0.2.7", &hits, |_| "(why)".to_owned()) {
        Verdict::Reject(reply) | Verdict::Defer(reply) => {
            format!("{} {} {}", reply.code, reply.enhanced, reply.text)
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn what_lists_say_together_decides_and_the_worst_is_named() {
    let settings: Settings = settings::parse(r#"{"reject": 5, "defer": 3}"#).unwrap();
    assert_eq!(
        judge(&settings, Stage::Connect, &[2, 3]),
        "554 5.7.1 192.0.2.7 is listed by l3.example (why)"
    );
    assert_eq!(
        judge(&settings, Stage::Mail, &[5]),
        "550 5.7.1 192.0.2.7 is listed by l5.example (why)"
    );
    assert_eq!(
        judge(&settings, Stage::Connect, &[5, -1]),
        "421 4.7.1 192.0.2.7 is listed by l5.example (why)"
    );
    assert_eq!(
        judge(&settings, Stage::Mail, &[3]),
        "451 4.7.1 192.0.2.7 is listed by l3.example (why)"
    );
    assert_eq!(judge(&settings, Stage::Mail, &[2]), "Verdict::Accept");
    assert_eq!(judge(&settings, Stage::Mail, &[9, -9]), "Verdict::Accept");
    assert_eq!(judge(&settings, Stage::Mail, &[]), "Verdict::Accept");
}

#[test]
fn a_listener_for_mail_from_outside_is_asked_about_at_connect_others_at_mail() {
    let settings = Settings::default();
    assert_eq!(settings.stage_of("mx-25"), Stage::Connect);
    assert_eq!(settings.stage_of("submission-587"), Stage::Mail);
    let never: Settings = settings::parse(r#"{"at_connect": []}"#).unwrap();
    assert_eq!(never.stage_of("mx-25"), Stage::Mail);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (json, error) in [
        (r#"{"lists": [{"zone": "a b"}]}"#, "`a b` is no zone"),
        (
            r#"{"lists": [{"zone": "l.example", "codes": {"127.0.0.2": 1}, "bits": {"2": 1}}]}"#,
            "codes and bits",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "bits": {"3": 1}}]}"#,
            "`3` of l.example is no bit",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "codes": {"2": 1}}]}"#,
            "`2` of l.example is no answer",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "weight": 1001}]}"#,
            "within -1000 to 1000",
        ),
        (r#"{"reject": 0}"#, "reject: must be"),
    ] {
        let said = settings::parse::<Settings>(json).unwrap().check().unwrap_err();
        assert!(said.contains(error), "{json}: {said}");
    }
    let many = |count: usize| {
        format!(
            r#"{{"lists": [{}]}}"#,
            vec![r#"{"zone": "l.example"}"#; count].join(",")
        )
    };
    assert_eq!(settings::parse::<Settings>(&many(LISTS)).unwrap().check(), Ok(()));
    assert!(
        settings::parse::<Settings>(&many(LISTS + 1))
            .unwrap()
            .check()
            .is_err()
    );
}
