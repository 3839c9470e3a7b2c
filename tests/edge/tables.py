"""What was found, as tables."""

from collections.abc import Callable
from typing import Any

import report

MARKS = ("<!-- edge -->", "<!-- /edge -->")

Row = dict[str, Any]
Cells = list[str]

TITLES = {
    "vectors": "Requests over HTTP/1",
    "streams": "Requests over HTTP/2",
    "floods": "Floods of frames",
    "crowds": "Crowds of connections",
    "address": "One address",
    "idle": "Idle connections",
}


def _judged(rows: list[Row]) -> list[Cells]:
    table = [["Request", "nugate", "nginx", "Verdict"]]
    return table + [[row["name"], row["nugate"], row["nginx"], row["verdict"]] for row in rows]


def _floods(rows: list[Row]) -> list[Cells]:
    table = [["Flood", "Server", "On one connection", "Its end", "Cores", "MiB more", "Others p50, p99 ms"]]
    for row in rows:
        pieces = "" if row["name"] == "none" else f"{row['pieces']:,.0f}"
        cells = [row["title"], row["server"], pieces, row["end"] if pieces else "", f"{row['core']:.2f}"]
        table.append([*cells, f"{row['memory']:.1f}", _others(row)])
    return table


def _crowds(rows: list[Row]) -> list[Cells]:
    table = [["Connections", "Server", "Number", "Ended after", "MiB before, with all, after", "Others p50, p99 ms"]]
    for row in rows:
        ended = f"{row['left']} are left"
        if row["last"] is not None:
            ended = (
                f"{row['first']:.0f} to {row['last']:.0f} s"
                if row["last"] - row["first"] > 1
                else f"{row['last']:.0f} s"
            )
        table.append([row["title"], row["server"], f"{row['count']:,}", ended, _memory(row), _others(row)])
    return table


def _held(rows: list[Row]) -> list[Cells]:
    table = [
        ["Connections", "Server", "Number", "Open", "KiB each", "MiB before, with them, after", "Others p50, p99 ms"]
    ]
    for row in rows:
        before, with_them, _ = row["memory"]
        each = (with_them - before) * 1024 / row["held"]
        cells = [row["title"], row["server"], f"{row['count']:,}", f"{row['held']:,}", f"{each:.1f}"]
        table.append([*cells, _memory(row), _others(row)])
    return table


def _memory(row: Row) -> str:
    return ", ".join(f"{value:.0f}" for value in row["memory"])


def _others(row: Row) -> str:
    others = row["others"]
    wrong = f", {others['wrong']} failed" if others["wrong"] else ""
    return f"{others['p50']:.1f}, {others['p99']:.1f}{wrong}"


SHAPES: dict[str, Callable[[list[Row]], list[Cells]]] = {
    "vectors": _judged,
    "streams": _judged,
    "floods": _floods,
    "crowds": _crowds,
    "address": _held,
    "idle": _held,
}


def text(part: str, rows: list[Row]) -> str:
    """A part as aligned columns."""
    return report.aligned(TITLES[part], SHAPES[part](rows))


def markdown(whole: Row) -> str:
    """All parts as tables."""
    about = ", ".join(f"{name} {value}" for name, value in whole["machine"].items())
    lines = [f"Measured on {about}."]
    for part, title in TITLES.items():
        if part not in whole:
            continue
        head, *rows = SHAPES[part](whole[part])
        lines += ["", f"**{title}**", "", *report.ruled(head, rows)]
        excuses = sorted({row["excuse"] for row in whole[part] if row.get("verdict") == "excused"})
        lines += [f"\nExcused: {'; '.join(excuses)}."] if excuses else []
    return "\n".join(lines) + "\n"
