"""Build spans for tests from plain Python values, through real OTLP bytes."""

from collections.abc import Mapping
from typing import Any

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.span import Call
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_order import streamed_spans
from cost_exporter.read.request import read_request
from tests.fixtures import otlp_json

RECEIVED_AT_UNIX_NS = 1_795_400_000 * 10**9
STARTED_AT_UNIX_NS = RECEIVED_AT_UNIX_NS - 10 * 10**9
TRACE_ID = bytes(range(16)).hex()
SPAN_ID = bytes(range(1, 9)).hex()
PARENT_ID = bytes(range(11, 19)).hex()


def document(
    attributes: Mapping[str, Any] | None = None,
    *,
    scope: str = "some.scope",
    version: str = "1.0",
    resource: Mapping[str, Any] | None = None,
    **span: Any,
) -> dict[str, Any]:
    """Return an OTLP/JSON request with one span; further names replace fields of the span."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": otlp_json.attribute_values(dict(resource or {"service.name": "app"}))},
                "scopeSpans": [
                    {
                        "scope": {"name": scope, "version": version},
                        "spans": [
                            {
                                "traceId": TRACE_ID,
                                "spanId": SPAN_ID,
                                "parentSpanId": PARENT_ID,
                                "name": "a span",
                                "kind": 3,
                                "startTimeUnixNano": str(STARTED_AT_UNIX_NS),
                                "endTimeUnixNano": str(STARTED_AT_UNIX_NS + 2 * 10**9),
                                "attributes": otlp_json.attribute_values(dict(attributes or {})),
                                **span,
                            }
                        ],
                    }
                ],
            }
        ]
    }


def request(*documents: dict[str, Any]) -> list[wire.ResourceSpans]:
    """Return decoded resource spans."""
    return [each for one in documents for each in wire.parse_request(otlp_json.body(one)).resource_spans]


def facts(*documents: dict[str, Any], **options: Any) -> Facts:
    """Read documents with sensible defaults."""
    given: dict[str, Any] = {
        "namespace": "default",
        "received_at_unix_ns": RECEIVED_AT_UNIX_NS,
        "tenant_is_trusted": True,
        **options,
    }
    streamed = (streamed_spans(otlp_json.body(each)) for each in documents)
    return read_request(request(*documents), **given, streamed_spans=frozenset[bytes]().union(*streamed))


def call(attributes: Mapping[str, Any] | None = None, *, trusted: frozenset[str] = frozenset(), **span: Any) -> Call:
    """Return the one call that a span tells of."""
    found = facts(document(attributes, **span), trusted_cost_sources=trusted)
    assert not found.dead_letters, found.dead_letters
    (only,) = found.calls
    return only


def is_link(attributes: Mapping[str, Any] | None = None, **span: Any) -> bool:
    """Return whether a span is a link and no call."""
    found = facts(document(attributes, **span))
    assert len(found.calls) + len(found.links) == 1, found
    return bool(found.links)


CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
}
"""The least a chat span says."""
