#!/usr/bin/env bash
# Runs every fuzz target of host/proto/fuzz, and a policy folder under random hands, for the given number of seconds
# each. What is found new stays in the target folder; the corpus in the tree only grows by hand. A folder's fault is
# told with its seed: POSTERN_FUZZ_SEED=N cargo test -p postern --test fuzz
set -euo pipefail
cd "$(dirname "$0")/../host/proto/fuzz"
seconds="${1:-60}"
echo "fuzzing the policy folder for $seconds s"
POSTERN_FUZZ_SECONDS="$seconds" cargo test --locked --quiet --package postern --manifest-path ../../../Cargo.toml --test fuzz -- --nocapture
cargo +nightly --version >/dev/null 2>&1 || { echo "fuzzing needs a nightly toolchain: rustup toolchain install nightly"; exit 1; }
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz >/dev/null 2>&1 || { echo "fuzzing needs cargo-fuzz: cargo install cargo-fuzz"; exit 1; }
for target in $(cargo +nightly fuzz list); do
  echo "fuzzing $target for $seconds s"
  mkdir -p "target/corpus/$target"
  cargo +nightly fuzz run "$target" "target/corpus/$target" "corpus/$target" -- \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=4096
done
