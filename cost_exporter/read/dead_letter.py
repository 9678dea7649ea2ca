"""The dead letter of a span: what is kept of it, whatever is wrong with it.

Made where something went wrong already, so nothing in here may raise: a second fault would cost the neighbours.
"""

from cost_exporter.domain.facts import DeadLetter
from cost_exporter.read.otlp import wire
from cost_exporter.read.strip import strip_content

__all__ = ["dead_letter_of"]

_ID_BYTES_MAX = 32
"""Wrong ids are kept as they came, but a letter is no place for a megabyte."""


def dead_letter_of(
    span: wire.Span, scope: wire.Scope | None, resource: wire.Resource | None, *, reason: str, detail: str
) -> DeadLetter:
    """Return the dead letter of a span, its content stripped; with its ids alone where even that fails."""
    try:
        payload = strip_content(span, scope, resource)
    except Exception as error:  # noqa: BLE001 - see above
        payload, detail = b"", f"{detail}; nothing was kept of it: {type(error).__name__}"
    return DeadLetter(
        reason=reason,
        detail=detail,
        trace_id=bytes(span.trace_id[:_ID_BYTES_MAX]),
        span_id=bytes(span.span_id[:_ID_BYTES_MAX]),
        payload=payload,
    )
