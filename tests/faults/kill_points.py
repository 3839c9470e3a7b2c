"""Kills nugate at every system call that changes the disk, from its first request to its clean end.

A run fetches a list and a package, waits until they are stored, and ends nugate in order. The n-th run kills
it at the n-th call. Then it is started again on the same cache: no temporary file may be left, nothing that is
served may be wrong, and the second answer must be right. Bodies that the kill left without an entry must be gone
after the look that follows an unclean end.
"""

import os
import subprocess
import sys
import threading

import daemon
import feed

SIZE = 400_000
CALM = {"TOKIO_WORKER_THREADS": "1"}
STORED = 'nugate_fills_total{outcome="stored"}'


class Traced:
    """A tracer at a daemon."""

    def __init__(self, nugate, last):
        tracer = os.path.join(os.path.dirname(__file__), "tracer.py")
        command = [sys.executable, tracer, str(nugate.pid), str(last), nugate.cache]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.calls = []
        if self.process.stdout.readline() != "attached\n":
            raise PermissionError(self.process.communicate()[1].strip())
        # Lines that nobody reads would stop it.
        self.reading = threading.Thread(target=self._read)
        self.reading.start()

    def _read(self):
        for line in self.process.stdout:
            self.calls.append(line.split(maxsplit=1)[1].strip())

    def end(self):
        """What was called, once the program has ended."""
        self.process.wait(daemon.PATIENCE)
        self.reading.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return self.calls


def fill(nugate, package_id):
    """Fetches a list and a package until both are stored, or until nugate is gone. Returns the answers."""
    answers = [(f"the list of {package_id}", nugate.list(package_id))]
    answers.append((package_id, nugate.package(package_id)))

    def over():
        try:
            # The service index, too.
            return nugate.metric(STORED) >= 3
        except (OSError, daemon.http.client.HTTPException):
            return True

    daemon.until(over, "stored")
    return answers


def run(tally, setting, last):
    """One run that is killed at a call. Returns its cache, what was called, and the complaints."""
    program, folder, upstream = setting
    cache = os.path.join(folder, f"kill-{last}")
    nugate = daemon.Nugate(program, cache, upstream.url, **CALM)
    traced = Traced(nugate, last)
    complaints = tally.answers("while killed", fill(nugate, feed.name(1, SIZE)))
    nugate.end()
    return cache, traced.end(), complaints


def after(tally, setting, cache):
    """Starts again on the cache, and compares."""
    program, _, upstream = setting
    nugate = daemon.Nugate(program, cache, upstream.url, **CALM)
    try:
        complaints = tally.left(cache) + entry_less(tally, nugate)
        complaints += tally.healed("after a kill", nugate, [feed.name(1, SIZE)])
        found = nugate.verified()
        if found["damaged"]["count"] or found["missing"]["count"]:
            complaints.append(f"then verify finds {found}")
        return complaints
    finally:
        nugate.kill()


def entry_less(tally, nugate):
    """Waits until bodies without an entry are gone."""
    def count():
        return nugate.verified()["entry_less"]["count"]

    tally.figures["bodies without an entry right after a start"] += count()
    try:
        daemon.until(lambda: count() == 0, "bodies without an entry are gone")
    except TimeoutError as error:
        return [str(error)]
    return []


def main(tally, setting, count):
    """At most `count` kills, evenly spread; without it at every call."""
    try:
        cache, calls, complaints = run(tally, setting, 0)
    except PermissionError as error:
        print(f"kill-points: skipped: {error}")
        return
    complaints += after(tally, setting, cache)
    tally.check("without a kill", complaints)
    tally.figures["calls of a run that is not killed"] = len(calls)
    step = 1 if count is None else max(1, len(calls) // count)
    hit = set()
    last = 1
    while True:
        cache, calls, complaints = run(tally, setting, last)
        if len(calls) < last:
            break
        hit.add(calls[last - 1].split()[0])
        tally.figures["kills"] += 1
        tally.figures[f"kills at {calls[last - 1].split()[0]}"] += 1
        complaints += after(tally, setting, cache)
        tally.check(f"kill at call {last}, {calls[last - 1]}", complaints)
        last += step
