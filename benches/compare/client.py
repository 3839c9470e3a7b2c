"""The clients that make the load: wrk for HTTP/1.1, one of our own for long bodies, h2load for HTTP/2."""

import itertools
import json
import os
import re
import resource
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from process import PATIENCE, catches, until
from servers import Place

SCRIPT = Path(__file__).with_name("load.lua")
DRAIN = Path(__file__).with_name("drain.py")
# HTTP/2: connections, and requests in each at a time.
STREAMS = 8
# What is added to the time of a load for making its connections.
CONNECTIONS_A_SECOND = 2_000
# Seconds after which wrk ends by itself, should nobody be left to end it.
LEFT_ALONE = 600


@dataclass(frozen=True)
class Load:
    """What a client saw: seconds, bytes with heads, milliseconds, and its own processor time."""

    requests: int
    seconds: float
    bytes: float
    p50: float
    p99: float
    cpu: float


class LoadError(RuntimeError):
    """Requests failed, so that the figures would be about something else."""


@dataclass(frozen=True)
class Wrk:
    """Connections that ask one after the other: for one URL, for several in turn, or for each of them once."""

    connections: int = 16
    paths: tuple[str, ...] = ()
    once: bool = False

    def counted(self, path: str, requests: int) -> "tuple[Wrk, str]":
        """The same for a number of requests, and what it is given instead of the path."""
        if self.once:
            return self, path
        paths = itertools.islice(itertools.cycle(self.paths or (path,)), requests)
        return replace(self, paths=tuple(paths), once=True), ""

    def run(self, place: Place, url: str, seconds: float) -> Load:
        """Asks for that long, or until all was answered once."""
        command = place.pinned("wrk", place.cores.client, "-t1", f"-c{self.connections}")
        command += [f"-d{int(seconds) + LEFT_ALONE}s", "--timeout", "30s", "-s", str(SCRIPT), url]
        environment = dict(os.environ)
        with tempfile.NamedTemporaryFile("w", suffix=".paths") as file:
            if self.paths:
                file.write("\n".join(self.paths) + "\n")
                file.flush()
                environment["COMPARE_PATHS"] = file.name
            if self.once:
                environment["COMPARE_ONCE"] = "1"
            before = children()
            wrk = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                took = self._interrupt(wrk, seconds)
                said, errors = wrk.communicate(timeout=PATIENCE)
            finally:
                # Whoever ends us, it must not go on.
                wrk.kill()
        found = re.search(rb"^RESULT (.*)$", said, re.MULTILINE)
        if not found:
            raise LoadError(f"wrk ended with {wrk.returncode}: {(said + errors).decode()[-500:]}")
        result = json.loads(found.group(1))
        if result["failed"] or not result["requests"]:
            raise LoadError(f"{result['failed']} of {result['requests']} requests to {url} failed")
        return Load(
            requests=len(self.paths) if self.once else result["requests"],
            seconds=took or result["microseconds"] / 1e6,
            bytes=result["bytes"],
            p50=result["p50"] / 1e3,
            p99=result["p99"] / 1e3,
            cpu=children() - before,
        )

    def _interrupt(self, wrk: subprocess.Popen[bytes], seconds: float) -> float | None:
        """Ends it when it is time, and returns how long all of it took where it was asked once."""
        until(lambda: wrk.poll() is not None or catches(wrk.pid, signal.SIGINT), "wrk catches signals")
        took = None
        if self.once:
            errors = cast(IO[bytes], wrk.stderr)
            readable, _, _ = select.select([errors], [], [], 2 * PATIENCE)
            line = errors.readline() if readable else b""
            if not line.startswith(b"took "):
                raise LoadError(f"wrk did not come to an end: {line.decode()}")
            took = int(line.split()[1]) / 1e6
        else:
            time.sleep(seconds + self.connections / CONNECTIONS_A_SECOND)
        wrk.send_signal(signal.SIGINT)
        return took


@dataclass(frozen=True)
class H2load:
    """Connections that ask for several things at a time: for a while, or a number of requests."""

    requests: int = 0

    def counted(self, path: str, requests: int) -> "tuple[H2load, str]":
        """The same for a number of requests, and what it is given instead of the path."""
        return replace(self, requests=requests), path

    def run(self, place: Place, url: str, seconds: float) -> Load:
        """Asks for that long."""
        with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
            arguments = ["-t1", f"-c{STREAMS}", f"-m{STREAMS}", f"--log-file={log.name}"]
            arguments += [f"-n{self.requests}"] if self.requests else ["-D", f"{int(seconds * 1000)}ms"]
            arguments.append(url)
            before = children()
            done = subprocess.run(
                place.pinned("h2load", place.cores.client, *arguments), capture_output=True, text=True, check=True
            )
            spent = children() - before
            rows = [line.split("\t") for line in Path(log.name).read_text(encoding="ascii").splitlines()]
        failed = sum(row[1] != "200" for row in rows)
        traffic = re.search(r"traffic: .*?\((\d+)\) total", done.stdout)
        if failed or not rows or not traffic:
            raise LoadError(f"{failed} of {len(rows)} requests to {url} failed: {done.stdout[-500:]}")
        latencies = sorted(int(row[2]) for row in rows)
        ended = max(int(row[0]) + int(row[2]) for row in rows)
        return Load(
            requests=len(rows),
            seconds=(ended - min(int(row[0]) for row in rows)) / 1e6,
            bytes=float(traffic.group(1)),
            p50=latencies[len(latencies) // 2] / 1e3,
            p99=latencies[len(latencies) * 99 // 100] / 1e3,
            cpu=spent,
        )


@dataclass(frozen=True)
class Drain:
    """Connections that ask one after the other, for one URL or for several in turn, and throw bodies away inside the
    kernel. wrk reads in pieces of 8 KiB: with long bodies it is the limit, and keeps the server from its work."""

    connections: int = 16
    paths: tuple[str, ...] = ()
    requests: int = 0

    def counted(self, path: str, requests: int) -> "tuple[Drain, str]":
        """The same for a number of requests, and the path."""
        return replace(self, requests=requests), path

    def run(self, place: Place, url: str, seconds: float) -> Load:
        """Asks for that long."""
        host, _, path = url.removeprefix("http://").partition("/")
        limit = ["requests", str(self.requests)] if self.requests else ["seconds", str(seconds)]
        command = place.pinned("python3", place.cores.client, str(DRAIN), host, str(self.connections), *limit)
        before = children()
        done = subprocess.run(
            command, input="\n".join(self.paths or (f"/{path}",)), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LoadError(f"requests to {url} failed: {done.stderr[-500:]}")
        return Load(**json.loads(done.stdout), cpu=children() - before)


Client = Wrk | Drain | H2load


def children() -> float:
    """Seconds of processor time of the processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
