"""What callfare adds to an application's call and to each streamed chunk.

    python benchmarks/instrumentation.py              needs the package installed, or PYTHONPATH=instrumentation
    python benchmarks/instrumentation.py --json

A vendor's method that does nothing is called with and without our wrapper, the span exported to nowhere; the
difference is ours. Targets: < 100 us a call at p99, < 2 us a chunk, `import callfare` < 150 ms.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from callfare import attributes as names
from callfare import hook
from callfare.context import with_attribution
from callfare.session import Clock, Reporter, Session
from callfare.span import CallSpan, Request
from callfare.wrapping import around_call, around_generator

CALLS = 20_000
CHUNKS = 200_000
TEXT = "The quick brown fox jumps over the lazy dog. " * 4
TARGETS = {"call_p99_us": 100.0, "chunk_us": 2.0, "socket_send_us": 2.0, "import_ms": 150.0}


class _Nowhere(SpanProcessor):
    """Takes every span and keeps none: the exporter's work is another thread's."""

    def on_end(self, span: ReadableSpan) -> None:
        """Drop it."""


def _request(_instance: Any, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Request:
    return Request(
        operation="text_to_speech",
        provider="acme",
        model="voice-1",
        quantities={names.INPUT_CHARACTERS: len(args[0])},
        attributes={names.OUTPUT_TYPE: "speech", names.SPEECH_VOICE: "alloy", names.SERVER_ADDRESS: "api.acme.com"},
    )


def _read_chunk(_call: CallSpan, _chunk: bytes) -> None:
    """What a reader costs that finds nothing."""


def _speak(text: str) -> int:
    return len(text)


def _stream(count: int) -> Iterator[bytes]:
    chunk = b"\0" * 1024
    for _ in range(count):
        yield chunk


def _each_us(function: Callable[[], object], count: int) -> list[float]:
    """Microseconds of this thread's own work in each of so many calls: another process's turn is not our cost."""
    found: list[float] = []
    for _ in range(count):
        begun = time.thread_time_ns()
        function()
        found.append((time.thread_time_ns() - begun) / 1000)
    return found


def _consume_us(stream: Iterator[bytes], count: int) -> float:
    """Microseconds a chunk."""
    begun = time.perf_counter_ns()
    for _ in stream:
        pass
    return (time.perf_counter_ns() - begun) / 1000 / count


def measure_calls(provider: TracerProvider) -> dict[str, float]:
    """A plain call, inside a workflow's context, as an application makes it."""
    wrapper = around_call(_request)(provider.get_tracer("benchmark"))
    plain = _each_us(lambda: _speak(TEXT), CALLS)
    _each_us(lambda: wrapper(_speak, None, (TEXT,), {}), CALLS // 10)  # warm up
    watched = _each_us(lambda: wrapper(_speak, None, (TEXT,), {}), CALLS)
    return {
        "call_median_us": statistics.median(watched) - statistics.median(plain),
        "call_p99_us": statistics.quantiles(watched, n=100)[98] - statistics.median(plain),
    }


def measure_chunks(provider: TracerProvider) -> dict[str, float]:
    """A streamed answer whose chunks are counted, and audio sent into a long socket."""
    tracer = provider.get_tracer("benchmark")
    wrapper = around_generator(_request, _read_chunk)(tracer)
    plain = min(_consume_us(_stream(CHUNKS), CHUNKS) for _ in range(3))
    watched = min(_consume_us(wrapper(lambda _: _stream(CHUNKS), None, (TEXT,), {}), CHUNKS) for _ in range(3))
    session = Session.open(
        tracer,
        Request(operation="speech_to_text", provider="acme"),
        bytes_per_second=32_000,
        reporter=Reporter(Clock(), has_thread=False),
    )
    begun = time.perf_counter_ns()
    for _ in range(CHUNKS):
        session.add_audio(640)
    sent = (time.perf_counter_ns() - begun) / 1000 / CHUNKS
    session.close()
    return {"chunk_us": watched - plain, "socket_send_us": sent}


def measure_import() -> dict[str, float]:
    """Milliseconds of `import callfare` in a fresh process, the best of five; Python's own start left out."""
    program = "import time; t = time.perf_counter(); import callfare; print((time.perf_counter() - t) * 1000)"
    each = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(5)
    ]
    return {"import_ms": min(float(done.stdout) for done in each)}


def main() -> int:
    """Print the figures beside their targets; exit 1 where one is missed."""
    parser = argparse.ArgumentParser(description="What callfare adds to a call and to a chunk.")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(_Nowhere())
    hook.install(provider)
    from opentelemetry import context  # noqa: PLC0415 - only for this line

    context.attach(with_attribution({names.TENANT_ID: "acme", names.CATEGORY: "bot", names.WORKFLOW_NAME: "call"}))
    figures = {**measure_calls(provider), **measure_chunks(provider), **measure_import()}
    if arguments.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    else:
        for name, value in figures.items():
            target = f"   (< {TARGETS[name]:g})" if name in TARGETS else ""
            print(f"{name:16} {value:8.2f}{target}")
    return int(any(figures[name] >= limit for name, limit in TARGETS.items()))


if __name__ == "__main__":
    raise SystemExit(main())
