"""The cases: what is asked of which servers, and which figures of it are told."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import many
import once
from bench import Bench, Row
from client import Drain, H2load, Wrk
from feed import KB
from hits import Hits
from servers import (
    Nginx,
    NginxOpenFiles,
    NginxRewriting,
    NginxRewritingTuned,
    Nugate,
    Server,
    TrafficServer,
    Varnish,
    VarnishLogging,
)

PLAIN: tuple[type[Server], ...] = (Nugate, Nginx, NginxOpenFiles, Varnish)
LOGGING: tuple[type[Server], ...] = (*PLAIN, VarnishLogging)
ALL: tuple[type[Server], ...] = (*LOGGING, TrafficServer)
REWRITING: tuple[type[Server], ...] = (Nugate, Nginx, NginxRewriting, NginxRewritingTuned, Varnish)
DISK: tuple[type[Server], ...] = (Nugate, Nginx, Varnish)
TLS: tuple[type[Server], ...] = (Nugate, Nginx)
ALONE: tuple[type[Server], ...] = (Nugate,)

LOAD = ("rate", "throughput", "p50", "p99", "cpu_us", "memory")
ONCE = ("time_ms", "cpu_us", "memory")
START = ("time_ms", "memory")
IDLE = ("memory", "memory_open", "memory_closed")


@dataclass(frozen=True)
class Case:
    """A row of tables for each server. `needs` are programs without which it is left out."""

    name: str
    title: str
    servers: tuple[type[Server], ...]
    figures: tuple[str, ...]
    run: Callable[[Bench, tuple[type[Server], ...]], list[Row]]
    needs: tuple[str, ...] = ("nginx", "wrk")

    def lacks(self, programs: dict[str, str]) -> list[str]:
        """What it needs and is not there."""
        return [name for name in self.needs if name not in programs]

    def measure(self, bench: Bench) -> list[Row]:
        """Runs it with the servers that are there; those that are not say so."""
        programs = bench.place.programs
        there = tuple(kind for kind in self.servers if all(name in programs for name in kind.needs))
        rows = {row.server: row for row in self.run(bench, there)}
        absent = "not installed"
        return [rows.get(kind.name, Row(kind.name, skipped=absent)) for kind in self.servers]


def hits(name: str, title: str, servers: tuple[type[Server], ...], what: Hits) -> Case:
    """A case of things that every server keeps."""
    needs = ["nginx", "wrk"]
    needs += ["openssl"] if what.tls else []
    needs += ["h2load"] if isinstance(what.client, H2load) else []
    return Case(name, title, servers, LOAD, what.run, tuple(needs))


def misses(name: str, title: str, size: int, field: str) -> Case:
    """A case of packages that nobody has yet."""
    return Case(name, title, DISK, LOAD, lambda bench, servers: once.misses(bench, servers, size, field))


def connections(index: int, count: str) -> Case:
    """A case of so many connections."""

    def run(bench: Bench, servers: tuple[type[Server], ...]) -> list[Row]:
        client = Wrk(connections=bench.scale.connections[index])
        return replace(SMALL, client=client).run(bench, servers)

    return Case(f"connections-{count}", f"hits of 20 KB, {count} connections", DISK, LOAD, run)


def lookups(index: int, count: str) -> Case:
    """A case of an index with so many entries."""
    return Case(
        f"lookup-{count}",
        f"packages at random out of {count} entries, after a start",
        ALONE,
        LOAD,
        lambda bench, servers: many.lookups(bench, bench.scale.entries[index]),
    )


SMALL = Hits(lambda files, _: [files.package("hit20k", 20 * KB)])
LARGE = Hits(lambda files, _: [files.package("hit700k", 700 * KB)])

CASES = (
    hits("hit-4k", "hits of a 4 KB list", LOGGING, Hits(lambda files, _: [files.versions("list")])),
    hits("hit-20k", "hits of a 20 KB package", ALL, SMALL),
    hits(
        "hit-60k",
        "hits of a 60 KB registration",
        REWRITING,
        Hits(lambda files, _: [files.registration("registration")]),
    ),
    hits("hit-700k", "hits of a 700 KB package", PLAIN, replace(LARGE, client=Drain())),
    hits(
        "hit-20m",
        "hits of a 20 MB package",
        PLAIN,
        Hits(lambda files, scale: [files.package("hit20m", scale.largest)], client=Drain()),
    ),
    hits(
        "set-280m",
        "400 packages of 700 KB in turn",
        DISK,
        Hits(lambda files, scale: files.packages("set", scale.working_set, 700 * KB), client=Drain()),
    ),
    hits("tls-20k", "hits of 20 KB over https", TLS, replace(SMALL, tls=True)),
    hits("tls-700k", "hits of 700 KB over https", TLS, replace(LARGE, tls=True)),
    hits("h2-20k", "hits of 20 KB over https and HTTP/2", TLS, replace(SMALL, tls=True, client=H2load())),
    misses("miss-20k", "packages of 20 KB that nobody has", 20 * KB, "misses_20k"),
    misses("miss-700k", "packages of 700 KB that nobody has", 700 * KB, "misses_700k"),
    Case("closure-cold", "restore of 100 packages that nobody has", DISK, ONCE, once.closures_cold),
    Case("closure-warm", "restore of 100 packages that are kept", DISK, ONCE, once.closures_warm),
    Case("start", "start with nothing kept", DISK, START, many.start),
    Case("start-100k", "start with 100,000 entries", ALONE, START, many.start_filled),
    *(lookups(index, count) for index, count in enumerate(("1,000", "100,000", "1,000,000"))),
    *(connections(index, count) for index, count in enumerate(("1", "100", "1,000", "10,000"))),
    Case("idle-10000", "10,000 connections that ask nothing", DISK, IDLE, many.idle),
)
