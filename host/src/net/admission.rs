//! Who may come in: sessions in all and by address, counted by a guard that each session holds.
//!
//! Nothing waits here. A session over a limit is refused at once, and the refusal is counted.

use crate::config::{Limits, Network};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// File descriptors that are not for sessions: listeners, the store's files, logs, certificates, policies.
const RESERVED: u64 = 256;

/// Why a session is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `limits.sessions` are running.
    Sessions,
    /// `limits.sessions_per_address` of this address are running.
    Address,
}

impl Refusal {
    /// As metrics and logs name it: the key of the limit that was met.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Address => "sessions_per_address",
        }
    }
}

/// The limits and what counts against them.
#[derive(Debug)]
pub struct Admission {
    sessions: usize,
    per_address: usize,
    trusted: Vec<Network>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sessions: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A session that counts until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

impl Admission {
    /// `descriptors` is how many files the process may open, admin connections apart; it caps the sessions, with a
    /// line in the log.
    pub fn new(limits: &Limits, trusted: &[Network], descriptors: u64) -> Arc<Self> {
        let room = usize::try_from(descriptors.saturating_sub(RESERVED))
            .unwrap_or(usize::MAX)
            .max(1);
        if room < limits.sessions {
            tracing::warn!(
                configured = limits.sessions,
                admitted = room,
                descriptors,
                "limits.sessions is capped by the file-descriptor limit (admin.connections apart); raise LimitNOFILE or ulimit -n"
            );
        }
        Arc::new(Self {
            sessions: limits.sessions.min(room),
            per_address: limits.sessions_per_address,
            trusted: trusted.to_vec(),
            counts: Mutex::default(),
        })
    }

    /// How many sessions may run at the same time.
    pub fn most(&self) -> usize {
        self.sessions
    }

    /// How many run now.
    pub fn running(&self) -> usize {
        self.lock().sessions
    }

    /// Counts a session whose client is not known yet.
    pub fn enter(self: &Arc<Self>) -> Result<Admitted, Refusal> {
        let mut counts = self.lock();
        if counts.sessions >= self.sessions {
            return Err(Refusal::Sessions);
        }
        counts.sessions += 1;
        metrics::gauge!("postern_sessions").set(counts.sessions as f64);
        Ok(Admitted {
            admission: Arc::clone(self),
            address: None,
        })
    }

    fn is_exempt(&self, client: IpAddr) -> bool {
        client.is_loopback() || self.trusted.iter().any(|network| network.contains(client))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// Counts the session for its client's address as well.
    pub fn count_for(&mut self, client: IpAddr) -> Result<(), Refusal> {
        if self.admission.is_exempt(client) {
            return Ok(());
        }
        let address = counted_as(client);
        {
            let mut counts = self.admission.lock();
            let running = counts.by_address.entry(address).or_default();
            if *running >= self.admission.per_address {
                return Err(Refusal::Address);
            }
            *running += 1;
        }
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.sessions = counts.sessions.saturating_sub(1);
        metrics::gauge!("postern_sessions").set(counts.sessions as f64);
        let Some(address) = self.address else { return };
        if let Some(running) = counts.by_address.get_mut(&address) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

/// An IPv6 customer has a /64 at least, so that is one address here.
fn counted_as(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

/// Raises the soft limit of open files to the hard one and answers what it is then.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(_) => limit,
    };
    limit.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(sessions: usize, per_address: usize) -> Limits {
        let text = "hostname: a.example\npostmaster: a@b.example\nlisteners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n";
        let config = crate::config::Config::parse(text, std::path::Path::new("")).unwrap();
        Limits {
            sessions,
            sessions_per_address: per_address,
            ..config.limits
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn as_many_sessions_as_the_limit_says_and_not_one_more() {
        let admission = Admission::new(&limits(2, 9), &[], 10_000);
        let first = admission.enter().unwrap();
        let _second = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err(), Refusal::Sessions);
        drop(first);
        assert!(admission.enter().is_ok(), "a session that ended makes room");
        assert_eq!(admission.running(), 1);
    }

    #[test]
    fn an_address_has_its_own_limit_and_an_ipv6_network_of_64_bits_is_one() {
        let admission = Admission::new(&limits(100, 2), &[], 10_000);
        let try_from = |address: &str| {
            let mut admitted = admission.enter().unwrap();
            admitted.count_for(ip(address)).map(|()| admitted)
        };
        let _kept = [
            try_from("192.0.2.1").unwrap(),
            try_from("::ffff:192.0.2.1").unwrap(),
        ];
        assert_eq!(try_from("192.0.2.1").unwrap_err(), Refusal::Address);
        assert!(try_from("192.0.2.2").is_ok());
        let six = [
            try_from("2001:db8::1").unwrap(),
            try_from("2001:db8::ffff:2").unwrap(),
        ];
        assert_eq!(try_from("2001:db8::3").unwrap_err(), Refusal::Address);
        assert!(try_from("2001:db8:0:1::3").is_ok());
        assert_eq!(admission.running(), 4, "a refused session does not count");
        drop(six);
        assert!(try_from("2001:db8::3").is_ok());
        assert_eq!(
            admission.lock().by_address.len(),
            1,
            "addresses without sessions are forgotten"
        );
    }

    #[test]
    fn loopback_and_trusted_networks_have_no_limit_by_address() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let admission = Admission::new(&limits(100, 1), &trusted, 10_000);
        let mut kept = Vec::new();
        for address in ["127.0.0.1", "127.0.0.1", "::1", "::1", "10.1.1.1", "10.1.1.1"] {
            let mut admitted = admission.enter().unwrap();
            assert_eq!(admitted.count_for(ip(address)), Ok(()), "{address}");
            kept.push(admitted);
        }
    }

    #[test]
    fn the_descriptor_limit_caps_the_sessions() {
        assert_eq!(Admission::new(&limits(10_000, 1), &[], 1024).most(), 1024 - 256);
        assert_eq!(Admission::new(&limits(10_000, 1), &[], u64::MAX).most(), 10_000);
        assert_eq!(Admission::new(&limits(10_000, 1), &[], 0).most(), 1);
    }

    #[test]
    fn the_soft_descriptor_limit_becomes_the_hard_one() {
        let raised = raise_descriptor_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(raised, limit.current.unwrap_or(u64::MAX));
    }
}
