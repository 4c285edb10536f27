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
    assert_eq!(coded.score(&codes(&["127.0.0.9"])), Some(0));
    let bits = list(r#"{"zone": "l.example", "bits": {"2": 3, "8": 4}}"#);
    assert_eq!(bits.score(&codes(&["127.0.0.10"])), Some(7));
    assert_eq!(bits.score(&codes(&["127.0.0.3"])), Some(3));
    assert_eq!(bits.score(&codes(&["127.0.0.4"])), None);
    let good = list(r#"{"zone": "l.example", "weight": -5}"#);
    assert_eq!(good.score(&codes(&["127.0.0.2"])), Some(-5));
}

#[test]
fn what_lists_say_together_decides_by_the_stage() {
    let settings: Settings = settings::parse(r#"{"reject": 5, "defer": 3}"#).unwrap();
    let judge = |at_connect, score| match settings.judge(at_connect, score, || "why".to_owned()) {
        Verdict::Reject(reply) | Verdict::Defer(reply) => {
            format!("{} {} {}", reply.code, reply.enhanced, reply.text)
        }
        other => format!("{other:?}"),
    };
    assert_eq!(judge(true, 5), "554 5.7.1 why");
    assert_eq!(judge(false, 5), "550 5.7.1 why");
    assert_eq!(judge(true, 4), "421 4.7.1 why");
    assert_eq!(judge(false, 3), "451 4.7.1 why");
    for score in [2, 0, -9] {
        assert_eq!(judge(false, score), "Verdict::Accept");
    }
}

#[test]
fn a_listener_for_mail_from_outside_is_asked_about_at_connect() {
    let settings = Settings::default();
    assert!(settings.at_connect.matches("mx-25"));
    assert!(!settings.at_connect.matches("submission-587"));
    let never: Settings = settings::parse(r#"{"at_connect": []}"#).unwrap();
    assert!(!never.at_connect.matches("mx-25"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (json, error) in [
        (
            r#"{"lists": [{"zone": "a b"}]}"#,
            "lists[0].zone: `a b` is no zone",
        ),
        (
            r#"{"lists": [{"zone": "l.example"}, {"zone": "https://zen.example.net"}]}"#,
            "lists[1].zone: `https://zen.example.net` is no zone",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "bits": {"3": 1}}]}"#,
            "lists[0].bits",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "bits": {"3": 1}}]}"#,
            "`3` is no bit",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "codes": {"127.0.0.2": 1}, "bits": {"2": 1}}]}"#,
            "lists[0].bits: the list has codes",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "codes": {"2": 1}}]}"#,
            "lists[0].codes: `2` is no answer",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "codes": {"127.0.0.2": 1001}}]}"#,
            "lists[0].codes.127.0.0.2: 1001 is not within",
        ),
        (
            r#"{"lists": [{"zone": "l.example", "weight": 1001}]}"#,
            "lists[0].weight: 1001 is not within -1000 to 1000",
        ),
        (r#"{"reject": 0}"#, "reject: 0 is not within 1 to"),
    ] {
        let read = settings::parse::<Settings>(json);
        let said = read.and_then(|settings| settings.check()).unwrap_err();
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
