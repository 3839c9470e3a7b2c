"""A nugate of the built program: starting it, asking it, killing it, and looking into its cache."""

import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time

import feed

BANNER = re.compile(rb"^\s*at +http://([0-9.]+):(\d+)/v3/index\.json", re.MULTILINE)
PATIENCE = 60

RIGHT, CUT, REFUSED, WRONG = "right", "cut", "refused", "WRONG"


def until(condition, what):
    """Polls a condition, and returns what it found."""
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"after {PATIENCE} s still not: {what}")
        time.sleep(0.005)


class Nugate:
    """A running daemon. `settings` are environment variables."""

    running = set()

    def __init__(self, program, cache, url, **settings):
        self.program, self.cache = program, cache
        self.log = tempfile.TemporaryFile()
        home = os.path.dirname(cache)
        environment = {"HOME": home, "NUGATE_CACHE__FREE_MIN": "0 B", **settings}
        command = [program, "serve", "--listen", "127.0.0.1:0", "--upstream", url]
        self.process = subprocess.Popen(
            [*command, "--cache-dir", cache],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        self.pid = self.process.pid
        Nugate.running.add(self)
        self.address = until(self._announced, "started")

    def _announced(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"nugate ended: {self.said()}")
        found = BANNER.search(self._read())
        return found and (found.group(1).decode(), int(found.group(2)))

    def _read(self):
        return os.pread(self.log.fileno(), 1 << 20, 0)

    def said(self):
        """What it has written so far."""
        return self._read().decode(errors="replace")

    def kill(self):
        """Ends it without a warning."""
        self.process.kill()
        self.process.wait()
        self._ended()

    def end(self):
        """Ends it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self._ended()

    def _ended(self):
        self.log.close()
        Nugate.running.discard(self)

    def get(self, path):
        """Status and whole body; raises when the answer is cut."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            framed = answer.length is not None or answer.chunked
            return answer.status, answer.read(), framed
        finally:
            connection.close()

    def ask(self, path, expected):
        """How the answer compares with what it must be. Only what a client takes for whole is wrong."""
        try:
            status, body, framed = self.get(path)
        except (OSError, http.client.HTTPException):
            return CUT
        if status != 200:
            print(f"refused: {path}: {status} {body[:200]!r}", flush=True)
            return REFUSED
        return RIGHT if body == expected and framed else WRONG

    def package(self, package_id):
        """Downloads a package and compares it."""
        return self.ask(feed.package_path(package_id), feed.package(package_id))

    def list(self, package_id):
        """Gets a list of versions and compares it."""
        return self.ask(feed.list_path(package_id), feed.LIST)

    def metric(self, series):
        """The value of a series, such as `nugate_fills_total{outcome="stored"}`; 0 when there is none."""
        text = self.get("/metrics")[1].decode()
        found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0

    def verified(self):
        """What `nugate verify` says of the cache."""
        command = [self.program, "verify", "--json", "--cache-dir", self.cache]
        done = subprocess.run(
            command, env={"HOME": os.path.dirname(self.cache)}, capture_output=True, timeout=PATIENCE
        )
        if done.returncode not in (0, 3):
            raise RuntimeError(f"nugate verify failed: {done.stderr.decode()}")
        return json.loads(done.stdout)


def temporary(cache):
    """Names of what is in the folders that are cleared at a start."""
    found = []
    for folder in ("drafts-v1", "bodies-v1/tmp"):
        path = os.path.join(cache, folder)
        if os.path.isdir(path):
            found += [f"{folder}/{file}" for file in os.listdir(path)]
    return found


def body_file(cache, package_id):
    """Where a package's bytes are kept."""
    digest = hashlib.sha256(feed.package(package_id)).hexdigest()
    folder = os.path.join(cache, "bodies-v1/content-v2/sha256", digest[:2], digest[2:4])
    return os.path.join(folder, digest[4:])
