"""Kills nugate at any moment while eight clients download packages of several sizes.

Each cycle asks for packages that are not stored, kills after a random time, starts nugate again on the same
cache, and compares everything that was asked for, and what the cycle before asked for. The cache is small, so
that room is made all the time.
"""

import concurrent.futures
import os
import random
import time

import daemon
import feed

SIZES = (2_000, 20_000, 70_000, 200_000, 600_000, 1_500_000, 3_000_000, 6_000_000)
LONGEST = 0.15
SMALL = {"NUGATE_CACHE__SIZE_MAX": "64 MiB"}


def packages(cycle):
    """What a cycle asks for."""
    return [feed.name(cycle * 100 + place, size) for place, size in enumerate(SIZES)]


def load(nugate, package_ids, end):
    """Downloads everything at once, lists too, until `end` has happened. Returns the answers."""

    def both(package_id):
        listed = (f"the list of {package_id}", nugate.list(package_id))
        return [listed, (package_id, nugate.package(package_id))]

    for package_id in package_ids:
        # Made before, so that the time is nugate's.
        feed.package(package_id)
    with concurrent.futures.ThreadPoolExecutor(len(package_ids)) as clients:
        pending = [clients.submit(both, package_id) for package_id in package_ids]
        end()
        return [answer for done in pending for answer in done.result()]


def main(tally, setting, count):
    """`count` cycles."""
    program, folder, upstream = setting
    cache = os.path.join(folder, "random")
    chance = random.Random(f"kill-random {count}")
    nugate = daemon.Nugate(program, cache, upstream.url, **SMALL)
    for cycle in range(1, (count or 1000) + 1):

        def cut(nugate=nugate):
            time.sleep(chance.uniform(0, LONGEST))
            nugate.kill()

        complaints = tally.answers("while killed", load(nugate, packages(cycle), cut))
        nugate = daemon.Nugate(program, cache, upstream.url, **SMALL)
        complaints += tally.left(cache)
        before = packages(cycle - 1) if cycle > 1 else []
        complaints += tally.healed("after a kill", nugate, packages(cycle) + before)
        tally.check(f"kill {cycle}", complaints)
        tally.figures["kills"] += 1
    found = nugate.verified()
    damaged = found["damaged"]["count"] + found["missing"]["count"]
    tally.check("verify after all", [f"it finds {found}"] if damaged else [])
    nugate.end()
