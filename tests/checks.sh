# For scripts that check something, to be read in: counts, and says at the end "N passed, M failed". They do without
# set -e, because a check that fails is counted.
# shellcheck shell=bash
passed=0
failed=0
# A folder that the script removes at its end.
place=$(mktemp -d)
log=$place/log

# Prints the closing line; the status says whether all went well.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}

# What a check is called, and the command that must succeed.
check() {
  if "${@:2}" >"$log" 2>&1; then
    passed=$((passed + 1))
    echo "ok $1"
  else
    failed=$((failed + 1))
    echo "FAIL $1"
    cat "$log"
  fi
}

# What a check is called, what is expected, and what there is.
same() { check "$1: $2" [ "$3" = "$2" ]; }
