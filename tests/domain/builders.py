"""Small, readable facts for tests: times in milliseconds after a fixed instant, ids by one letter or number."""

from decimal import Decimal

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.quote import Line, Quote, Rate
from cost_exporter.domain.settling.settle import TraceFacts, settle
from cost_exporter.domain.span import Call, EmitterRank, Link, Root, SpanKey
from cost_exporter.domain.usage import UsageRecord

T0_UNIX_NS = 1_790_000_000_000_000_000
TRACE = b"t" * 16
OTHER_TRACE = b"u" * 16


def span_id(name: str) -> bytes:
    return name.encode().rjust(8, b"\0")


def key(name: str, trace: bytes = TRACE) -> SpanKey:
    return trace, span_id(name)


def at_ms(milliseconds: int) -> int:
    return T0_UNIX_NS + milliseconds * 1_000_000


def call(
    name: str,
    *,
    parent: str | None = "root",
    trace: bytes = TRACE,
    start_ms: int = 0,
    end_ms: int = 1000,
    scope: str = "scope.a",
    emitter_rank: EmitterRank = EmitterRank.PLAIN,
    model: str = "gpt-4o-mini",
    provider: str = "openai",
    operation: str = "chat",
    quantities: dict[str, int | Decimal] | None = None,
    attribution: Attribution = NO_ATTRIBUTION,
    vendor_cost_usd: Decimal | None = None,
    is_estimated: bool = False,
    has_failed: bool = False,
    **fields: object,
) -> Call:
    return Call(
        trace_id=trace,
        span_id=span_id(name),
        parent_span_id=None if parent is None else span_id(parent),
        started_at_unix_ns=at_ms(start_ms),
        ended_at_unix_ns=at_ms(end_ms),
        scope=scope,
        emitter_rank=emitter_rank,
        attribution=attribution,
        usage=UsageRecord(
            provider=provider,
            model=model,
            operation=operation,
            quantities={"input_tokens": 1200, "output_tokens": 345} if quantities is None else quantities,
            at_unix_ns=at_ms(start_ms),
            vendor_cost_usd=vendor_cost_usd,
            is_estimated=is_estimated,
            has_failed=has_failed,
        ),
        **fields,  # pyright: ignore[reportArgumentType]
    )


def link(
    name: str, *, parent: str | None = "root", trace: bytes = TRACE, attribution: Attribution = NO_ATTRIBUTION
) -> Link:
    root = None
    if parent is None:
        root = Root(started_at_unix_ns=at_ms(-10), ended_at_unix_ns=at_ms(5000), has_failed=False)
    return Link(
        trace_id=trace,
        span_id=span_id(name),
        parent_span_id=None if parent is None else span_id(parent),
        attribution=attribution,
        root=root,
    )


def facts(*spans: Call | Link, namespace: str = "default", tenant_is_trusted: bool = True) -> TraceFacts:
    return TraceFacts(
        namespace=namespace,
        tenant_is_trusted=tenant_is_trusted,
        calls={(span.trace_id, span.span_id): span for span in spans if isinstance(span, Call)},
        links={(span.trace_id, span.span_id): span for span in spans if isinstance(span, Link)},
    )


def price_by_sum(usage: UsageRecord) -> Quote:
    """A micro-dollar for each unit of anything; a vendor's cost as it is; nothing known without usage."""
    if usage.vendor_cost_usd is not None:
        return Quote(amount_usd=usage.vendor_cost_usd, status="reported")
    if not usage.quantities:
        return Quote(amount_usd=None, status="no_usage")
    amount_usd = Decimal("0.000001") * sum(Decimal(each) for each in usage.quantities.values())
    line = Line(
        rate=Rate("requests", amount_usd, Decimal(1)),
        quantity=Decimal(1),
        billed_quantity=Decimal(1),
        amount_usd=amount_usd,
    )
    return Quote(amount_usd=amount_usd, status="priced", lines=(line,), issues=(), book_version=usage.tenant)


ACME = Attribution(tenant="acme")


def settled(*spans: Call | Link, **options: object) -> dict[SpanKey, CostRecord]:
    """The records of these spans, a micro-dollar for each unit."""
    return settle(facts(*spans, **options), price_by_sum)  # pyright: ignore[reportArgumentType]


def billed(*spans: Call | Link) -> set[bytes]:
    """The ids of the spans that are billed."""
    return {record.call.span_id for record in settled(*spans).values() if record.status != "duplicate"}
