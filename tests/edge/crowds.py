"""Many connections that do little: what they cost, when they are ended, and what others notice."""

import resource
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from feed import list_path
from process import Process
from servers import Server
from upstream import LARGE
from watch import Answers, Watch

PATH = list_path("crowd")
ASK = f"GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
# The beginning of a ClientHello.
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)
DRIP_SECONDS, COUNT_SECONDS = 1.0, 0.5
# A state of /proc/net/tcp.
ESTABLISHED = "01"
MOST_EVENTS = 65_536
# Descriptors for everything else.
RESERVE = 500
OTHERS_MS = 1000.0
# What may be left of the memory of connections that are gone, in MiB.
LEFT_MIB = 64.0


@dataclass(frozen=True)
class Crowd:
    """Connections that all do the same: say something, then perhaps a byte a second. `limit` is after how many
    seconds the last of them must be gone; `answered` is whether each waits for an answer first and is idle then."""

    name: str
    title: str
    says: bytes = b""
    drips: bytes = b""
    limit: float = 0.0
    answered: bool = False
    tls: bool = False
    reads: bool = True


@dataclass
class Found:
    """What a crowd came to. Memory is in MiB: before, with it, and after it; seconds are those of the first and the
    last end, none when nobody was sent away in time."""

    count: int
    held: int
    memory: tuple[float, float, float]
    first: float | None
    last: float | None
    left: int
    others: Answers

    def json(self) -> dict[str, object]:
        """For whoever reads it later."""
        return asdict(self)


HALF_BODY = b"POST /raw/edge/half HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nhello"
UNREAD = f"GET {LARGE} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()

CROWDS = (
    Crowd("silent", "connect and say nothing", limit=30),
    Crowd("half-head", "half a head", b"GET / HTTP/1.1\r\nhost: loc", limit=15),
    Crowd("dripping-head", "a byte of a head a second", b"GET / HTTP/1.1\r\nx: ", b"y", limit=15),
    Crowd("half-hello", "half a TLS handshake", HALF_HELLO, limit=10, tls=True),
    # At most a minute for a place at the upstream, half of that for more of the body, and a moment to leave.
    Crowd("half-body", "half a body", HALF_BODY, limit=95),
    Crowd("dripping-body", "a byte of a body a second", HALF_BODY, b"y", limit=120),
    Crowd("unread", "answers of 30 MB that are not read", UNREAD, limit=60, reads=False),
    Crowd("idle", "one answer, then nothing", ASK, limit=90, answered=True),
)


def raise_limit() -> int:
    """Lets us, and the servers that we start, hold as many descriptors as may be; how many connections that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (65_536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, max(most, hard)))
            return most - RESERVE
        except (OSError, ValueError):
            continue
    return soft - RESERVE


class Members:
    """The connections of a crowd."""

    def __init__(self, crowd: Crowd, port: int, stack: ExitStack) -> None:
        self.crowd, self.port, self.began = crowd, port, time.monotonic()
        self.ends: list[float] = []
        self._stack = stack
        self._open: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        stack.callback(self._poll.close)
        self._dripped = self._counted = self.began

    def join(self, count: int) -> None:
        """Connects so many, and lets them say what they have to say."""
        for _ in range(count):
            one = self._stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=30))
            if self.crowd.says:
                one.sendall(self.crowd.says)
            if self.crowd.answered and not one.recv(4096):
                raise ConnectionError("the server closed a connection that it was to keep")
            one.setblocking(False)
            self._open[one.fileno()] = one
            self._poll.register(one.fileno(), select.EPOLLIN)

    @property
    def left(self) -> int:
        """How many are not ended."""
        return len(self._open)

    def look(self) -> None:
        """Notes whose end has come, and lets the others drip."""
        now = time.monotonic()
        if self.crowd.reads:
            for number, _ in self._poll.poll(0.02, MOST_EVENTS):
                if _is_over(self._open[number]):
                    self._poll.unregister(number)
                    self._gone(number, now)
        elif now - self._counted > COUNT_SECONDS:
            self._counted = now
            there = established(self.port)
            for number in [number for number, one in self._open.items() if one.getsockname()[1] not in there]:
                self._gone(number, now)
        if self.crowd.drips and now - self._dripped > DRIP_SECONDS:
            self._dripped = now
            for one in self._open.values():
                try:
                    one.send(self.crowd.drips)
                except OSError:
                    # The next look finds its end.
                    pass

    def _gone(self, number: int, now: float) -> None:
        del self._open[number]
        self.ends.append(now - self.began)


def _is_over(one: socket.socket) -> bool:
    """Whether the other side has ended a connection that has something to tell."""
    try:
        return not one.recv(65_536)
    except BlockingIOError:
        return False
    except OSError:
        return True


def established(port: int) -> set[int]:
    """The ports of clients whose connections the server on `port` has not closed. Clients that read nothing do not
    hear of it."""
    there = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == ESTABLISHED and int(local.partition(":")[2], 16) == port:
            there.add(int(remote.partition(":")[2], 16))
    return there


def run(crowds: list[Crowd], server: Server, count: int, patience: float) -> dict[str, Found]:
    """Lets crowds come to a server at once, and watches them until all are gone or patience is over."""
    for path in (PATH, LARGE):
        # What it is asked for is kept: it is not the upstream that is measured.
        server.get(path)
    before = server.process.memory()
    with ExitStack() as stack, Watch(server.port, PATH, server.tls) as watch:
        members = [Members(crowd, server.port, stack) for crowd in crowds]
        for one in members:
            one.join(count)
        for one in members:
            one.look()
        held, with_them = {one.crowd.name: one.left for one in members}, server.process.memory()
        end = time.monotonic() + patience
        while any(one.left for one in members) and time.monotonic() < end:
            for one in members:
                one.look()
        left = {one.crowd.name: one.left for one in members}
    after = _after(server.process)
    return {
        one.crowd.name: Found(
            count,
            held[one.crowd.name],
            (before, with_them, after),
            min(one.ends, default=None),
            max(one.ends) if not left[one.crowd.name] else None,
            left[one.crowd.name],
            watch.answers,
        )
        for one in members
    }


def _after(process: Process) -> float:
    """The memory when what has ended is over."""
    process.settle(0.5)
    time.sleep(1)
    return process.memory()


def held(server: Server, count: int, source: str) -> Found:
    """Connections of one address, each of which asked once, all of them held for a moment; others, of the address
    `source`, ask meanwhile."""
    server.get(PATH)
    crowd = Crowd("held", "", ASK, answered=True)
    before = server.process.memory()
    with ExitStack() as stack:
        members = Members(crowd, server.port, stack)
        members.join(count)
        with Watch(server.port, PATH, server.tls, source) as watch:
            time.sleep(2)
            with_them = server.process.memory()
        members.look()
        left = members.left
    return Found(count, left, (before, with_them, _after(server.process)), None, None, left, watch.answers)


def lapses(crowd: Crowd, found: Found) -> list[str]:
    """What is wrong with what came of a crowd that must be gone in time."""
    wrong = others_lapses(found)
    # Each is looked at in its own time, and two seconds are for those that are asked to leave.
    if crowd.limit and (found.last is None or found.last > crowd.limit * 1.2 + 3):
        wrong.append(f"{found.left} were left after {crowd.limit:g} s, the last went at {found.last}")
    return wrong


def others_lapses(found: Found) -> list[str]:
    """What is wrong for others, and afterwards."""
    wrong = []
    if found.others.wrong or not found.others.right:
        wrong.append(f"{found.others.wrong} of {found.others.right + found.others.wrong} other requests failed")
    if found.others.p99 > OTHERS_MS:
        wrong.append(f"others waited {found.others.p99:.0f} ms (p99)")
    if found.memory[2] > found.memory[0] + LEFT_MIB:
        wrong.append(f"{found.memory[2]:.0f} MiB are left of {found.memory[0]:.0f}")
    return wrong
