use super::*;

fn settings(json: &str) -> Settings {
    let settings: Settings = settings::parse(json).unwrap();
    assert_eq!(settings.check(), Ok(()));
    settings
}

fn score(subject: &str, body: &str) -> (i32, Vec<String>) {
    let settings = settings(r#"{"words": {"Casino": 3, "free  money": 4, "vi?gra*": 5, "invoice": -2}}"#);
    settings.score(&Text::of(subject), &Text::of(body))
}

#[test]
fn each_word_counts_once_and_in_the_subject_by_its_factor() {
    assert_eq!(score("", "casino, CASINO!"), (3, vec!["Casino 3".to_owned()]));
    assert_eq!(score("Casino", "casino"), (6, vec!["Casino 6".to_owned()]));
    assert_eq!(score("", "casinos"), (0, vec![]));
    assert_eq!(score("", "Viagra4u"), (5, vec!["vi?gra* 5".to_owned()]));
}

#[test]
fn a_phrase_is_its_words_in_a_row_whatever_is_between() {
    assert_eq!(score("", "Free\r\n--money!").0, 4);
    assert_eq!(score("", "free your money").0, 0);
    let mut parts = Text::of("for free");
    parts.add("money talks");
    assert!(!parts.has("free money"), "not from one part into the next");
}

#[test]
fn weights_add_up_and_the_heaviest_is_named_first() {
    let (score, words) = score("invoice", "casino viagra free money");
    assert_eq!(score, 3 + 5 + 4 - 4);
    assert_eq!(words, ["vi?gra* 5", "free  money 4", "invoice -4", "Casino 3"]);
}

#[test]
fn markup_is_not_text() {
    let plain = |html: &str| Text::of(&text::without_markup(html));
    assert!(plain("vi<b>ag</b>ra").has("viagra"));
    assert!(plain("vi<!-- x -->agra").has("viagra"));
    assert!(plain("<p>free</p><p>money</p>").has("free money"));
    assert!(!plain("<p title='casino'>x</p>").has("casino"));
    assert!(!plain("<style>casino { }</style>x").has("casino"));
    assert!(plain("<style>x</style>casino").has("casino"));
    assert!(plain("1 < 2 casino").has("casino"), "no mark");
    assert!(!plain("x <p casino").has("casino"), "it never ends");
}

#[test]
fn the_highest_bound_that_is_reached_decides() {
    let settings = settings(r#"{"quarantine": 5, "reject": 9}"#);
    assert_eq!(settings.verdict(4), Verdict::Accept);
    for score in [5, 8] {
        assert!(
            matches!(settings.verdict(score), Verdict::Quarantine(_)),
            "{score}"
        );
    }
    let Verdict::Reject(reply) = settings.verdict(9) else {
        panic!()
    };
    assert_eq!(
        (reply.code, reply.text.as_str()),
        (550, "the words of the message look like spam (score 9)")
    );
    assert_eq!(
        Settings::default().verdict(i32::MAX),
        Verdict::Accept,
        "without a bound nothing happens"
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (json, error) in [
        (r#"{"words": {"": 1}}"#, "words: ``"),
        (r#"{"words": {"**": 1}}"#, "words: `**`"),
        (r#"{"words": {"free mon*": 1}}"#, "a pattern of one word"),
        (r#"{"reject": 0}"#, "reject: must be"),
        (r#"{"subject": 0}"#, "subject: must be"),
        (r#"{"read": "2MiB"}"#, "read: must be"),
        (r#"{"header": "a b"}"#, "header: `a b`"),
    ] {
        let said = settings::parse::<Settings>(json).unwrap().check().unwrap_err();
        assert!(said.contains(error), "{json}: {said}");
    }
}
