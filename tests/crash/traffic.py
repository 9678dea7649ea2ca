"""What the crash test sends, and what it must cost: every span is billable, its cost is written as arithmetic."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal as D

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support import otlp

SPANS_PER_TRACE = 20
SPANS_PER_BATCH = 40
TRACES_PER_ROUND = 4

# gpt-4o-mini, list price in US dollars for a million tokens (OpenAI's pricing page, seen 2026-11-20).
INPUT_PRICE_USD, CACHED_PRICE_USD, OUTPUT_PRICE_USD = D("0.15"), D("0.075"), D("0.60")


@dataclass
class SpanSent:
    """One span as the client made it."""

    trace_id: bytes
    span_id: bytes
    input_tokens: int
    cached_tokens: int
    output_tokens: int

    @property
    def cost_usd(self) -> D:
        """What it must cost: cached tokens are part of the input."""
        return (
            INPUT_PRICE_USD * (self.input_tokens - self.cached_tokens) / 1_000_000
            + CACHED_PRICE_USD * self.cached_tokens / 1_000_000
            + OUTPUT_PRICE_USD * self.output_tokens / 1_000_000
        )


@dataclass
class Batch:
    """One request."""

    spans: list[SpanSent]
    payload: bytes


@dataclass
class ClientLedger:
    """What a client knows to be stored, because the service said so."""

    acknowledged: dict[tuple[bytes, bytes], SpanSent] = field(default_factory=dict)
    batch_count: int = 0
    duplicate_batch_count: int = 0
    failure_count: int = 0
    refusals: set[str] = field(default_factory=set)

    def add(self, batch: Batch) -> None:
        """Write down an acknowledged batch."""
        self.batch_count += 1
        self.acknowledged.update({(span.trace_id, span.span_id): span for span in batch.spans})


def batches(seed: int, started_at_unix_ns: int) -> Iterator[Batch]:
    """Yield batches without end. A trace is spread over two of them, so that its rollup moves more than once."""
    chance = random.Random(seed)
    while True:
        traces = [chance.randbytes(16) for _ in range(TRACES_PER_ROUND)]
        spans = [_span(chance, trace_id) for _ in range(SPANS_PER_TRACE) for trace_id in traces]
        for start in range(0, len(spans), SPANS_PER_BATCH):
            some = spans[start : start + SPANS_PER_BATCH]
            yield Batch(spans=some, payload=_payload(some, started_at_unix_ns))


def _span(chance: random.Random, trace_id: bytes) -> SpanSent:
    input_tokens = chance.randrange(1, 5_000)
    return SpanSent(
        trace_id=trace_id,
        span_id=chance.randrange(1, 2**63).to_bytes(8, "big"),
        input_tokens=input_tokens,
        cached_tokens=chance.randrange(0, input_tokens + 1),
        output_tokens=chance.randrange(1, 1_000),
    )


def _payload(spans: list[SpanSent], started_at_unix_ns: int) -> bytes:
    return otlp.request(_span_of(sent, started_at_unix_ns) for sent in spans)


def _span_of(sent: SpanSent, started_at_unix_ns: int) -> Span:
    return otlp.span(
        sent.trace_id,
        sent.span_id,
        # The same parent for all: it is never sent, as a root that a crash of the application swallowed.
        parent=b"\x01" * 8,
        started_at_unix_ns=started_at_unix_ns,
        duration_ns=250_000_000,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": f"chatcmpl-{sent.span_id.hex()}",
            "gen_ai.usage.input_tokens": sent.input_tokens,
            "gen_ai.usage.cache_read.input_tokens": sent.cached_tokens,
            "gen_ai.usage.output_tokens": sent.output_tokens,
            "callfare.tenant.id": f"tenant-{sent.trace_id[0] % 4}",
            "callfare.category": "bot",
        },
    )
