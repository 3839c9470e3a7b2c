#!/bin/sh
# Makes what the image is of, below DIR: root, the file system with the program, the C library it needs, public
# certificates and time zones; and cache, an empty folder that gets another owner.
# prepare.sh NUGATE DIR
set -eu
nugate=$1
out=$2/root
rm -rf "$2"
mkdir -p "$out/etc/ssl/certs" "$out/usr/share"
mkdir "$2/cache"
install -d -m 1777 "$out/tmp"
install -D -m 0755 "$nugate" "$out/usr/bin/nugate"
# Libraries with an arrow, the loader without one.
ldd "$nugate" | sed -n 's|^.* => \(/[^ ]*\) (.*|\1|p; s|^[[:space:]]*\(/[^ ]*\) (.*|\1|p' | while read -r library; do
  install -D -m 0755 "$(readlink -f "$library")" "$out$library"
done
install -m 0644 "$(readlink -f /etc/ssl/certs/ca-certificates.crt)" "$out/etc/ssl/certs/ca-certificates.crt"
cp -RL /usr/share/zoneinfo "$out/usr/share/"
rm -rf "$out/usr/share/zoneinfo/posix" "$out/usr/share/zoneinfo/right"
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
echo 'nugate:x:65532:65532:nugate:/cache:/sbin/nologin' >"$out/etc/passwd"
echo 'nugate:x:65532:' >"$out/etc/group"
