"""The feed that all servers stand before: files that are always the same, served by an nginx.

Packages are real archives: nugate verifies each one that it stores. Those of one size differ in their
comment only, so that they are made fast and yet none has the digest of another. The paths are those of
nugate, so that every server is asked the same.
"""

import io
import json
import os
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

# The end of each package, which makes it another one.
STAMP = 64
LIST_BYTES, REGISTRATION_BYTES = 4_000, 60_000
KB, MB = 1_000, 1_000_000
# How many packages of which size a restore asks for, of a hundred.
CLOSURE = ((80, 20 * KB), (15, 100 * KB), (5, 700 * KB))
INDEX = "/v3/index.json"
FLAT = "/v3/flat"
REGISTRATIONS = "/v3/registration-gz-semver2"


@dataclass(frozen=True)
class Scale:
    """How much of everything there is; the defaults are what the figures are about. Durations are seconds: of a
    sample, before memory is looked at, of doing nothing after which a server is done, and for which connections are
    silent or closed before they count as idle or gone. With `requests`, a sample is so many of them, however long they
    take."""

    seconds: float = 3.0
    requests: int = 0
    rest: float = 1.0
    quiet: float = 0.3
    misses_20k: int = 2_000
    misses_700k: int = 200
    working_set: int = 400
    largest: int = 20 * MB
    closures: int = 3
    closure: int = 100
    passes: int = 50
    entries: tuple[int, int, int] = (1_000, 100_000, 1_000_000)
    lookups: int = 20_000
    connections: tuple[int, int, int, int] = (1, 100, 1_000, 10_000)
    idle: float = 15.0


SMOKE = Scale(0.05, 64, 0.05, 0.05, 40, 8, 8, 2 * MB, 1, 10, 2, (100, 1_000, 2_000), 200, (1, 8, 32, 64), 0.05)


def package_path(name: str) -> str:
    """Where a package is."""
    return f"{FLAT}/{name}/1.0.0/{name}.1.0.0.nupkg"


def list_path(name: str) -> str:
    """Where the list of its versions is."""
    return f"{FLAT}/{name}/index.json"


def registration_path(name: str) -> str:
    """Where its registration is."""
    return f"{REGISTRATIONS}/{name}/index.json"


def archive(size: int) -> bytes:
    """A package of about `size` bytes that inflates to half as much again, without its stamp."""
    noise = random.Random(size)
    pieces, length = [], 0
    # Deflated, the noise keeps its length and the rest nearly vanishes.
    while length < size * 3 // 2:
        piece = noise.randbytes(2_000) + b"\0" * 1_000
        pieces.append(piece)
        length += len(piece)
    whole = b"".join(pieces)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(zipfile.ZipInfo("package.nuspec"), "<package/>")
        step = 512 * 1024
        for number, at in enumerate(range(0, len(whole), step)):
            entry = zipfile.ZipInfo(f"lib/{number}.dll")
            entry.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(entry, whole[at : at + step])
        package.comment = b" " * STAMP
    return file.getvalue()


def versions() -> bytes:
    """A list of versions as that of an old package."""
    found: list[str] = []
    while len(json.dumps(found)) < LIST_BYTES:
        found.append(f"{len(found) // 10}.{len(found) % 10}.0")
    return json.dumps({"versions": found}).encode()


def registration(base: str, name: str) -> bytes:
    """A registration index with its leaves, whose links are those of the origin."""
    index = f"{base}{registration_path(name)}"
    leaves: list[dict[str, object]] = []
    while len(leaves) * 640 < REGISTRATION_BYTES:
        version = f"1.{len(leaves)}.0"
        content = f"{base}{FLAT}/{name}/{version}/{name}.{version}.nupkg"
        leaf = f"{base}{REGISTRATIONS}/{name}/{version}.json"
        entry = {
            "@id": leaf,
            "authors": "Some Publisher",
            "description": "A library that does something, told in a sentence.",
            "id": name,
            "listed": True,
            "packageContent": content,
            "published": "2025-06-10T09:31:07+00:00",
            "version": version,
        }
        leaves.append({"@id": leaf, "catalogEntry": entry, "packageContent": content, "registration": index})
    page = {"@id": f"{index}#page", "count": len(leaves), "items": leaves, "lower": "1.0.0", "upper": version}
    return json.dumps({"@id": index, "count": 1, "items": [page]}).encode()


def service_index(base: str) -> bytes:
    """What the feed offers."""
    resources = [
        {"@id": f"{base}{FLAT}/", "@type": "PackageBaseAddress/3.0.0"},
        {"@id": f"{base}{REGISTRATIONS}/", "@type": "RegistrationsBaseUrl/3.6.0"},
    ]
    return json.dumps({"version": "3.0.0", "resources": resources}).encode()


class Files:
    """The files of the feed below a folder; what is asked for first is made first."""

    def __init__(self, root: Path, base: str) -> None:
        self.root, self.base = root, base
        self._archives: dict[int, bytes] = {}
        self._put(INDEX, service_index(base))

    def package(self, name: str, size: int) -> str:
        """The path of a package of about `size` bytes."""
        path = package_path(name)
        if not self.file(path).exists():
            if size not in self._archives:
                self._archives[size] = archive(size)
            whole = self._archives[size]
            self._put(path, whole[:-STAMP] + name.encode().ljust(STAMP))
        return path

    def packages(self, kind: str, count: int, size: int) -> list[str]:
        """The paths of that many packages."""
        return [self.package(f"{kind}.p{number:05}", size) for number in range(count)]

    def versions(self, name: str) -> str:
        """The path of a list of versions."""
        path = list_path(name)
        if not self.file(path).exists():
            self._put(path, versions())
        return path

    def registration(self, name: str) -> str:
        """The path of a registration."""
        path = registration_path(name)
        self._put(path, registration(self.base, name))
        return path

    def closure(self, number: int, packages: int) -> list[str]:
        """What a restore asks for: of each package the list of versions, and itself."""
        paths = []
        for share, size in CLOSURE:
            for index in range(max(1, share * packages // 100)):
                name = f"closure{number}.s{size}.p{index}"
                paths += [self.versions(name), self.package(name, size)]
        return paths

    def file(self, path: str) -> Path:
        """Where a path lies on the disk."""
        return self.root / path.lstrip("/")

    def _put(self, path: str, body: bytes) -> None:
        file = self.file(path)
        os.makedirs(file.parent, exist_ok=True)
        file.write_bytes(body)
