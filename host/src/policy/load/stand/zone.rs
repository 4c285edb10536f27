//! DNS on a stand: what the case says, and nothing else exists.

use crate::dns::{Answer, Failure, Lookup, asked_for};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// By name, or by address for `names`. An error is a look-up that fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    pub addresses: BTreeMap<String, Answer>,
    pub txt: BTreeMap<String, Answer>,
    pub mx: BTreeMap<String, Answer>,
    pub names: BTreeMap<IpAddr, Answer>,
}

impl Zone {
    /// A name as it is looked up, whatever its case.
    pub fn key(name: &str) -> Result<String, Failure> {
        asked_for(name)
    }
}

fn found<K: Ord>(table: &BTreeMap<K, Answer>, key: &K) -> Answer {
    table.get(key).cloned().unwrap_or_else(|| Ok(Vec::new()))
}

#[async_trait]
impl Lookup for Zone {
    async fn addresses(&self, name: &str) -> Answer {
        found(&self.addresses, &asked_for(name)?)
    }

    async fn txt(&self, name: &str) -> Answer {
        found(&self.txt, &asked_for(name)?)
    }

    async fn mx(&self, name: &str) -> Answer {
        found(&self.mx, &asked_for(name)?)
    }

    async fn names(&self, address: IpAddr) -> Answer {
        found(&self.names, &address.to_canonical())
    }
}
