#!/usr/bin/env bash
# Serves config/run.yaml: places the shipped policies, makes one demo account at the first start and prints
# the two commands that send it a message and fetch it, and how to reach this gateway with others.
# Usage: run.sh POSTERN STATE GUESTS
set -euo pipefail
cd "$(dirname "$0")/.."
postern="$1" state="$2" guests="$3"
config=config/run.yaml
account=demo@example.org

# What everybody may write to is not loaded.
umask 022
mkdir -p "$state/plugins.d"
chmod 700 "$state"
# A policy whose .wasm was taken out stays out as long as its .yaml is there; `make run` brings the others up to date.
place() {
  [ -e "$state/plugins.d/$1-$2.yaml" ] && [ ! -e "$state/plugins.d/$1-$2.wasm" ] && return
  cp "$guests/${2//-/_}.wasm" "$state/plugins.d/.$1-$2.wasm.new"
  mv "$state/plugins.d/.$1-$2.wasm.new" "$state/plugins.d/$1-$2.wasm"
  [ -e "$state/plugins.d/$1-$2.yaml" ] || cp "plugins/$2/$1-$2.yaml" "$state/plugins.d/"
}
for policy in $(cd plugins && ls -d */); do
  policy="${policy%/}"
  for yaml in plugins/"$policy"/[0-9][0-9]-"$policy".yaml; do
    [ -e "$yaml" ] || continue
    # These delay mail, ask other people's servers, or refuse what the demonstration sends.
    case "$policy" in greylist|dnsbl|auth-policy) continue ;; esac
    [ -e "$guests/${policy//-/_}.wasm" ] || { echo "plugins/$policy is not built; is it a member in plugins/Cargo.toml?"; continue; }
    order="$(basename "$yaml")"
    place "${order%%-*}" "$policy"
  done
done

# Each of these names every fault of the configuration; a refused policy is none, the gateway serves with the others. Adding
# the domain makes the store.
if [ ! -d "$state/store/db" ] || ! "$postern" domain list --config "$config" | grep -qx example.org; then
  "$postern" domain add example.org --config "$config" >/dev/null
fi
if ! "$postern" user list --config "$config" | grep -q "$account"; then
  added="$("$postern" user add "$account" --generate --config "$config" 2>&1)" || { echo "$added" >&2; exit 1; }
  password="$(tail -n 1 <<<"$added")"
  cat <<TEXT

The demo account is $account, its password $password (shown this once).
Send it a message, and fetch it, from another terminal in this folder:

  printf 'From: $account\nTo: $account\nSubject: hello\n\nIt works.\n' | curl --crlf --cacert $state/tls/cert.pem --ssl-reqd --url smtp://localhost:2587 --user '$account:$password' --mail-from $account --mail-rcpt $account --upload-file -
  curl --cacert $state/tls/cert.pem --user '$account:$password' pop3s://localhost:2995/1

TEXT
fi
cat <<TEXT
Policies go into $state/plugins.d. Commands for this gateway, in another terminal:

  export POSTERN_CONFIG="$PWD/$config"
  $postern plugin list

TEXT
exec "$postern" serve --config "$config"
