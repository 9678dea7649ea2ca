"""How long reading takes a span, over decoding: GenAI spans, and spans that have nothing to do with cost.

Budget, one quiet core: 15 µs a GenAI span, 2 µs any other, its `Link` included. Run it with

    PYTHONPATH=.:instrumentation python benchmarks/read.py

It prints CPU time, the least of several passes: other load on the machine makes passes slower, never faster. The
garbage collector is set as in the service.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request
from cost_exporter.receive.process import collect_garbage_less_often

RECEIVED_AT_UNIX_NS = 1_795_400_000 * 10**9
BUDGET_US = {"genai": 15.0, "traced": 15.0, "other": 2.0}

_GENAI: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "chatcmpl-",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 345,
    "gen_ai.usage.cache_read.input_tokens": 1024,
    "server.address": "api.openai.com",
    "openai.response.service_tier": "default",
    **{f"app.attribute_{number}": "some value" for number in range(10)},
}
_TRACED = {
    **_GENAI,
    "callfare.tenant.id": "acme",
    "callfare.category": "bot",
    "callfare.task": "answer",
    "callfare.workflow.id": "call-123",
}
_OTHER: dict[str, Any] = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "http.route": "/v1/things/{id}",
    "url.scheme": "https",
    "url.path": "/v1/things/17",
    "network.protocol.version": "1.1",
    "user_agent.original": "python-httpx/0.28",
    "server.port": 443,
    "client.address": "10.0.0.1",
    "thread.id": 17,
    "code.function.name": "get_thing",
    "app.attribute": "some value",
}


def body(attributes: dict[str, Any], scope: str, spans: int) -> bytes:
    """Return a request of alike spans."""
    request = wire.new_request()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes["service.name"].string_value = "bench"
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    for number in range(1, spans + 1):
        span = scope_spans.spans.add()
        span.trace_id = (number // 8 + 1).to_bytes(16, "big")
        span.span_id = number.to_bytes(8, "big")
        span.parent_span_id = (number + 1).to_bytes(8, "big")
        span.name = "a span"
        span.kind = 3
        span.start_time_unix_nano = RECEIVED_AT_UNIX_NS - number * 10**9
        span.end_time_unix_nano = span.start_time_unix_nano + 800_000_000
        for key, found in attributes.items():
            text = f"{found}{number}" if key == "gen_ai.response.id" else found
            value = wire.new_value(int_value=found) if isinstance(found, int) else wire.new_value(string_value=text)
            span.attributes[key] = value.SerializeToString()
    return request.SerializeToString()


def least_us(run: Callable[[], object], spans: int, passes: int) -> float:
    """Return the least CPU time of several passes, microseconds a span."""
    best_ns = min(_timed_ns(run) for _ in range(passes))
    return best_ns / spans / 1000


def _timed_ns(run: Callable[[], object]) -> int:
    before_ns = time.process_time_ns()
    run()
    return time.process_time_ns() - before_ns


def read(encoded: bytes) -> object:
    """Decode and read a request."""
    request = wire.parse_request(encoded)
    return read_request(
        request.resource_spans,
        namespace="default",
        received_at_unix_ns=RECEIVED_AT_UNIX_NS,
        tenant_is_trusted=True,
    )


def main() -> int:
    """Print the figures; exit 1 with `--check` where a budget is not kept."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, default=512)
    options.add_argument("--passes", type=int, default=40)
    options.add_argument("--check", action="store_true")
    arguments = options.parse_args()
    cases = {
        "genai": (_GENAI, "opentelemetry.instrumentation.genai.openai"),
        "traced": (_TRACED, "opentelemetry.instrumentation.genai.openai"),
        "other": (_OTHER, "opentelemetry.instrumentation.fastapi"),
    }
    is_over = False
    collect_garbage_less_often()
    for name, (attributes, scope) in cases.items():
        encoded = body(attributes, scope, arguments.spans)
        decoding_us = least_us(lambda: wire.parse_request(encoded), arguments.spans, arguments.passes)  # noqa: B023
        total_us = least_us(lambda: read(encoded), arguments.spans, arguments.passes)  # noqa: B023
        reading_us = total_us - decoding_us
        is_over = is_over or reading_us > BUDGET_US[name]
        print(
            f"{name:7} decoding {decoding_us:6.2f} µs/span, reading {reading_us:6.2f} (budget {BUDGET_US[name]:4.1f}),"
            f" {len(encoded) / arguments.spans:5.0f} bytes/span"
        )
    return 1 if is_over and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
