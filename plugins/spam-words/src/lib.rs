//! Scores the words of a message's subject and text; by its score a message is marked, put in quarantine or
//! refused.
//!
//! Each word of the list counts once where it occurs, and by a factor if it is in the subject. Of a part,
//! and of all parts together, only the beginning is read. Own users' mail is not scored.

use bindings::exports::postern::policy::{lifecycle, message_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, edit, message, mime, session};
use serde::Deserialize;
use settings::{FieldName, Score, Size, Text, Within, first, lines, plain, reaches, shown};
use std::collections::BTreeMap;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:spam-words;
            world plugin {
                include postern:policy/capabilities@0.1.0;
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Words, phrases, or patterns of one word, and what each adds to the score.
    words: BTreeMap<String, i32>,
    /// A word in the subject counts so many times: twice.
    subject: Option<Within<1, 10>>,
    /// Octets that are read of the subject, and of each text part: 64 KiB.
    read: Option<Size>,
    /// Octets of what is shown of all parts together: 256 KiB.
    read_all: Option<Size>,
    /// The field that says the score: `X-Spam-Score`.
    header: Option<FieldName>,
    /// From this score on.
    tag: Option<Score>,
    quarantine: Option<Score>,
    reject: Option<Score>,
}

/// Text parts that are read.
const PARTS: usize = 20;
/// Octets of each and of all, where nothing is said.
const READ: u32 = 64 << 10;
const READ_ALL: u32 = 256 << 10;
/// The largest that either may be.
const MOST: u32 = 1 << 20;

impl Settings {
    /// The score, and the words that made it, heaviest first.
    fn score(&self, subject: &str, body: &str) -> (i64, Vec<String>) {
        let (subject, body) = (Text::of(subject), Text::of(body));
        let mut hits: Vec<(i64, &str)> = Vec::new();
        for (word, weight) in &self.words {
            let pattern = plain(word);
            let factor = match (subject.has(&pattern), body.has(&pattern)) {
                (true, _) => self.subject.map_or(2, |factor| factor.0),
                (false, true) => 1,
                (false, false) => continue,
            };
            hits.push((i64::from(*weight) * factor, word));
        }
        hits.sort_by_key(|(score, word)| (-score.abs(), *word));
        let score = hits.iter().map(|(score, _)| score).sum();
        let said = hits.iter().map(|(score, word)| format!("{word} {score}"));
        (score, said.collect())
    }

    fn verdict(&self, score: i64) -> Verdict {
        let text = format!("the words of the message look like spam (score {score})");
        match (reaches(score, self.reject), reaches(score, self.quarantine)) {
            (true, _) => Verdict::Reject(Reply {
                code: 550,
                enhanced: "5.7.1".to_owned(),
                text,
            }),
            (false, true) => Verdict::Quarantine(text),
            (false, false) => Verdict::Accept,
        }
    }

    /// Octets of one and of all.
    fn bounds(&self) -> Result<(u32, u32), &'static str> {
        let octets = |written: Option<Size>, otherwise| {
            let octets = written.map_or(Some(otherwise), |size| u32::try_from(size.0).ok());
            octets.filter(|octets| (1..=MOST).contains(octets))
        };
        let one = octets(self.read, READ).ok_or("read: must be 1B to 1MiB of each part")?;
        let all = octets(self.read_all, READ_ALL).ok_or("read_all: must be 1B to 1MiB of all parts")?;
        Ok((one, all))
    }

    fn check(&self) -> Result<(), String> {
        self.bounds()?;
        let bad = |word: &&String| {
            let plain = plain(word);
            let phrase = plain.contains(' ') && plain.contains(['*', '?']);
            phrase || !plain.contains(char::is_alphanumeric)
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
fn body((one, all): (u32, u32)) -> String {
    let parts = mime::parts().into_iter();
    let parts = parts.filter(|part| part.media_type.starts_with("text/"));
    let texts = parts.take(PARTS).map(|part| {
        let text = mime::part_text(part.index, one);
        match part.media_type.as_str() {
            "text/html" => shown(&text),
            _ => text,
        }
    });
    lines(first(texts, all))
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
        let bounds = settings.bounds().unwrap_or((READ, READ_ALL));
        let subject = lines(first(message::header_text("Subject").into_iter(), bounds.0));
        let body = body(bounds);
        let (score, words) = settings.score(&subject, &body);
        let header = settings.header.as_deref().unwrap_or("X-Spam-Score");
        // A score that the sender wrote is none.
        if !message::get_header(header).is_empty() {
            edit::remove_header(header);
        }
        if !words.is_empty() {
            edit::add_header(header, &format!("{score} ({})", words.join(", ")));
        }
        if reaches(score, settings.tag) {
            edit::tag("spam");
        }
        settings.verdict(score)
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
