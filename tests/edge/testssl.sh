#!/usr/bin/env bash
# Lets testssl judge the TLS of nugate with a certificate of `nugate cert`.
#
#   tests/edge/testssl.sh NUGATE [VERSION_MIN...]
#
# NUGATE is the program; for each VERSION_MIN (1.2) it runs with that as tls.version_min. Every finding above LOW
# fails, and so does what testssl could not find out; but for three: BREACH, since what is compressed here has no
# secrets, that a private authority names no place for revocations, and that its client left before the ticket of TLS
# 1.3 came, which a server sends after its handshake: resumption is judged here by a client that waits for it. The
# last line is "N passed, M failed".
set -euo pipefail
nugate=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- 1.2
testssl=$(command -v testssl || command -v testssl.sh) || { echo "there is no testssl (Debian: testssl.sh)"; exit 1; }
work=$(mktemp -d)
daemon=
end() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  [ -z "$daemon" ] || wait "$daemon" 2>/dev/null || true
  daemon=
}
trap 'end; rm -rf "$work"' EXIT
trap 'exit 1' TERM INT
"$nugate" cert localhost 127.0.0.1 --out "$work/certs" >/dev/null

scan() {
  local run=$work/$1 port= protocol=
  mkdir "$run"
  : >"$run/log"
  env -i HOME="$work" NUGATE_TLS__CERTIFICATE="$work/certs/server.crt" NUGATE_TLS__KEY="$work/certs/server.key" \
    NUGATE_TLS__VERSION_MIN="$1" "$nugate" serve --listen 127.0.0.1:0 --cache-dir "$run/cache" \
    --upstream http://127.0.0.1:9/v3/index.json >"$run/log" 2>&1 &
  daemon=$!
  # It says where it listens once it does.
  until port=$(sed -n 's|^ *at *https://[^:]*:\([0-9]*\)/.*|\1|p' "$run/log") && [ -n "$port" ]; do
    kill -0 "$daemon" || { cat "$run/log"; exit 1; }
    sleep 0.05
  done
  # It ends with the number of what it found, as many as can be.
  "$testssl" --quiet --warnings off --color 0 --nodns none --add-ca "$work/certs/ca.crt" \
    -p -s -f -U -S --jsonfile "$run/found.json" "localhost:$port" </dev/null >"$run/said" 2>&1 || true
  for protocol in tls1_2 tls1_3; do
    [ "$1" = 1.2 ] || [ "$protocol" = tls1_3 ] || continue
    echo "$protocol=$(resume "$port" "-$protocol" "$run/$protocol")" >>"$run/resumed"
  done
  end
}

# Connects a second time by the ticket of the first: says whether "New" or "Reused", or nothing.
resume() {
  local port=$1 protocol=$2 session=$3
  # The client stays for as long as its input is open.
  timeout 20 sh -c 'until [ -s "$0" ]; do sleep 0.05; done' "$session" |
    timeout 30 openssl s_client -connect "localhost:$port" "$protocol" -sess_out "$session" >"$session.first" 2>&1 || true
  timeout 30 openssl s_client -connect "localhost:$port" "$protocol" -sess_in "$session" 2>&1 </dev/null |
    tee "$session.second" | sed -n 's/^\(New\|Reused\), TLS.*/\1/p'
}

judge() {
  python3 - "$1" "$work/$1" <<'PYTHON'
import json, pathlib, sys

version, run = sys.argv[1], pathlib.Path(sys.argv[2])
allowed = {"OK", "INFO", "LOW"}
excepted = {"BREACH", "cert_revocation"}
too_early = ("sessionresumption_ticket", "check failed because of connect problem")
# Without these the scan did not come to its end.
needed = {"TLS1_2", "TLS1_3", "FS", "cert_chain_of_trust", "heartbleed", "RC4"}
# As versions before 3.2 call it.
old_names = {"PFS": "FS"}
found = json.loads((run / "found.json").read_text(encoding="utf-8"))
lapses = [
    one
    for one in found
    if one["severity"] not in allowed and one["id"] not in excepted and (one["id"], one["finding"]) != too_early
]
resumed = dict(line.split("=") for line in (run / "resumed").read_text(encoding="utf-8").split())
found += [{"id": f"resumption of {one}"} for one in resumed]
lapses += [
    {"id": f"resumption of {one}", "severity": "WRONG", "finding": how or "no connection"}
    for one, how in resumed.items()
    if how != "Reused"
]
absent = needed - {old_names.get(one["id"], one["id"]) for one in found}
# Both versions are judged, or the later one alone is there.
offered = next((one["finding"] for one in found if one["id"] == "TLS1_2"), "")
if (version == "1.2") != offered.startswith("offered"):
    lapses.append({"id": "TLS1_2", "severity": "WRONG", "finding": offered})
for one in lapses:
    print(f"FAILED {one['id']}: {one['severity']}: {one['finding']}")
for name in sorted(absent):
    print(f"FAILED {name}: testssl said nothing of it")
print(f"TLS {version} and later: {len(found)} findings, {len(lapses)} above LOW")
print(f"{len(found) - len(lapses)} passed, {len(lapses) + len(absent)} failed")
sys.exit(bool(lapses or absent))
PYTHON
}

status=0
for version in "$@"; do
  scan "$version"
  if [ ! -s "$work/$version/found.json" ]; then
    cat "$work/$version/said"
    echo "0 passed, 1 failed"
    exit 1
  fi
  judge "$version" || status=1
done
exit "$status"
