//! TLS: handshakes of both sides on one thread, in memory, whole and resumed.

use crate::pace::Latencies;
use crate::process;
use crate::target::client_config;
use anyhow::{Context as _, ensure};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// As a gateway has: an ECDSA key of its own, TLS 1.3, tickets.
fn server_config() -> anyhow::Result<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

pub(super) fn handshakes(resumed: bool, length: Duration) -> anyhow::Result<Value> {
    let server = Arc::new(server_config()?);
    let mut client = client_config(None)?;
    if !resumed {
        client.resumption = rustls::client::Resumption::disabled();
    }
    let client = Arc::new(client);
    let wanted = if resumed {
        HandshakeKind::Resumed
    } else {
        HandshakeKind::Full
    };
    // The first of all is whole, and brings the tickets of the next.
    handshake(&client, &server)?;
    let mut latencies = Latencies::new()?;
    let (before, since) = (process::own_cpu_ms(), Instant::now());
    let end = since + length;
    loop {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        let kind = handshake(&client, &server)?;
        ensure!(kind == wanted, "a handshake was {kind:?} and not {wanted:?}");
        latencies.add(begun.elapsed());
    }
    let (count, seconds) = (latencies.count().max(1) as f64, since.elapsed().as_secs_f64());
    Ok(json!({
        "what": format!("TLS handshake, both sides, {}", if resumed { "resumed" } else { "whole" }),
        "connections": 1, "rate": count / seconds, "p50_ms": latencies.percentile(50.0),
        "p99_ms": latencies.percentile(99.0), "cpu_ms": (process::own_cpu_ms() - before) / count,
    }))
}

/// Until both have nothing more to say, tickets among it.
fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> anyhow::Result<HandshakeKind> {
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from("localhost")?)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut flight = Vec::new();
    while client.wants_write() || server.wants_write() {
        flight.clear();
        while client.wants_write() {
            client.write_tls(&mut flight)?;
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest)?;
            server.process_new_packets()?;
        }
        flight.clear();
        while server.wants_write() {
            server.write_tls(&mut flight)?;
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest)?;
            client.process_new_packets()?;
        }
    }
    client.handshake_kind().context("the handshake is not over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_whole_and_resumed_as_asked() {
        for resumed in [false, true] {
            let figures = handshakes(resumed, Duration::from_millis(40)).unwrap();
            assert!(figures["rate"].as_f64().unwrap() > 0.0, "{figures}");
        }
    }
}
