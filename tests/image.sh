#!/bin/bash
# The image of deploy/docker: built from a program by buildah without a registry, looked at, and run as its user.
# image.sh NUGATE
#
# The last line is "N passed, M failed"; where buildah cannot build here, that is said and nothing is counted.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. tests/checks.sh
nugate=$(realpath "$1")
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
name=localhost/nugate-test-$$
port=$((20000 + $$ % 20000))
container=
serving=

clean_up() {
  [ -n "$serving" ] && kill -- "-$serving" 2>/dev/null
  wait
  [ -n "$container" ] && buildah rm "$container" >/dev/null
  buildah rmi "$name" >/dev/null 2>&1
  rm -rf "$place"
}
trap clean_up EXIT

# Before it runs anything, buildah copies itself to a memfd and seals that, which the kernel refuses with EBUSY while
# a page of it waits in a batch of another core: whoever asks again gets it. Nothing of the image has run by then.
sealing_failed() { grep -q "sealing memfd copy: Device or resource busy" "$1"; }

inside() {
  local said status
  said=$(mktemp -p "$place")
  for _ in $(seq 10); do
    buildah run "$container" -- /usr/bin/nugate "$@" >"$said" 2>&1
    status=$?
    sealing_failed "$said" || break
  done
  cat "$said"
  return "$status"
}

config() { buildah inspect --type image --format "{{.Docker.Config.$1}}" "$name"; }

if ! command -v buildah >/dev/null; then
  echo "image: skipped, there is no buildah"
  finish
fi
# A machine may forbid what every build needs.
if ! empty=$(buildah from scratch 2>"$log"); then
  echo "image: skipped, buildah cannot work here: $(tail -n 1 "$log")"
  finish
fi
buildah rm "$empty" >/dev/null

check "it is built without a registry" deploy/docker/build.sh "$nugate" "$name"
container=$(buildah from --pull-never "$name") || finish
root=$(buildah mount "$container") || finish
same user 65532:65532 "$(config User)"
same entrypoint '[/usr/bin/nugate]' "$(config Entrypoint)"
same command '[serve]' "$(config Cmd)"
same "health check" '[CMD /usr/bin/nugate health]' "$(config Healthcheck.Test)"
same volume 'map[/cache:{}]' "$(config Volumes)"
same "the cache's owner" 65532:65532 "$(stat -c %u:%g "$root/cache")"
size=$(du -sm "$root" | cut -f1)
check "$size MB are no more than 40" [ "$size" -le 40 ]
check "there is no shell" [ -z "$(find "$root" -name '*sh' -type f -perm /111)" ]
check "it runs" inside --version
check "a proxy and a feed work in it" inside demo
serve() {
  # In a session of its own, so that its end is the end of all that buildah starts.
  setsid buildah run "$container" -- /usr/bin/nugate serve --listen "127.0.0.1:$port" >"$place/serves" 2>&1 &
  serving=$!
}
serve
for _ in $(seq 100); do
  inside health --listen "127.0.0.1:$port" >/dev/null 2>&1 && break
  if ! kill -0 "$serving" 2>/dev/null; then
    sealing_failed "$place/serves" || break
    serve
  fi
  sleep 0.1
done
check "its health check finds it alive" inside health --listen "127.0.0.1:$port"
check "its cache can be written" grep -q "0 B in 0 documents" "$place/serves"
check "nothing is wrong with the cache" bash -c '! grep -q ERROR "$1"' - "$place/serves"
finish
