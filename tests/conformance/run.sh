#!/usr/bin/env bash
# Runs the public conformance suite of HTTP caches (npm http-cache-tests) against a route of nugate.
#
#   tests/conformance/run.sh NUGATE RUNNER [WORK]
#
# NUGATE is the program to test, RUNNER the folder with the suite's runner (run.sh, score.mjs), WORK a
# folder for the suite and its results (target/conformance). What passed when baseline.json was
# written must pass; what passes beside it is told, and BLESS=1 writes it down. The last line is
# "N passed, M failed".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
nugate=$(realpath "$1") runner=$(realpath "$2") work=${3:-target/conformance}
version=0.4.5
mkdir -p "$work"
work=$(realpath "$work")
suite=$work/node_modules/http-cache-tests
baseline=$here/baseline.json

if [ ! -d "$suite" ]; then
  (cd "$work" && npm install --silent --no-audit --no-fund --ignore-scripts "http-cache-tests@$version")
fi

# A free port for the suite's origin; nugate takes one of its own.
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
run=$(mktemp -d "$work/run.XXXXXX")
cat >"$run/nugate.toml" <<TOML
listen = "127.0.0.1:0"
proxy = "none"
[raw.suite]
url = "http://127.0.0.1:$port/test/"
unsafe_methods = true
credentials = "relay"
[cache]
dir = "$run/cache"
[log]
level = "error"
TOML

"$nugate" --config "$run/nugate.toml" >"$run/nugate.log" 2>&1 &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || true; rm -rf "$run"' EXIT
address=
for _ in $(seq 100); do
  address=$(sed -n 's|.*at  *http://\([0-9.:]*\)/v3/index.json.*|\1|p' "$run/nugate.log" | head -n 1)
  [ -n "$address" ] && break
  sleep 0.1
done
[ -n "$address" ] || { echo "nugate did not start"; cat "$run/nugate.log"; echo "0 passed, 1 failed"; exit 1; }

export TMPDIR=$run SUITE=$suite ORIGIN_PORT=$port PROXY="http://$address/raw/suite" CHUNK=${CHUNK:-50}
export NODE_OPTIONS="--no-warnings --import=$here/plain_fetch.mjs"
OUT=$work/result.json "$runner/run.sh" both
node "$runner/score.mjs" --suite "$suite" --json "$work/score.json" nugate="$work/result.json" >/dev/null
node "$here/compare.mjs" "$work/score.json" "$baseline" "${BLESS:-}"
