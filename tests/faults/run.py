"""Kills nugate, cuts its power and damages its files, and compares every byte that it serves then.

python3 tests/faults/run.py [kill-points|kill-random|power-loss|bit-flips] [--count N] --nugate PATH

Without a kind, all of them one after the other. Prints figures, and last `N passed, M failed`. What the machine
does not allow is skipped, and counts nothing.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile

import bit_flips
import daemon
import feed
import kill_points
import kill_random
import power_loss
import tally

KINDS = {
    "kill-points": kill_points,
    "kill-random": kill_random,
    "power-loss": power_loss,
    "bit-flips": bit_flips,
}


def main():
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", nargs="?", choices=KINDS, help="what is done to it; all kinds without")
    parser.add_argument("--count", type=int, help="how often; by default the number of the kind")
    parser.add_argument("--nugate", required=True, help="the built program")
    parser.add_argument("--keep", action="store_true", help="keep the caches")
    arguments = parser.parse_args()
    # Who ends it wants no daemon and no mounted disk to stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    program = os.path.abspath(arguments.nugate)
    passed = failed = 0
    for kind in [arguments.kind] if arguments.kind else KINDS:
        found = tally.Tally()
        folder = tempfile.mkdtemp(prefix=f"nugate-{kind}-")
        try:
            KINDS[kind].main(found, (program, folder, feed.Feed()), arguments.count)
        except (OSError, RuntimeError, TimeoutError) as error:
            found.check(kind, [f"it could not go on: {error!r}"])
        finally:
            for left in list(daemon.Nugate.running):
                left.kill()
            if arguments.keep:
                print(f"the caches are in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
        found.show(kind)
        passed += found.passed
        failed += found.failed
    print(f"{passed} passed, {failed} failed", flush=True)
    # Threads of a client that was given up must not hold it.
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
