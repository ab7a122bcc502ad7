"""SPDY/3 frames, bytes to values and back: what kubectl port-forward speaks inside its WebSocket. Pure; ``tunnel`` uses it.

Only what a port-forward needs: streams with headers, data, half-close, reset, ping. Windows and settings are read and ignored, as
Kubernetes' own library does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_NAMES = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age
allow authorization cache-control connection content-base content-encoding content-language content-length
content-location content-md5 content-range content-type date etag expect expires from host if-match
if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
user-agent vary via warning www-authenticate method get status
"""
_PAIRS = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritativ"
    "e Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 I"
    "nternal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec"
    " 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xm"
    "l,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    "iso-8859-1,utf-,*,enq=0."
)
# The dictionary that both sides' header compression begins with: it is part of the protocol (its Adler-32 is checked by a test).
DICTIONARY = b"".join(struct.pack(">I", len(n)) + n.encode() for n in (*_NAMES.split(), *_PAIRS)) + _TAIL.encode()

_VERSION, _FIN = 0x8003, 0x01
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8


@dataclass(frozen=True, slots=True)
class Opened:
    """The other side opened a stream."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    last: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; ``last``: it sends no more."""

    stream: int
    data: bytes
    last: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """A stream is broken off."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back as it is."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The other side opens no more streams."""


Frame = Opened | Data | Reset | Ping | GoAway


class Framer:
    """One connection's two directions. Header blocks are compressed with one context each way, so every frame must pass here."""

    def __init__(self) -> None:
        self._incoming = b""
        self._inflate, self._deflate = zlib.decompressobj(zdict=DICTIONARY), zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with ``data``. ValueError when it is not SPDY."""
        self._incoming += data
        while len(self._incoming) >= 8:
            first, word = struct.unpack_from(">II", self._incoming)
            size = 8 + (word & 0xFFFFFF)
            if len(self._incoming) < size:
                return
            payload, self._incoming = self._incoming[8:size], self._incoming[size:]
            frame = self._frame(first, word >> 24, payload)
            if frame is not None:
                yield frame

    def _frame(self, first: int, flags: int, payload: bytes) -> Frame | None:
        last = bool(flags & _FIN)
        if not first & 0x80000000:
            return Data(first, payload, last)
        if first >> 16 != _VERSION or len(payload) < 4:
            raise ValueError(f"not a SPDY/3 frame: {first:#x}")
        kind = first & 0xFFFF
        number = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
        if kind == _SYN_STREAM:
            return Opened(number, self._headers(payload[10:]), last)
        if kind in (_SYN_REPLY, _HEADERS):
            self._headers(payload[4:])  # for the compression context only: no stream of ours is answered
        if kind == _RST_STREAM:
            return Reset(number)
        if kind == _PING:
            return Ping(struct.unpack_from(">I", payload)[0])
        return GoAway() if kind == _GOAWAY else None

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block)
            return dict(_pairs(plain))
        except (zlib.error, struct.error) as error:
            raise ValueError(f"header block: {error}") from error

    def reply(self, stream: int) -> bytes:
        """Accept a stream."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(_SYN_REPLY, struct.pack(">I", stream) + block)

    def data(self, stream: int, data: bytes, *, last: bool = False) -> bytes:
        """Send bytes, and end our half with ``last``."""
        return struct.pack(">II", stream, (_FIN if last else 0) << 24 | len(data)) + data

    def reset(self, stream: int) -> bytes:
        """Break a stream off (CANCEL)."""
        return _control(_RST_STREAM, struct.pack(">II", stream, 5))

    def ping(self, number: int) -> bytes:
        """Answer a ping."""
        return _control(_PING, struct.pack(">I", number))


def _control(kind: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", _VERSION, kind, len(payload)) + payload


def _pairs(plain: bytes) -> Iterator[tuple[str, str]]:
    count, at = struct.unpack_from(">I", plain)[0], 4
    for _ in range(count):
        words = []
        for _ in range(2):
            size = struct.unpack_from(">I", plain, at)[0]
            words.append(plain[at + 4 : at + 4 + size].decode("utf-8", "replace"))
            at += 4 + size
        yield words[0].lower(), words[1]
