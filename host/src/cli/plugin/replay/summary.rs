//! What came of a replay: how many messages would be judged otherwise, from what to what, and the first of each.

use super::kv::Told;
use super::source::Unread;
use super::verdicts::Difference;
use crate::cli::output;
use crate::policy::stand::Stand;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::str::FromStr;

/// Messages that are named of each change.
const NAMED: usize = 20;

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    candidate: Version,
    /// None: what was recorded when the mail came.
    against: Option<Version>,
    pub(super) messages: usize,
    /// Those that there was something to compare of.
    compared: usize,
    changed: usize,
    /// Calls of the candidate without an answer.
    failed: usize,
    /// Messages that were listed and could not be read: deleted since then, or larger than any may be.
    unread: usize,
    /// Why the first of them could not.
    #[serde(skip)]
    why_unread: Option<String>,
    /// Messages that the store failed to hand over.
    store_failures: usize,
    /// How the first of them failed.
    #[serde(skip)]
    why_failed: Option<String>,
    /// What the candidate's `kv` begins with; None where it has no share of the store.
    kv: Option<String>,
    /// That of the version in force.
    kv_active: Option<String>,
    /// Whether one of them could not be read any more at some time.
    #[serde(skip)]
    is_torn: bool,
    changes: Vec<Change>,
}

#[derive(Debug, Serialize)]
struct Version {
    name: String,
    sha256: String,
}

#[derive(Debug, Serialize)]
struct Change {
    question: String,
    from: String,
    to: String,
    count: usize,
    /// By their place among all messages; as a list in JSON.
    #[serde(serialize_with = "values")]
    first: BTreeMap<usize, Named>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Named {
    id: String,
    said: String,
}

fn values<S: serde::Serializer>(named: &BTreeMap<usize, Named>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(named.values())
}

impl Version {
    fn of(stand: &Stand) -> Self {
        Self {
            name: stand.name().to_owned(),
            sha256: stand.digest().to_owned(),
        }
    }

    fn shown(&self) -> String {
        format!("{} {}", self.name, self.sha256.get(..12).unwrap_or_default())
    }
}

impl Summary {
    pub(super) fn new(candidate: &Stand, against: Option<&Stand>) -> Self {
        Self::between(Version::of(candidate), against.map(Version::of))
    }

    fn between(candidate: Version, against: Option<Version>) -> Self {
        Self {
            candidate,
            against,
            messages: 0,
            compared: 0,
            changed: 0,
            failed: 0,
            unread: 0,
            why_unread: None,
            store_failures: 0,
            why_failed: None,
            kv: None,
            kv_active: None,
            is_torn: false,
            changes: Vec::new(),
        }
    }

    /// One message. `changed` is None where there was nothing to compare with.
    pub(super) fn add(
        &mut self,
        (place, id): (usize, String),
        changed: Option<Option<Difference>>,
        failed: usize,
    ) {
        self.messages += 1;
        self.failed += failed;
        self.compared += usize::from(changed.is_some());
        let Some(Some(difference)) = changed else { return };
        self.changed += 1;
        let change = self.change(&difference);
        change.count += 1;
        let said = difference.text;
        change.first.insert(place, Named { id, said });
        if change.first.len() > NAMED {
            change.first.pop_last();
        }
    }

    /// One message that is not judged.
    pub(super) fn unread(&mut self, why: Unread) {
        match why {
            Unread::Passed(why) => {
                self.unread += 1;
                self.why_unread.get_or_insert(why);
            }
            Unread::Store(why) => {
                self.store_failures += 1;
                self.why_failed.get_or_insert(why);
            }
        }
    }

    /// What became of the shares: the candidate's, and that of the version in force.
    pub(super) fn shares(&mut self, told: &[Told]) {
        self.kv = told.first().and_then(Told::line);
        self.kv_active = told.get(1).and_then(Told::line);
        self.is_torn = told.iter().any(Told::is_torn);
    }

    pub(super) fn why_unread(&self) -> &str {
        let why = self.why_failed.as_ref().or(self.why_unread.as_ref());
        why.map_or("", String::as_str)
    }

    /// Whether the store handed over all that was asked of it.
    pub(super) fn is_whole(&self) -> bool {
        self.store_failures == 0 && !self.is_torn
    }

    fn change(&mut self, of: &Difference) -> &mut Change {
        let same =
            |change: &Change| change.question == of.question && change.from == of.from && change.to == of.to;
        let place = self.changes.iter().position(same).unwrap_or_else(|| {
            self.changes.push(Change {
                question: of.question.clone(),
                from: of.from.clone(),
                to: of.to.clone(),
                count: 0,
                first: BTreeMap::new(),
            });
            self.changes.len() - 1
        });
        #[allow(clippy::indexing_slicing, reason = "it was just found or put there")]
        &mut self.changes[place]
    }

    /// Whether no more was changed. Where nothing was compared, or the store failed, nobody knows.
    pub(super) fn is_within(&self, most: Percent) -> bool {
        self.compared > 0 && self.is_whole() && self.changed as f64 * 100.0 <= most.0 * self.compared as f64
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let against = match &self.against {
            Some(version) => format!("{}, which is in force", version.shown()),
            None => "what was recorded when the mail came".to_owned(),
        };
        writeln!(out, "candidate {}", output::printable(&self.candidate.shown()))?;
        writeln!(out, "against   {}", output::printable(&against))?;
        for (whose, kv) in [("kv       ", &self.kv), ("kv active", &self.kv_active)] {
            if let Some(kv) = kv {
                writeln!(out, "{whose} {}", output::printable(kv))?;
            }
        }
        let share = match self.compared {
            0 => 0.0,
            compared => 100.0 * self.changed as f64 / compared as f64,
        };
        writeln!(
            out,
            "{} messages, {} compared: {} would be judged otherwise ({share:.2} %); {} calls failed",
            self.messages, self.compared, self.changed, self.failed
        )?;
        let unread = [
            ("", self.unread, &self.why_unread),
            ("the store failed: ", self.store_failures, &self.why_failed),
        ];
        for (whose, count, why) in unread {
            if let Some(why) = why {
                let why = output::printable(why);
                writeln!(out, "{whose}{count} more could not be read; the first: {why}")?;
            }
        }
        let mut changes: Vec<&Change> = self.changes.iter().collect();
        changes.sort_by(|one, other| (other.count, &one.question).cmp(&(one.count, &other.question)));
        for change in changes {
            writeln!(
                out,
                "{}: {} -> {}  {}",
                change.question, change.from, change.to, change.count
            )?;
            for Named { id, said } in change.first.values() {
                writeln!(out, "  {}  {}", output::printable(id), output::printable(said))?;
            }
            if let more @ 1.. = change.count - change.first.len() {
                writeln!(out, "  … and {more} more")?;
            }
        }
        Ok(())
    }
}

/// `1%`
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Percent(f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text
            .strip_suffix('%')
            .and_then(|number| number.trim().parse::<f64>().ok());
        match number {
            Some(number) if (0.0..=100.0).contains(&number) => Ok(Self(number)),
            _ => Err(format!(
                "`{text}` is no share; write one from 0% to 100%, such as 1% or 0.5%"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let version = |name: &str| Version {
            name: name.to_owned(),
            sha256: "0123456789abcdef".to_owned(),
        };
        Summary::between(version("60-new"), None)
    }

    fn difference(to: &str) -> Option<Option<Difference>> {
        Some(Some(Difference {
            question: "message".to_owned(),
            from: "accept".to_owned(),
            to: to.to_owned(),
            text: format!("{to} 550 no"),
        }))
    }

    #[test]
    fn the_first_twenty_of_each_change_are_named_in_their_order() {
        let mut all = summary();
        for place in (0..21).rev() {
            all.add((place, format!("id{place}")), difference("reject"), 0);
        }
        all.add((21, "q".to_owned()), difference("quarantine"), 1);
        all.add((22, "r".to_owned()), None, 0);
        all.add((23, "s".to_owned()), Some(None), 0);
        all.unread(Unread::Passed("id24 is gone".to_owned()));
        all.unread(Unread::Passed("id25 is gone".to_owned()));
        let mut out = Vec::new();
        all.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "candidate 60-new 0123456789ab");
        assert_eq!(
            lines[2],
            "24 messages, 23 compared: 22 would be judged otherwise (95.65 %); 1 calls failed"
        );
        assert_eq!(lines[3], "2 more could not be read; the first: id24 is gone");
        assert_eq!(lines[4], "message: accept -> reject  21");
        assert_eq!(
            (lines[5], lines[24], lines[25]),
            ("  id0  reject 550 no", "  id19  reject 550 no", "  … and 1 more")
        );
        assert_eq!(lines[26], "message: accept -> quarantine  1");
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(json["changes"][0]["first"][0]["id"], "id0");
        assert_eq!(json["unread"], 2);
        assert_eq!(json["changes"][0]["first"].as_array().map(Vec::len), Some(20));
    }

    #[test]
    fn both_shares_are_told_and_no_threshold_is_met_where_one_was_torn() {
        let failed = std::sync::Arc::<std::sync::OnceLock<String>>::default();
        let told = [
            Told::Empty("there is no store yet".to_owned()),
            Told::Read("n".to_owned(), std::sync::Arc::clone(&failed)),
        ];
        let unread = [Told::Unread("store: away".to_owned())];
        let mut all = summary();
        all.shares(&unread);
        assert!(!all.is_whole());
        all.add((0, String::new()), Some(None), 0);
        all.shares(&told);
        assert!(all.is_within(Percent(0.0)));
        failed.set("the gateway has ended".to_owned()).unwrap();
        all.shares(&told);
        assert!(!all.is_within(Percent(100.0)));
        let mut out = Vec::new();
        all.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().skip(2).take(2).collect();
        assert_eq!(
            lines,
            [
                "kv        begins empty: there is no store yet",
                "kv active could not be read to the end: the gateway has ended"
            ]
        );
    }

    #[test]
    fn what_was_deleted_meanwhile_is_passed_over_and_a_store_that_fails_meets_no_threshold() {
        let mut all = summary();
        all.add((0, String::new()), Some(None), 0);
        all.unread(Unread::Passed("id1 is gone".to_owned()));
        assert!(all.is_whole() && all.is_within(Percent(0.0)));
        all.unread(Unread::Store("id2: store: away".to_owned()));
        all.unread(Unread::Store("id3: store: away".to_owned()));
        assert!(!all.is_whole() && !all.is_within(Percent(100.0)));
        assert_eq!(all.why_unread(), "id2: store: away");
        let mut out = Vec::new();
        all.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            lines,
            [
                "1 more could not be read; the first: id1 is gone",
                "the store failed: 2 more could not be read; the first: id2: store: away"
            ]
        );
    }

    #[test]
    fn a_threshold_is_met_at_its_edge_and_not_without_anything_to_compare() {
        let mut all = summary();
        assert!(!all.is_within(Percent(100.0)), "nothing was compared");
        for place in 0..99 {
            all.add((place, String::new()), Some(None), 0);
        }
        all.add((99, String::new()), difference("reject"), 0);
        assert!(all.is_within(Percent(1.0)));
        assert!(!all.is_within(Percent(0.99)));
        assert!(
            "1%".parse::<Percent>() == Ok(Percent(1.0)) && "0.5 %".parse::<Percent>() == Ok(Percent(0.5))
        );
        for bad in ["1", "-1%", "101%", "%", "NaN%"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
    }
}
