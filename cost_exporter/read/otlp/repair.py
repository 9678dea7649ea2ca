"""Repair encoded messages that the decoder refuses: invalid UTF-8 becomes U+FFFD, any other fault is left out.

upb refuses a whole message for one bad byte in a text, or for one value nested 48 deep. Here its fields are split on
the wire. This path is slow, and only used for messages that would be lost otherwise.
"""

from dataclasses import dataclass
from typing import Final

from cost_exporter.errors import Undecodable
from cost_exporter.read.otlp import otlp_bytes
from cost_exporter.read.otlp.wire_shape import LENGTH_DELIMITED, Field, Shape, fields_of

__all__ = ["DETAILS", "TOO_DEEP", "UNDECODABLE", "RepairedMessage", "repair"]

_DEPTH_MAX: Final = 97
"""Messages within each other, a span being the first: with the three around it that makes upb's limit of 100."""
TOO_DEEP: Final = "too_deep"
UNDECODABLE: Final = "undecodable_span"
DETAILS: Final = {
    TOO_DEEP: "an attribute is nested too deeply; the rest of the span is kept here",
    UNDECODABLE: "the span is not valid protobuf; what could be read of it is kept here",
}
"""The detail of a dead letter, by reason."""


class _TooDeep(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairedMessage:
    """A message that can be decoded."""

    body: bytes
    reason: str = ""
    """Why a part had to be left out; "" if nothing was."""


def repair(body: bytes, shape: Shape) -> RepairedMessage:
    """Return the message with its text made valid, without the fields that cannot be."""
    kept = bytearray()
    reason = ""
    try:
        for field in fields_of(body, 0, len(body)):
            try:
                kept += _repaired_field(body, field, shape, depth=1)
            except _TooDeep:
                reason = TOO_DEEP
            except Undecodable:
                reason = reason or UNDECODABLE
    except Undecodable:
        reason = reason or UNDECODABLE
    return RepairedMessage(body=bytes(kept), reason=reason)


def _repaired_field(body: bytes, field: Field, shape: Shape, depth: int) -> bytes:
    if field.wire_type != LENGTH_DELIMITED:
        return body[field.start : field.end] if field.wire_type != 3 else b""  # noqa: PLR2004 - a group: nobody reads it
    content = body[field.content : field.end]
    if field.number in shape.strings:
        content = content.decode("utf-8", "replace").encode()
    elif field.number in shape.messages:
        content = _repaired_message(content, shape.messages[field.number], depth + 1)
    return otlp_bytes.field(field.number, content)


def _repaired_message(body: bytes, shape: Shape, depth: int) -> bytes:
    if depth > _DEPTH_MAX:
        raise _TooDeep
    return b"".join(_repaired_field(body, field, shape, depth) for field in fields_of(body, 0, len(body)))
