"""Requests over HTTP/2 that no honest client sends, one a connection."""

from dataclasses import dataclass

import frames
from feed import FLAT
from frames import Connection, Fields, request
from upstream import Upstream
from vectors import Need, Vector
from wire import Outcome

QUIET = 1.5
PATH = f"{FLAT}/NAME/index.json"
ECHO = "/raw/edge/NAME"


@dataclass(frozen=True)
class Stream:
    """A request as frames on stream 1."""

    name: str
    need: Need
    fields: Fields
    body: bytes | None = None

    @property
    def vector(self) -> Vector:
        """What a verdict is about."""
        return Vector(self.name, self.need, b"", self.body or b"")


def post(*more: tuple[bytes, bytes]) -> Fields:
    """The fields of a request with a body."""
    return request(ECHO, *more, method="POST")


def all_streams() -> list[Stream]:
    """Each of them."""
    plain = request(PATH)
    length = (b"content-length", b"5")
    refused: dict[str, Fields] = {
        "no method": plain[1:],
        "no path": plain[:3],
        "empty path": request(""),
        "two paths": [*plain, (b":path", b"/x")],
        "pseudo-field behind a field": [*plain[:3], (b"x", b"y"), plain[3]],
        "pseudo-field that nobody knows": [*plain[:4], (b":x", b"y")],
        "no authority, no host": [*plain[:2], plain[3]],
        "authority and another host": [*plain, (b"host", b"evil.example")],
        "authority with a user": request(PATH, authority="user@localhost"),
        "authority with a space": request(PATH, authority="local host"),
        "CONNECT": [(b":method", b"CONNECT"), (b":authority", b"localhost:80")],
        "TRACE": request(PATH, method="TRACE"),
        "method in small letters": request(PATH, method="get"),
        "method with a space": request(PATH, method="GET /"),
        "path without a slash": request("index.json"),
        "path with a line end": request(f"{PATH}\r\nx: y"),
        "path with a space": request(f"{PATH} HTTP/1.1"),
        "path with dot segments": request(f"{FLAT}/../../../NAME"),
        "path of 9 KB": request(f"{FLAT}/NAME/{'a' * 9216}"),
        "name in capitals": [*plain, (b"X-Y", b"z")],
        "name with a colon": [*plain, (b"x:y", b"z")],
        "name with a line end": [*plain, (b"x\r\ny", b"z")],
        "value with a line end": [*plain, (b"x", b"y\r\nz: a")],
        "value with NUL": [*plain, (b"x", b"y\0z")],
        "connection": [*plain, (b"connection", b"close")],
        "transfer-encoding": [*plain, (b"transfer-encoding", b"chunked")],
        "upgrade": [*plain, (b"upgrade", b"websocket")],
        "te: gzip": [*plain, (b"te", b"gzip")],
        "length of GET without a body": [*plain, length],
        "40 KB of headers": [*plain, *((f"x{number}".encode(), b"a" * 1000) for number in range(40))],
        "1 MB of headers": [*plain, *((f"x{number}".encode(), b"a" * 10_000) for number in range(100))],
        "5,000 headers": [*plain, *((f"x{number}".encode(), b"y") for number in range(5000))],
    }
    bodies: dict[str, tuple[Fields, bytes]] = {
        "body longer than its length": (post(length), b"hello, and more"),
        "body shorter than its length": (post((b"content-length", b"50")), b"hello"),
        "two lengths": (post(length, (b"content-length", b"6")), b"hello"),
        "one length twice": (post(length, length), b"hello"),
    }
    return [
        Stream("plain", Need.SERVE, plain),
        Stream("body", Need.SERVE, post(length), b"hello"),
        Stream("body without a length", Need.SERVE, post(), b"hello"),
        *(Stream(name, Need.REFUSE, fields) for name, fields in refused.items()),
        *(Stream(name, Need.REFUSE, fields, body) for name, (fields, body) in bodies.items()),
        Stream("value with a space before it", Need.ANY, [*plain, (b"x", b" y")]),
    ]


def try_out(stream: Stream, port: int, upstream: Upstream, number: int) -> Outcome:
    """Sends a request on a connection of its own, and another one on the next stream."""
    name = f"asked{number}".encode()
    fields = [(field, value.replace(b"NAME", name)) for field, value in stream.fields]
    upstream.taken()
    statuses: dict[int, int] = {}
    end = "waits"
    with Connection(port) as connection:
        try:
            connection.send(frames.headers(1, fields, ends=stream.body is None))
            if stream.body is not None:
                connection.send(frames.frame(frames.DATA, frames.END_STREAM, 1, stream.body))
            connection.send(frames.headers(3, request(f"{FLAT}/after/index.json")))
            for frame in connection.frames(QUIET):
                if frame.kind == frames.HEADERS:
                    statuses[frame.stream] = frames.status_of(frame.payload)
                elif frame.kind == frames.RST_STREAM and frame.stream == 1:
                    end = f"RST_STREAM {frames.code(frame.payload)}"
                elif frame.kind == frames.GOAWAY:
                    end = f"GOAWAY {frames.code(frame.payload[4:])}"
                if 3 in statuses and (1 in statuses or end != "waits"):
                    break
        except (OSError, EOFError):
            end = "closed" if end == "waits" else end
    seen = [one for one in upstream.taken() if "after" not in one.target and one.target != "/v3/index.json"]
    body = stream.body or b""
    strays = [f"upstream got {one.method} {one.target} {one.body!r}" for one in seen if one.body not in (b"", body)]
    said = (statuses[1],) if 1 in statuses else ()
    return Outcome(said, 3 in statuses, end, bool(seen), tuple(strays))
