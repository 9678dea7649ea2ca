"""Settle a trace: from all its facts decide which calls are billed, to which tenant, and what they cost.

A pure function of the *set* of facts. Whatever the order, batching or repetition in which spans arrive, the
same set gives the same records: that is what makes rollups reproducible (rules 2, 6, 9, 16).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.cost import UNCATEGORISED, CostRecord, billed_record
from cost_exporter.domain.money import MAX_MONEY, parse_decimal
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.settling.framing import framing_spans
from cost_exporter.domain.settling.gateway_ids import gateway_ids
from cost_exporter.domain.settling.identity import Identities, ids_of_keys, repeated_ids
from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.settling.verdict import Verdict, judge
from cost_exporter.domain.span import Call, Link, SpanKey
from cost_exporter.domain.usage import UsageRecord, copy_usage
from cost_exporter.domain.value import value

__all__ = [
    "Price",
    "TraceFacts",
    "Workflow",
    "better_call",
    "better_link",
    "greatest_attribution",
    "settle",
    "workflow_of",
]

Price = Callable[[UsageRecord], Quote]


@value
class TraceFacts:
    """All stored facts of one trace, or of several that report the same provider call.

    Of a long trace they may be a part: every call that is there then has all those beside it from which it cannot be
    judged apart (`component.py`), the spans above them, and the root. What the others say is in the last two fields.
    """

    namespace: str
    tenant_is_trusted: bool
    """False where the namespace comes from a credential: then it is the tenant, whatever attributes say."""
    calls: Mapping[SpanKey, Call]
    links: Mapping[SpanKey, Link]
    shared_keys: frozenset[int] = frozenset()
    """Keys of ids, and of slots of time, that too many calls share to identify one, also calls of other traces."""
    framing: frozenset[SpanKey] = frozenset()
    """Spans that only look like calls and are known to have one below them that is not among these."""
    words: Attribution = NO_ATTRIBUTION
    """Field by field, the greatest word of the spans of the trace that are not among these."""


@value
class Workflow:
    """The workflow as a whole, from the facts of one trace."""

    state: str
    """running, completed or failed, by the root and `callfare.outcome`. `finalised` is the store's to say."""
    workflow_id: str | None
    workflow_name: str | None
    revenue_usd: Decimal | None


_UNCHANGED = Verdict()


def settle(facts: TraceFacts, price: Price) -> dict[SpanKey, CostRecord]:
    """Return the cost record of every call in `facts`; a look-alike that only frames others has none."""
    lineage = Lineage(facts.calls, facts.links)
    calls_by_key = facts.calls
    framing: frozenset[SpanKey] = frozenset()
    if any(call.is_look_alike for call in facts.calls.values()):
        framing = framing_spans(facts.calls, facts.links) | facts.framing
        calls_by_key = {key: call for key, call in facts.calls.items() if not call.is_look_alike}
    calls = calls_by_key.values()
    repeated = repeated_ids(calls) | ids_of_keys(facts.namespace, facts.shared_keys, calls)
    judged = lineage if calls_by_key is facts.calls else Lineage(calls_by_key, facts.links)
    identities = Identities(repeated, gateway_ids(calls_by_key, judged))
    verdicts = judge(calls_by_key, judged, identities, facts.namespace, facts.shared_keys)
    return {
        key: _record(facts, key, lineage.attribution(key), verdicts.get(key, _UNCHANGED), price)
        for key in facts.calls
        if key not in framing
    }


def workflow_of(trace_id: bytes, facts: TraceFacts) -> Workflow:
    """Return what the facts of one trace say about it as a workflow."""
    root = Lineage(facts.calls, facts.links).root(trace_id)
    attribution = greatest_attribution(trace_id, facts)
    if root is not None:
        attribution = root[1].with_fallback(attribution)
    return Workflow(
        state=_state(has_failed=None if root is None else root[0].has_failed, outcome=attribution.outcome),
        workflow_id=attribution.workflow_id,
        workflow_name=attribution.workflow_name,
        revenue_usd=_revenue_usd(attribution),
    )


def greatest_attribution(trace_id: bytes, facts: TraceFacts) -> Attribution:
    """Return, field by field, the greatest word of any span of the trace: a fallback that no order can change."""
    spans = (facts.links, facts.calls)
    # By identity first: reading gives spans that say the same the same object, and comparing eleven words is expensive.
    by_identity = {
        id(each.attribution): each.attribution for some in spans for key, each in some.items() if key[0] == trace_id
    }
    distinct = {facts.words, *by_identity.values()}
    fields = zip(*distinct, strict=True)
    return Attribution(*[max((word for word in field if word is not None), default=None) for field in fields])


def better_call(one: Call, other: Call) -> Call:
    """Of two contents under one span key return the one to keep: a maximum, so order and repetition do not matter."""
    return max(one, other, key=_call_rank)


def better_link(one: Link, other: Link) -> Link:
    """The same for links: the one that says more, then the later end; the rest is a tie-break on content."""
    return max(one, other, key=_link_rank)


def _record(facts: TraceFacts, key: SpanKey, attribution: Attribution, verdict: Verdict, price: Price) -> CostRecord:
    call = facts.calls[key]
    tenant = (facts.tenant_is_trusted and attribution.tenant) or facts.namespace
    category = attribution.category or UNCATEGORISED
    if verdict.is_duplicate:
        winner = verdict.duplicate_of
        return CostRecord(
            call=call,
            tenant=tenant,
            category=category,
            attribution=attribution,
            quantities=call.usage.quantities,
            status="duplicate",
            cost_usd=None,
            issues=call.issues + verdict.issues,
            duplicate_of=None if winner is None else winner[1],
            duplicate_trace_id=None if winner is None or winner[0] == key[0] else winner[0],
        )
    usage = _usage_on_account(call.usage, tenant, attribution.api_key or "", verdict)
    quote = price(usage)
    return billed_record(
        call=call,
        tenant=tenant,
        category=category,
        attribution=attribution,
        usage=usage,
        quote=quote,
        issues=call.issues + verdict.issues + quote.issues,
        amended_model=verdict.model,
    )


def _usage_on_account(usage: UsageRecord, tenant: str, api_key: str, verdict: Verdict) -> UsageRecord:
    """Return the usage as it is billed: for this tenant, with the verdict's quantities where it has any."""
    return copy_usage(
        usage,
        quantities=usage.quantities if verdict.quantities is None else verdict.quantities,
        at_unix_ns=usage.at_unix_ns,
        model=verdict.model or usage.model,
        tenant=tenant,
        api_key=api_key,
        session_before=verdict.session_before,
        vendor_cost_usd=usage.vendor_cost_usd if verdict.vendor_cost_usd is None else verdict.vendor_cost_usd,
    )


def _state(*, has_failed: bool | None, outcome: str | None) -> str:
    if has_failed is None:
        return "running"
    if outcome is not None:
        return "failed" if outcome == "failed" else "completed"
    return "failed" if has_failed else "completed"


def _revenue_usd(attribution: Attribution) -> Decimal | None:
    """Return the revenue where it is an amount in USD that can be kept; other currencies are not converted."""
    if attribution.revenue_amount is None or (attribution.revenue_currency or "USD").upper() != "USD":
        return None
    try:
        amount = parse_decimal(attribution.revenue_amount)
    except ValueError:
        return None
    return amount if 0 <= amount < MAX_MONEY else None


def _call_rank(call: Call) -> tuple[bool, bool, int, Decimal, int]:
    """Rule 2: has usage, end time, total quantity, content hash.

    Before these: of what only looks like a call nothing is kept where calls are below it, so it would win or lose by
    the order of arrival.
    """
    quantities = call.usage.quantities
    total = sum((Decimal(number) for number in quantities.values()), Decimal(0))
    return not call.is_look_alike, bool(quantities), call.ended_at_unix_ns, total, call.content_hash


def _link_rank(link: Link) -> tuple[bool, int, int, tuple[str, ...], bytes]:
    root = link.root
    return (
        root is not None,
        0 if root is None else root.ended_at_unix_ns,
        sum(word is not None for word in link.attribution),
        tuple(word or "" for word in link.attribution) + (() if root is None else (str(root),)),
        link.parent_span_id or b"",
    )
