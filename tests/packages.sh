#!/bin/bash
# The Debian and the RPM package: made from a program that is built already, looked at, and installed, used, removed and
# purged in an overlay over this machine's own file system, which stays as it is.
# packages.sh [TOOLS]; TOOLS is where cargo-deb and cargo-generate-rpm are, if not in PATH.
#
# target/release/nugate must be there. The last line is "N passed, M failed"; what a machine lacks is said and not
# counted.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. tests/checks.sh
PATH=${1:+$(realpath "$1"):}$PATH

clean_up() {
  mountpoint -q "$place/over/whole" && umount -R "$place/over/whole"
  mountpoint -q "$place/over" && umount "$place/over"
  rm -rf --one-file-system "$place"
}
trap clean_up EXIT

have() { command -v "$1" >/dev/null || { echo "packages: without $1"; return 1; }; }

# A file system over that of this machine, in which root may do everything.
overlay() {
  mkdir "$place/over"
  mount -t tmpfs packages "$place/over" || return 1
  mkdir "$place/over/upper" "$place/over/work" "$place/over/whole"
  mount -t overlay packages -o "lowerdir=/,upperdir=$place/over/upper,workdir=$place/over/work" "$place/over/whole" || return 1
  # No more devices than scripts of packages need: nothing of the machine's own can be reached by mistake.
  mknod -m 666 "$place/over/whole/dev/null" c 1 3 && mknod -m 666 "$place/over/whole/dev/urandom" c 1 9 &&
    mount -t proc proc "$place/over/whole/proc"
}

inside() { chroot "$place/over/whole" /usr/bin/env -i PATH="$PATH:/usr/sbin:/sbin" HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

state() { inside stat -c '%U:%G %a' "$1"; }

# What both packages are to bring, once installed.
installed() {
  check "$1: the program runs" inside /usr/bin/nugate --version
  check "$1: its configuration is right" inside /usr/bin/nugate config check --config /etc/nugate/nugate.toml
  same "$1: the configuration" "root:nugate 640" "$(state /etc/nugate/nugate.toml)"
  same "$1: its folder" "root:nugate 750" "$(state /etc/nugate)"
  same "$1: the cache" "nugate:nugate 700" "$(state /var/cache/nugate)"
  check "$1: the user has no shell" bash -c '[[ $1 == */nologin ]]' - "$(inside getent passwd nugate | cut -d: -f7)"
  check "$1: a unit" inside test -f /usr/lib/systemd/system/nugate.service -o -f /lib/systemd/system/nugate.service
  check "$1: manual pages" inside man -w nugate nugate-warm
  if have systemd-analyze; then
    check "$1: the unit is right" inside systemd-analyze verify --man=no nugate.service nugate.socket
  fi
}

if ! [ -x target/release/nugate ]; then
  echo "packages: there is no target/release/nugate"
  failed=1
  finish
fi
check "manual pages and completions are made" deploy/package/prepare.sh target/release/nugate
have cargo-deb && check "cargo deb" cargo deb --no-build --fast --output "$place/nugate.deb"
have cargo-generate-rpm && check "cargo generate-rpm" cargo generate-rpm --output "$place/nugate.rpm"
if [ -f "$place/nugate.deb" ]; then
  check "deb: dpkg reads it" dpkg-deb --info "$place/nugate.deb"
  if have lintian; then
    # The project has no mail address, and its changelog is docs/changelog.md.
    check "deb: lintian finds no error" lintian --allow-root --fail-on error \
      --suppress-tags malformed-contact,no-changelog "$place/nugate.deb"
  fi
fi
if [ -f "$place/nugate.rpm" ] && have rpm; then
  check "rpm: rpm reads it" bash -c 'rpm -qlp "$1" | grep -x /usr/bin/nugate && rpm -qp --requires "$1" | grep -x ca-certificates' - "$place/nugate.rpm"
  same "rpm: what an upgrade leaves alone" /etc/nugate/nugate.toml "$(rpm -qcp "$place/nugate.rpm")"
fi
if [ "$(id -u)" -ne 0 ] || ! overlay 2>"$log"; then
  echo "packages: not installed, root cannot mount an overlay here: $(tail -n 1 "$log" 2>/dev/null)"
  finish
fi
if [ -f "$place/nugate.deb" ]; then
  cp "$place/nugate.deb" "$place/over/whole/tmp"
  check "deb: it is installed" inside dpkg -i /tmp/nugate.deb
  installed deb
  inside sh -c 'echo "# mine" >>/etc/nugate/nugate.toml'
  check "deb: it is installed over itself" inside dpkg -i --force-confdef --force-confold /tmp/nugate.deb
  check "deb: the configuration stays" inside grep -q '^# mine$' /etc/nugate/nugate.toml
  check "deb: it is removed" inside dpkg -r nugate
  check "deb: the configuration stays behind" inside test -f /etc/nugate/nugate.toml
  check "deb: it is purged" inside dpkg -P nugate
  check "deb: nothing stays behind" inside sh -c '! ls -d /etc/nugate /var/cache/nugate /usr/share/doc/nugate 2>/dev/null'
  inside sh -c 'userdel nugate; groupdel nugate' 2>/dev/null
fi
if [ -f "$place/nugate.rpm" ] && have rpm; then
  cp "$place/nugate.rpm" "$place/over/whole/tmp"
  check "rpm: it is installed" inside rpm -i --nodeps /tmp/nugate.rpm
  installed rpm
  check "rpm: it is removed" inside rpm -e nugate
fi
finish
