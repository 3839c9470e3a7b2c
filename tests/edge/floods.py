"""Floods over HTTP/2: what one client can make a server do until it is sent away, and what others notice."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import frames
from feed import list_path
from frames import Connection, block, frame, literal, request
from servers import Server
from upstream import SLOW
from watch import Answers, Watch

PATH = list_path("others")
# Frames sent before answers are looked at.
BATCH = 10
# Seconds that a server has for an answer which is its last one.
LAST_WORD = 0.5
# What others may notice at most, and what it may cost.
OTHERS_MS = 1000.0
MEMORY_MIB = 48.0

Pieces = Iterator[bytes]


@dataclass(frozen=True)
class Flood:
    """Endless frames. `most` is how many of them a connection may bring, where there is a limit; `deaf` is a client
    that reads nothing; `settings` are the client's."""

    name: str
    title: str
    pieces: Callable[[], Pieces]
    most: int | None = None
    deaf: bool = False
    settings: bytes = b""


@dataclass
class Found:
    """What came of a flood: connections, pieces sent on one until it ended, in which way, and what it cost."""

    connections: int
    pieces: float
    end: str
    core: float
    memory: float
    others: Answers

    def json(self) -> dict[str, object]:
        """For whoever reads it later."""
        return asdict(self)


def _odd() -> Iterator[int]:
    return iter(range(1, 1 << 31, 2))


def _rapid_reset() -> Pieces:
    reset = frames.CANCEL.to_bytes(4)
    for stream in _odd():
        # One that is not answered before it is reset.
        yield frames.headers(stream, request(f"{SLOW}?{stream}")) + frame(frames.RST_STREAM, 0, stream, reset)


def _made_you_reset() -> Pieces:
    overflow = 0x7FFF_FFFF.to_bytes(4)
    for stream in _odd():
        yield frames.headers(stream, request(PATH)) + frame(frames.WINDOW_UPDATE, 0, stream, overflow)


def _continuation(size: int) -> Callable[[], Pieces]:
    def pieces() -> Pieces:
        yield frame(frames.HEADERS, frames.END_STREAM, 1, block(request(PATH)))
        # A field that has not come to its end, or nothing at all.
        piece = literal(b"x", b"y" * (size - 6)) if size else b""
        while True:
            yield frame(frames.CONTINUATION, 0, 1, piece)

    return pieces


def _table_bomb() -> Pieces:
    remember = literal(b"x", b"y" * 4000, first=0x40)
    # The field that was remembered last has the number 62 (RFC 7541 section 2.3.3).
    again = b"\xbe" * 12_000
    for stream in _odd():
        fields = block(request(PATH)) + (remember if stream == 1 else b"") + again
        flags = frames.END_STREAM | frames.END_HEADERS
        yield frame(frames.HEADERS, flags, stream, fields)


def _same(kind: int, payload: bytes) -> Callable[[], Pieces]:
    def pieces() -> Pieces:
        while True:
            yield frame(kind, 0, 0, payload) * 50

    return pieces


def _nothing() -> Pieces:
    while True:
        time.sleep(0.01)
        yield b""


def _requests() -> Pieces:
    for stream in _odd():
        yield frames.headers(stream, request(PATH))


NO_WINDOW = frames.INITIAL_WINDOW_SIZE.to_bytes(2) + bytes(4)

FLOODS = (
    Flood("none", "a connection on which nothing is asked", _nothing),
    Flood("rapid-reset", "requests that are reset at once (CVE-2023-44487)", _rapid_reset, most=2000),
    Flood("made-you-reset", "requests that we must reset (CVE-2025-8671)", _made_you_reset, most=1000),
    Flood("continuation", "headers without an end (CVE-2024-27316)", _continuation(16_000), most=200),
    Flood("continuation-empty", "headers without an end, in empty pieces", _continuation(0), most=20_000),
    Flood("table-bomb", "12,000 fields of 4 KB in 12 KB", _table_bomb, most=1000),
    Flood("pings", "pings, answers unread (CVE-2019-9512)", _same(frames.PING, bytes(8)), deaf=True),
    Flood("settings", "settings, answers unread (CVE-2019-9515)", _same(frames.SETTINGS, b""), deaf=True),
    Flood("no-window", "requests whose answers are not taken", _requests, deaf=True, settings=NO_WINDOW),
)


def run(flood: Flood, server: Server, seconds: float) -> Found:
    """Floods a server for a while, on a new connection whenever one ends."""
    server.get(PATH)
    before, peak = server.process.memory(), 0.0
    counts: list[int] = []
    ends: list[str] = []
    with Watch(server.port, PATH, server.tls) as watch:
        spent, began = server.process.cpu(), time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            count, end = _once(flood, server.port, left)
            counts.append(count)
            ends.append(end)
            peak = max(peak, server.process.memory())
        core = (server.process.cpu() - spent) / (time.monotonic() - began)
    end = max(set(ends[:-1] or ends), key=ends.count)
    pieces = statistics.median(counts[:-1] or counts)
    return Found(len(counts), pieces, end, core, peak - before, watch.answers)


def _once(flood: Flood, port: int, seconds: float) -> tuple[int, str]:
    """Pieces sent on one connection, and how it ended."""
    until, count = time.monotonic() + seconds, 0
    try:
        with Connection(port, patience=seconds, settings=flood.settings) as connection:
            try:
                for piece in flood.pieces():
                    connection.send(piece)
                    count += 1
                    if time.monotonic() > until:
                        return count, "goes on"
                    if not flood.deaf and count % BATCH == 0 and (end := _said(connection, 0.0001)):
                        return count, end
                    connection.socket.settimeout(max(until - time.monotonic(), 0.01))
            except TimeoutError:
                return count, "held back"
            except OSError:
                return count, _said(connection, LAST_WORD) or "closed"
    except OSError:
        pass
    return count, "closed"


def _said(connection: Connection, wait: float) -> str:
    """How the server ended the connection; empty when it did not."""
    try:
        for arrived in connection.frames(wait):
            if arrived.kind == frames.GOAWAY:
                return f"GOAWAY {frames.code(arrived.payload[4:])}"
    except (OSError, EOFError):
        return "closed"
    return ""


def lapses(flood: Flood, found: Found) -> list[str]:
    """What is wrong with what came of it."""
    wrong = []
    if found.others.wrong or not found.others.right:
        wrong.append(f"{found.others.wrong} of {found.others.right + found.others.wrong} other requests failed")
    if found.others.p99 > OTHERS_MS:
        wrong.append(f"others waited {found.others.p99:.0f} ms (p99)")
    if flood.most is not None and (found.end == "goes on" or found.pieces > flood.most):
        wrong.append(f"{found.pieces:.0f} pieces were taken")
    if found.memory > MEMORY_MIB:
        wrong.append(f"it took {found.memory:.0f} MiB")
    return wrong
