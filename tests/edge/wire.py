"""Sends a vector to a server, and tells what became of it and of what follows it."""

import re
import socket
from dataclasses import dataclass

from upstream import Seen, Upstream
from vectors import AFTER, Need, Vector

# Seconds without anything after which a server waits for more, and for a connection.
QUIET = 1.5
PATIENCE = 30.0
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
# The body of an answer to a request that was meant to be answered has one of these.
AFTER_SAID = b"1.0.0-after"


@dataclass(frozen=True)
class Outcome:
    """What a server did. `rest` is whether it answered what follows the request, `strays` what is wrong with what
    reached the upstream."""

    statuses: tuple[int, ...]
    rest: bool
    end: str
    asked: bool
    strays: tuple[str, ...]

    @property
    def served(self) -> bool:
        """Whether the request was answered."""
        final = [status for status in self.statuses if status >= 200]
        return bool(final) and final[0] < 400

    @property
    def strictness(self) -> int:
        """0 when it was answered, 1 when not, 2 when nothing behind it was answered either."""
        if self.served:
            return 0
        return 1 if self.rest else 2

    def __str__(self) -> str:
        said = [str(status) for status in dict.fromkeys(self.statuses)] or ["nothing"]
        end = ["goes on"] if self.rest else []
        if not self.rest or self.end.startswith("RST"):
            end.insert(0, self.end)
        return ", ".join(["+".join(said), *end, *self.strays])


def try_out(vector: Vector, port: int, upstream: Upstream, number: int) -> Outcome:
    """Sends a vector and what follows it on one connection."""
    name, hidden = f"asked{number}", hidden_name(number)
    request = vector.request.replace(b"NAME", name.encode()).replace(b"HIDDEN", hidden.encode())
    upstream.taken()
    received, end = _exchange(port, request + AFTER)
    seen = [one for one in upstream.taken() if "after" not in one.target]
    strays = [f"upstream got {one.method} {one.target}" for one in seen if not _expected(one, vector, name, number)]
    if hidden.encode() in received:
        strays.append("answers a request within the body")
    statuses = tuple(int(status) for status in STATUS.findall(received))
    return Outcome(statuses, AFTER_SAID in received, end, bool(seen), tuple(strays))


def hidden_name(number: int) -> str:
    """What stands for `HIDDEN`, as long as that."""
    return f"h{number:05}"


def _expected(seen: Seen, vector: Vector, name: str, number: int) -> bool:
    """Whether a request that reached the upstream is the vector's, with the body that it has for everyone."""
    body = vector.body.replace(b"HIDDEN", hidden_name(number).encode())
    if seen.target == "/v3/index.json":
        return True
    return name in seen.target and seen.body in (b"", body)


def _exchange(port: int, request: bytes) -> tuple[bytes, str]:
    """What came, and how it ended."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(request)
        except OSError:
            # It had enough; what it said is there all the same.
            pass
        connection.settimeout(QUIET)
        while True:
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                return received, "waits"
            except OSError:
                return received, "reset"
            if not piece:
                return received, "closed"
            received += piece


def verdict(vector: Vector, ours: Outcome, theirs: Outcome) -> str:
    """What is to be said of ours beside theirs; what begins with a word in capitals is a lapse.

    It must do what the vector needs, and refuse what nginx refuses unless there is an excuse. Nothing may reach the
    upstream but the request, and nothing within it be answered.
    """
    if ours.strays:
        return "WRONG: " + ours.strays[0]
    if vector.need is Need.SERVE:
        return "served" if ours.served else "WRONG: refused"
    if vector.need is Need.CLOSE and ours.rest:
        return "LAX"
    least = {Need.REFUSE: 1, Need.END: 2}.get(vector.need, 0)
    # A request that ends where it ends is not safer when the connection is closed.
    theirs_least = 0 if vector.excuse else min(theirs.strictness, 1)
    if ours.strictness < max(least, theirs_least):
        return "LAX"
    if ours.strictness < theirs.strictness and vector.excuse:
        return "excused"
    return "as strict" if ours.strictness <= theirs.strictness else "stricter"


def is_lapse(said: str) -> bool:
    """Whether a verdict is one."""
    return said.startswith(("LAX", "WRONG"))
