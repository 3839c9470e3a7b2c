"""Pictures of what was found, as SVG, where matplotlib is installed."""

import statistics
from pathlib import Path
from typing import Any

from report import FIGURES, OURS, Found


def available() -> bool:
    """Whether pictures can be made."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw(whole: Found, folder: Path) -> list[Path]:
    """A picture of the processor time of all cases beside nugate's, and one of rate by connections."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures make the same file.
    matplotlib.rcParams["svg.hashsalt"] = OURS
    matplotlib.rcParams["svg.fonttype"] = "none"
    folder.mkdir(parents=True, exist_ok=True)
    cases = [case for case in whole["cases"] if "cpu_us" in case["figures"]]
    many = [case for case in cases if case["name"].startswith("connections-")]
    others = [case for case in cases if case not in many and len(case["rows"]) > 1]
    files = []
    if others:
        files.append(_ratios(others, folder / "compare-cpu.svg"))
    if many:
        files.append(_connections(many, folder / "compare-connections.svg"))
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


def _connections(cases: list[Found], file: Path) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    counts = [case["name"].removeprefix("connections-") for case in cases]
    for number, row in enumerate(cases[0]["rows"]):
        rows = [case["rows"][number] for case in cases]
        if all(row["samples"] for row in rows):
            axes.plot(counts, [_median(row, "rate") for row in rows], marker="o", label=row["server"])
    axes.set_xlabel("connections")
    axes.set_ylabel(FIGURES["rate"].title)
    axes.set_ylim(bottom=0)
    axes.legend()
    return _write(figure, file)


def _median(row: Found, name: str) -> float:
    return statistics.median(float(sample[name]) for sample in row["samples"])


def _write(figure: Any, file: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    return file
