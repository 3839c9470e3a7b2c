#!/usr/bin/env bash
# Looks at nugate's pages as people do: in headless Chromium, after a restore, light and dark, narrow and wide.
#
#   tests/pages/run.sh NUGATE [SCREENSHOTS]
#
# NUGATE is the program to test, SCREENSHOTS the folder for the pictures (target/pages/screenshots). With
# NGTEST_SHARED and NGTEST_CLIENTS as for tests/clients, NuGet itself restores too. It needs node, npm and
# Chromium; npm packages are installed below target/pages. The last line is "N passed, M failed".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
nugate=$(realpath "$1")
mkdir -p target/pages "${2:-target/pages/screenshots}"
work=$(realpath target/pages)
shots=$(realpath "${2:-target/pages/screenshots}")
for package in playwright-core@1.65.1 axe-core@4.14.1; do
  [ -d "$work/node_modules/${package%@*}" ] ||
    (cd "$work" && npm install --silent --no-audit --no-fund --ignore-scripts "$package")
done
run=$(mktemp -d "$work/run.XXXXXX")
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$run"' EXIT

# Waits for the banner of the program that writes there: its address.
address() {
  local at=
  for _ in $(seq 300); do
    at=$(sed -n 's|.*at  *http://\([0-9.:]*\)/v3/index.json.*|\1|p' "$1" | head -n 1)
    [ -n "$at" ] && echo "$at" && return 0
    sleep 0.1
  done
  echo "no nugate started:" >&2
  cat "$1" >&2
  return 1
}

begin() {
  local log=$1
  shift
  env -i PATH="$PATH" HOME="$run" "$nugate" "$@" >"$log" 2>&1 &
}

# The demonstration is the feed: real documents and packages, no network.
begin "$run/feed.log" demo --keep --listen 127.0.0.1:0
feed=$(address "$run/feed.log")
# Nobody listens on the port of the feed that is down: it was free a moment ago.
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
feeds() {
  cat <<TOML
listen = "127.0.0.1:0"
proxy = "none"
cache.dir = "$run/$1"
[[feed]]
name = "example"
url = "http://$feed/v3/index.json"
[[feed]]
name = "corp"
url = "http://127.0.0.1:$port/v3/index.json"
owns = ["Contoso.*"]
attempts = 1
TOML
}
feeds open >"$run/open.toml"
key=pages-key
digest=$(printf %s "$key" | sha256sum | cut -d' ' -f1)
{ feeds guarded; printf '[access]\nmode = "required"\nkeys = ["ops:admin:%s", "team:read:%s"]\n' "$digest" "$(printf %s team-key | sha256sum | cut -d' ' -f1)"; } >"$run/guarded.toml"
begin "$run/open.log" --config "$run/open.toml"
begin "$run/guarded.log" --config "$run/guarded.toml"
OPEN=http://$(address "$run/open.log")
GUARDED=http://$(address "$run/guarded.log")

clients=${NGTEST_SHARED:-../shared}/clients
tools=${NGTEST_CLIENTS:-target/clients}
if [ -x "$clients/nuget7.sh" ] && [ -d "$tools/nuget7" ]; then
  tools=$(realpath "$tools")
  if ! NG_HOME=$run/nuget NG_TOOLS=$tools "$clients/nuget7.sh" restore2 "$OPEN/v3/index.json" 'Example.App=[1.0.0, )' >"$run/nuget.log" 2>&1; then
    cat "$run/nuget.log"
    echo "0 passed, 1 failed"
    exit 1
  fi
  RESTORED=NuGet
else
  echo "without a real client: $clients or $tools is not there"
fi
export OPEN GUARDED KEY=$key SHOTS=$shots PROFILE=$run/chromium RESTORED=${RESTORED:-}
export MODULES=$work/node_modules CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
node "$here/check.mjs"
