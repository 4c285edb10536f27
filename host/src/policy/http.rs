//! Requests of policies: to granted hosts alone, each over a connection of its own, within bounds.
//!
//! A name is looked up once, by the gateway's own resolver, and the connection goes to an address that was looked at: no answer of the DNS that
//! comes later can lead it elsewhere. Redirections are handed to the policy as they are. An error is text for the
//! policy, and ends nothing.

mod exchange;
mod reach;
mod request;
mod tls;

pub(super) use tls::Trust;

use super::bindings::postern::policy::types::{HeaderField, HttpRequest, HttpResponse};
use super::grants::HttpGrant;
use super::limits::Limit;
use crate::dns::Lookup;
use request::Checked;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// One policy's way to the hosts that it was granted.
pub(super) struct Client {
    grant: HttpGrant,
    way: Way,
}

enum Way {
    Network {
        tls: TlsConnector,
        dns: Arc<dyn Lookup>,
        turns: Semaphore,
    },
    Written(Arc<[Written]>),
}

/// Who answers: of a set of policies.
#[derive(Debug, Clone)]
pub(super) enum Answering {
    Network,
    /// What is written, in place of the network.
    Written(Arc<[Written]>),
}

/// A request and what is answered to it, in a case for a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// None: any.
    pub method: Option<String>,
    pub url: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("grant", &self.grant)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn network(grant: HttpGrant, tls: TlsConnector, dns: Arc<dyn Lookup>) -> Self {
        let turns = Semaphore::new(grant.parallel as usize);
        Self {
            grant,
            way: Way::Network { tls, dns, turns },
        }
    }

    pub(super) fn written(grant: HttpGrant, answers: Arc<[Written]>) -> Self {
        Self {
            grant,
            way: Way::Written(answers),
        }
    }

    /// Requests that one call may make.
    pub(super) fn requests(&self) -> u32 {
        self.grant.requests
    }

    /// Sends, and waits for the whole answer, no longer than `within`.
    pub(super) async fn send(&self, asked: HttpRequest, within: Duration) -> Result<HttpResponse, String> {
        let wanted = match asked.timeout_ms {
            0 => self.grant.timeout,
            millis => Duration::from_millis(millis.into()),
        };
        let checked = request::check(&self.grant, asked)?;
        match &self.way {
            Way::Written(answers) => answered(answers, &checked),
            Way::Network { tls, dns, turns } => {
                let limit = within.min(self.grant.timeout).min(wanted);
                let end = Instant::now() + limit;
                let Ok(turn) = timeout_at(end, turns.acquire()).await else {
                    Limit::HttpParallel.hit();
                    return Err(format!(
                        "{} requests run already (grants.http.parallel)",
                        self.grant.parallel
                    ));
                };
                let exchange = exchange::run(&self.grant, (tls, &**dns), checked);
                let answer = timeout_at(end, Box::pin(exchange)).await;
                drop(turn);
                answer.unwrap_or_else(|_| {
                    if limit == self.grant.timeout {
                        Limit::HttpTimeout.hit();
                    }
                    Err(format!("no answer within {} ms", limit.as_millis()))
                })
            }
        }
    }
}

/// The first written answer that fits.
fn answered(answers: &[Written], checked: &Checked) -> Result<HttpResponse, String> {
    let method = checked.request.method().as_str();
    let fits = |written: &&Written| {
        let url = url::Url::parse(&written.url);
        url.is_ok_and(|url| url == checked.url) && written.method.as_ref().is_none_or(|named| named == method)
    };
    let Some(written) = answers.iter().find(fits) else {
        return Err(format!("no answer is written for {method} {}", checked.url));
    };
    let headers = written.headers.iter().map(|(name, value)| HeaderField {
        name: name.clone(),
        value: value.clone().into_bytes(),
    });
    Ok(HttpResponse {
        status: written.status,
        headers: headers.collect(),
        body: written.body.clone(),
    })
}

#[cfg(test)]
mod tests;
