"""Another client, in a process of its own: whether it is answered meanwhile, and how soon."""

import http.client
import multiprocessing
import ssl
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

PAUSE = 0.01
PATIENCE = 10.0


@dataclass(frozen=True)
class Answers:
    """How many were right and how many not, and how long they took in milliseconds."""

    right: int
    wrong: int
    p50: float
    p99: float
    worst: float


class Watch:
    """Asks for a path, on a new connection each time, for as long as the block lasts. `source` is its address."""

    def __init__(self, port: int, path: str, tls: bool, source: str = "127.0.0.1") -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_ask, args=(theirs, port, path, tls, source), daemon=True)
        self.answers = Answers(0, 0, 0, 0, 0)

    def __enter__(self) -> "Watch":
        self._process.start()
        self._ours.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.send("enough")
        self.answers = self._ours.recv()
        self._process.join()


def _ask(pipe: Pipe, port: int, path: str, tls: bool, source: str) -> None:
    took: list[float] = []
    right = 0
    context = ssl._create_unverified_context()
    pipe.send("ready")
    while not pipe.poll(PAUSE):
        began = time.monotonic()
        if tls:
            client: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=PATIENCE, context=context, source_address=(source, 0)
            )
        else:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=(source, 0))
        try:
            client.request("GET", path)
            answer = client.getresponse()
            answer.read()
            right += answer.status == 200
        except (OSError, http.client.HTTPException):
            pass
        finally:
            client.close()
        took.append((time.monotonic() - began) * 1e3)
    took.sort()
    pipe.recv()
    pipe.send(Answers(right, len(took) - right, at(took, 0.5), at(took, 0.99), at(took, 1)))


def at(took: list[float], share: float) -> float:
    """What this share of sorted times is below."""
    return took[min(int(len(took) * share), len(took) - 1)] if took else 0.0
