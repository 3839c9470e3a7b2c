"""A program that is measured: started on a core of its own, watched through /proc, and ended."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PATIENCE = 60.0

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], what: str, pause: float = 0.005) -> Found:
    """Polls a condition, and returns what it found."""
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"after {PATIENCE:.0f} s still not: {what}")
        time.sleep(pause)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Process:
    """A running program and the processes that it started. What it writes goes to a file."""

    running: set["Process"] = set()

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        self.log, self.command = log, " ".join(command)
        with log.open("wb") as file:
            self.child = subprocess.Popen(
                command,
                env={**neutral(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        Process.running.add(self)

    def check(self) -> None:
        """Raises when it has ended."""
        if self.child.poll() is not None:
            said = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.command} ended with {self.child.returncode}: {said}")

    def tree(self) -> list[int]:
        """The process and all below it."""
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and (fields := status(int(name))):
                children.setdefault(int(fields[1]), []).append(int(name))
        found, waiting = [], [self.child.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, [])
        return found

    def cpu(self) -> float:
        """Seconds of processor time, user and system, that it and those below it have used."""
        return sum(map(processor_time, self.tree()))

    def memory(self) -> float:
        """Mebibytes of memory; what processes share counts once in all (PSS)."""
        total = 0
        for pid in self.tree():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            except OSError:
                continue
            total += int(line(rollup, "Pss").removesuffix(" kB"))
        return total / 1024

    def settle(self, quiet: float) -> None:
        """Waits until it has done nothing for so many seconds."""
        seen, since = self.cpu(), time.monotonic()
        end = since + PATIENCE
        while time.monotonic() - since < quiet and time.monotonic() < end:
            time.sleep(0.05)
            if (now := self.cpu()) > seen:
                seen, since = now, time.monotonic()

    def end(self) -> None:
        """Ends it in order, or after a while in disorder."""
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(PATIENCE / 4)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        Process.running.discard(self)


def neutral() -> dict[str, str]:
    """Our environment without settings of nugate."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NUGATE_")}


def status(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name; `None` when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def processor_time(pid: int) -> float:
    """Seconds of all threads of a process, also of those that have ended: the clock that `clock_getcpuclockid` names
    (Linux: CPUCLOCK_SCHED), since the fields of /proc/PID/stat count hundredths only."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def catches(pid: int, number: int) -> bool:
    """Whether a process does something of its own about a signal."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return int(line(text, "SigCgt"), 16) >> (number - 1) & 1 == 1


def line(text: str, name: str) -> str:
    """The value behind a name and a colon at the beginning of a line; nothing is as good as 0."""
    found = re.search(rf"^{name}:\s*(.*)$", text, re.MULTILINE)
    return found.group(1) if found else "0"
