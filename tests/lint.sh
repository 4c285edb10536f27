#!/usr/bin/env bash
# What clippy cannot see: the size of files, the dependency direction, what must never be committed.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
say() { echo "lint: $1"; failed=1; }

while read -r lines file; do
  [ "$lines" -le 600 ] || say "$file has $lines lines; 600 are the most (tests apart)"
done < <(git ls-files 'host/*.rs' | grep -vE '(^|/)tests?(/|\.rs)|contract' | xargs wc -l | grep -v ' total$' | awk '{print $1, $2}')

for settings in plugins/*/[0-9]*-*.yaml; do
  policy=${settings%/*}/src
  case "$settings" in
    */aliases/*|*/block-attachments/*|*/rate-limit/*) lines=$(wc -l < "$policy/lib.rs") ;;
    *) lines=$(find "$policy" -name '*.rs' ! -name tests.rs -exec cat {} + | wc -l) ;;
  esac
  [ "$lines" -lt 200 ] || say "$policy has $lines lines; a shipped policy has less than 200 (tests apart)"
done

found=$(git grep -nE 'wasmtime(_wasi)?::' -- 'host/src/*.rs' | grep -v '^host/src/policy') && say "wasmtime outside the policy module: $found"
found=$(git grep -nE '^use (tokio|wasmtime|rand|std::time)' -- 'host/proto/src/*.rs') && say "postern-proto knows no runtime, clock or randomness: $found"
found=$(git grep -nE 'crate::(smtp|pop3|admin|cli)\b' -- 'host/src/store*' 'host/src/message*' 'host/src/policy*' 'host/src/directory*') && say "a dependency points the wrong way: $found"
found=$(git grep -nE '#\[ignore|\b(todo|unimplemented)!\(' -- '*.rs') && say "unfinished: $found"
found=$(git ls-files | cut -d/ -f1 | sort -u | grep -vxE 'Cargo.toml|Cargo.lock|Makefile|LICENSE|CHANGELOG.md|README.md|host|plugins|wit|config|tests|\..*') && say "not at the top level: $found"
command -v gofmt >/dev/null && found=$(gofmt -l plugins/templates tests/guests) && [ -n "$found" ] && say "not as gofmt has it: $found"
found=$(tests/mutations.py --check 2>&1) || say "a mutation does not fit: $found"
exit $failed
