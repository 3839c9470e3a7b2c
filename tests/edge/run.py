"""Attacks the edge of nugate and of nginx, both with what they do by default, and says where nugate is laxer.

python3 tests/edge/run.py [PART...] --nugate PATH [--count N] [--seconds S] [--json FILE] [--markdown FILE]
python3 tests/edge/run.py --smoke --nugate PATH

Parts: vectors (HTTP/1 byte by byte), streams (HTTP/2 frame by frame), floods (of frames), crowds (connections that do
nothing), address (too many of one client), idle (10,000 that have asked once). Without one, all of them. It needs
Python 3 and nginx. A lapse of nugate is a check that failed; the last line is `N passed, M failed`.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parents[2] / "benches" / "compare"))

import crowds
import floods
import machine
import report
import streams
import subjects
import tables
import wire
from feed import INDEX
from process import Process
from servers import Place, Server
from upstream import Upstream
from vectors import Vector, all_vectors

Row = dict[str, Any]
Kind = type[Server]
# What the machine has and nobody needs here.
UNUSED = {"varnishd", "wrk", "h2load", "openssl"}
# Another address of this machine.
OTHER = "127.0.0.2"


@dataclass(frozen=True)
class Scale:
    """How much of everything: connections of a crowd, of one address and idle ones; seconds of a flood, and those
    after which crowds are not waited for."""

    count: int = 500
    one_address: int = 3_000
    idle: int = 10_000
    seconds: float = 10.0
    patience: float = 130.0


SMOKE = Scale(50, 1_200, 1_000, 0.7, 33.0)


@dataclass
class Edge:
    """Where the servers run, and what was found so far."""

    place: Place
    upstream: Upstream
    scratch: Path
    scale: Scale
    smoke: bool
    found: dict[str, list[Row]] = field(default_factory=dict)
    passed: int = 0
    failed: int = 0
    _servers: int = 0

    @contextmanager
    def server(self, kind: Kind, tls: bool = False) -> Iterator[Server]:
        """A server of its own, ready to answer."""
        self._servers += 1
        server = kind(self.place, self.scratch / f"server{self._servers}", tls)
        try:
            server.wait(INDEX)
            yield server
        finally:
            server.end()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Who is attacked; what only time can tell of nginx is left to the whole run."""
        return (subjects.RoomyNugate,) if self.smoke else (subjects.RoomyNugate, subjects.Nginx)

    def note(self, part: str, row: Row, lapses: list[str] | None) -> None:
        """Keeps a row. With `lapses` it is a check, which passes without one."""
        self.found.setdefault(part, []).append(row)
        if lapses is None:
            return
        if lapses:
            self.failed += 1
            print(f"FAILED {part}, {row['name']}: {'; '.join(lapses)}", flush=True)
        else:
            self.passed += 1


def vectors(edge: Edge) -> None:
    """Each vector over HTTP/1 to both."""
    with edge.server(subjects.Nugate) as ours, edge.server(subjects.Nginx) as theirs:
        for number, vector in enumerate(all_vectors()):
            outcomes = [
                wire.try_out(vector, server.port, edge.upstream, 2 * number + turn)
                for turn, server in enumerate((ours, theirs))
            ]
            judge(edge, "vectors", vector, outcomes)


def over_http2(edge: Edge) -> None:
    """Each request over HTTP/2 to both."""
    with edge.server(subjects.Nugate, True) as ours, edge.server(subjects.Nginx, True) as theirs:
        for number, stream in enumerate(streams.all_streams()):
            outcomes = [
                streams.try_out(stream, server.port, edge.upstream, 2 * number + turn)
                for turn, server in enumerate((ours, theirs))
            ]
            judge(edge, "streams", stream.vector, outcomes)


def judge(edge: Edge, part: str, vector: Vector, outcomes: list[wire.Outcome]) -> None:
    """Notes what both did."""
    said = wire.verdict(vector, *outcomes)
    row = {"name": vector.name, "need": vector.need.value, "excuse": vector.excuse, "verdict": said}
    row |= {"nugate": str(outcomes[0]), "nginx": str(outcomes[1])}
    edge.note(part, row, [f"{said}: nugate {row['nugate']}; nginx {row['nginx']}"] if wire.is_lapse(said) else [])


def flooded(edge: Edge) -> None:
    """Each flood to each server."""
    for kind in edge.kinds:
        with edge.server(kind, True) as server:
            for flood in floods.FLOODS:
                found = floods.run(flood, server, edge.scale.seconds)
                row = {"name": flood.name, "title": flood.title, "server": kind.name, **found.json()}
                edge.note("floods", row, floods.lapses(flood, found) if kind.name == "nugate" else None)


def crowded(edge: Edge) -> None:
    """All crowds at once to each server over http and over https, since waiting is most of it."""

    def run(where: tuple[Kind, bool]) -> dict[str, crowds.Found]:
        kind, tls = where
        chosen = [one for one in crowds.CROWDS if one.tls == tls and one.limit < edge.scale.patience]
        with edge.server(kind, tls) as server:
            return crowds.run(chosen, server, edge.scale.count, edge.scale.patience)

    places = [(kind, tls) for kind in edge.kinds for tls in (False, True)]
    with ThreadPoolExecutor(len(places)) as pool:
        outcomes = dict(zip(places, pool.map(run, places), strict=True))
    for crowd in crowds.CROWDS:
        for (kind, _), found in outcomes.items():
            if one := found.get(crowd.name):
                row = {"name": crowd.name, "title": crowd.title, "server": kind.name, **one.json()}
                edge.note("crowds", row, crowds.lapses(crowd, one) if kind.name == "nugate" else None)


def one_address(edge: Edge) -> None:
    """One address with more connections than it may have, and a client of another one."""
    kinds: tuple[Kind, ...] = (subjects.Nugate, *edge.kinds[1:])
    for kind in kinds:
        with edge.server(kind) as server:
            found = crowds.held(server, edge.scale.one_address, OTHER)
        row = {"name": "address", "title": "connections of one address", "server": kind.name, **found.json()}
        lapses = crowds.others_lapses(found)
        if found.held > subjects.OF_ONE_ADDRESS:
            lapses.append(f"{found.held} connections of one address are open")
        edge.note("address", row, lapses if kind.name == "nugate" else None)


def idle(edge: Edge) -> None:
    """Connections that have asked once."""
    count = min(edge.scale.idle, crowds.raise_limit())
    for kind in edge.kinds:
        with edge.server(kind) as server:
            found = crowds.held(server, count, OTHER)
        row = {"name": "idle", "title": "connections that have asked once", "server": kind.name, **found.json()}
        edge.note("idle", row, crowds.others_lapses(found) if kind.name == "nugate" else None)


PARTS = {
    "vectors": vectors,
    "streams": over_http2,
    "floods": flooded,
    "crowds": crowded,
    "address": one_address,
    "idle": idle,
}


def main() -> int:
    """Runs what was asked for."""
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    programs = machine.programs(arguments.nugate)
    for name in ("nugate", "nginx"):
        if name not in programs:
            sys.exit(f"there is no {name}")
    scale = SMOKE if arguments.smoke else Scale(count=arguments.count, seconds=arguments.seconds)
    crowds.raise_limit()
    with tempfile.TemporaryDirectory(prefix="nugate-edge-") as scratch:
        folder, upstream = Path(scratch), Upstream()
        certs = folder / "certs"
        command = [programs["nugate"], "cert", "localhost", "127.0.0.1", "--out", str(certs)]
        subprocess.run(command, check=True, capture_output=True)
        pair = certs / "server.crt", certs / "server.key"
        edge = Edge(
            Place(programs, machine.Cores.choose(), upstream.base, *pair), upstream, folder, scale, arguments.smoke
        )
        try:
            for name in arguments.part or PARTS:
                attempt(edge, name)
        finally:
            for left in list(Process.running):
                left.end()
    about = {name: what for name, what in machine.describe(programs).items() if name not in UNUSED}
    whole = {"machine": about, **edge.found}
    if arguments.json:
        arguments.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        report.publish(arguments.markdown, tables.markdown(whole), tables.MARKS)
    print(f"{edge.passed} passed, {edge.failed} failed", flush=True)
    return 1 if edge.failed else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--nugate", default="target/release/nugate", help="the program (%(default)s)")
    parser.add_argument("--count", type=int, default=Scale.count, help="connections of a crowd (%(default)s)")
    parser.add_argument("--seconds", type=float, default=Scale.seconds, help="how long a flood takes (%(default)s)")
    parser.add_argument("--json", type=Path, help="write everything that was found to this file")
    parser.add_argument("--markdown", type=Path, help="write tables to this file, between its marks if it has them")
    parser.add_argument("--smoke", action="store_true", help="little of everything, and of nginx the vectors alone")
    return parser.parse_args()


def attempt(edge: Edge, name: str) -> None:
    """Runs a part, and prints what it found."""
    try:
        PARTS[name](edge)
    except (OSError, RuntimeError, TimeoutError, EOFError) as error:
        edge.failed += 1
        print(f"FAILED {name}: it could not go on: {error!r}", flush=True)
    print(tables.text(name, edge.found.get(name, [])), flush=True)


if __name__ == "__main__":
    sys.exit(main())
