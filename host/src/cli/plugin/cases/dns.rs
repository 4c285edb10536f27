//! DNS as it is written in a case: what each name has, `[192.0.2.1]`, or why it is not known,
//! `{ error: no answer }`. What is not written does not exist.

use super::read::Reader;
use crate::dns::{Answer, Failure};
use crate::policy::stand::Zone;
use serde::de::{Deserialize, Deserializer, Error as _};
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawZone {
    #[serde(default)]
    addresses: BTreeMap<String, RawAnswer>,
    #[serde(default)]
    txt: BTreeMap<String, RawAnswer>,
    #[serde(default)]
    mx: BTreeMap<String, RawAnswer>,
    #[serde(default)]
    names: BTreeMap<String, RawAnswer>,
}

#[derive(Debug)]
struct RawAnswer(Answer);

const MEND: &str = "is no answer; write a list of texts or { error: text }";

impl<'de> Deserialize<'de> for RawAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = serde_json::Value::deserialize(deserializer)?;
        let answer = answer(&written).ok_or_else(|| D::Error::custom(format!("`{written}` {MEND}")))?;
        Ok(Self(answer))
    }
}

fn answer(written: &serde_json::Value) -> Option<Answer> {
    if let Some(list) = written.as_array() {
        let texts: Option<Vec<String>> = list.iter().map(|text| text.as_str().map(str::to_owned)).collect();
        return texts.map(Ok);
    }
    let fields = written.as_object().filter(|fields| fields.len() == 1)?;
    let text = fields.get("error")?.as_str()?;
    Some(Err(Failure(text.to_owned())))
}

impl Reader<'_> {
    pub(super) fn zone(&mut self, raw: RawZone) -> Zone {
        let mut by_address = BTreeMap::new();
        for (text, RawAnswer(answer)) in raw.names {
            match text.parse::<IpAddr>() {
                Ok(address) => {
                    by_address.insert(address.to_canonical(), answer);
                }
                Err(_) => self.fault(
                    &format!("dns.names.{text}"),
                    "is no IP address; write one, such as 192.0.2.1",
                ),
            }
        }
        Zone {
            addresses: self.by_name("addresses", raw.addresses),
            txt: self.by_name("txt", raw.txt),
            mx: self.by_name("mx", raw.mx),
            names: by_address,
        }
    }

    fn by_name(&mut self, table: &str, raw: BTreeMap<String, RawAnswer>) -> BTreeMap<String, Answer> {
        let mut answers = BTreeMap::new();
        for (name, RawAnswer(answer)) in raw {
            match Zone::key(&name) {
                Ok(key) => {
                    answers.insert(key, answer);
                }
                Err(_) => self.fault(
                    &format!("dns.{table}.{name}"),
                    "is no name; write one such as example.org",
                ),
            }
        }
        answers
    }
}
