"""A NuGet feed that has every package whose id says how large it is.

`faults.7.40000` is a package of some 40,000 bytes; the 7 tells it from others of its size. Its bytes follow
from its id alone, so that the tests know what must arrive, whoever was asked for it. Nothing here is
nugate's code.
"""

import functools
import http.server
import io
import json
import random
import re
import threading
import zipfile

ID = re.compile(r"faults\.\d+\.(\d+)")
VERSION = "1.0.0"
LIST = json.dumps({"versions": [VERSION]}).encode()


def name(number, size):
    """The id of a package."""
    return f"faults.{number}.{size}"


@functools.lru_cache(maxsize=64)
def package(package_id):
    """The bytes of a package: an archive with a manifest and data that no compression makes smaller."""
    size = int(ID.fullmatch(package_id).group(1))
    manifest = (
        '<?xml version="1.0"?><package><metadata>'
        f"<id>{package_id}</id><version>{VERSION}</version>"
        "<authors>faults</authors><description>For tests.</description>"
        "</metadata></package>"
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr(zipfile.ZipInfo(f"{package_id}.nuspec"), manifest)
        writer.writestr(zipfile.ZipInfo("data"), random.Random(package_id).randbytes(size))
    return archive.getvalue()


def package_path(package_id):
    """Where nugate has a package."""
    return f"/v3/flat/{package_id}/{VERSION}/{package_id}.{VERSION}.nupkg"


def list_path(package_id):
    """Where nugate has the versions of a package."""
    return f"/v3/flat/{package_id}/index.json"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers nugate."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        """One request."""
        body, kind = self.find()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        try:
            self.wfile.write(body or b"")
        except OSError:
            self.close_connection = True

    def find(self):
        """The document at the path and its type."""
        parts = self.path.strip("/").split("/")
        if parts == ["index.json"]:
            base = f"http://127.0.0.1:{self.server.server_address[1]}/flat/"
            resource = {"@id": base, "@type": "PackageBaseAddress/3.0.0"}
            index = {"version": "3.0.0", "resources": [resource]}
            return json.dumps(index).encode(), "application/json"
        if len(parts) < 3 or parts[0] != "flat" or not ID.fullmatch(parts[1]):
            return None, "text/plain"
        if parts[2:] == ["index.json"]:
            return LIST, "application/json"
        if parts[2:] == [VERSION, f"{parts[1]}.{VERSION}.nupkg"]:
            return package(parts[1]), "application/octet-stream"
        return None, "text/plain"

    def handle(self):
        """A nugate that is killed resets its connections."""
        try:
            super().handle()
        except OSError:
            pass

    def log_message(self, *_):
        """Says nothing."""


class Feed(http.server.ThreadingHTTPServer):
    """The feed, on a free port, until the process ends."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        """Its service index."""
        return f"http://127.0.0.1:{self.server_address[1]}/index.json"
