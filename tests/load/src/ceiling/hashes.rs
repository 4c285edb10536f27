//! Passwords: argon2id as a gateway makes and checks it, on so many threads.

use crate::pace::Latencies;
use crate::process;
use anyhow::anyhow;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(crate) fn hashes(threads: usize, length: Duration) -> anyhow::Result<Value> {
    let (before, begun) = (process::own_cpu_ms(), Instant::now());
    let end = begun + length;
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| hash_until(end))).collect();
        let mut all = Latencies::new()?;
        for thread in threads {
            all.merge(&thread.join().map_err(|_| anyhow!("a thread panicked"))??)?;
        }
        anyhow::Ok(all)
    })?;
    let (count, seconds) = (all.count().max(1) as f64, begun.elapsed().as_secs_f64());
    Ok(json!({
        "what": "argon2id, 19 MiB, two passes", "connections": threads, "rate": count / seconds,
        "p50_ms": all.percentile(50.0), "p99_ms": all.percentile(99.0),
        "cpu_ms": (process::own_cpu_ms() - before) / count,
    }))
}

/// The crate's own parameters are the gateway's; its memory is kept from one to the next.
fn hash_until(end: Instant) -> anyhow::Result<Latencies> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    let mut memory = vec![Block::new(); argon2.params().block_count()];
    let mut output = [0; 32];
    let mut latencies = Latencies::new()?;
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(latencies);
        }
        argon2
            .hash_password_into_with_memory(b"correct-horse", &[7; 16], &mut output, &mut memory)
            .map_err(|error| anyhow!("argon2: {error}"))?;
        latencies.add(begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hashed_at_the_gateway_s_cost() {
        let figures = hashes(2, Duration::from_millis(50)).unwrap();
        assert!(figures["rate"].as_f64().unwrap() > 0.0);
        let params = Params::DEFAULT;
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (19 * 1024, 2, 1)
        );
    }
}
