"""A client that throws bodies away inside the kernel, so that long ones cost it next to nothing.

python3 drain.py HOST:PORT CONNECTIONS (seconds|requests) NUMBER < PATHS

Each connection asks for one path after the other, in turn with the others, for so many seconds or until so many
requests were answered. The one line that it prints is JSON: a `client.Load` without the processor time.
"""

import itertools
import json
import select
import socket
import sys
import time
from collections.abc import Iterator

# A head is at most this long.
HEAD = 4096
# As much of a body may vanish in one call; nothing is written there.
NOWHERE = memoryview(bytearray(8 << 20))


class FailedError(RuntimeError):
    """What came is not the 200 with a length that was expected."""


class Connection:
    """Asks, and counts what comes."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.socket = socket.create_connection((host, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.head = b""
        self.left = -1
        self.asked = 0.0

    def ask(self, path: str) -> None:
        """Sends a request; the last answer has come whole."""
        self.head, self.left, self.asked = b"", -1, time.perf_counter()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode("ascii"))

    def take(self) -> tuple[int, bool]:
        """What is there now: how many bytes, and whether the answer is whole."""
        taken = 0
        try:
            if self.left < 0:
                piece = self.socket.recv(HEAD - len(self.head))
                if not piece:
                    raise FailedError("the connection was closed")
                taken += len(piece)
                self._begin(piece)
            while self.left > 0:
                count = self.socket.recv_into(NOWHERE, min(self.left, len(NOWHERE)), socket.MSG_TRUNC)
                if not count:
                    raise FailedError("the connection was closed")
                taken += count
                self.left -= count
        except BlockingIOError:
            pass
        return taken, self.left == 0

    def _begin(self, piece: bytes) -> None:
        self.head += piece
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            if len(self.head) == HEAD:
                raise FailedError("there is no end of its head")
            return
        status, *fields = self.head[:end].lower().split(b"\r\n")
        lengths = [value for name, _, value in (field.partition(b":") for field in fields) if name == b"content-length"]
        if status.split()[1:2] != [b"200"] or len(lengths) != 1:
            raise FailedError(f"it is not a 200 with a length: {self.head[:end]!r}")
        self.left = int(lengths[0]) - (len(self.head) - end - 4)


def load(connections: list[Connection], paths: Iterator[str], seconds: float, requests: int) -> dict[str, float]:
    """Keeps all connections busy until it is time; with `requests`, until so many were answered."""
    ready = select.epoll()
    by_number = {connection.socket.fileno(): connection for connection in connections}
    took: list[float] = []
    total, asked = 0, 0
    began = time.perf_counter()
    for number, connection in by_number.items():
        ready.register(number, select.EPOLLIN)
        if not requests or asked < requests:
            connection.ask(next(paths))
            asked += 1
    while len(took) < requests if requests else time.perf_counter() - began < seconds:
        # A request may not take longer.
        found = ready.poll(30)
        if not found:
            raise FailedError("nothing came for 30 seconds")
        for number, _ in found:
            connection = by_number[number]
            taken, whole = connection.take()
            total += taken
            if not whole:
                continue
            took.append(time.perf_counter() - connection.asked)
            if not requests or asked < requests:
                connection.ask(next(paths))
                asked += 1
    ended = time.perf_counter()
    if not took:
        raise FailedError("no answer came in time")
    took.sort()
    return {
        "requests": len(took),
        "seconds": ended - began,
        "bytes": total,
        "p50": took[len(took) // 2] * 1e3,
        "p99": took[len(took) * 99 // 100] * 1e3,
    }


def main() -> None:
    """Reads the command line and the paths."""
    host, port = sys.argv[1].split(":")
    count, unit, number = sys.argv[2:]
    paths = itertools.cycle(sys.stdin.read().split())
    connections = [Connection(host, int(port)) for _ in range(int(count))]
    limits = (float(number), 0) if unit == "seconds" else (0.0, int(number))
    print(json.dumps(load(connections, paths, *limits)))


if __name__ == "__main__":
    main()
