"""Responses of a forward endpoint: whether one is OTLP's, and how many spans it rejected.

A 2xx status alone proves nothing: a login page has one too. Spans leave the outbox only for an
ExportTraceServiceResponse, as protobuf or JSON; an empty body is an empty one.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from cost_exporter.errors import Undecodable
from cost_exporter.read.otlp.wire_shape import LENGTH_DELIMITED, fields_of, read_varint

__all__ = ["NotOtlp", "Taken", "read_answer"]

ANSWER_BYTES_MAX: Final = 64 * 1024
_PROTOBUF_TYPES: Final = frozenset({"application/x-protobuf", "application/protobuf"})
_JSON_TYPE: Final = "application/json"
_PARTIAL_SUCCESS, _REJECTED_SPANS, _ERROR_MESSAGE = 1, 1, 2  # in ExportTraceServiceResponse, and in the first
_VARINT = 0
_REASON_LENGTH_MAX: Final = 200


class NotOtlp(ConnectionError):
    """The answer did not come from an OTLP receiver, so the spans were not taken. Worth trying again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How many spans of a request a receiver accepted."""

    rejected_count: int = 0
    """Spans that it will never take. It does not state which, and they must not be sent again."""
    reason: str = ""


def read_answer(content: bytes, content_type: str) -> Taken:
    """Return what the body of a successful answer says. Raises `NotOtlp` where it is not OTLP's."""
    if len(content) > ANSWER_BYTES_MAX:
        raise NotOtlp(f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
    media_type = content_type.partition(";")[0].strip().lower()
    if not content:
        if media_type.startswith("text/html"):
            raise NotOtlp("its answer is a web page")
        return Taken()
    if media_type in _PROTOBUF_TYPES:
        return _read_protobuf(content)
    if media_type == _JSON_TYPE:
        return _read_json(content)
    raise NotOtlp(f"its answer is {_shown(media_type) or 'of no content type'}, not protobuf or JSON")


def _read_protobuf(content: bytes) -> Taken:
    rejected_count, reason = 0, ""
    try:
        for part in fields_of(content, 0, len(content)):
            if (part.number, part.wire_type) != (_PARTIAL_SUCCESS, LENGTH_DELIMITED):
                continue
            for field in fields_of(content, part.content, part.end):
                if (field.number, field.wire_type) == (_REJECTED_SPANS, _VARINT):
                    rejected_count = _signed(read_varint(content, field.content)[0])
                elif (field.number, field.wire_type) == (_ERROR_MESSAGE, LENGTH_DELIMITED):
                    reason = content[field.content : field.end].decode(errors="replace")
    except Undecodable:
        raise NotOtlp("its answer is not an ExportTraceServiceResponse") from None
    return _taken(rejected_count, reason)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _read_json(content: bytes) -> Taken:
    # Not protobuf's own JSON parser: unknown fields must be ignored, and broken text must not reach it.
    try:
        answer: Any = json.loads(content)
        partial = answer.get("partialSuccess") or {}
        return _taken(int(partial.get("rejectedSpans") or 0), str(partial.get("errorMessage") or ""))
    except (ValueError, TypeError, OverflowError, AttributeError, RecursionError):
        raise NotOtlp("its answer is not an ExportTraceServiceResponse") from None


def _taken(rejected_count: int, reason: str) -> Taken:
    if rejected_count < 0:
        raise NotOtlp(f"its answer rejects {rejected_count} spans")
    return Taken(rejected_count=rejected_count, reason=_shown(reason))


def _shown(text: str) -> str:
    """Return foreign text so that it is safe in a line of the log."""
    return "".join(character if character.isprintable() else " " for character in text[:_REASON_LENGTH_MAX]).strip()
