"""A span on its way out: its resource, its scope and itself, serialised, without content.

Which spans go out: the provider calls, as only these get a cost. A Collector that splits its traffic marks each
span with `callfare.view`; then the marks decide, so that no span of a trace is lost and none is shown twice.

`outgoing_spans` is called while the decoded request is at hand; the cost is appended when the record is
settled, in the transaction that stores both. Prompts, completions, transcripts and all events are left
behind here, unless the operator keeps them, because these bytes wait in the database.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Any, Final

from callfare import attributes
from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.domain.lineage import SpanKey
from cost_exporter.forward.enrich import ENRICHED_KEYS, varint
from cost_exporter.read import wire

__all__ = ["export_request", "outgoing_spans"]

CONTENT_PREFIXES: Final = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.content",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.headers",
    "input.value",
    "output.value",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompts",
    "llm.completions",
    "llm.openai.messages",
    "llm.openai.choices",
    "embedding.embeddings",
    "retrieval.documents",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "ai.prompt",
    "ai.response.text",
    "ai.response.object",
    "ai.response.toolCalls",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "ai.value",
    "ai.values",
    "request_data",
    "response_data",
    "all_messages_events",
    "final_result",
    "lk.pii.",
    "lk.response.text",
    "lk.input_text",
    "lk.user_transcript",
    "lk.chat_ctx",
    "exception.message",
    "exception.stacktrace",
)
"""Attributes under which emitters put what people said or wrote (field notes on emitters and frameworks)."""
CONTENT_KEYS: Final = frozenset({"text", "transcript", "input", "output", "messages", "prompt", "tools", "system"})


def outgoing_spans(
    resource_spans: Sequence[wire.ResourceSpans], calls: Collection[SpanKey], *, keeps_content: bool = False
) -> dict[SpanKey, OutgoingSpan]:
    """Return the spans of a request that are to be forwarded; those of `calls` are enriched later."""
    found: dict[SpanKey, OutgoingSpan] = {}
    for each in resource_spans:
        resource = _serialised(each.resource)
        for group in each.scope_spans:
            scope = _serialised(group.scope)
            for span in group.spans:
                key = (span.trace_id, span.span_id)
                if _is_wanted(span, key, calls):
                    found[key] = OutgoingSpan(
                        resource=resource, scope=scope, span=_without_content(span, keeps_content)
                    )
    return found


def _is_wanted(span: wire.Span, key: SpanKey, calls: Collection[SpanKey]) -> bool:
    mark = span.attributes[attributes.VIEW].string_value if attributes.VIEW in span.attributes else ""
    return mark == "hop" or (not mark and key in calls)


def export_request(spans: Iterable[OutgoingSpan]) -> bytes:
    """Return an ExportTraceServiceRequest with these spans; neighbours of one resource and scope share both."""
    return b"".join(
        _field(
            1, _field(1, resource) + _field(2, _field(1, scope) + b"".join([_field(2, each.span) for each in group]))
        )
        for (resource, scope), group in groupby(spans, key=lambda each: (each.resource, each.scope))
    )


def _without_content(span: Any, keeps_content: bool) -> bytes:
    """Return the span's bytes. Takes the content out of the decoded request itself: it has been read already."""
    attributes_of_span = span.attributes
    for key in [key for key in attributes_of_span if key in _REPLACED or not (keeps_content or _is_harmless(key))]:
        del attributes_of_span[key]
    if not keeps_content:
        span.ClearField("events")
    return _serialised(span)


_REPLACED = frozenset({*ENRICHED_KEYS, attributes.VIEW})


def _is_harmless(key: str) -> bool:
    return key not in CONTENT_KEYS and not key.startswith(CONTENT_PREFIXES)


def _serialised(message: Any) -> bytes:
    # These bytes are stored: a span sent again after a crash is byte for byte the same.
    return message.SerializeToString()


def _field(number: int, payload: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(payload)) + payload
