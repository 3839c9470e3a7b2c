#!/bin/sh
# Makes what packages have beside the program, from the program itself: manual pages and completions.
# prepare.sh NUGATE [DIR]; DIR is target/package, where the metadata in Cargo.toml looks.
set -eu
nugate=$1
out=${2:-target/package}
rm -rf "$out"
mkdir -p "$out/man"
"$nugate" man --out "$out/man"
"$nugate" completions bash >"$out/nugate.bash"
"$nugate" completions zsh >"$out/_nugate"
