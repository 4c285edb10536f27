//! Scores the words of a message's subject and text; by its score a message is marked, put in quarantine or
//! refused.
//!
//! Each word of the list counts once where it occurs, and by a factor if it is in the subject. Of a part
//! only its beginning is read. Own users' mail is not scored. Settings that cannot be read refuse the
//! component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, message_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, edit, message, mime, session};
use serde::Deserialize;
use settings::Size;
use std::collections::BTreeMap;
use text::Text;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:spam-words;
            world plugin {
                import postern:policy/config@0.1.0;
                import postern:policy/edit@0.1.0;
                import postern:policy/message@0.1.0;
                import postern:policy/mime@0.1.0;
                import postern:policy/session@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/message-filter@0.1.0;
            }
        ",
        generate_all,
        additional_derives: [PartialEq],
    });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

#[cfg(test)]
mod tests;
mod text;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Words, phrases, or patterns of one word, and what each adds to the score.
    words: BTreeMap<String, i32>,
    /// A word in the subject counts so many times.
    subject: u8,
    /// Of each part, at most.
    read: Size,
    header: String,
    /// From this score on.
    tag: Option<i32>,
    quarantine: Option<i32>,
    reject: Option<i32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            words: BTreeMap::new(),
            subject: 2,
            read: Size(64 << 10),
            header: "X-Spam-Score".to_owned(),
            tag: None,
            quarantine: None,
            reject: None,
        }
    }
}

/// What is set where a message reaches `tag`.
const TAG: &str = "spam";
/// Text parts that are read.
const PARTS: usize = 20;

impl Settings {
    /// The score, and the words that made it, heaviest first.
    fn score(&self, subject: &Text, body: &Text) -> (i32, Vec<String>) {
        let mut hits: Vec<(i32, &str)> = Vec::new();
        for (word, weight) in &self.words {
            let pattern = text::plain(word);
            let factor = match (subject.has(&pattern), body.has(&pattern)) {
                (true, _) => i32::from(self.subject),
                (false, true) => 1,
                (false, false) => continue,
            };
            hits.push((weight.saturating_mul(factor), word));
        }
        hits.sort_by_key(|(score, word)| (-i64::from(score.abs()), *word));
        let score = hits
            .iter()
            .fold(0_i32, |sum, (score, _)| sum.saturating_add(*score));
        (
            score,
            hits.into_iter()
                .map(|(score, word)| format!("{word} {score}"))
                .collect(),
        )
    }

    fn verdict(&self, score: i32) -> Verdict {
        let reaches = |bound: Option<i32>| bound.is_some_and(|bound| score >= bound);
        let text = format!("the words of the message look like spam (score {score})");
        let enhanced = "5.7.1".to_owned();
        match (reaches(self.reject), reaches(self.quarantine)) {
            (true, _) => Verdict::Reject(Reply {
                code: 550,
                enhanced,
                text,
            }),
            (false, true) => Verdict::Quarantine(text),
            (false, false) => Verdict::Accept,
        }
    }

    fn check(&self) -> Result<(), String> {
        let bounds = [
            ("tag", self.tag),
            ("quarantine", self.quarantine),
            ("reject", self.reject),
        ];
        if let Some((name, _)) = bounds
            .iter()
            .find(|(_, bound)| bound.is_some_and(|bound| bound < 1))
        {
            return Err(format!("{name}: must be a score of 1 or more"));
        }
        if !(1..=10).contains(&self.subject) {
            return Err("subject: must be a factor of 1 to 10".to_owned());
        }
        if !(1..=1 << 20).contains(&self.read.0) {
            return Err("read: must be 1B to 1MiB of each part".to_owned());
        }
        if !settings::is_field_name(&self.header) {
            return Err(format!("header: `{}` is no name of a header field", self.header));
        }
        let bad = |word: &&String| {
            let plain = text::plain(word);
            let wild = plain.contains(['*', '?']);
            plain.replace(['*', '?', ' '], "").is_empty() || (wild && plain.contains(' '))
        };
        match self.words.keys().find(bad) {
            Some(word) => Err(format!(
                "words: `{word}` must be a word, a phrase, or a pattern of one word that has a letter"
            )),
            None => Ok(()),
        }
    }
}

/// All text of the message that a person reads.
fn body(read: u64) -> Text {
    let most = u32::try_from(read).unwrap_or(u32::MAX);
    let mut body = Text::default();
    let parts = mime::parts()
        .into_iter()
        .filter(|part| part.media_type.starts_with("text/"));
    for part in parts.take(PARTS) {
        let text = mime::part_text(part.index, most);
        match part.media_type.as_str() {
            "text/html" => body.add(&text::without_markup(&text)),
            _ => body.add(&text),
        }
    }
    body
}

struct Plugin;

impl message_filter::Guest for Plugin {
    fn on_message() -> Verdict {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return Verdict::Accept; // `validate` has refused these
        };
        if settings.words.is_empty() || session::auth_user().is_some() {
            return Verdict::Accept;
        }
        let subject = Text::of(&message::header_text("Subject").unwrap_or_default());
        let (score, words) = settings.score(&subject, &body(settings.read.0));
        // A score that the sender wrote is none.
        if !message::get_header(&settings.header).is_empty() {
            edit::remove_header(&settings.header);
        }
        if !words.is_empty() {
            edit::add_header(&settings.header, &format!("{score} ({})", words.join(", ")));
        }
        if settings.tag.is_some_and(|bound| score >= bound) {
            edit::tag(TAG);
        }
        settings.verdict(score)
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
