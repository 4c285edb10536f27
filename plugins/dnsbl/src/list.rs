//! One DNS list (RFC 5782): the name that is asked for, and what its answers weigh.

use serde::Deserialize;
use settings::matches;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub(crate) zone: String,
    /// What any answer weighs of which nothing else is said; below 0 for lists of good clients.
    #[serde(default = "one")]
    weight: i32,
    /// Patterns of answers, `127.0.0.1?`, and what each weighs; answers of none weigh nothing then.
    #[serde(default)]
    codes: BTreeMap<String, i32>,
    /// Bits of the last octet, and what each weighs; they add up.
    #[serde(default)]
    bits: BTreeMap<String, i32>,
}

fn one() -> i32 {
    1
}

impl List {
    /// RFC 5782 §2.1 and §2.4: octets or nibbles of the address, the last first.
    pub(crate) fn name_of(&self, client: IpAddr) -> String {
        let labels: Vec<String> = match client {
            IpAddr::V4(v4) => v4.octets().iter().rev().map(ToString::to_string).collect(),
            IpAddr::V6(v6) => (0..32)
                .map(|place| format!("{:x}", v6.to_bits() >> (4 * place) & 15))
                .collect(),
        };
        format!("{}.{}", labels.join("."), self.zone)
    }

    /// What its answers weigh: of several the one that weighs most. None: the client is not listed.
    pub(crate) fn score(&self, answers: &[String]) -> Option<i32> {
        let codes = answers
            .iter()
            .filter_map(|answer| answer.parse::<Ipv4Addr>().ok());
        let scores = codes.filter_map(|code| self.weight_of(code));
        scores
            .max_by_key(|score| score.unsigned_abs())
            .filter(|score| *score != 0)
    }

    fn weight_of(&self, code: Ipv4Addr) -> Option<i32> {
        // RFC 5782 §2.1: answers are 127.0.0.0/8. Elsewhere leads a domain that was sold; 127.255.255.0/24 is how
        // lists say that they do not answer us.
        let [first, second, third, last] = code.octets();
        if first != 127 || (second, third) == (255, 255) {
            return None;
        }
        if !self.bits.is_empty() {
            let bit = |text: &String| text.parse::<u8>().unwrap_or(0);
            let set = self.bits.iter().filter(|(text, _)| last & bit(text) != 0);
            return Some(set.map(|(_, weight)| weight).sum());
        }
        let text = code.to_string();
        let named = self.codes.iter().filter(|(pattern, _)| matches(pattern, &text));
        match self.codes.is_empty() {
            true => Some(self.weight),
            false => named
                .map(|(_, weight)| *weight)
                .max_by_key(|weight| weight.unsigned_abs()),
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let zone = &self.zone;
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        if !zone.split('.').all(label) || zone.len() > 180 {
            return Err(format!("lists: `{zone}` is no zone: write zen.example.net"));
        }
        if !self.codes.is_empty() && !self.bits.is_empty() {
            return Err(format!("lists: {zone} has codes and bits; write one of them"));
        }
        let weights = self
            .codes
            .values()
            .chain(self.bits.values())
            .chain([&self.weight]);
        if weights.into_iter().any(|weight| weight.unsigned_abs() > 1000) {
            return Err(format!("lists: a weight of {zone} is not within -1000 to 1000"));
        }
        let bit = |text: &&String| !text.parse::<u8>().is_ok_and(u8::is_power_of_two);
        if let Some(wrong) = self.bits.keys().find(bit) {
            return Err(format!(
                "lists: `{wrong}` of {zone} is no bit: write 1, 2, 4 … 128"
            ));
        }
        match self.codes.keys().find(|code| !code.starts_with("127.")) {
            Some(wrong) => Err(format!(
                "lists: `{wrong}` of {zone} is no answer: write 127.0.0.2 or 127.0.0.*"
            )),
            None => Ok(()),
        }
    }
}
