//! WASI for a guest: nothing of the machine but chance and time. Languages ask for these instead of the contract's
//! `random` and `clock`, so both answer alike: where the contract draws by a message so does WASI, and where the
//! contract's clock was told a time WASI's wall clock stands there.

use super::sink::Sink;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmtime_wasi::clocks::WallClock;
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder};

/// Octets of one reading from WASI's generators of randomness.
const RANDOM: u64 = 64 << 10;
/// In place of a time that was told.
const UNTOLD: u64 = u64::MAX;

/// By what a call draws: the digest of a message's id.
pub(super) type Seed = [u8; 32];

/// One generator's own seed, so that no two of them draw the same.
pub(super) fn generator(seed: &Seed, name: &str) -> StdRng {
    let digest = Sha256::new_with_prefix(seed).chain_update(name);
    StdRng::from_seed(digest.finalize().into())
}

/// The time that WASI's wall clock was told, in milliseconds since 1970; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Wall(Arc<AtomicU64>);

impl Wall {
    pub(super) fn at(told: Option<u64>) -> Self {
        Self(Arc::new(AtomicU64::new(told.unwrap_or(UNTOLD))))
    }

    pub(super) fn tell(&self, told: Option<u64>) {
        self.0.store(told.unwrap_or(UNTOLD), Ordering::Relaxed);
    }

    fn told(&self) -> Option<Duration> {
        let told = self.0.load(Ordering::Relaxed);
        (told != UNTOLD).then(|| Duration::from_millis(told))
    }
}

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        match self.told() {
            Some(_) => Duration::from_millis(1),
            None => WallClock::new().resolution(),
        }
    }

    fn now(&self) -> Duration {
        self.told().unwrap_or_else(|| WallClock::new().now())
    }
}

pub(super) fn context(seed: Option<&Seed>, wall: &Wall, printed: &Sink) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(printed.clone())
        .stderr(printed.clone())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .wall_clock(wall.clone());
    seeded(&mut builder, seed);
    builder.build()
}

/// The generators of another call.
pub(super) fn random(seed: Option<&Seed>) -> WasiRandomCtx {
    let mut builder = WasiCtxBuilder::new();
    seeded(&mut builder, seed);
    std::mem::take(builder.build().random())
}

fn seeded(builder: &mut WasiCtxBuilder, seed: Option<&Seed>) {
    builder.max_random_size(RANDOM);
    let Some(seed) = seed else { return };
    builder
        .secure_random(generator(seed, "wasi:random/random"))
        .insecure_random(generator(seed, "wasi:random/insecure"))
        .insecure_random_seed(rand::RngExt::random(&mut generator(
            seed,
            "wasi:random/insecure-seed",
        )));
}
