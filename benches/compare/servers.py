"""The servers that are compared, each with what it needs to run beside the others."""

import http.client
import os
import shlex
import shutil
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import nginx
from machine import Cores
from process import Process, free_port, until

CONNECTIONS_MAX = 20_000
# An entity is looked for in memory of this size by those that have no disk.
MEMORY = "1G"


@dataclass(frozen=True)
class Place:
    """Where servers run: programs by name, cores, the origin's address and the certificate for https."""

    programs: dict[str, str]
    cores: Cores
    origin: str
    certificate: Path | None = None
    key: Path | None = None

    def pinned(self, name: str, core: int, *arguments: str) -> list[str]:
        """The command of a program that stays on a core."""
        command = [self.programs[name], *arguments]
        if "taskset" in self.programs:
            return [self.programs["taskset"], "-c", str(core), *command]
        return command


@dataclass
class Answer:
    """What a server said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes = field(repr=False)


def ask(port: int, path: str, tls: bool = False) -> Answer:
    """A GET on this machine, whatever the certificate."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    if tls:
        trust = ssl._create_unverified_context()
        client = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=trust)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        client.close()


class Server(ABC):
    """One of those that are compared. A folder is all that it keeps."""

    name: str
    needs: tuple[str, ...]

    def __init__(self, place: Place, folder: Path, tls: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.place, self.folder, self.tls = place, folder, tls
        self.port = free_port()
        self.process = self.spawn()

    @abstractmethod
    def spawn(self) -> Process:
        """Starts it before the origin."""

    @abstractmethod
    def is_hit(self, answer: Answer) -> bool:
        """Whether it answered from what it keeps."""

    def rewrites(self) -> bool:
        """Whether links of documents lead to it."""
        return False

    def path_ready(self, path: str) -> str:
        """What is answered with 200 when it is ready to answer `path`."""
        return path

    @property
    def base(self) -> str:
        """Its URL, without a path."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def get(self, path: str) -> Answer:
        """Asks it for a path."""
        return ask(self.port, path, self.tls)

    def wait(self, path: str) -> None:
        """Waits until it is ready to answer a path."""

        def answered() -> bool:
            self.process.check()
            try:
                return self.get(self.path_ready(path)).status == 200
            except OSError:
                return False

        until(answered, f"{self.name} answers", pause=0.0005)

    def end(self) -> None:
        """Ends it; what it kept stays."""
        self.process.end()


class Nugate(Server):
    """nugate as it is without a configuration, its log going to a file."""

    name = "nugate"
    needs = ("nugate",)

    def spawn(self) -> Process:
        command = self.place.pinned("nugate", self.place.cores.server, "serve")
        command += ["--upstream", f"{self.place.origin}/v3/index.json"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--cache-dir", str(self.folder / "cache")]
        return Process(command, self.folder / "log", **self.settings(), **self.secrets())

    def settings(self) -> dict[str, str]:
        """What is not as it is without a configuration."""
        return {
            "NUGATE_CONNECTIONS_MAX": str(CONNECTIONS_MAX),
            # All clients have one address.
            "NUGATE_CONNECTIONS_PER_CLIENT_MAX": str(CONNECTIONS_MAX),
            # Entries that are made up count for more than there is.
            "NUGATE_CACHE__SIZE_MAX": "1 TiB",
            "NUGATE_CACHE__FREE_MIN": "0 B",
        }

    def secrets(self) -> dict[str, str]:
        """Its certificate, for https."""
        if not self.tls:
            return {}
        return {
            "NUGATE_TLS__CERTIFICATE": str(self.place.certificate),
            "NUGATE_TLS__KEY": str(self.place.key),
        }

    def is_hit(self, answer: Answer) -> bool:
        return "; hit" in answer.headers.get("Cache-Status", "")

    def rewrites(self) -> bool:
        return True

    def path_ready(self, path: str) -> str:
        return "/-/ready"


class Nginx(Server):
    """nginx with a cache on the disk and what Debian sets."""

    name = "nginx"
    needs = ("nginx",)
    options = nginx.Options()

    def spawn(self) -> Process:
        tls = (self.place.certificate, self.place.key) if self.tls else None
        text = nginx.proxy(self.folder, self.port, self.place.origin, self.options, tls)
        return nginx_process(self.place, self.place.cores.server, self.folder, text)

    def is_hit(self, answer: Answer) -> bool:
        return answer.headers.get("X-Cache") == "HIT"

    def rewrites(self) -> bool:
        return self.options.rewrite


class NginxOpenFiles(Nginx):
    """The same, holding files open."""

    name = "nginx, open_file_cache"
    options = nginx.Options(open_files=True)


class NginxRewriting(Nginx):
    """The same, its links changed for each answer."""

    name = "nginx, sub_filter"
    options = nginx.Options(rewrite=True)


class NginxRewritingTuned(Nginx):
    """The same, set to what was fastest."""

    name = "nginx, sub_filter tuned"
    options = nginx.Options(rewrite=True, sendfile=False)


class Varnish(Server):
    """Varnish with its cache in memory. It writes no access log."""

    name = "Varnish"
    needs = ("varnishd",)

    def spawn(self) -> Process:
        host, port = self.place.origin.removeprefix("http://").split(":")
        rules = self.folder / "rules.vcl"
        rules.write_text(
            f'vcl 4.1;\nbackend default {{ .host = "{host}"; .port = "{port}"; }}\n'
            "sub vcl_backend_response { set beresp.ttl = 1d; }\n",
            encoding="ascii",
        )
        command = self.place.pinned("varnishd", self.place.cores.server, "-F", "-j", "none")
        command += ["-a", f"127.0.0.1:{self.port}", "-f", str(rules), "-s", f"malloc,{MEMORY}"]
        command += ["-n", str(self.folder / "work"), "-p", "thread_pools=1"]
        command += ["-p", f"thread_pool_max={CONNECTIONS_MAX}", "-p", "timeout_idle=300"]
        return Process(self.with_log(command), self.folder / "log")

    def with_log(self, command: list[str]) -> list[str]:
        """The command with what writes an access log beside it."""
        return command

    def is_hit(self, answer: Answer) -> bool:
        return len(answer.headers.get("X-Varnish", "").split()) == 2


class VarnishLogging(Varnish):
    """The same with its own program for an access log, which ends with it."""

    name = "Varnish, varnishncsa"
    needs = ("varnishd", "varnishncsa", "setpriv")

    def with_log(self, command: list[str]) -> list[str]:
        log = self.place.pinned("setpriv", self.place.cores.server, "--pdeathsig", "TERM")
        log += [self.place.programs["varnishncsa"], "-n", str(self.folder / "work")]
        log += ["-w", str(self.folder / "access.log")]
        return ["sh", "-c", f"{shlex.join(log)} & exec {shlex.join(command)}"]


class TrafficServer(Server):
    """Apache Traffic Server with its cache in memory. It writes the access log that Debian sets."""

    name = "Traffic Server"
    needs = ("traffic_server",)
    user = "trafficserver"

    def spawn(self) -> Process:
        folder = self.folder
        places = {f"{name}dir": f"/usr/{path}" for name, path in self.installed.items()}
        for name in ("sysconf", "data", "localstate", "runtime", "log", "cache"):
            (folder / name).mkdir(exist_ok=True)
            places[f"{name}dir"] = str(folder / name)
        root = folder / "runroot.yaml"
        root.write_text("".join(f"{name}: {path}\n" for name, path in places.items()), encoding="ascii")
        settings = folder / "sysconf"
        lines = (f"CONFIG proxy.config.{line}\n" for line in self.settings())
        (settings / "records.config").write_text("".join(lines), encoding="ascii")
        (settings / "storage.config").write_text(f"{folder / 'cache'} {MEMORY}\n", encoding="ascii")
        (settings / "remap.config").write_text(f"map / {self.place.origin}/\n", encoding="ascii")
        (settings / "logging.yaml").write_text(self.log, encoding="ascii")
        allowed = "ip_allow:\n  - apply: in\n    ip_addrs: 127.0.0.1\n    action: allow\n    methods: ALL\n"
        (settings / "ip_allow.yaml").write_text(allowed, encoding="ascii")
        if os.geteuid() == 0:
            # It goes on as its own user, who must get there.
            for above in folder.parents:
                if above.stat().st_mode & 0o001 == 0:
                    above.chmod(0o711)
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, self.user)
        command = self.place.pinned("traffic_server", self.place.cores.server, f"--run-root={root}")
        return Process(command, folder / "out")

    log = """logging:
  formats:
    - name: squid
      format: '%<cqtq> %<ttms> %<chi> %<crc>/%<pssc> %<psql> %<cqhm> %<cquc> %<caun> %<phr>/%<shn> %<psct>'
  logs:
    - filename: squid
      format: squid
      mode: binary
"""
    installed = {
        "exec_prefix": "",
        "bin": "bin",
        "sbin": "sbin",
        "include": "include",
        "lib": "lib/trafficserver",
        "libexec": "lib/trafficserver/modules",
    }

    def settings(self) -> list[str]:
        """One thread, as the others have; everything else as Debian has it."""
        return [
            f"http.server_ports STRING {self.port}",
            f"admin.user_id STRING {self.user}",
            "exec_thread.autoconfig INT 0",
            "exec_thread.limit INT 1",
            "accept_threads INT 1",
            "log.logging_enabled INT 3",
            "http.insert_response_via_str INT 2",
            "http.cache.required_headers INT 0",
            "http.cache.heuristic_min_lifetime INT 86400",
        ]

    def is_hit(self, answer: Answer) -> bool:
        # From its disk, or from its memory.
        via = answer.headers.get("Via", "")
        return "[cH" in via or "[cR" in via


def nginx_process(place: Place, core: int, folder: Path, text: str) -> Process:
    """An nginx with that configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "nginx.conf"
    settings.write_text(text, encoding="utf-8")
    command = place.pinned("nginx", core, "-p", str(folder), "-c", str(settings))
    return Process([*command, "-e", str(folder / "error.log")], folder / "log")
