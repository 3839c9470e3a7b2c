"""Pictures of what was found, as SVG, where matplotlib is installed."""

import statistics
from pathlib import Path
from typing import Any

from report import OURS, Found

# Of the bodies that are asked for again and again, in KB.
LENGTHS = {"hit-4k": 4, "hit-20k": 20, "hit-60k": 60, "hit-700k": 700, "hit-20m": 20_000}


def available() -> bool:
    """Whether pictures can be made."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw(whole: Found, folder: Path) -> list[Path]:
    """Pictures of the processor time of all cases beside nugate's, of the rate by length, and of the latency by
    connections."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures make the same file.
    matplotlib.rcParams["svg.hashsalt"] = OURS
    matplotlib.rcParams["svg.fonttype"] = "none"
    folder.mkdir(parents=True, exist_ok=True)
    cases = [case for case in whole["cases"] if "cpu_us" in case["figures"]]
    many = [case for case in cases if case["name"].startswith("connections-")]
    hits = [case for case in cases if case["name"] in LENGTHS]
    others = [case for case in cases if case not in many and len(case["rows"]) > 1]
    files = []
    if others:
        files.append(_ratios(others, folder / "compare-cpu.svg"))
    if hits:
        files.append(_rates(hits, folder / "compare-rate.svg"))
    if many:
        files.append(_latencies(many, folder / "compare-latency.svg"))
    return files


def _ratios(cases: list[Found], file: Path) -> Path:
    from matplotlib import pyplot

    bars = []
    for case in cases:
        ours = _median(next(row for row in case["rows"] if row["server"] == OURS), "cpu_us")
        for row in case["rows"]:
            if row["server"] != OURS and row["samples"]:
                bars.append((f"{case['name']}: {row['server']}", _median(row, "cpu_us") / ours))
    figure, axes = pyplot.subplots(figsize=(8, 0.25 * len(bars) + 1))
    axes.barh([name for name, _ in bars], [ratio for _, ratio in bars], color="#4c78a8")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("processor time of a request, nugate's being 1")
    return _write(figure, file)


def _rates(cases: list[Found], file: Path) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for server, points in _lines([(LENGTHS[case["name"]], case) for case in cases], "rate"):
        axes.plot(*points, marker="o", label=server)
    axes.set_xscale("log")
    axes.set_yscale("log")
    lengths = [LENGTHS[case["name"]] for case in cases]
    axes.set_xticks(lengths, [f"{it} KB" if it < 1000 else f"{it // 1000} MB" for it in lengths])
    axes.minorticks_off()
    axes.set_ylabel("hits a second")
    axes.legend()
    return _write(figure, file)


def _latencies(cases: list[Found], file: Path) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    counted = [(int(case["name"].removeprefix("connections-").replace(",", "")), case) for case in cases]
    medians = dict(_lines(counted, "p50"))
    for server, points in _lines(counted, "p99"):
        (line,) = axes.plot(*points, marker="o", label=f"{server}, 99 %")
        axes.plot(*medians[server], marker=".", linestyle="dotted", color=line.get_color(), label="half")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("connections, all of them busy")
    axes.set_ylabel("ms until an answer of 20 KB is there")
    axes.legend(fontsize="small")
    return _write(figure, file)


def _lines(cases: list[tuple[int, Found]], name: str) -> list[tuple[str, tuple[list[int], list[float]]]]:
    """For each server that went through more than one of these cases, its figures."""
    lines: dict[str, tuple[list[int], list[float]]] = {}
    for at, case in cases:
        for row in case["rows"]:
            if row["samples"]:
                places, figures = lines.setdefault(row["server"], ([], []))
                places.append(at)
                figures.append(_median(row, name))
    return [(server, points) for server, points in lines.items() if len(points[0]) > 1]


def _median(row: Found, name: str) -> float:
    return statistics.median(float(sample[name]) for sample in row["samples"])


def _write(figure: Any, file: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    return file
