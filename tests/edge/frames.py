"""HTTP/2 by hand (RFC 9113, RFC 7541): frames that no library would send, over TLS."""

import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = 8
INITIAL_WINDOW_SIZE = 4
# Names of codes (RFC 9113 section 7).
CODES = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR "
    "REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED"
).split()

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Frame:
    """A frame that arrived."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def code(payload: bytes) -> str:
    """The name of the code that a payload ends in."""
    number = int.from_bytes(payload[:4])
    return CODES[number] if number < len(CODES) else str(number)


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """An integer behind a prefix (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    value -= most
    found = bytearray([first | most])
    while value >= 128:
        found.append(value % 128 | 128)
        value //= 128
    return bytes([*found, value])


def literal(name: bytes, value: bytes, first: int = 0) -> bytes:
    """A field in plain letters; `first` 0x40 lets the other side remember it (RFC 7541 section 6.2)."""
    return bytes([first]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(fields: Fields) -> bytes:
    """Fields, none of them remembered."""
    return b"".join(literal(name, value) for name, value in fields)


def request(path: str, *more: tuple[bytes, bytes], method: str = "GET", authority: str = "localhost") -> Fields:
    """The fields of a request."""
    return [
        (b":method", method.encode()),
        (b":scheme", b"https"),
        (b":authority", authority.encode()),
        (b":path", path.encode("latin-1")),
        *more,
    ]


def headers(stream: int, fields: Fields, ends: bool = True) -> bytes:
    """A request in as many frames as it takes."""
    whole, most = block(fields), 16_384
    pieces = [whole[at : at + most] for at in range(0, len(whole), most)] or [b""]
    found = b""
    for number, piece in enumerate(pieces):
        kind = CONTINUATION if number else HEADERS
        flags = END_HEADERS if number == len(pieces) - 1 else 0
        flags |= END_STREAM if ends and not number else 0
        found += frame(kind, flags, stream, piece)
    return found


class Connection:
    """A connection whose greeting is over."""

    def __init__(self, port: int, patience: float = 30.0, settings: bytes = b"") -> None:
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=patience)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        if self.socket.selected_alpn_protocol() != "h2":
            raise ConnectionError("the server does not speak HTTP/2")
        self._left = b""
        self.send(PREFACE + frame(SETTINGS, payload=settings))

    def send(self, what: bytes) -> None:
        """Sends bytes; raises when the other side has ended the connection."""
        self.socket.sendall(what)

    def frames(self, wait: float) -> Iterator[Frame]:
        """What arrives, until nothing does for so many seconds or the connection ends."""
        while True:
            while len(self._left) >= 9:
                length = int.from_bytes(self._left[:3])
                if len(self._left) < 9 + length:
                    break
                kind, flags, stream = struct.unpack("!BBI", self._left[3:9])
                payload, self._left = self._left[9 : 9 + length], self._left[9 + length :]
                yield Frame(kind, flags, stream & 0x7FFF_FFFF, payload)
            self.socket.settimeout(wait)
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                return
            if not piece:
                raise EOFError
            self._left += piece

    def close(self) -> None:
        """Leaves."""
        self.socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def status_of(payload: bytes) -> int:
    """The status that a block of a response begins with (RFC 7541 section 6, appendix A)."""
    # Changes of the table's size come first.
    while payload and payload[0] & 0xE0 == 0x20:
        payload = payload[1:]
    known = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
    if payload[0] & 0x80:
        return known.get(payload[0] & 0x7F, 0)
    length, text = payload[1] & 0x7F, payload[2:]
    if payload[1] & 0x80:
        return int(_digits(text[:length]))
    return int(text[:length])


def _digits(coded: bytes) -> str:
    """Digits in Huffman's code (RFC 7541 appendix B): 0, 1 and 2 have five bits, the others six."""
    bits = "".join(f"{byte:08b}" for byte in coded)
    found = ""
    while len(found) < 3:
        if bits[:5] in ("00000", "00001", "00010"):
            found, bits = found + str(int(bits[:5], 2)), bits[5:]
        else:
            found, bits = found + str(int(bits[:6], 2) - 0b011001 + 3), bits[6:]
    return found
