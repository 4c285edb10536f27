#!/usr/bin/env bash
# Runs every fuzz target of host/proto/fuzz for the given number of seconds.
set -euo pipefail
cd "$(dirname "$0")/../host/proto/fuzz"
seconds="${1:-60}"
cargo +nightly --version >/dev/null 2>&1 || { echo "fuzzing needs a nightly toolchain: rustup toolchain install nightly"; exit 1; }
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz >/dev/null 2>&1 || { echo "fuzzing needs cargo-fuzz: cargo install cargo-fuzz"; exit 1; }
for target in $(cargo +nightly fuzz list); do
  echo "fuzzing $target for $seconds s"
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048
done
