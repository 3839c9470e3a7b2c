"""Cuts the power of the disk that nugate's cache is on, in the middle of a load.

The cache is on a file system of its own, in an image that is mounted by loop, ext4 and xfs by turns. `xfs_io -x
-c shutdown` ends the file system at once: what was not synced is lost, as in a power cut. Every second time the
journal is written before, and every third time the index is synced, as the kernel may do at any moment: then a body
that was not synced before its entry was written is lost or empty. Then nugate is killed, the image mounted anew, and
everything compared. Needs root, loop devices and xfsprogs.
"""

import os
import random
import shutil
import subprocess
import time

import daemon
import kill_random

SYSTEMS = ("ext4", "xfs")
IMAGE = 512 * 1024 * 1024
LONGEST = 0.15


def command(*words):
    """Runs a program that must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")


class Disk:
    """A file system of its own."""

    def __init__(self, folder, system):
        self.image = os.path.join(folder, f"{system}.image")
        self.at = os.path.join(folder, system)
        os.mkdir(self.at)
        with open(self.image, "wb") as image:
            image.truncate(IMAGE)
        quiet = "-F" if system == "ext4" else "-f"
        command(f"mkfs.{system}", "-q", quiet, self.image)
        self.mount()

    def mount(self):
        """Mounts it; the journal is replayed."""
        command("mount", "-o", "loop", self.image, self.at)

    def unmount(self):
        """Unmounts it, as soon as nobody has a file open there."""

        def unmounted():
            subprocess.run(["umount", self.at], capture_output=True, check=False)
            return not os.path.ismount(self.at)

        daemon.until(unmounted, "unmounted")

    def cut(self, flush):
        """Ends it. With `flush` what is in the journal's memory is written before."""
        command("xfs_io", "-x", "-c", "shutdown -f" if flush else "shutdown", self.at)


def missing():
    """Why it cannot be done here."""
    if os.geteuid():
        return "only root can mount"
    absent = [name for name in ("xfs_io", "mkfs.xfs", "mkfs.ext4", "mount") if not shutil.which(name)]
    return f"there is no {' and no '.join(absent)}" if absent else None


def disks(folder):
    """A disk of each kind that this machine can mount."""
    found = {}
    for system in SYSTEMS:
        try:
            found[system] = Disk(folder, system)
        except OSError as error:
            print(f"power-loss: {system} is skipped: {error}", flush=True)
    return found


def main(tally, setting, count):
    """`count` cycles over all file systems."""
    reason = missing()
    if reason:
        print(f"power-loss: skipped: {reason}", flush=True)
        return
    _, folder, _ = setting
    found = disks(folder)
    chance = random.Random(f"power-loss {count}")
    try:
        for cycle in range(1, (count or 200) + 1 if found else 1):
            system = SYSTEMS[cycle % len(SYSTEMS)]
            if system in found:
                complaints = one(tally, setting, (found[system], cycle, chance))
                tally.check(f"power cut {cycle}, {system}", complaints)
                tally.figures[f"power cuts, {system}"] += 1
    finally:
        for left in list(daemon.Nugate.running):
            left.kill()
        for disk in found.values():
            disk.unmount()


def is_of(finding, package_ids):
    """Whether something that was found is about one of these packages."""
    return any(f"/{package_id}/" in name for package_id in package_ids for name in finding["names"])


def sync_index(cache):
    """Has the entries on the disk, whether or not the bodies are."""
    with open(os.path.join(cache, "index-v2.sqlite3-wal"), "rb") as index:
        os.fsync(index.fileno())


def one(tally, setting, case):
    """One power cut, and what is there afterwards."""
    program, _, upstream = setting
    disk, cycle, chance = case
    cache = os.path.join(disk.at, "cache")
    nugate = daemon.Nugate(program, cache, upstream.url, **kill_random.SMALL)

    def cut():
        time.sleep(chance.uniform(0, LONGEST))
        if cycle // len(SYSTEMS) % 3 == 0:
            sync_index(cache)
        disk.cut(cycle // len(SYSTEMS) % 2)
        nugate.kill()

    package_ids = kill_random.packages(cycle)
    complaints = tally.answers("while cut off", kill_random.load(nugate, package_ids, cut))
    disk.unmount()
    disk.mount()
    nugate = daemon.Nugate(program, cache, upstream.url, **kill_random.SMALL)
    try:
        complaints += tally.left(cache)
        found = nugate.verified()
        lost = [it for it in found["findings"] if is_of(it, kill_random.packages(cycle))]
        tally.figures["bodies of the cycle with an entry that were lost"] += len(lost)
        # Removed to make room, while the index still has their entry.
        tally.figures["older bodies with an entry that were lost"] += len(found["findings"]) - len(lost)
        tally.figures["bodies without an entry right after a start"] += found["entry_less"]["count"]
        before = kill_random.packages(cycle - len(SYSTEMS)) if cycle > len(SYSTEMS) else []
        complaints += tally.healed("after a power cut", nugate, package_ids + before)
        kept = nugate.verified()
        if kept["damaged"]["count"]:
            complaints.append(f"then verify finds {kept}")
        if not kept["checked"]["count"]:
            complaints.append("the index is not usable: nothing is kept")
    finally:
        nugate.end()
    return complaints
