"""Requests over HTTP/1 that two readers may understand in two ways, or that no honest client sends.

`NAME` in a request is the id of a package that nobody has asked for yet, `HIDDEN` of another one that must never be
asked for. What follows a vector on its connection is `AFTER`: whether it is answered tells where the server takes the
request to end.
"""

from dataclasses import dataclass
from enum import Enum

from feed import FLAT

AFTER = f"GET {FLAT}/after/index.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
SMUGGLED = f"GET {FLAT}/HIDDEN/index.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
KB = 1024
# Excuses.
ONE_LENGTH = "RFC 9110 section 8.6 allows to take it for one; the upstream is told one"
BY_CHUNKS = "RFC 9112 section 6.3 allows to go by the chunks and close; the upstream is told no length"


class Need(Enum):
    """What a server in front of others must do with a request."""

    SERVE = "serve"
    REFUSE = "refuse"
    # Nobody can say any more where the next request begins.
    END = "refuse and end"
    # Refuse it, or answer and end.
    CLOSE = "end"
    # Either will do where it does the same whatever nginx does.
    ANY = "any"


@dataclass(frozen=True)
class Vector:
    """A request. `body` is what the upstream may get of it, if anything; `excuse` why answering it is no lapse although
    nginx refuses it."""

    name: str
    need: Need
    request: bytes
    body: bytes = b""
    excuse: str = ""


def get(*lines: str, path: str = f"{FLAT}/NAME/index.json", line: str = "", host: str = "host: localhost") -> bytes:
    """A GET with these header lines."""
    return text(line or f"GET {path} HTTP/1.1", *([host] if host else []), *lines)


def text(*lines: str) -> bytes:
    """Lines, and an empty one. Characters beyond ASCII are single bytes."""
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def post(body: str, *lines: str, method: str = "POST", version: str = "1.1") -> bytes:
    """A request with a body."""
    return text(f"{method} /raw/edge/NAME HTTP/{version}", "host: localhost", *lines) + body.encode("latin-1")


def chunked(body: str, *lines: str) -> bytes:
    """A body in chunks."""
    return post(body, "transfer-encoding: chunked", *lines)


def all_vectors() -> list[Vector]:
    """Each of them."""
    return [
        *_hosts(),
        *_targets(),
        *_lines(),
        *_headers(),
        *_lengths(),
        *_codings(),
        *_chunks(),
        *_sequences(),
    ]


def _hosts() -> list[Vector]:
    host = f"{FLAT}/NAME/index.json"
    refused = {
        "two hosts": get("host: localhost"),
        "two different hosts": get("host: evil.example"),
        "no host": get(host=""),
        "empty host": get(host="host:"),
        "host with a space": get(host="host: local host"),
        "host with a user": get(host="host: user@localhost"),
        "host with a path": get(host="host: localhost/x"),
        "host with a bad port": get(host="host: localhost:80x"),
        "host with a port beyond 65535": get(host="host: localhost:99999"),
        "list of hosts": get(host="host: localhost, evil.example"),
        "host on a folded line": get(host="host:\r\n localhost"),
        "HTTP/1.0, two hosts": get("host: localhost", line=f"GET {host} HTTP/1.0"),
        "absolute form, another host": get(line=f"GET http://evil.example{host} HTTP/1.1"),
        "absolute form, no host": get(line=f"GET http://localhost{host} HTTP/1.1", host=""),
        "absolute form, a user": get(line=f"GET http://user@localhost{host} HTTP/1.1"),
        "absolute form, empty host": get(line=f"GET http://{host} HTTP/1.1"),
        "absolute form, ftp": get(line=f"GET ftp://localhost{host} HTTP/1.1"),
    }
    return [
        Vector("plain", Need.SERVE, get()),
        Vector("HEAD", Need.ANY, get(line=f"HEAD {host} HTTP/1.1")),
        Vector("absolute form", Need.SERVE, get(line=f"GET http://localhost{host} HTTP/1.1")),
        Vector("HTTP/1.0, no host", Need.ANY, get(line=f"GET {host} HTTP/1.0", host="")),
        *(Vector(name, Need.REFUSE, request) for name, request in refused.items()),
    ]


def _targets() -> list[Vector]:
    refused = {
        "authority form": get(line="GET localhost:80 HTTP/1.1"),
        "no slash": get(line="GET index.json HTTP/1.1"),
        "star": get(line="GET * HTTP/1.1"),
        "OPTIONS star": get(line="OPTIONS * HTTP/1.1"),
        "CONNECT": get(line="CONNECT localhost:80 HTTP/1.1"),
        "CONNECT with a path": get(line=f"CONNECT {FLAT}/NAME/index.json HTTP/1.1"),
        "TRACE": get(line=f"TRACE {FLAT}/NAME/index.json HTTP/1.1"),
        "target of 9 KB": get(path=f"{FLAT}/NAME/{'a' * 9 * KB}"),
        "target of 64 KB": get(path=f"{FLAT}/NAME/{'a' * 64 * KB}"),
        "dot segments": get(path=f"{FLAT}/../../../NAME"),
        "encoded dot segments": get(path=f"{FLAT}/%2e%2e/%2e%2e/%2e%2e/NAME"),
        "dot segments behind encoded slashes": get(path=f"{FLAT}/..%2f..%2f..%2fNAME"),
        "encoded slash": get(path=f"{FLAT}/NAME%2findex.json"),
        "encoded NUL": get(path=f"{FLAT}/NAME%00/index.json"),
        "encoded line end": get(path=f"{FLAT}/NAME%0d%0aX:%20y/index.json"),
        "eight bits": get(path=f"{FLAT}/NAME\xff/index.json"),
        "control": get(path=f"{FLAT}/NAME\x01/index.json"),
        "DEL": get(path=f"{FLAT}/NAME\x7f/index.json"),
        "backslash": get(path=f"{FLAT}/NAME\\index.json"),
        "unfinished escape": get(path=f"{FLAT}/NAME/index.json%"),
        "escape that is none": get(path=f"{FLAT}/NAME%zz/index.json"),
        "escape of an escape": get(path=f"{FLAT}/%252e%252e/NAME"),
        "parameter of a segment": get(path=f"{FLAT}/NAME/index.json;.nupkg"),
    }
    return [
        *(Vector(name, Need.REFUSE, request) for name, request in refused.items()),
        Vector("fragment", Need.ANY, get(path=f"{FLAT}/NAME/index.json#fragment")),
        Vector("target of 8,000 bytes", Need.ANY, get(path=f"{FLAT}/NAME/index.json?{'a' * 7900}")),
    ]


def _lines() -> list[Vector]:
    path = f"{FLAT}/NAME/index.json"
    ended = {
        "method in small letters": get(line=f"get {path} HTTP/1.1"),
        "method with a control": get(line=f"G\x01T {path} HTTP/1.1"),
        "no method": get(line=f" {path} HTTP/1.1"),
        "two spaces": get(line=f"GET  {path} HTTP/1.1"),
        "tabs": get(line=f"GET\t{path}\tHTTP/1.1"),
        "words behind the version": get(line=f"GET {path} HTTP/1.1 x"),
        "space in the target": get(line=f"GET {path} x HTTP/1.1"),
        "HTTP/0.9": text(f"GET {path}"),
        "no version": get(line=f"GET {path}"),
        "HTTP/1.2": get(line=f"GET {path} HTTP/1.2"),
        "HTTP/2.0 in words": get(line=f"GET {path} HTTP/2.0"),
        "HTTP/9.0": get(line=f"GET {path} HTTP/9.0"),
        "HTTP/1": get(line=f"GET {path} HTTP/1"),
        "HTTP/01.1": get(line=f"GET {path} HTTP/01.1"),
        "HTTP/1.1x": get(line=f"GET {path} HTTP/1.1x"),
        "http/1.1": get(line=f"GET {path} http/1.1"),
        "TLS on a plain port": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(200),
        "binary": bytes(range(256)),
    }
    return [
        *(Vector(name, Need.END, request) for name, request in ended.items()),
        Vector("empty line before", Need.SERVE, b"\r\n" + get()),
        Vector("space behind the version", Need.ANY, get(line=f"GET {path} HTTP/1.1 ")),
        Vector("lines that end in LF", Need.ANY, get().replace(b"\r\n", b"\n")),
        Vector("method of 300 letters", Need.REFUSE, get(line=f"{'G' * 300} {path} HTTP/1.1")),
        Vector("method that nobody knows", Need.ANY, get(line=f"FETCH {path} HTTP/1.1")),
        Vector(
            "upgrade to HTTP/2",
            Need.ANY,
            get("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAA"),
        ),
        Vector("upgrade to WebSocket", Need.ANY, get("connection: upgrade", "upgrade: websocket")),
    ]


def _headers() -> list[Vector]:
    ended = {
        "space before a colon": get("x : y"),
        "tab before a colon": get("x\t: y"),
        "folded line": get("x: y\r\n z"),
        "space before the first name": get(host=" x: y\r\nhost: localhost"),
        "bare CR in a value": get("x: a\rb"),
        "bare CR before a name": get("x: a\ry: b"),
        "NUL in a value": get("x: a\0b"),
        "NUL in a name": get("x\0y: a"),
        "control in a name": get("x\x01y: a"),
        "bracket in a name": get("x(y: a"),
        "eight bits in a name": get("x\xff: a"),
        "no name": get(": a"),
        "no colon": get("x"),
        "header of 33 KB": get(f"x: {'a' * 33 * KB}"),
        "header of 200 KB": get(f"x: {'a' * 200 * KB}"),
        "header of 500 KB": get(f"x: {'a' * 500 * KB}"),
        "40 KB of headers": get(*(f"x{number}: {'a' * 1000}" for number in range(40))),
        "150 headers": get(*(f"x{number}: y" for number in range(150))),
        "5,000 headers": get(*(f"x{number}: y" for number in range(5000))),
        "one name 5,000 times": get(*["x: y"] * 5000),
    }
    ranges = ",".join(f"{number}-{number}" for number in range(1000))
    return [
        *(Vector(name, Need.END, request) for name, request in ended.items()),
        Vector("101 headers", Need.ANY, get(*(f"x{number}: y" for number in range(101)))),
        Vector("control in a value", Need.ANY, get("x: a\x01b")),
        Vector("eight bits in a value", Need.ANY, get("x: a\xffb")),
        Vector("1,000 ranges", Need.ANY, get(f"range: bytes={ranges}")),
        Vector("ranges without an end", Need.ANY, get("range: bytes=0-,0-,0-,0-,0-,0-,0-,0-")),
        Vector("hop-by-hop host", Need.ANY, get("connection: host, authorization, x-forwarded-for")),
        Vector("another expectation", Need.ANY, get("expect: something")),
    ]


def _lengths() -> list[Vector]:
    five = "hello"
    ended = {
        "two lengths": post(five, "content-length: 5", "content-length: 6"),
        "list of lengths": post(five, "content-length: 5, 6"),
        "list of one length": post(five, "content-length: 5, 5"),
        "length with a plus": post(five, "content-length: +5"),
        "negative length": post(five, "content-length: -5"),
        "hexadecimal length": post(five, "content-length: 0x5"),
        "length of 20 digits": post(five, "content-length: 99999999999999999999"),
        "length of 65 bits": post(five, "content-length: 18446744073709551621"),
        "empty length": post(five, "content-length:"),
        "length with a letter": post(five, "content-length: 5x"),
        "length with a space": post(five, "content-length: 5 5"),
        "length with a comma": post(five, "content-length: 5,"),
        "length, space, colon": post(five, "content-length : 5"),
        "length on a folded line": post(five, "content-length:\r\n 5"),
        "length behind a vertical tab": post(five, "content-length: \x0b5"),
    }
    hidden = f"content-length: {len(SMUGGLED) + 2}"
    return [
        Vector("body", Need.SERVE, post(five, "content-length: 5"), b"hello"),
        Vector("body that looks like a request", Need.ANY, post("xx" + SMUGGLED, hidden), f"xx{SMUGGLED}".encode()),
        Vector("zeros before the length", Need.ANY, post(five, "content-length: 005"), b"hello"),
        Vector("underline in a length", Need.ANY, post("", "content_length: 5")),
        Vector("body of GET", Need.ANY, get(hidden) + b"xx" + SMUGGLED.encode(), f"xx{SMUGGLED}".encode()),
        Vector(
            "body of HEAD",
            Need.ANY,
            get(hidden).replace(b"GET", b"HEAD", 1) + b"xx" + SMUGGLED.encode(),
            f"xx{SMUGGLED}".encode(),
        ),
        Vector(
            "one length twice", Need.ANY, post(five, "content-length: 5", "content-length: 5"), b"hello", ONE_LENGTH
        ),
        Vector("no body of GET", Need.SERVE, get("content-length: 0")),
        *(Vector(name, Need.END, request) for name, request in ended.items()),
    ]


def _codings() -> list[Vector]:
    body = "5\r\nhello\r\n0\r\n\r\n"
    # Who goes by the length takes all of it for a body, who goes by the chunks finds another request.
    hidden = f"0\r\n\r\n{SMUGGLED}"
    length = f"content-length: {len(hidden)}"

    def coded(*codings: str) -> bytes:
        return post(hidden, *(f"transfer-encoding: {coding}" for coding in codings), length)

    ended = {
        "unknown coding": coded("xchunked"),
        "unknown coding alone": post(body, "transfer-encoding: xchunked"),
        "identity": post(body, "transfer-encoding: identity"),
        "identity behind chunked": post(body, "transfer-encoding: chunked, identity"),
        "identity before chunked": post(body, "transfer-encoding: identity, chunked"),
        "gzip before chunked": post(body, "transfer-encoding: gzip, chunked"),
        "chunked twice": post(body, "transfer-encoding: chunked, chunked"),
        "two lines of codings": post(body, "transfer-encoding: chunked", "transfer-encoding: identity"),
        "chunked on two lines": post(body, "transfer-encoding: chunked", "transfer-encoding: chunked"),
        "coding, space, colon": post(hidden, "transfer-encoding : chunked", length),
        "coding, tab, colon": post(hidden, "transfer-encoding\t: chunked", length),
        "coding on a folded line": post(hidden, "transfer-encoding:\r\n chunked", length),
        "coding in a folded line": post(hidden, "x: y\r\n transfer-encoding: chunked", length),
        "coding in quotes": coded('"chunked"'),
        "coding behind a vertical tab": coded("\x0bchunked"),
        "coding with a parameter": post(body, "transfer-encoding: chunked;q=1"),
        "coding and a comma": post(body, "transfer-encoding: chunked,"),
        "empty coding": coded(""),
        "coding behind a bare CR": post(hidden, "x: y\rtransfer-encoding: chunked", length),
        "coding in HTTP/1.0": post(body, "transfer-encoding: chunked", version="1.0"),
        "coding of GET": get("transfer-encoding: chunked") + hidden.encode(),
        "coding of HEAD": get("transfer-encoding: chunked").replace(b"GET", b"HEAD", 1) + hidden.encode(),
    }
    both = {
        "length and coding": post(hidden, length, "transfer-encoding: chunked"),
        "coding and length": post(hidden, "transfer-encoding: chunked", length),
        "coding and a length of 4": post(hidden, "transfer-encoding: chunked", "content-length: 4"),
    }
    return [
        *(Vector(name, Need.CLOSE, request, excuse=BY_CHUNKS) for name, request in both.items()),
        Vector("chunks", Need.SERVE, chunked(body), b"hello"),
        Vector("Chunked", Need.ANY, post(body, "transfer-encoding: Chunked"), b"hello"),
        Vector("underline in a coding", Need.ANY, post(hidden, "transfer_encoding: chunked", length), hidden.encode()),
        *(Vector(name, Need.END, request) for name, request in ended.items()),
    ]


def _chunks() -> list[Vector]:
    ended = {
        "size with 0x": "0x5\r\nhello\r\n0\r\n\r\n",
        "size with a plus": "+5\r\nhello\r\n0\r\n\r\n",
        "negative size": "-5\r\nhello\r\n0\r\n\r\n",
        "size of 68 bits": "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "no size": "\r\nhello\r\n0\r\n\r\n",
        "size with a letter": "5g\r\nhello\r\n0\r\n\r\n",
        "size with an underline": "5_\r\nhello\r\n0\r\n\r\n",
        "space before a size": " 5\r\nhello\r\n0\r\n\r\n",
        "chunk longer than its size": "4\r\nhello\r\n0\r\n\r\n",
        "CR in an extension": "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "extension of 200 KB": f"5;{'a' * 200 * KB}\r\nhello\r\n0\r\n\r\n",
        "trailers of 200 KB": f"5\r\nhello\r\n0\r\nx: {'a' * 200 * KB}\r\n\r\n",
        "trailer without a colon": "5\r\nhello\r\n0\r\nx\r\n\r\n",
    }
    any_way = {
        "extension": "5;a=b\r\nhello\r\n0\r\n\r\n",
        "extension in quotes": '5;a="b"\r\nhello\r\n0\r\n\r\n',
        "LF in an extension": "5;a\nhello\r\n0\r\n\r\n",
        "LF behind a size": "5\nhello\r\n0\r\n\r\n",
        "LF behind a chunk": "5\r\nhello\n0\r\n\r\n",
        "LF at the end": "5\r\nhello\r\n0\r\n\n",
        "LF behind the last size": "5\r\nhello\r\n0\n\r\n",
        "zeros before a size": "0000000005\r\nhello\r\n0\r\n\r\n",
        "space behind a size": "5 \r\nhello\r\n0\r\n\r\n",
        "trailer": "5\r\nhello\r\n0\r\nx: y\r\n\r\n",
        "trailer that frames": "5\r\nhello\r\n0\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n",
    }
    return [
        *(Vector(name, Need.END, chunked(body), b"hello") for name, body in ended.items()),
        *(Vector(name, Need.ANY, chunked(body), b"hello") for name, body in any_way.items()),
    ]


def _sequences() -> list[Vector]:
    return [
        Vector("pipelined", Need.SERVE, get() + get()),
        Vector("pipelined 50 times", Need.SERVE, get() * 50),
        Vector("body, then a request", Need.SERVE, post("hello", "content-length: 5") + get(), b"hello"),
        Vector("expects 100", Need.ANY, post("hello", "content-length: 5", "expect: 100-continue"), b"hello"),
        Vector("connection: close, then more", Need.SERVE, get("connection: close") + SMUGGLED.encode()),
        Vector("half of a HTTP/2 preface", Need.END, b"PRI * HTTP/2.0\r\n\r\nSM\r\n" + SMUGGLED.encode()),
    ]
