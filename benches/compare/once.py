"""Cases of what is asked for once: packages that nobody has yet, and whole restores."""

from bench import Bench, Row, Sample
from client import Wrk
from servers import Server


def misses(bench: Bench, servers: tuple[type[Server], ...], size: int, field: str) -> list[Row]:
    """Every package is another one, and all of them are new to a server in each round. What it does behind its
    last answer (storing) counts for its processor time, not for its rate."""
    paths = tuple(bench.files.packages(f"miss{size}", getattr(bench.scale, field), size))

    def measure(kind: type[Server]) -> Sample:
        with bench.server(kind) as server:
            sample = bench.measured(server, Wrk(paths=paths, once=True), "", settle=True)
            bench.right(server, paths[-1])
            return sample

    return bench.by_turns(servers, measure)


def closures_cold(bench: Bench, servers: tuple[type[Server], ...]) -> list[Row]:
    """Restores one after the other, each of other packages; the mean of a round."""
    closures = _closures(bench)

    def measure(kind: type[Server]) -> Sample:
        with bench.server(kind) as server:
            samples = [
                bench.measured(server, Wrk(paths=paths, once=True), "", settle=True) for paths in closures
            ]
            return _mean([_restore(sample, len(closures[0]), 1) for sample in samples])

    return bench.by_turns(servers, measure)


def closures_warm(bench: Bench, servers: tuple[type[Server], ...]) -> list[Row]:
    """The same restore again and again, all of it kept."""
    paths = _closures(bench)[0]
    passes = bench.scale.passes

    def measure(kind: type[Server]) -> Sample:
        with bench.server(kind) as server:
            bench.warm(server, paths)
            sample = bench.measured(server, Wrk(paths=paths * passes, once=True), "")
            return _restore(sample, len(paths) * passes, passes)

    return bench.by_turns(servers, measure)


def _closures(bench: Bench) -> list[tuple[str, ...]]:
    scale = bench.scale
    return [tuple(bench.files.closure(number, scale.closure)) for number in range(scale.closures)]


def _restore(sample: Sample, requests: int, passes: int) -> Sample:
    """Adds how long one restore took."""
    return {**sample, "time_ms": requests / sample["rate"] / passes * 1e3}


def _mean(samples: list[Sample]) -> Sample:
    return {name: sum(sample[name] for sample in samples) / len(samples) for name in samples[0]}
