"""The machine: its cores, the programs that it has, and what else it is doing."""

import atexit
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Where Debian has each program from.
PACKAGES = {
    "nginx": "nginx",
    "varnishd": "varnish",
    "varnishncsa": "varnish",
    "setpriv": "util-linux",
    "traffic_server": "trafficserver",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "openssl": "openssl",
    "taskset": "util-linux",
}
VERSIONS = {
    "nugate": ["--version"],
    "nginx": ["-v"],
    "varnishd": ["-V"],
    "traffic_server": ["-V"],
    "wrk": ["-v"],
    "h2load": ["--version"],
    "openssl": ["version"],
    "python3": ["--version"],
}
AUTOGROUP = Path("/proc/self/autogroup")
URGENCY = -20
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cores:
    """Which core the servers have, and which the clients and the origin. The same one if there is but one."""

    server: int
    client: int

    @staticmethod
    def choose() -> "Cores":
        """The first two cores that this process may use."""
        allowed = sorted(os.sched_getaffinity(0))
        return Cores(allowed[0], allowed[1] if len(allowed) > 1 else allowed[0])


def programs(nugate: str) -> dict[str, str]:
    """Paths of the programs that are there, by name."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])
    found = {name: shutil.which(name, path=path) for name in PACKAGES}
    if os.access(nugate, os.X_OK):
        found["nugate"] = os.path.abspath(nugate)
    found["python3"] = sys.executable
    return {name: where for name, where in found.items() if where}


def describe(found: dict[str, str]) -> dict[str, str]:
    """Machine and versions, for whoever reads the figures later."""
    about = {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
    }
    for name, flags in VERSIONS.items():
        if name in found:
            done = subprocess.run([found[name], *flags], capture_output=True, text=True, check=False)
            lines = (done.stdout + done.stderr).strip().splitlines()
            about[name] = version(lines[0]) if lines else "unknown"
    return about


def version(line: str) -> str:
    """The word of a line that looks like a version: `nginx version: nginx/1.22.1`."""
    for word in line.replace("/", " ").replace("-", " ").replace("(", " ").split():
        if word[0].isdigit():
            return word
    return line


def processor() -> str:
    """The name of the processor as the kernel tells it."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def busy() -> float:
    """Seconds that all cores together have worked since the machine was started."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / TICKS


def hurry() -> None:
    """Takes precedence over other work of this machine, for this process and all that it starts."""
    os.setpriority(os.PRIO_PROCESS, 0, URGENCY)
    # Between sessions the niceness of processes does not count where the kernel groups them, that of groups does.
    # The group is that of the whole session, which goes on after us.
    if AUTOGROUP.exists():
        before = AUTOGROUP.read_text(encoding="ascii").split()[-1]
        AUTOGROUP.write_text(str(URGENCY), encoding="ascii")
        atexit.register(AUTOGROUP.write_text, before, encoding="ascii")
