"""Strip a span to what may be kept: an allow-list of attributes, no events, no links, at most 64 KiB.

Dead letters are held durably, so that they can be replayed after a mend. They must be billable then, and must
never hold a prompt, a transcript or a phone number. So this is an allow-list: what nobody thought of is dropped.
"""

from typing import Any, Final

from callfare import attributes as names
from cost_exporter.read import wire

__all__ = ["PAYLOAD_BYTES_MAX", "is_allowed", "strip_content"]

PAYLOAD_BYTES_MAX: Final = 64 * 1024
_STRING_LENGTH_MAX = 1_024
_NAME_LENGTH_MAX = 128

_OURS = frozenset(value for name, value in vars(names).items() if name.isupper() and isinstance(value, str))
_ALIASES = frozenset(
    {
        "ai.model.id",
        "ai.model.provider",
        "ai.operationId",
        "ai.response.id",
        "ai.response.model",
        "anthropic.response.service_tier",
        "embedding.model_name",
        "error.type",
        "gen_ai.openai.request.service_tier",
        "gen_ai.openai.response.service_tier",
        "gen_ai.system",
        "llm.cost.total",
        "llm.model_name",
        "llm.provider",
        "llm.request.type",
        "llm.system",
        "openai.request.service_tier",
        "openai.response.service_tier",
        "openinference.span.kind",
        "operation.cost",
        "server.address",
        "service.name",
        "service.version",
        "session.id",
        "telemetry.sdk.language",
        "traceloop.association.properties.call_id",
        "traceloop.association.properties.session_id",
        "traceloop.span.kind",
    }
)
_USAGE_PREFIXES = (
    "ai.usage.",
    "anthropic.usage.",
    "callfare.",
    "gen_ai.cost.",
    "gen_ai.usage.",
    "llm.token_count.",
    "llm.usage.",
    "metrics.",
)
_SCALARS = frozenset({"string_value", "bool_value", "int_value", "double_value"})


def is_allowed(name: str) -> bool:
    """Whether an attribute of this name may be kept at all."""
    return name in _OURS or name in _ALIASES or name.startswith(_USAGE_PREFIXES)


def strip_content(span: wire.Span, resource: wire.Resource | None = None, scope: wire.Scope | None = None) -> bytes:
    """Return an ExportTraceServiceRequest with just this span, content stripped, at most `PAYLOAD_BYTES_MAX`."""
    request = wire.new_request()
    kept_resource = request.resource_spans.add()
    kept_scope = kept_resource.scope_spans.add()
    kept = kept_scope.spans.add()
    _copy_identity(span, kept)
    if scope is not None:
        kept_scope.scope.name = scope.name[:_NAME_LENGTH_MAX]
        kept_scope.scope.version = scope.version[:_NAME_LENGTH_MAX]
    room_bytes = PAYLOAD_BYTES_MAX - request.ByteSize() - 64  # the lengths of the enclosing messages grow too
    room_bytes = _copy_attributes(span.attributes, kept.attributes, room_bytes)
    if resource is not None:
        _copy_attributes(resource.attributes, kept_resource.resource.attributes, room_bytes)
    payload: bytes = request.SerializeToString()
    assert len(payload) <= PAYLOAD_BYTES_MAX
    return payload


def _copy_identity(span: wire.Span, kept: Any) -> None:
    """Copy what every span has. Ids longer than any id are cut: they are wrong in any case."""
    kept.trace_id = span.trace_id[:32]
    kept.span_id = span.span_id[:32]
    kept.parent_span_id = span.parent_span_id[:32]
    kept.name = span.name[:_NAME_LENGTH_MAX]
    kept.kind = span.kind
    kept.flags = span.flags
    kept.start_time_unix_nano = span.start_time_unix_nano
    kept.end_time_unix_nano = span.end_time_unix_nano
    kept.status.code = span.status.code


def _copy_attributes(given: wire.Attributes, kept: Any, room_bytes: int) -> int:
    """Copy the allowed scalars that fit into `room_bytes`, in the order of their names; return the room left."""
    for name in sorted(filter(is_allowed, given)):
        value = given[name]
        kind = value.WhichOneof("value")
        if kind not in _SCALARS or len(name) > _NAME_LENGTH_MAX:
            continue
        scalar = value.string_value[:_STRING_LENGTH_MAX] if kind == "string_value" else getattr(value, kind)
        size_bytes = len(name.encode()) + (len(scalar.encode()) if isinstance(scalar, str) else 10) + 16
        if size_bytes > room_bytes:
            continue
        setattr(kept[name], kind, scalar)
        room_bytes -= size_bytes
    return room_bytes
