#!/bin/bash
# Fuzzes what nugate reads of clients and feeds: tests/fuzz/run.sh [SECONDS] [TARGET...]
#
# Each target, by default all of them, runs SECONDS (60) on one core. Needs the stable toolchain and a
# C++ compiler; cargo-fuzz, clang and a nightly one are not needed. What a target finds worth keeping
# stays in target/fuzz/corpus, what fails it in target/fuzz/failures; the seeds are in
# tests/fuzz/corpus. What is tried follows from NGTEST_SEED (1) and the corpus kept, so a short run of a
# fresh checkout tries the same every time.
# The last line is "N passed, M failed".
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || { echo "0 passed, 1 failed"; exit 1; }
seconds=${1:-60}
shift
targets=("$@")
[ ${#targets[@]} -eq 0 ] && mapfile -t targets < <(basename -s .rs -a tests/fuzz/targets/*.rs | sort)
host=$(rustc -vV | sed -n 's/^host: //p')
work=$PWD/target/fuzz
passed=0
failed=0

# Those of cargo-fuzz. A target is named to cargo so that build scripts and macros go without them.
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  -Zsanitizer=address"
built=()
for target in "${targets[@]}"; do built+=(--bin "$target"); done
if ! RUSTC_BOOTSTRAP=1 RUSTFLAGS=$(echo $flags) cargo build --release --locked --target "$host" \
  --manifest-path tests/fuzz/Cargo.toml --target-dir "$work" "${built[@]}"; then
  echo "0 passed, 1 failed"
  exit 1
fi

for target in "${targets[@]}"; do
  seeds=tests/fuzz/corpus/$target
  mkdir -p "$work/corpus/$target" "$work/failures/$target"
  log=$work/$target.log
  ASAN_OPTIONS=detect_odr_violation=0 "$work/$host/release/$target" \
    -seed="${NGTEST_SEED:-1}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$work/failures/$target/" "$work/corpus/$target" "$seeds" >"$log" 2>&1
  status=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  printf '%-15s %12s executions\n' "$target" "${executions:-0}"
  if [ "$status" -eq 0 ] && [ "${executions:-0}" -gt 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $target, see $log"
    grep -v '^#' "$log" | tail -n 40
  fi
done
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
