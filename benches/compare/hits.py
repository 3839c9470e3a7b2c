"""Cases of what every server keeps already."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench import Bench, Row, Sample
from client import Client, Wrk
from feed import Files, Scale
from servers import Server


@dataclass(frozen=True)
class Hits:
    """Paths of the feed, one or several in turn, asked for by a client."""

    paths: Callable[[Files, Scale], list[str]]
    client: Client = Wrk()
    tls: bool = False

    def run(self, bench: Bench, servers: tuple[type[Server], ...]) -> list[Row]:
        """All servers stay up from the first round to the last; those that are not asked do nothing."""
        paths = self.paths(bench.files, bench.scale)
        client = replace(self.client, paths=tuple(paths)) if len(paths) > 1 else self.client
        with ExitStack() as stack:
            running = {kind: stack.enter_context(bench.server(kind, self.tls)) for kind in servers}
            for server in running.values():
                bench.warm(server, paths)

            def measure(kind: type[Server]) -> Sample:
                sample = bench.measured(running[kind], client, paths[0])
                bench.right(running[kind], paths[0])
                return sample

            return bench.by_turns(servers, measure)
