"""How a case is measured: the servers by turns, what each load cost, and what must be right before."""

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import machine
import nginx
from client import Client, Load, Wrk
from feed import INDEX, Files, Scale
from process import free_port, until
from servers import Answer, Place, Server, ask, nginx_process

# What one round of one server showed, by the names of figures.
Sample = dict[str, float]
WARM_SECONDS = 0.3


@dataclass
class Row:
    """A server in a case, a sample a round; `skipped` says why there are none."""

    server: str
    samples: list[Sample] = field(default_factory=list)
    skipped: str = ""


class Bench:
    """The origin with its files, and where everything is put."""

    def __init__(self, place: Place, scratch: Path, rounds: int, scale: Scale) -> None:
        self.scratch, self.rounds, self.scale = scratch, rounds, scale
        port = free_port()
        self.place = Place(place.programs, place.cores, f"http://127.0.0.1:{port}", place.certificate, place.key)
        self.files = Files(scratch / "feed", self.place.origin)
        text = nginx.origin(scratch / "origin", port, scratch / "feed")
        self.origin = nginx_process(place, place.cores.client, scratch / "origin", text)
        self._folders = itertools.count()
        until(self._origin_answers, "the origin answers")

    def _origin_answers(self) -> bool:
        self.origin.check()
        try:
            return self.from_origin(INDEX).status == 200
        except OSError:
            return False

    def from_origin(self, path: str) -> Answer:
        """The origin's own answer."""
        return ask(int(self.place.origin.rpartition(":")[2]), path)

    def folder(self) -> Path:
        """A folder that nobody has used."""
        return self.scratch / f"server{next(self._folders)}"

    @contextmanager
    def server(self, kind: type[Server], tls: bool = False, ready: str = INDEX) -> Iterator[Server]:
        """A server that keeps nothing yet, ready to answer; it ends and what it kept goes."""
        folder = self.folder()
        server = kind(self.place, folder, tls)
        try:
            server.wait(ready)
            yield server
        finally:
            server.end()
            shutil.rmtree(folder, ignore_errors=True)

    def measured(self, server: Server, client: Client, path: str, settle: bool = False) -> Sample:
        """Loads a server, and says what came of it. `settle` waits for what it does behind its answers."""
        all_before, origin_before, spent_before = machine.busy(), self.origin.cpu(), server.process.cpu()
        if self.scale.requests:
            client, path = client.counted(path, self.scale.requests)
        began = time.monotonic()
        load = client.run(self.place, server.base + path, self.scale.seconds)
        if settle:
            server.process.settle(self.scale.quiet)
        wall = time.monotonic() - began
        spent = server.process.cpu() - spent_before
        others = machine.busy() - all_before - spent - load.cpu - (self.origin.cpu() - origin_before)
        return {
            **shown(load),
            "cpu_us": spent / load.requests * 1e6,
            "memory": server.process.memory(),
            "server_busy": spent / load.seconds,
            "client_busy": load.cpu / load.seconds,
            "foreign": min(max(0.0, others / wall / (os.cpu_count() or 1)), 1.0),
        }

    def by_turns(self, servers: Sequence[type[Server]], measure: Callable[[type[Server]], Sample]) -> list[Row]:
        """A sample of each server in each round; every other round goes backwards."""
        rows = {kind.name: Row(kind.name) for kind in servers}
        for number in range(self.rounds):
            for kind in servers[:: -1 if number % 2 else 1]:
                rows[kind.name].samples.append(measure(kind))
        return list(rows.values())

    def warm(self, server: Server, paths: Sequence[str]) -> None:
        """Lets a server fetch everything, and sees that what it keeps is right."""
        self.right(server, paths[0])
        if len(paths) > 1:
            Wrk(paths=tuple(paths), once=True).run(self.place, server.base, 0)
            server.process.settle(self.scale.quiet)
        if not self.scale.requests:
            Wrk().run(self.place, server.base + paths[0], WARM_SECONDS)

    def right(self, server: Server, path: str) -> None:
        """Raises unless the server answers as the origin does, from what it keeps."""

        def hit() -> Answer | None:
            answer = server.get(path)
            return answer if answer.status != 200 or server.is_hit(answer) else None

        answer, expected = until(hit, f"{server.name} keeps {path}"), self.from_origin(path).body
        if server.rewrites():
            expected = expected.replace(self.place.origin.encode(), server.base.encode())
        same = answer.body == expected
        if not same and path.endswith(".json"):
            same = json.loads(answer.body) == json.loads(expected)
        if not same:
            raise RuntimeError(f"{server.name} answers {path} with {answer.status} and something else")


def shown(load: Load) -> Sample:
    """The figures that a client saw."""
    return {
        "rate": load.requests / load.seconds,
        "throughput": load.bytes / load.seconds / 1e6,
        "p50": load.p50,
        "p99": load.p99,
    }
