"""Changes one bit of stored files, behind the back of a running nugate or between two runs.

Half of the files are open in the daemon and known to it as verified; their time of writing changes. A second
later, when they are looked at again, nothing wrong may be served. The other half is changed after a kill, and
their time of writing put back, so that nothing but their bytes tells.
"""

import os
import random
import time

import daemon
import feed

SIZES = (20_000, 70_000, 200_000, 500_000)
# Shorter ones are in memory while they are asked for: what becomes of their files shows when they are read again.
OPEN_MIN = 32 * 1024
LARGE = 5_000_000
DAMAGED = "nugate_damaged_bodies_total"
LOOK = 1.0


def flip(path, chance, keep_time):
    """Changes a bit in place."""
    before = os.stat(path)
    position = chance.randrange(before.st_size)
    with open(path, "r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, position)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << chance.randrange(8)]), position)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def packages(first, count, least=0):
    """None shorter than `least`. Every twentieth is too large to be read before its first byte is sent."""
    usual = [size for size in SIZES if size >= least]
    sizes = [LARGE if place % 20 == 19 else usual[place % len(usual)] for place in range(count)]
    return [feed.name(first + place, size) for place, size in enumerate(sizes)]


def warm(tally, nugate, package_ids):
    """Stores everything, and reads it from the store."""
    complaints = []
    for package_id in package_ids * 2:
        if nugate.package(package_id) != daemon.RIGHT:
            complaints.append(f"{package_id} cannot be downloaded")
    stored = all(os.path.exists(daemon.body_file(nugate.cache, it)) for it in package_ids)
    tally.check("everything is stored", complaints + ([] if stored else ["it is not"]))
    return time.monotonic()


def read(tally, nugate, when, package_ids):
    """Asks for each file twice; a check for each."""
    found = nugate.metric(DAMAGED)
    for package_id in package_ids:
        tally.check(f"{when}, {package_id}", tally.healed(when, nugate, [package_id]))
    tally.figures[f"flips {when}"] = len(package_ids)
    tally.figures[f"found damaged {when}"] = nugate.metric(DAMAGED) - found


def main(tally, setting, count):
    """`count` flips."""
    program, folder, upstream = setting
    count = count or 1000
    chance = random.Random(f"bit-flips {count}")
    cache = os.path.join(folder, "flips")
    hot, cold = packages(0, count // 2, OPEN_MIN), packages(count, count - count // 2)
    nugate = daemon.Nugate(program, cache, upstream.url)
    warm(tally, nugate, cold)
    read_at = warm(tally, nugate, hot)
    for package_id in hot:
        flip(daemon.body_file(cache, package_id), chance, False)
    # It looks at an open file once a second.
    daemon.until(lambda: time.monotonic() > read_at + LOOK, "a second is over")
    read(tally, nugate, "in a hot file", hot)
    nugate.kill()
    for package_id in cold:
        flip(daemon.body_file(cache, package_id), chance, True)
    nugate = daemon.Nugate(program, cache, upstream.url)
    read(tally, nugate, "between two runs", cold)
    found = nugate.verified()
    damaged = found["damaged"]["count"] + found["missing"]["count"]
    tally.check("verify after all", [f"it finds {found}"] if damaged else [])
    nugate.end()
