//! DNS: one resolver for the gateway and its policies.
//!
//! It asks the servers of `dns.servers`, or those of the system, and nobody else; no hosts file, no search
//! domains. Answers are cached as long as they say. Each look-up ends within `dns.timeout` for each of
//! `dns.attempts`, and `dns.in_flight` of them run at once; others wait within that time. Checks of senders have as
//! many places of their own, and so do policies beside the decision: strangers, who say how long a check lasts, keep
//! nobody else waiting. A name that does not exist, or has nothing of the kind, is an empty list. Whatever else is no
//! answer is a [`Failure`], and our own trouble.

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

use crate::config::DnsConfig;
use async_trait::async_trait;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{TokioResolver, lookup, system_conf};
use mail_auth::MessageAuthenticator;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Why there is no answer: a server that is silent, out of reach or in trouble, or a name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// What was found, names without their final dot; empty where there is nothing.
pub type Answer = Result<Vec<String>, Failure>;

/// Whoever can be asked.
#[async_trait]
pub trait Lookup: Send + Sync + fmt::Debug {
    /// A and AAAA.
    async fn addresses(&self, name: &str) -> Answer;
    /// The strings of each record joined.
    async fn txt(&self, name: &str) -> Answer;
    /// By preference. `.` is a domain that takes no mail (RFC 7505).
    async fn mx(&self, name: &str) -> Answer;
    /// PTR.
    async fn names(&self, address: IpAddr) -> Answer;
    /// The same for those whom nobody waits for. None: they have no places of their own.
    fn beside(&self) -> Option<Arc<dyn Lookup>> {
        None
    }
}

/// See the module. Clones share the cache and the places.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
    /// For its look-ups.
    places: Arc<Semaphore>,
}

struct Inner {
    /// Or why there is none.
    resolver: Result<MessageAuthenticator, String>,
    /// Where sockets are waited for, whoever asks.
    runtime: Option<Handle>,
    checks: Semaphore,
    beside: Arc<Semaphore>,
    limit: Duration,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.resolver {
            Ok(_) => f.write_str("Resolver"),
            Err(reason) => write!(f, "Resolver({reason})"),
        }
    }
}

/// A place among those that ask at the same time.
#[derive(Debug)]
pub struct Place<'a>(#[allow(dead_code, reason = "held for its drop")] SemaphorePermit<'a>);

impl Resolver {
    /// Where the system's configuration cannot be read, the log says so and every look-up fails.
    pub fn new(config: &DnsConfig) -> Self {
        let resolver = build(config).map_err(|error| error.to_string());
        if let Err(error) = &resolver {
            tracing::warn!(%error, "no DNS server is known; name some as dns.servers, or mend /etc/resolv.conf");
        }
        let tries = u32::try_from(config.attempts).unwrap_or(u32::MAX);
        let inner = Inner {
            resolver: resolver.map(MessageAuthenticator),
            runtime: Handle::try_current().ok(),
            checks: Semaphore::new(config.in_flight),
            beside: Arc::new(Semaphore::new(config.in_flight)),
            limit: config.timeout.saturating_mul(tries),
        };
        Self {
            inner: Arc::new(inner),
            places: Arc::new(Semaphore::new(config.in_flight)),
        }
    }

    /// For checks that ask one thing after the other, each of which has a [`Place`] meanwhile.
    pub fn authenticator(&self) -> Result<&MessageAuthenticator, Failure> {
        let known = self.inner.resolver.as_ref();
        known.map_err(|reason| Failure(format!("no DNS server is known: {reason}")))
    }

    /// Waits for a place among the checks.
    pub async fn check(&self) -> Result<Place<'_>, Failure> {
        place(&self.inner.checks).await
    }

    /// All records of a kind, others that were found on the way included.
    async fn records(&self, name: Name, kind: RecordType) -> Result<Vec<RData>, Failure> {
        let resolver = self.authenticator()?.0.clone();
        let begun = Instant::now();
        let asked = async {
            let _place = place(&self.places).await?;
            let question = async move { told(resolver.lookup(name, kind).await) };
            match &self.inner.runtime {
                Some(runtime) => AbortOnDropHandle::new(runtime.spawn(question))
                    .await
                    .map_err(|_| Failure("the look-up was lost".to_owned()))?,
                None => question.await,
            }
        };
        let late = || Failure("no answer in time (dns.timeout)".to_owned());
        let answer = timeout(self.inner.limit, asked)
            .await
            .unwrap_or_else(|_| Err(late()));
        let result = match &answer {
            Ok(records) if records.is_empty() => "nothing",
            Ok(_) => "found",
            Err(_) => "failed",
        };
        metrics::counter!("postern_dns_lookups_total", "type" => word(kind), "result" => result).increment(1);
        metrics::histogram!("postern_dns_lookup_seconds").record(begun.elapsed());
        answer
    }
}

#[async_trait]
impl Lookup for Resolver {
    async fn addresses(&self, name: &str) -> Answer {
        let name = parsed(name)?;
        let (v4, v6) = tokio::join!(
            self.records(name.clone(), RecordType::A),
            self.records(name, RecordType::AAAA)
        );
        let mut found = Vec::new();
        let mut failure = None;
        for records in [v4, v6] {
            match records {
                Ok(records) => found.extend(records.into_iter().filter_map(|record| match record {
                    RData::A(address) => Some(address.to_string()),
                    RData::AAAA(address) => Some(address.to_string()),
                    _ => None,
                })),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(failure) if found.is_empty() => Err(failure),
            _ => Ok(found),
        }
    }

    async fn txt(&self, name: &str) -> Answer {
        let records = self.records(parsed(name)?, RecordType::TXT).await?;
        let texts = records.into_iter().filter_map(|record| match record {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.collect())
    }

    async fn mx(&self, name: &str) -> Answer {
        let records = self.records(parsed(name)?, RecordType::MX).await?;
        let mut exchanges: Vec<(u16, String)> = records
            .into_iter()
            .filter_map(|record| match record {
                RData::MX(mx) => Some((mx.preference, shown(&mx.exchange))),
                _ => None,
            })
            .collect();
        exchanges.sort();
        Ok(exchanges.into_iter().map(|(_, exchange)| exchange).collect())
    }

    async fn names(&self, address: IpAddr) -> Answer {
        let records = self.records(Name::from(address), RecordType::PTR).await?;
        let names = records.into_iter().filter_map(|record| match record {
            RData::PTR(name) => Some(shown(&name)),
            _ => None,
        });
        Ok(names.collect())
    }

    fn beside(&self) -> Option<Arc<dyn Lookup>> {
        Some(Arc::new(Self {
            inner: Arc::clone(&self.inner),
            places: Arc::clone(&self.inner.beside),
        }))
    }
}

async fn place(places: &Semaphore) -> Result<Place<'_>, Failure> {
    if let Ok(place) = places.try_acquire() {
        return Ok(Place(place));
    }
    metrics::counter!("postern_limit_hits_total", "limit" => "dns.in_flight").increment(1);
    let place = places.acquire().await;
    place
        .map(Place)
        .map_err(|_| Failure("no more look-ups".to_owned()))
}

/// The name under which an address has its names, without its final dot.
pub fn reverse_name(address: IpAddr) -> String {
    shown(&Name::from(address))
}

/// A name as it is asked for: A-labels in lower case, without its final dot.
pub fn asked_for(name: &str) -> Result<String, Failure> {
    parsed(name).map(|name| shown(&name))
}

/// Whether a name is this domain or below it, label by label: an escaped dot ends no label (RFC 1035 §5.1).
pub fn is_below(name: &str, domain: &str) -> bool {
    match (parsed(name), parsed(domain)) {
        (Ok(name), Ok(domain)) => domain.zone_of(&name),
        _ => false,
    }
}

fn parsed(name: &str) -> Result<Name, Failure> {
    let none = || Failure(format!("`{name}` is no name to ask for"));
    let ascii = match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        false => idna::domain_to_ascii(name).map_err(|_| none())?,
    };
    let mut parsed = Name::from_ascii(&ascii).map_err(|_| none())?;
    parsed.set_fqdn(true);
    match parsed.is_root() {
        true => Err(none()),
        false => Ok(parsed),
    }
}

fn shown(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    match text.strip_suffix('.') {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => text,
    }
}

fn told(answer: Result<lookup::Lookup, NetError>) -> Result<Vec<RData>, Failure> {
    match answer {
        Ok(lookup) => Ok(lookup
            .answers()
            .iter()
            .map(|record| record.data.clone())
            .collect()),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(Failure(format!("no answer: {error}"))),
    }
}

fn word(kind: RecordType) -> &'static str {
    match kind {
        RecordType::A => "A",
        RecordType::AAAA => "AAAA",
        RecordType::TXT => "TXT",
        RecordType::MX => "MX",
        _ => "PTR",
    }
}

fn build(config: &DnsConfig) -> anyhow::Result<TokioResolver> {
    let servers = match config.servers.as_slice() {
        [] => {
            let (system, _) = system_conf::read_system_conf()?;
            system.name_servers().to_vec()
        }
        named => named.iter().map(|address| server(*address)).collect(),
    };
    let mut options = ResolverOpts::default();
    options.timeout = config.timeout;
    // What the library counts is tries after the first.
    options.attempts = config.attempts.saturating_sub(1);
    options.cache_size = config.cache as u64;
    options.use_hosts_file = ResolveHosts::Never;
    // Look-ups, checks of senders, and policies beside the decision.
    options.max_active_requests = 3 * config.in_flight;
    options.case_randomization = false;
    let config = ResolverConfig::from_name_servers(servers);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    Ok(builder.with_options(options).with_tls_config(no_tls()?).build()?)
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// The library wants one even where no server speaks TLS; this one trusts nobody.
fn no_tls() -> anyhow::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let roots = rustls::RootCertStore::empty();
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
