//! Who gets mail: a list, and which of it each message is for.

use anyhow::{Context as _, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};
use std::path::Path;
use std::str::FromStr;

/// Which of the recipients a message is for, by its number alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Choice {
    Turn,
    Uniform,
    /// The nth gets mail as 1 / n^exponent.
    Zipf(f64),
}

/// What natural popularities come near to.
const USUAL: f64 = 1.0;

impl Choice {
    pub(crate) fn place(self, number: u64, all: usize) -> usize {
        match self {
            Self::Turn => number as usize % all.max(1),
            Self::Uniform => random(number).random_range(0..all.max(1)),
            Self::Zipf(exponent) => match Zipf::new(all.max(1) as f64, exponent) {
                Ok(law) => law.sample(&mut random(number)) as usize - 1,
                Err(_) => 0,
            },
        }
    }
}

/// Apart from what the message of this number is made by.
fn random(number: u64) -> StdRng {
    StdRng::seed_from_u64(!number)
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, exponent) = text.split_once(':').unwrap_or((text, ""));
        let exponent = match exponent {
            "" => Some(USUAL),
            text => text.parse().ok().filter(|it: &f64| it.is_finite() && *it >= 0.0),
        };
        match (name, exponent) {
            ("turn", Some(_)) => Ok(Self::Turn),
            ("uniform", Some(_)) => Ok(Self::Uniform),
            ("zipf", Some(exponent)) => Ok(Self::Zipf(exponent)),
            _ => Err(format!(
                "`{text}` is no choice: write turn, uniform, zipf or zipf:EXPONENT"
            )),
        }
    }
}

/// Addresses, patterns such as `user{0..63}@example.org` (both ends are in it), and `@FILE` with one a line.
pub(crate) fn expand(words: &[String]) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for word in words {
        match word.strip_prefix('@') {
            Some(file) => all.extend(of_file(Path::new(file))?.into_iter().map(|(user, _)| user)),
            None => expand_one(word, &mut all)?,
        }
    }
    if all.is_empty() {
        bail!("there are no recipients");
    }
    Ok(all)
}

fn expand_one(word: &str, into: &mut Vec<String>) -> anyhow::Result<()> {
    let Some((before, rest)) = word.split_once('{') else {
        into.push(word.to_owned());
        return Ok(());
    };
    let range = rest.split_once('}').and_then(|(range, after)| {
        let (first, last) = range.split_once("..")?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, after))
    });
    let (first, last, after) = range
        .filter(|(first, last, _)| first <= last)
        .with_context(|| format!("`{word}` is no pattern: write user{{0..63}}@example.org"))?;
    into.extend((first..=last).map(|nth| format!("{before}{nth}{after}")));
    Ok(())
}

/// postal's list of users: an address a line, for rabid with a blank and the password behind it.
pub(crate) fn of_file(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let users: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.split_once(char::is_whitespace).unwrap_or((line, "")))
        .map(|(user, password)| (user.to_owned(), password.trim().to_owned()))
        .collect();
    if users.is_empty() {
        bail!("{} names no users", path.display());
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(choice: Choice) -> Vec<usize> {
        let mut counts = vec![0; 10];
        for number in 0..20_000 {
            counts[choice.place(number, 10)] += 1;
        }
        counts
    }

    #[test]
    fn each_choice_spreads_as_its_name_says() {
        assert!(counts(Choice::Turn).iter().all(|count| *count == 2000));
        assert!(
            counts(Choice::Uniform)
                .iter()
                .all(|count| (1800..2200).contains(count))
        );
        let zipf = counts(Choice::Zipf(1.0));
        // The sum of 1/n for ten is 2.929.
        for (nth, count) in zipf.iter().enumerate() {
            let expected = 20_000.0 / 2.929 / (nth + 1) as f64;
            let off = (*count as f64 - expected).abs() / expected;
            assert!(off < 0.12, "{nth}: {count}, expected {expected:.0}");
        }
        assert!(
            counts(Choice::Zipf(0.0))
                .iter()
                .all(|count| (1800..2200).contains(count))
        );
    }

    #[test]
    fn a_number_has_its_place_for_good() {
        for choice in [Choice::Turn, Choice::Uniform, Choice::Zipf(1.2)] {
            let places = || {
                (0..200)
                    .map(|number| choice.place(number, 64))
                    .collect::<Vec<_>>()
            };
            assert_eq!(places(), places());
            assert!(places().iter().all(|place| *place < 64));
        }
    }

    #[test]
    fn choices_are_read_and_wrong_ones_refused() {
        assert_eq!("turn".parse(), Ok(Choice::Turn));
        assert_eq!("zipf".parse(), Ok(Choice::Zipf(1.0)));
        assert_eq!("zipf:0.9".parse(), Ok(Choice::Zipf(0.9)));
        assert!("zipf:x".parse::<Choice>().is_err());
        assert!("zipf:-1".parse::<Choice>().is_err());
        assert!("random".parse::<Choice>().is_err());
    }

    #[test]
    fn patterns_and_files_are_expanded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        std::fs::write(&file, "x@example.org secret\n\ny@example.org\n").unwrap();
        let words = [
            "a@example.org".to_owned(),
            "user{8..10}@example.org".to_owned(),
            format!("@{}", file.display()),
        ];
        let expected = [
            "a@example.org",
            "user8@example.org",
            "user9@example.org",
            "user10@example.org",
            "x@example.org",
            "y@example.org",
        ];
        assert_eq!(expand(&words).unwrap(), expected);
        assert_eq!(of_file(&file).unwrap()[0].1, "secret");
        assert!(expand(&["user{3..1}@example.org".to_owned()]).is_err());
        assert!(expand(&["user{a}@example.org".to_owned()]).is_err());
        assert!(expand(&[]).is_err());
    }
}
