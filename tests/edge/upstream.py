"""The upstream of both servers: a feed of one document a package, which writes down what reaches it.

What a proxy lets through of a request within another arrives here as a request of its own, since connections are
kept open and read one request after the other.
"""

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from feed import FLAT, INDEX, list_path

ECHO = "/raw/edge/"
# More than the buffers of a socket on both sides.
LARGE, LARGE_BYTES = "/raw/edge/large", 30 << 20
# Answered after so many seconds.
SLOW, SLOW_SECONDS = "/raw/edge/slow", 2.0


@dataclass(frozen=True)
class Seen:
    """A request that arrived whole."""

    method: str
    target: str
    body: bytes


class Upstream:
    """Answers until it is closed."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        recording = type("Recording", (_Handler,), {"upstream": self})
        self._server = _Server(("127.0.0.1", 0), recording)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def note(self, seen: Seen) -> None:
        """Writes a request down."""
        with self._lock:
            self._seen.append(seen)

    def taken(self) -> list[Seen]:
        """What has arrived since it was last asked."""
        with self._lock:
            seen, self._seen = self._seen, []
            return seen

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def index(self) -> bytes:
        """The service index; packages can be pushed."""
        resources = {"PackageBaseAddress/3.0.0": f"{FLAT}/", "PackagePublish/2.0.0": "/push"}
        listed = [{"@id": self.base + path, "@type": kind} for kind, path in resources.items()]
        return json.dumps({"version": "3.0.0", "resources": listed}).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        # Proxies leave when a client's request turns out wrong.
        pass


class _Handler(BaseHTTPRequestHandler):
    upstream: Upstream
    protocol_version = "HTTP/1.1"
    # A head and a body in two packets wait for each other otherwise.
    disable_nagle_algorithm = True

    def answer(self) -> None:
        """Any method: reads the body, notes the request, and answers by the path."""
        body = self._body()
        if body is None:
            self.close_connection = True
            return
        self.upstream.note(Seen(self.command, self.path, body))
        path = self.path.partition("#")[0].partition("?")[0]
        name = path.removeprefix(f"{FLAT}/").removesuffix("/index.json")
        if path == INDEX:
            self._say(200, self.upstream.index())
        elif path == list_path(name):
            self._say(200, json.dumps({"versions": [f"1.0.0-{name}"]}).encode())
        elif path == SLOW:
            time.sleep(SLOW_SECONDS)
            self._say(200, b"slow\n")
        elif path == LARGE:
            self._say(200, bytes(LARGE_BYTES))
        else:
            self._say(200 if path.startswith(ECHO) else 404, b"echo\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = answer

    def _body(self) -> bytes | None:
        """The body; none when it does not come to its end."""
        if "transfer-encoding" not in self.headers:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            return body if len(body) == length else None
        body = b""
        while size := int(self.rfile.readline() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        return body if self.rfile.readline() else None

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "max-age=3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
