#!/bin/bash
# The way of a newcomer, timed: a fresh clone, the commands of the README in an empty HOME, and a first restore through
# nugate.
# newcomer.sh [NUGATE]
#
# With NUGATE, a program that is built already stands for what `cargo run --release` builds; without, all is built in the
# clone. The last line is "N passed, M failed". The feed of `nugate demo --keep` stands for nuget.org, so that no network
# is needed but for crates.
# NGTEST_SHARED, NGTEST_CLIENTS  as for tests/clients: with them NuGet 7.6 restores, else curl gets a package
# CARGO_HOME                     a registry to share; by default an empty one
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. tests/checks.sh
repository=$PWD
built=${1:+$(realpath "$1")}
shared=$(realpath -m "${NGTEST_SHARED:-../shared}")
clients=$(realpath -m "${NGTEST_CLIENTS:-target/clients}")
pids=()

clean_up() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
  wait
  rm -rf "$place"
}
trap clean_up EXIT

now() { date +%s%N; }

# What a part is called, and the command that must succeed; says how long it took. What it prints is in $log.
part() {
  local begin milliseconds
  begin=$(now)
  if "${@:2}" >"$log" 2>&1; then
    milliseconds=$((($(now) - begin) / 1000000))
    passed=$((passed + 1))
    printf '%8d.%01d s  %s\n' $((milliseconds / 1000)) $((milliseconds % 1000 / 100)) "$1"
  else
    failed=$((failed + 1))
    echo "FAILED $1: ${*:2}"
    tail -n 20 "$log"
    finish
  fi
}

# Waits until a program that goes on has said this, and prints the line; fails when the program has ended.
said_by() {
  local pid=$1 file=$2 text=$3
  until grep -m 1 -- "$text" "$file"; do
    kill -0 "$pid" 2>/dev/null || return 1
    sleep 0.05
  done
}

if [ -n "$built" ]; then
  mkdir "$place/bin"
  # What is built is what the clone would build: only the build is left out.
  cat >"$place/bin/cargo" <<END
#!/bin/sh
[ "\$1 \$2" = "run --release" ] || exit 2
shift 2
[ "\${1:-}" = -- ] && shift
exec "$built" "\$@"
END
  chmod +x "$place/bin/cargo"
  PATH=$place/bin:$PATH
fi
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} HOME=$place/home CARGO_TERM_COLOR=never
unset "${!NUGATE_@}" CARGO_TARGET_DIR XDG_CACHE_HOME XDG_CONFIG_HOME
mkdir "$HOME"

part "git clone" git clone --quiet --no-hardlinks "$repository" "$place/nugate"
cd "$place/nugate" || finish
# The commands of the first block for a shell.
mapfile -t commands < <(sed -n '/^```sh$/,/^```$/p' README.md | sed '1d; /^```$/Q; s/ *#.*//')
for expected in 'cargo run --release -- demo' 'cargo run --release'; do
  printf '%s\n' "${commands[@]}" | grep -qxF "$expected" || {
    echo "the README does not begin with $expected, but with: ${commands[*]}"
    failed=$((failed + 1))
    finish
  }
done
part "${commands[0]}${built:+, built}" bash -c "${commands[0]}"
grep -E '^(cold|warm):|byte for byte' "$log"
part "the same again" bash -c "${commands[0]}"

bash -c "exec ${commands[0]} --keep" >"$place/feed" 2>&1 &
pids+=($!)
feed=$(said_by $! "$place/feed" '^  feed ' | awk '{ print $2 }')
# Any port that is free, instead of the one that the README names.
export NUGATE_UPSTREAM=$feed NUGATE_LISTEN=127.0.0.1:0
bash -c "exec ${commands[1]}" >"$place/serves" 2>&1 &
pids+=($!)
part "${commands[1]}, until it listens" said_by $! "$place/serves" '^  at '
source=$(awk '/^  at / { print $2; exit }' "$place/serves")
if [ -d "$clients/nuget7" ] && [ -d "$shared/clients" ]; then
  part "NuGet 7.6 restores from $source" env NG_TOOLS="$clients" NG_HOME="$place/client" \
    bash "$shared/clients/nuget7.sh" restore2 "$source" Example.App=1.0.0
  part "the first package is there" test -f "$place/client/pkgs/example.app/1.0.0/example.app.1.0.0.nupkg"
else
  part "curl gets a package from $source" curl -sSf -o "$place/package" \
    "${source%index.json}flat/example.app/1.0.0/example.app.1.0.0.nupkg"
fi
finish
