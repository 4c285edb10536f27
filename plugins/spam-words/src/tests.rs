use super::*;

fn settings(json: &str) -> Settings {
    let settings: Settings = settings::parse(json).unwrap();
    assert_eq!(settings.check(), Ok(()));
    settings
}

fn text<const TEXTS: usize>(texts: [&str; TEXTS]) -> String {
    lines(texts.map(str::to_owned))
}

fn score(subject: &str, body: &str) -> (i64, Vec<String>) {
    let settings = settings(r#"{"words": {"Casino": 3, "free  money": 4, "vi?gra*": 5, "invoice": -2}}"#);
    settings.score(&text([subject]), &text([body]))
}

#[test]
fn each_word_counts_once_and_in_the_subject_by_its_factor() {
    assert_eq!(score("", "casino, CASINO!"), (3, vec!["Casino 3".to_owned()]));
    assert_eq!(score("Casino", "casino"), (6, vec!["Casino 6".to_owned()]));
    assert_eq!(score("", "casinos"), (0, vec![]));
    assert_eq!(score("", "Viagra4u"), (5, vec!["vi?gra* 5".to_owned()]));
    assert_eq!(score("", "ca*no vi?gra"), (0, vec![]), "patterns are not in mail");
}

#[test]
fn a_phrase_is_its_words_in_a_row_whatever_is_between() {
    assert_eq!(score("", "Free\r\n--money!").0, 4);
    assert_eq!(score("", "free your money").0, 0);
    let parts = text(["for free", "money talks"]);
    let parts = Text::of(&parts);
    assert!(!parts.has("free money"), "not from one part into the next");
    assert!(parts.has("for free") && parts.has("money talks") && parts.has("tal?s"));
}

#[test]
fn weights_add_up_and_the_heaviest_is_named_first() {
    let (score, words) = score("invoice", "casino viagra free money");
    assert_eq!(score, 3 + 5 + 4 - 4);
    assert_eq!(words, ["vi?gra* 5", "free  money 4", "invoice -4", "Casino 3"]);
}

#[test]
fn markup_is_not_text_and_hides_none() {
    let shows = |html: &str, word: &str| Text::of(&lines([shown(html)])).has(word);
    assert!(shows("<!-- <style> -->buy via<wbr/>gra", "buy viagra"));
    assert!(shows(
        "I <3 you, buy <a title=\"<script>\">viagra</a> now<p>",
        "buy viagra now"
    ));
    assert!(!shows(
        "<style>casino { }</style><p title='casino'>x</p>",
        "casino"
    ));
}

#[test]
fn what_is_read_of_a_part_and_of_all_has_bounds() {
    let bounds = |json: &str| settings::parse::<Settings>(json).unwrap().bounds();
    assert_eq!(bounds("{}"), Ok((64 << 10, 256 << 10)));
    assert_eq!(bounds(r#"{"read": 1, "read_all": "1MiB"}"#), Ok((1, MOST)));
    assert_eq!(bounds(r#"{"read": "1MiB", "read_all": 1}"#), Ok((MOST, 1)));
    for wrong in ["0", "1048577", "\"4GiB\"", "\"1TiB\""] {
        for name in ["read", "read_all"] {
            let error = bounds(&format!(r#"{{"{name}": {wrong}}}"#)).unwrap_err();
            assert!(error.starts_with(&format!("{name}: must be ")), "{wrong}");
        }
    }
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
        Settings::default().verdict(i64::MAX),
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
        (r#"{"reject": 0}"#, "reject: 0 is not within"),
        (r#"{"subject": 11}"#, "subject: 11 is not within 1 to 10"),
        (r#"{"read": "2MiB"}"#, "read: must be 1B to 1MiB"),
        (r#"{"read_all": "2MiB"}"#, "read_all: must be 1B to 1MiB"),
        (r#"{"read": "much"}"#, "read: `much` is not a size"),
        (r#"{"header": "a b"}"#, "header: `a b` is no name"),
    ] {
        let read = settings::parse::<Settings>(json);
        let said = read.and_then(|settings| settings.check()).unwrap_err();
        assert!(said.contains(error), "{json}: {said}");
    }
}
