"""SPDY frames, as the tunnel of kubectl port-forward uses them."""

from __future__ import annotations

import struct
import zlib

import pytest

from lateen.cluster.api.streaming.spdy import DICTIONARY, Data, Framer, GoAway, Opened, Ping, Reset


def opening(stream: int, **headers: str) -> bytes:
    """A SYN_STREAM as a client compresses it."""
    words = [w for pair in headers.items() for w in pair]
    block = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(w)) + w.encode() for w in words)
    deflate = zlib.compressobj(zdict=DICTIONARY)
    payload = struct.pack(">IIH", stream, 0, 0) + deflate.compress(block) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return struct.pack(">HHI", 0x8003, 1, len(payload)) + payload


def test_the_dictionary_is_the_protocols() -> None:
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


def test_frames_come_out_however_the_bytes_are_cut() -> None:
    reset, ping, away = (
        b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x01\0\0\0\x05",
        b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x07",
        b"\x80\x03\0\x07\0\0\0\x08",
    )
    data = b"\0\0\0\x01\x01\0\0\x02hi"
    wire = opening(1, streamType="data", port="80") + data + b"\x80\x03\0\x04\0\0\0\x04\0\0\0\0" + reset + ping + away + bytes(8)
    wanted = [Opened(1, {"streamtype": "data", "port": "80"}), Data(1, b"hi", True), Reset(1), Ping(7), GoAway()]
    for size in (1, 3, len(wire)):
        framer = Framer()
        assert [f for i in range(0, len(wire), size) for f in framer.feed(wire[i : i + size])] == wanted


def test_answers_are_what_the_other_side_reads() -> None:
    ours, theirs = Framer(), Framer()
    wire = ours.reply(1) + ours.reply(3) + ours.data(3, b"x") + ours.data(3, b"", last=True) + ours.reset(1) + ours.ping(2)
    assert list(theirs.feed(wire)) == [Data(3, b"x"), Data(3, b"", True), Reset(1), Ping(2)]


@pytest.mark.parametrize(
    "wire", [b"\x80\x02\0\x01\0\0\0\x00", b"\x80\x03\0\x01\0\0\0\x0c" + bytes(12), b"\x80\x03\0\x01\0\0\0\x00"]
)
def test_what_is_not_spdy_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"SPDY|header block"):
        list(Framer().feed(wire))
