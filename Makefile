# Everything a person does with a checkout: run, test, lint, bench, fuzz.
# Each target brings what it needs, or says in one line what is missing.

CARGO      ?= cargo
WASM       := wasm32-wasip2
BUILD      := $(abspath $(or $(CARGO_TARGET_DIR),target))
DEBUG      := $(BUILD)/debug/postern
RELEASE    := $(BUILD)/release/postern
BUILT      := $(abspath $(or $(CARGO_TARGET_DIR),plugins/target))
GUESTS     := $(BUILT)/$(WASM)/release
STATE      := .postern

.PHONY: run demo-cluster test faults mutations lint bench bench-quick bench-languages bench-cassandra counts counts-accept fuzz plugins target gateway clients

## A working gateway on the embedded store, on unprivileged ports, with a demo account.
run: plugins
	$(CARGO) build --locked --release --package postern
	@config/run.sh "$(RELEASE)" "$(STATE)" "$(GUESTS)"

## Three Cassandra nodes and two gateways that share them, until Ctrl-C.
demo-cluster:
	$(CARGO) build --locked --release --package postern --bin postern --example demo-cluster
	@"$(BUILD)/release/examples/demo-cluster" "$(RELEASE)"

## All tests, real mail clients included.
test: target
	cd plugins && $(CARGO) test --locked --quiet
	$(CARGO) test --locked --workspace
	cd tests && python3 -m unittest discover -s peers -t . && python3 -m unittest discover -s counts -t .
	$(MAKE) --no-print-directory gateway clients

## A real process and what happens around it: odd mail, policies, hostile guests, memory, kill -9, full disk,
## vanishing, stalled and idle clients.
gateway: plugins
	$(CARGO) build --locked --package postern --package load
	cd tests/guests && $(CARGO) build --locked --release --target $(WASM) --target-dir "$(BUILT)" --package hostile
	cd tests && POSTERN="$(DEBUG)" POSTERN_LOAD="$(BUILD)/debug/load" POSTERN_GUESTS="$(GUESTS)" python3 -m unittest discover -v -s gateway -t .

## The mail clients that are installed here, against a real gateway.
clients: plugins
	$(CARGO) build --locked --package postern
	python3 tests/clients/run.py --postern "$(DEBUG)"

## Nodes, gateways and clocks that fail under mail, at length, with figures and a picture (20 minutes).
faults:
	POSTERN_TIMELINE="$(abspath tests/results)" $(CARGO) test --locked --package postern --features faults --test cluster -- --nocapture
	python3 tests/cluster/timeline.py tests/results/quorum-lost.json tests/results/quorum-lost.svg

## What Cassandra's store promises inside, broken one promise at a time: its tests must turn red (15 minutes).
mutations:
	tests/mutations.py

lint: target
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --package postern --features faults --test cluster -- -D warnings
	cd plugins && $(CARGO) fmt --all --check && $(CARGO) clippy --locked --target $(WASM) -- -D warnings \
	  && $(CARGO) clippy --locked --all-targets -- -D warnings
	cd tests/guests && $(CARGO) fmt --all --check && $(CARGO) clippy --locked --target $(WASM) --target-dir "$(BUILT)" -- -D warnings
	cd tests/smith && $(CARGO) fmt --check && $(CARGO) clippy --locked --target-dir "$(BUILD)/smith" -- -D warnings
	@tests/lint.sh

## Rates, latencies and memory over the embedded store, each beside its ceiling in the same run (15 minutes): tables and
## pictures go to tests/results; with parts and options in BENCH (`load bench --help`) to target/bench. Without them also the
## steps of a decision (a minute, or POSTERN_BENCH_SECONDS), and the memory that is asked for.
bench: plugins
	$(CARGO) build --locked --release --package postern --package load
	@rm -f "$(BUILD)/bench/runs.jsonl"
	"$(BUILD)/release/load" bench --runs "$(BUILD)/bench/runs.jsonl" \
	  --policy "$(GUESTS)/tag_subject.wasm" plugins/tag-subject/30-tag-subject.yaml $(BENCH)
	python3 tests/load/report.py "$(BUILD)/bench/runs.jsonl" --into $(if $(BENCH),"$(BUILD)/bench",tests/results)
	$(if $(BENCH),,$(CARGO) bench --locked --package postern --bench steps > "$(BUILD)/bench/steps.md")
	$(if $(BENCH),,cp "$(BUILD)/bench/steps.md" tests/results/steps.md && cat tests/results/steps.md)
	$(if $(BENCH),,$(CARGO) bench --locked --package postern --bench memory > "$(BUILD)/bench/memory.md")
	$(if $(BENCH),,cp "$(BUILD)/bench/memory.md" tests/results/memory.md && cat tests/results/memory.md)

## The main ratios in three minutes, beside those that are committed.
bench-quick:
	$(CARGO) build --locked --release --package postern --package load
	@rm -f "$(BUILD)/bench/quick.jsonl"
	"$(BUILD)/release/load" bench --quick --runs "$(BUILD)/bench/quick.jsonl" $(BENCH)
	@python3 tests/load/report.py "$(BUILD)/bench/quick.jsonl" --against tests/results/bench.jsonl

## What `postern plugin new` writes in five languages, built, and two of each on every message (4 minutes); tables go to
## target/bench.
LANGUAGES := $(BUILD)/bench/languages
bench-languages:
	$(CARGO) build --locked --release --package postern --package load
	@rm -rf "$(LANGUAGES)" && mkdir -p "$(LANGUAGES)/policies"
	cd "$(LANGUAGES)" && for language in rust go js python c; do \
	  "$(RELEASE)" plugin new $$language --lang $$language && (cd $$language && "$(RELEASE)" plugin build) || exit 1; \
	  sed -i 's/^  hourly: .*/  hourly: 1000000/' $$language/60-$$language.yaml && grep -q 'hourly: 1000000' $$language/60-$$language.yaml || exit 1; \
	  for nth in 1 2; do for ending in wasm yaml; do \
	    cp $$language/60-$$language.$$ending policies/$$nth-$$language.$$ending || exit 1; done; done; done
	"$(BUILD)/release/load" bench mixed --mixed "$(LANGUAGES)/policies" --runs "$(LANGUAGES)/runs.jsonl" $(BENCH)
	python3 tests/load/report.py "$(LANGUAGES)/runs.jsonl" --into "$(BUILD)/bench"

## Instructions of the hot paths under callgrind, beside those that are committed: red where one takes markedly more.
## counts-accept writes what was counted, to be committed.
counts counts-accept: target
	@command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind"; exit 1; }
	cd tests/guests && $(CARGO) build --locked --release --target $(WASM) --target-dir "$(BUILT)" --package probe
	$(CARGO) build --locked --release --package counts
	@tests/counts/check.py "$(BUILD)/release/counts" "$(GUESTS)/probe.wasm" $(if $(filter counts-accept,$@),--accept)

## CassMail's evaluation over real Cassandra nodes: PART=a…g, 30 minutes each, which goes on where it was broken off
## when it is said again; without PART the short form of a and b. Tables and pictures go to tests/results.
RUNS := $(BUILD)/bench-cassandra/runs.jsonl
bench-cassandra:
	$(CARGO) build --locked --release --package postern --package load
	"$(BUILD)/release/load" cassandra $(PART) --runs "$(RUNS)"
	python3 tests/load/tables.py "$(RUNS)" --into tests/results

## Postfix, Dovecot and Haraka beside Postern, in turns (30 minutes, as root; it installs what is missing). PEERS has more
## words for tests/peers/run.py, such as PEERS="--only lmtp-16 --rounds 5". Tables go to tests/results.
.PHONY: peers
peers: plugins
	$(CARGO) build --locked --release --package postern --package load
	tests/peers/run.py --postern "$(RELEASE)" --load "$(BUILD)/release/load" --guests "$(GUESTS)" $(PEERS)

## A bounded run of every fuzz target (FUZZ_SECONDS each).
fuzz:
	@tests/fuzz.sh $(or $(FUZZ_SECONDS),60)

## The shipped policies, where `make run` and the tests look for them.
plugins: target
	cd plugins && $(CARGO) build --locked --release --target $(WASM)

target:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer"; exit 1; }
	@rustc --print target-libdir --target $(WASM) 2>/dev/null | xargs -r test -d || rustup target add $(WASM) \
	  || { echo "the Rust target $(WASM) is missing and rustup could not add it"; exit 1; }
