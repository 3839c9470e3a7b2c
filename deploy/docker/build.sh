#!/bin/sh
# Makes the image without a registry and without a network, by buildah: the last stage of the Dockerfile alone, from a
# program that is built already.
# build.sh [NUGATE [NAME]]; NUGATE is target/release/nugate, NAME nugate. BUILDAH_ISOLATION and STORAGE_DRIVER count.
set -eu
cd "$(dirname "$0")/../.."
nugate=${1:-target/release/nugate}
name=${2:-nugate}
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
deploy/docker/prepare.sh "$nugate" "$context/image"
sed -n '/^FROM scratch$/,$ { s/--from=build //; p; }' deploy/docker/Dockerfile >"$context/Dockerfile"
buildah build --format docker --file "$context/Dockerfile" --tag "$name" "$context"
