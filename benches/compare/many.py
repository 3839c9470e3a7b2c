"""Cases of how much there is: entries at a start and at a look-up, connections that stay."""

import random
import resource
import shutil
import socket
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path

from bench import Bench, Row, Sample
from client import Wrk
from feed import INDEX, KB, package_path
from process import until
from servers import Nugate, Server

NAME = "lookup.p{:07}"
ENTRIES_AT_START = 1


def start(bench: Bench, servers: tuple[type[Server], ...]) -> list[Row]:
    """From starting the program to its first answer, nothing being kept."""

    def measure(kind: type[Server]) -> Sample:
        folder = bench.folder()
        try:
            return _started(bench, kind, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return bench.by_turns(servers, measure)


def start_filled(bench: Bench, servers: tuple[type[Server], ...]) -> list[Row]:
    """The same with an index of many entries."""
    folder = filled(bench, bench.scale.entries[ENTRIES_AT_START])
    try:
        return bench.by_turns(servers, lambda kind: _started(bench, kind, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(bench: Bench, kind: type[Server], folder: Path) -> Sample:
    began = time.monotonic()
    server = kind(bench.place, folder)
    try:
        server.wait(INDEX)
        took = time.monotonic() - began
        time.sleep(bench.scale.rest)
        return {"time_ms": took * 1e3, "memory": server.process.memory()}
    finally:
        server.end()


def filled(bench: Bench, entries: int) -> Path:
    """The folder of a nugate whose index has so many entries. They are copies of that of one package that it
    fetched, with other keys, so that each can be asked for."""
    folder = bench.folder()
    server = Nugate(bench.place, folder)
    path = bench.files.package("lookup", 20 * KB)
    try:
        server.wait(path)
        bench.right(server, path)
        server.process.settle(bench.scale.quiet)
    finally:
        server.end()
    with sqlite3.connect(folder / "cache" / "index-v2.sqlite3") as index:
        key = index.execute("SELECT key FROM entries WHERE key LIKE '%.nupkg'").fetchone()[0]
        prefix = key.removesuffix(package_path("lookup").removeprefix("/v3/"))
        columns = [row[1] for row in index.execute("PRAGMA table_info(entries)") if row[1] != "key"]
        pattern = package_path(NAME.format(0)).removeprefix("/v3/").replace("0000000", "%1$07d")
        name = "replace(?1, '%1$07d', printf('%07d', number))"
        index.execute(
            "WITH RECURSIVE numbers(number) AS "
            "(SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < ?2) "
            f"INSERT INTO entries (key, {', '.join(columns)}) "
            f"SELECT {name}, {', '.join(columns)} FROM numbers, entries WHERE key = ?3",
            (prefix + pattern, entries, key),
        )
    index.close()
    return folder


def lookups(bench: Bench, entries: int) -> list[Row]:
    """Packages out of the index at random; all have the same body, and none is in memory at the start."""
    folder = filled(bench, entries)
    choose = random.Random(entries).randrange
    paths = tuple(package_path(NAME.format(choose(entries))) for _ in range(bench.scale.lookups))

    def measure(kind: type[Server]) -> Sample:
        server = kind(bench.place, folder)
        try:
            server.wait(INDEX)
            sample = bench.measured(server, Wrk(paths=paths, once=True), "")
            until(lambda: server.is_hit(server.get(paths[0])), "an entry that was added is found")
            return sample
        finally:
            server.end()

    try:
        return bench.by_turns([Nugate], measure)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def idle(bench: Bench, servers: tuple[type[Server], ...]) -> list[Row]:
    """Memory before, while and after clients hold connections on which they asked once."""
    count = bench.scale.connections[-1]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    path = bench.files.package("hit20k", 20 * KB)
    size = bench.files.file(path).stat().st_size

    def measure(kind: type[Server]) -> Sample:
        with bench.server(kind) as server:
            bench.right(server, path)
            before = server.process.memory()
            with ExitStack() as stack:
                for _ in range(count):
                    stack.enter_context(_asked(server, path, size))
                time.sleep(bench.scale.idle)
                held = server.process.memory()
            server.process.settle(bench.scale.quiet)
            time.sleep(bench.scale.idle)
            return {"memory": before, "memory_open": held, "memory_closed": server.process.memory()}

    return bench.by_turns(servers, measure)


def _asked(server: Server, path: str, size: int) -> socket.socket:
    """A connection on which an answer was read to its end."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += _some(connection, 4096)
    left = size - len(head.partition(b"\r\n\r\n")[2])
    while left > 0:
        left -= len(_some(connection, left))
    return connection


def _some(connection: socket.socket, most: int) -> bytes:
    """What has come; raises at the end of the connection."""
    received = connection.recv(most)
    if not received:
        raise ConnectionError("the server closed a connection that it was to keep")
    return received
