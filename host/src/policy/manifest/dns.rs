//! `grants.dns`: what a policy may look up.
//!
//! `{}` is everything. `types` are kinds of records, `suffixes` are domains: a name is granted if it is one of
//! them or below one. The names of an address are below `in-addr.arpa` or `ip6.arpa`.

use crate::config::fault::Collector;
use crate::dns;
use serde::Deserialize;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::policy) enum RecordType {
    /// With AAAA.
    A,
    Txt,
    Mx,
    Ptr,
}

impl RecordType {
    fn word(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Txt => "TXT",
            Self::Mx => "MX",
            Self::Ptr => "PTR",
        }
    }
}

/// What may be looked up. None: everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) struct DnsGrant {
    types: Option<Vec<RecordType>>,
    suffixes: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDns {
    types: Option<Vec<RecordType>>,
    suffixes: Option<Vec<String>>,
}

pub(super) fn grant(raw: Option<RawDns>, faults: &mut Collector) -> Option<DnsGrant> {
    let raw = raw?;
    let suffixes = raw.suffixes.map(|suffixes| {
        let places = (0..).map(|place| format!("grants.dns.suffixes[{place}]"));
        let each = places.zip(suffixes);
        each.filter_map(|(place, suffix)| suffix_of(&suffix, place, faults))
            .collect()
    });
    Some(DnsGrant {
        types: raw.types,
        suffixes,
    })
}

fn suffix_of(text: &str, place: String, faults: &mut Collector) -> Option<String> {
    match dns::asked_for(text.strip_prefix('.').unwrap_or(text)) {
        Ok(name) => Some(name),
        Err(_) => {
            faults.add(
                place,
                format!("`{text}` is no domain; write one such as example.org"),
            );
            None
        }
    }
}

impl DnsGrant {
    /// `name` is as [`dns::asked_for`] has it. The error is what the policy is told.
    pub(in crate::policy) fn allows(&self, kind: RecordType, name: &str) -> Result<(), String> {
        let word = kind.word();
        if self.types.as_ref().is_some_and(|types| !types.contains(&kind)) {
            return Err(format!("{word} is not in grants.dns.types"));
        }
        let is_below = |suffix: &String| dns::is_below(name, suffix);
        match &self.suffixes {
            Some(suffixes) if !suffixes.iter().any(is_below) => {
                Err(format!("`{name}` is below none of grants.dns.suffixes"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;
    use crate::policy::limits::Limits;
    use std::time::Duration;

    fn granted(grants: &str) -> Result<Option<DnsGrant>, String> {
        let usual = Limits::usual(Duration::from_secs(1), 1 << 20);
        let text = format!("grants: {{ {grants} }}");
        Manifest::parse(&text, "x", usual).map(|manifest| manifest.dns)
    }

    #[test]
    fn without_a_word_nothing_is_granted_and_an_empty_grant_is_everything() {
        assert_eq!(granted("").unwrap(), None);
        let all = granted("dns: {}").unwrap().unwrap();
        for kind in [RecordType::A, RecordType::Txt, RecordType::Mx, RecordType::Ptr] {
            assert_eq!(all.allows(kind, "example.org"), Ok(()));
        }
    }

    #[test]
    fn only_the_types_that_are_named_are_granted() {
        let grant = granted("dns: { types: [TXT, A] }").unwrap().unwrap();
        assert_eq!(grant.allows(RecordType::Txt, "example.org"), Ok(()));
        assert_eq!(grant.allows(RecordType::A, "example.org"), Ok(()));
        assert_eq!(
            grant.allows(RecordType::Mx, "example.org"),
            Err("MX is not in grants.dns.types".to_owned())
        );
        let none = granted("dns: { types: [] }").unwrap().unwrap();
        assert!(none.allows(RecordType::Ptr, "example.org").is_err());
    }

    #[test]
    fn a_suffix_is_a_domain_and_all_below_it() {
        let grant = granted("dns: { suffixes: [Zen.Example, .bücher.example.] }")
            .unwrap()
            .unwrap();
        for name in ["zen.example", "2.0.0.127.zen.example", "a.xn--bcher-kva.example"] {
            assert_eq!(grant.allows(RecordType::A, name), Ok(()), "{name}");
        }
        for name in [
            "notzen.example",
            "example",
            "zen.example.org",
            r"foo\.zen.example",
        ] {
            let told = format!("`{name}` is below none of grants.dns.suffixes");
            assert_eq!(grant.allows(RecordType::A, name), Err(told));
        }
    }

    #[test]
    fn what_cannot_be_granted_is_named_with_its_place() {
        let error = granted("dns: { types: [TXT, SRV] }").unwrap_err();
        assert!(
            error.starts_with("grants.dns.types[1]: unknown variant `SRV`"),
            "{error}"
        );
        let error = granted("dns: { suffixes: [a.example, \"a..b\"] }").unwrap_err();
        assert!(
            error.starts_with("grants.dns.suffixes[1]: `a..b` is no domain; write one"),
            "{error}"
        );
        assert!(granted("dns: { servers: [192.0.2.1] }").is_err());
    }
}
