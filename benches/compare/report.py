"""What was found: as text, as markdown, and as JSON, of which the other two are made."""

import json
import re
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import Row
from cases import Case

OURS = "nugate"
# A core that works for more than this part of the time is what ends the rate.
SATURATED = 0.85
MARKS = ("<!-- compare -->", "<!-- /compare -->")

Found = dict[str, Any]
Table = list[list[str]]


@dataclass(frozen=True)
class Figure:
    """A column. `better` is whether more of it is better; without it there is no ratio."""

    title: str
    digits: int
    better: bool | None = None
    ratio: str = ""


FIGURES = {
    "rate": Figure("Requests/s", 0, True, "Rate"),
    "throughput": Figure("MB/s", 0),
    "p50": Figure("p50 ms", 2),
    "p99": Figure("p99 ms", 2),
    "time_ms": Figure("ms", 1, False, "Time"),
    "cpu_us": Figure("CPU µs", 1, False, "CPU"),
    "memory": Figure("MiB", 0),
    "memory_open": Figure("MiB with them", 0, False, "Memory"),
    "memory_closed": Figure("MiB after", 0),
}


def found(case: Case, rows: list[Row]) -> Found:
    """A case as it stands in JSON."""
    return {
        "name": case.name,
        "title": case.title,
        "figures": list(case.figures),
        "rows": [asdict(row) for row in rows],
    }


def save(file: Path, whole: Found) -> None:
    """Writes everything down."""
    file.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def text(case: Found) -> str:
    """A case as aligned columns."""
    return aligned(f"{case['name']}: {case['title']}", _table([case]))


def aligned(title: str, table: Table) -> str:
    """A table as aligned columns, below its title."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table)
    return "\n".join([title, *lines, ""])


def markdown(whole: Found) -> str:
    """All cases as tables, those with the same figures together."""
    about = ", ".join(f"{name} {value}" for name, value in whole["machine"].items())
    lines = [f"{about}; rounds: {whole['rounds']}, seconds: {whole['seconds']:g}. {_load(whole['cases'])}"]
    by_figures: dict[tuple[str, ...], list[Found]] = {}
    for case in whole["cases"]:
        by_figures.setdefault(tuple(case["figures"]), []).append(case)
    for cases in by_figures.values():
        head, *rows = _table(cases, titled=True)
        lines += ["", *ruled(head, rows)]
    return "\n".join(lines) + "\n"


def publish(file: Path, content: str, marks: tuple[str, str] = MARKS) -> None:
    """Puts tables between the marks of a file, or makes a file of them."""
    begin, end = marks
    whole = file.read_text(encoding="utf-8") if file.exists() else f"{begin}\n{end}\n"
    if begin not in whole or end not in whole:
        raise ValueError(f"{file} has no lines {begin} and {end} to put the tables between")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    file.write_text(pattern.sub(lambda _: f"{begin}\n{content}{end}", whole, count=1), encoding="utf-8")


def ruled(head: list[str], rows: Table) -> list[str]:
    """A table as lines of markdown."""
    return [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]]


def _load(cases: list[Found]) -> str:
    """How much of the machine others had."""
    samples = [sample for case in cases for row in case["rows"] for sample in row["samples"]]
    shares = [sample["foreign"] for sample in samples if "foreign" in sample]
    if not shares:
        return ""
    return f"Others had {statistics.median(shares):.0%} of the machine meanwhile (at most {max(shares):.0%})."


def _table(cases: list[Found], titled: bool = False) -> Table:
    figures = cases[0]["figures"]
    ratios = [name for name in figures if FIGURES[name].better is not None]
    head = ["Case", "Server"] if titled else ["Server"]
    head += [FIGURES[name].title for name in figures]
    head += [f"{FIGURES[name].ratio} ratio" for name in ratios]
    limited = "rate" in figures
    table = [head + ["Limit"] * limited]
    for case in cases:
        ours: list[Found] = next((row["samples"] for row in case["rows"] if row["server"] == OURS), [])
        for number, row in enumerate(case["rows"]):
            cells = [_value(row, name) for name in figures]
            cells += ["" if row["server"] == OURS else _ratio(ours, row["samples"], name) for name in ratios]
            if limited:
                cells.append(_limit(row["samples"]))
            title = [case["title"] if number == 0 else ""] if titled else []
            name = f"{row['server']} ({row['skipped']})" if row["skipped"] else row["server"]
            table.append([*title, name, *cells])
    return table


def _value(row: Found, name: str) -> str:
    """Median of the rounds, with the least and the most where a ratio is made of it."""
    values: list[float] = [sample[name] for sample in row["samples"]]
    if not values:
        return ""
    figure = FIGURES[name]
    middle = f"{statistics.median(values):,.{figure.digits}f}"
    if figure.better is None or len(values) == 1:
        return middle
    return f"{middle} [{min(values):,.{figure.digits}f}–{max(values):,.{figure.digits}f}]"


def _ratio(ours: list[Found], theirs: list[Found], name: str) -> str:
    """How many times better nugate is, round by round: more than 1 is better, whichever the figure."""
    pairs = [(our[name], their[name]) for our, their in zip(ours, theirs)]
    if not pairs or any(0 in pair for pair in pairs):
        return ""
    better = [our / their if FIGURES[name].better else their / our for our, their in pairs]
    digits = 0 if min(better) >= 10 else 2
    middle = f"{statistics.median(better):.{digits}f}"
    return middle if len(better) == 1 else f"{middle} [{min(better):.{digits}f}–{max(better):.{digits}f}]"


def _limit(samples: list[Found]) -> str:
    """Whose core was used up, so that the rate says something of it."""
    if not samples:
        return ""
    busy = {who: statistics.median(sample[f"{who}_busy"] for sample in samples) for who in ("server", "client")}
    return " and ".join(who for who, share in busy.items() if share > SATURATED) or "neither"
