"""Undo a content encoding within a bound: a gzip bomb is recognised while it inflates, not after (threat T5)."""

import zlib
from collections.abc import Callable
from typing import Final

from cost_exporter.errors import TooLarge, Undecodable, UnsupportedMedia

__all__ = ["inflate", "require_known"]

_GZIP: Final = 16 + zlib.MAX_WBITS
_ENCODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
_PIECE_BYTES: Final = 1024 * 1024


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
    rest = body
    while rest or not inflated:  # gzip may consist of several members; an empty body is not even one
        rest = _inflate_member(rest, _ENCODINGS[encoding], inflated, bytes_max, hold)
        if not rest:
            break
    return bytes(inflated)


def _inflate_member(
    compressed: bytes, window_bits: int, inflated: bytearray, bytes_max: int, hold: Callable[[int], None]
) -> bytes:
    """Append one member to `inflated` and return what follows it."""
    stream = zlib.decompressobj(window_bits)
    rest = compressed
    while not stream.eof:
        try:
            piece = stream.decompress(rest, _PIECE_BYTES)
        except zlib.error as error:
            raise Undecodable("the body is not in its content-encoding") from error
        if not piece and not stream.eof:
            raise Undecodable("the compressed body is cut off")
        if len(inflated) + len(piece) > bytes_max:
            raise TooLarge(f"request is larger than {bytes_max} bytes when inflated; send smaller batches")
        hold(len(piece))
        inflated += piece
        rest = stream.unconsumed_tail
    return stream.unused_data
