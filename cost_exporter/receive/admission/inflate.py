"""Undo a content encoding within a bound: a gzip bomb is recognised while it inflates, not after (threat T5)."""

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from cost_exporter.errors import TooLarge, Undecodable, UnsupportedMedia

__all__ = ["inflate", "require_known"]

_GZIP: Final = 16 + zlib.MAX_WBITS
_ENCODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
_PIECE_BYTES: Final = 1024 * 1024
_FIRST_PART_BYTES: Final = 512
_MEMBERS_MAX: Final = 10_000
"""More than a compressor makes that writes blocks of 64 KiB, of the largest body."""


def require_known(encoding: str) -> None:
    """Raise `UnsupportedMedia` for a content encoding that we do not speak."""
    if encoding not in ("", "identity") and encoding not in _ENCODINGS:
        raise UnsupportedMedia(f"content-encoding {encoding!r} is not spoken here; use gzip or none")


def inflate(body: bytes, encoding: str, bytes_max: int, hold: Callable[[int], None]) -> bytes:
    """Return the body without its encoding. `hold` gets the size of each piece before the next is made.

    Raises `TooLarge` beyond `bytes_max`, `Undecodable` for what is not in that encoding.
    """
    if encoding in ("", "identity"):
        return body
    inflated = bytearray()
    compressed = _Compressed(body)
    member_count = 0
    while not compressed.is_at_end or not member_count:  # gzip may have several members; an empty body is not even one
        member_count += 1
        if member_count > _MEMBERS_MAX:
            raise Undecodable(f"the body has more than {_MEMBERS_MAX} compressed members; compress it as one")
        for piece in compressed.member(_ENCODINGS[encoding]):
            if len(inflated) + len(piece) > bytes_max:
                raise TooLarge(f"request is larger than {bytes_max} bytes when inflated; send smaller batches")
            hold(len(piece))
            inflated += piece
    return bytes(inflated)


class _Compressed:
    """A compressed body, read in parts."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)
        self._position = 0

    @property
    def is_at_end(self) -> bool:
        return self._position >= len(self._body)

    def member(self, window_bits: int) -> Iterator[bytes]:
        """Yield the pieces of the next member.

        Its parts grow: what follows a member in its last part is copied, so that a large part costs much where members
        are small.
        """
        stream = zlib.decompressobj(window_bits)
        part_bytes = _FIRST_PART_BYTES
        waiting = b""
        while not stream.eof:
            if not waiting:
                waiting = bytes(self._body[self._position : self._position + part_bytes])
                self._position += len(waiting)
                part_bytes = min(2 * part_bytes, _PIECE_BYTES)
            try:
                piece = stream.decompress(waiting, _PIECE_BYTES)
            except zlib.error as error:
                raise Undecodable("the body is not in its content-encoding") from error
            if not waiting and not piece and not stream.eof:
                raise Undecodable("the compressed body is cut off")
            yield piece
            waiting = stream.unconsumed_tail
        self._position -= len(stream.unused_data)
