"""How long after its end a span is seen in Jaeger with its cost on it, at moderate load (limit 5 s).

    python benchmarks/visibility.py             or   python benchmarks/visibility.py --app-delay-ms 5000

Everything is real and on one machine, as `make demo DEMO=pipeline` runs it: an application with the SDK's batch
processor, the Collector on the shipped file, `callfare up` with its PostgreSQL, Jaeger. The application ends 200
spans a second for a minute, three of four are calls; some of the calls are watched: Jaeger's query API is asked for
each until it shows the cost. Also printed is when callfare had received the same spans, to tell the two ways apart.

The SDK keeps a span for up to `OTEL_BSP_SCHEDULE_DELAY` (5 s unless it is set, less where 512 spans come together
sooner) before anything else sees it: `--app-delay-ms` sets it, and the figures include it.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import psycopg
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT.resolve()), str(ROOT.resolve() / "instrumentation")])

from demo_pipeline import Pipeline, binary, cost_on, running, spans_in_jaeger  # noqa: E402 - a script, not a package

SPANS_PER_TRACE = 4  # a request and three calls
WATCHED_PER_SECOND = 5
LOOK_EVERY_SECONDS = 0.05
WAIT_SECONDS_MAX = 60
VISIBLE_SECONDS_MAX = 5
CALL: dict[str, str | int] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 345,
    "callfare.tenant.id": "acme",
}


@dataclass
class Watched:
    """A call that Jaeger is asked for."""

    trace_id: UUID
    span_id: str
    ended_at: float
    seen_at: float | None = None


@dataclass
class Watch:
    """Asks Jaeger for each watched span, in turn, until it shows the cost."""

    pipeline: Pipeline
    spans: list[Watched] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look until the load is over and everything was seen, or it is too late."""
        deadline_seconds = float("inf")
        while time.monotonic() < deadline_seconds:
            waiting = [each for each in list(self.spans) if each.seen_at is None]
            if self.is_over.is_set():
                deadline_seconds = min(deadline_seconds, time.monotonic() + WAIT_SECONDS_MAX)
                if not waiting:
                    return
            for each in waiting:
                shown = spans_in_jaeger(self.pipeline, each.trace_id)
                if any(span["spanId"] == each.span_id and cost_on(span) is not None for span in shown):
                    each.seen_at = time.time()
            time.sleep(LOOK_EVERY_SECONDS)


def measure(seconds: int, spans_per_second: int, app_delay_ms: int) -> dict[str, object]:
    """Run everything and return the figures."""
    with running({program: binary(program) for program in ("otelcol", "jaeger")}) as pipeline:
        watch = Watch(pipeline)
        watching = threading.Thread(target=watch.run)
        watching.start()
        try:
            span_count = load(pipeline, watch, seconds, spans_per_second, app_delay_ms)
        finally:
            watch.is_over.set()
            watching.join()
        received = received_seconds(pipeline, watch.spans)
    seen = [each.seen_at - each.ended_at for each in watch.spans if each.seen_at is not None]
    return {
        "spans": span_count,
        "spans_per_second": spans_per_second,
        "app_delay_ms": app_delay_ms,
        "watched": len(watch.spans),
        "never_seen": len(watch.spans) - len(seen),
        "received_by_callfare_seconds": figures(received),
        "visible_in_jaeger_seconds": figures(seen),
        "visible_seconds_max": VISIBLE_SECONDS_MAX,
        "load_average": os.getloadavg()[0],
    }


def load(pipeline: Pipeline, watch: Watch, seconds: int, spans_per_second: int, app_delay_ms: int) -> int:
    """End spans at an even pace, as one application does. Return how many."""
    exporter = OTLPSpanExporter(endpoint=f"http://{pipeline.collector_otlp}", insecure=True)
    provider = TracerProvider(resource=Resource({"service.name": "bench"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=app_delay_ms))
    tracer = provider.get_tracer("bench")
    traces_per_second = spans_per_second // SPANS_PER_TRACE
    watched_every = max(1, traces_per_second // WATCHED_PER_SECOND)
    started = time.monotonic()
    for number in range(seconds * traces_per_second):
        time.sleep(max(0.0, started + number / traces_per_second - time.monotonic()))
        with tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER):
            for _ in range(SPANS_PER_TRACE - 1):
                call = tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=CALL)
                call.end()
        if number % watched_every == 0:
            watch.spans.append(watched(call))
    provider.shutdown()
    return seconds * traces_per_second * SPANS_PER_TRACE


def watched(call: Span) -> Watched:
    """Return the span as it will be looked for; it has just ended."""
    context = call.get_span_context()
    return Watched(trace_id=UUID(int=context.trace_id), span_id=f"{context.span_id:016x}", ended_at=time.time())


def received_seconds(pipeline: Pipeline, spans: Sequence[Watched]) -> list[float]:
    """Return how long after its end each watched span had been received."""
    with psycopg.connect(pipeline.database_url) as connection:
        rows = connection.execute("select trace_id, received_at from callfare.cost_record").fetchall()
    received_at = {trace_id: at.timestamp() for trace_id, at in rows}
    return [received_at[each.trace_id] - each.ended_at for each in spans if each.trace_id in received_at]


def figures(latencies_seconds: Sequence[float]) -> dict[str, float]:
    """Return the figures of one way."""
    hundredths = statistics.quantiles(latencies_seconds, n=100)
    return {
        "p50": round(hundredths[49], 2),
        "p99": round(hundredths[98], 2),
        "max": round(max(latencies_seconds), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--spans-per-second", type=int, default=200)
    parser.add_argument("--app-delay-ms", type=int, default=1000, help="OTEL_BSP_SCHEDULE_DELAY of the application")
    wanted = parser.parse_args()
    print(json.dumps(measure(wanted.seconds, wanted.spans_per_second, wanted.app_delay_ms), indent=2))


if __name__ == "__main__":
    main()
