"""Compressed bodies: whatever they are made of, the work is in proportion to their bytes."""

import gzip
import os
import zlib
from typing import Any

import pytest

from cost_exporter.errors import TooLarge, Undecodable
from cost_exporter.receive.admission import inflate as module
from cost_exporter.receive.admission.inflate import inflate

MIB = 1024 * 1024
EMPTY_MEMBER = gzip.compress(b"")


def nothing_held(size_bytes: int) -> None:
    del size_bytes


class Counting:
    """zlib, which notes how many bytes it is handed: what it does not use it copies back."""

    def __init__(self) -> None:
        self.handed_bytes = 0

    def decompressobj(self, window_bits: int) -> Any:
        return CountingStream(self, zlib.decompressobj(window_bits))

    def __getattr__(self, name: str) -> Any:
        return getattr(zlib, name)


class CountingStream:
    def __init__(self, counting: Counting, stream: Any) -> None:
        self._counting, self._stream = counting, stream

    def decompress(self, data: bytes, length_max: int) -> bytes:
        self._counting.handed_bytes += len(data)
        return self._stream.decompress(data, length_max)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@pytest.mark.parametrize("member_count", [100, 1_000, 9_000])
def test_the_work_for_tiny_members_is_linear_in_the_body(monkeypatch: pytest.MonkeyPatch, member_count: int) -> None:
    """Each member is read in a part of its own size, not with all that follows it."""
    counting = Counting()
    monkeypatch.setattr(module, "zlib", counting)
    assert inflate(EMPTY_MEMBER * member_count + gzip.compress(b"end"), "gzip", MIB, nothing_held) == b"end"
    assert counting.handed_bytes <= 600 * (member_count + 1)


def test_more_members_than_any_compressor_makes_are_refused() -> None:
    """Each costs a decompressor: their number is bounded, so that one body does not keep a slot for minutes."""
    with pytest.raises(Undecodable, match="compressed members"):
        inflate(EMPTY_MEMBER * 10_001, "gzip", 64 * MIB, nothing_held)


@pytest.mark.parametrize("content", [b"", b"x", b"abc" * MIB, os.urandom(3 * MIB)], ids=["none", "one", "soft", "hard"])
@pytest.mark.parametrize("member_count", [1, 2, 7])
def test_members_are_joined_whatever_their_size(content: bytes, member_count: int) -> None:
    """Smaller than a part, larger than a piece, one or several; and a body that is cut off is no body."""
    ends = [len(content) * number // member_count for number in range(member_count + 1)]
    body = b"".join(gzip.compress(content[ends[n] : ends[n + 1]]) for n in range(member_count))
    held: list[int] = []
    assert inflate(body, "gzip", 64 * MIB, held.append) == content
    assert sum(held) == len(content)
    for cut in (1, 8):
        with pytest.raises(Undecodable):
            inflate(body[:-cut], "gzip", 64 * MIB, nothing_held)


def test_the_limit_holds_across_members() -> None:
    """Two halves that fit alone do not fit together."""
    with pytest.raises(TooLarge):
        inflate(gzip.compress(bytes(600_000)) * 2, "gzip", MIB, nothing_held)
