"""Judge the calls of a trace: which span of each call is billed, and with which figures.

The most complete span of a call (`completeness_rank`) is billed, with every part of the usage that any of its spans
reports. The others are kept as its duplicates. Three cases differ. A phone call is billed on the span that ended
first, with the quantities of the most complete one, because the vendor's price arrives late and from elsewhere. A
framework's span is not billed if vendor spans below it are, whatever their quantities. A span whose emitter marks it
as not billable is never billed.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from cost_exporter.domain.cost import leg_of
from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.settling.agreement import models_agree, omits_cached_tokens_of
from cost_exporter.domain.settling.finest_split import finest_split
from cost_exporter.domain.settling.identity import Identities
from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.settling.same_call import same_call_evidence, same_call_groups
from cost_exporter.domain.span import Call, EmitterRank, SpanKey
from cost_exporter.domain.value import value

__all__ = ["Verdict", "completeness_rank", "judge"]


@value
class Verdict:
    """The usage to bill instead of the span's own; a call without a verdict is billed unchanged."""

    duplicate_of: SpanKey | None = None
    is_duplicate: bool = False
    """True also where the span that is billed instead is not known."""
    quantities: Quantities | None = None
    session_before: Quantities | None = None
    vendor_cost_usd: Decimal | None = None
    model: str = ""
    """Of another span of the call, where the billed one names none."""
    issues: tuple[str, ...] = ()


def judge(
    calls: Mapping[SpanKey, Call],
    lineage: Lineage,
    identities: Identities,
    namespace: str,
    shared_keys: frozenset[int] = frozenset(),
) -> dict[SpanKey, Verdict]:
    """Return a verdict for each call that is not billed unchanged."""
    verdicts: dict[SpanKey, Verdict] = {}
    groups = same_call_groups(calls, lineage, identities, namespace, shared_keys)
    for keys in groups:
        verdicts.update(_one_of_many(calls, keys, lineage, identities))
    _prefer_vendor_spans(calls, lineage, identities, groups, verdicts)
    for key, call in calls.items():
        if not call.is_billable and not _is_duplicate(verdicts, key):
            verdicts[key] = Verdict(is_duplicate=True, issues=("not_billable",))
    for deltas in _sessions(calls, verdicts).values():
        verdicts.update(_session(calls, deltas))
    return verdicts


def completeness_rank(call: Call) -> tuple[bool, bool, bool, int, int]:
    """Return the rank that chooses the billed span of a call: the greatest wins."""
    return (
        call.is_billable,
        bool(call.usage.quantities) or call.usage.vendor_cost_usd is not None,
        not call.usage.is_estimated,
        int(call.emitter_rank),
        len(call.usage.quantities),
    )


def _one_of_many(
    calls: Mapping[SpanKey, Call], keys: Sequence[SpanKey], lineage: Lineage, identities: Identities
) -> Iterator[tuple[SpanKey, Verdict]]:
    """Bill one span of a call; none if its emitters mark all of them as not billable."""
    billable = [key for key in keys if calls[key].is_billable]
    if not billable:
        return
    if any(calls[key].call_id.startswith("phone:") for key in keys):
        billed_span, amended = _one_phone_call(calls, keys, billable)
        yield from amended
    else:
        billed_span = _richest(calls, billable)
        yield from _completed(calls, billed_span, keys)
    for key in keys:
        if key != billed_span:
            yield key, _duplicate(billed_span, same_call_evidence(calls, lineage, identities, key, billed_span))


def _richest(calls: Mapping[SpanKey, Call], keys: Sequence[SpanKey]) -> SpanKey:
    """Return the span to bill. Between equals it is the leaf: it started last."""

    def rank(key: SpanKey) -> tuple[object, ...]:
        return completeness_rank(calls[key]), calls[key].started_at_unix_ns, key

    richest = max(keys, key=rank)
    # A gateway names what it asked for; its clients may know an alias only, and believe that they ask OpenAI.
    if not calls[richest].is_gateway and calls[richest].usage.quantities:
        asked = [key for key in keys if calls[key].is_gateway and _names_another(calls[key], calls[richest])]
        richest = max(asked, key=rank, default=richest)
    # A span with the whole input wins over one with a part of it, whatever their emitters' ranks.
    whole = [
        key for key in keys if omits_cached_tokens_of(calls[richest], calls[key]) and not calls[key].usage.is_estimated
    ]
    return max(whole, key=rank, default=richest)


def _names_another(gateway: Call, client: Call) -> bool:
    """Return whether a gateway that got an answer names another provider or model than its client."""
    mine, theirs = gateway.usage, client.usage
    has_answer = not (mine.is_refused or mine.has_failed) and bool(mine.model)
    return has_answer and (mine.provider != theirs.provider or not models_agree(gateway, client))


def _completed(
    calls: Mapping[SpanKey, Call], billed_span: SpanKey, keys: Sequence[SpanKey]
) -> Iterator[tuple[SpanKey, Verdict]]:
    """Bill a call with the parts that only its other spans report; yield nothing if they report no more."""
    others = sorted(
        (key for key in keys if key != billed_span), key=lambda key: (completeness_rank(calls[key]), key), reverse=True
    )
    quantities, helpers = finest_split(calls[billed_span], [calls[key] for key in others])
    if helpers:
        issues = tuple(f"completed_by:{calls[others[each]].span_id.hex()}" for each in helpers)
        yield billed_span, Verdict(quantities=quantities, issues=issues)


def _duplicate(billed: SpanKey, why: str) -> Verdict:
    return Verdict(is_duplicate=True, duplicate_of=billed, issues=(f"same_call:{why}",))


def _one_phone_call(
    calls: Mapping[SpanKey, Call], keys: Sequence[SpanKey], billable: Sequence[SpanKey]
) -> tuple[SpanKey, list[tuple[SpanKey, Verdict]]]:
    """Bill the span that ended first, using the quantities of the most complete one."""
    # The call then keeps its workflow and day when its price arrives. A span ends when its report arrives. Starts do
    # not show the order: Twilio truncates them to whole seconds of its own clock, so a price fetched days later can
    # seem to start before the callback at the call's end.
    billed_span = min(billable, key=lambda key: (calls[key].ended_at_unix_ns, calls[key].started_at_unix_ns, key))
    best = max(keys, key=lambda key: (_phone_completeness_rank(calls[key]), key))
    if best == billed_span:
        return billed_span, []
    usage, own = calls[best].usage, calls[billed_span].usage
    amended = Verdict(
        quantities=usage.quantities or own.quantities,
        vendor_cost_usd=usage.vendor_cost_usd,
        model="" if own.model else _phone_model(calls, keys),
        issues=(f"amended_by:{best[1].hex()}",),
    )
    return billed_span, [(billed_span, amended)]


def _phone_model(calls: Mapping[SpanKey, Call], keys: Sequence[SpanKey]) -> str:
    """Return what the price list calls the leg: only Twilio's own word on it says, not who is called by it."""
    named = [key for key in keys if calls[key].usage.model]
    best = max(named, key=lambda key: (_phone_completeness_rank(calls[key]), key), default=None)
    return "" if best is None else calls[best].usage.model


def _phone_completeness_rank(call: Call) -> tuple[bool, Decimal, int]:
    seconds = call.usage.quantities.get("call_seconds", -1)
    return call.usage.vendor_cost_usd is not None, Decimal(seconds), call.ended_at_unix_ns


def _prefer_vendor_spans(
    calls: Mapping[SpanKey, Call],
    lineage: Lineage,
    identities: Identities,
    groups: Sequence[Sequence[SpanKey]],
    verdicts: dict[SpanKey, Verdict],
) -> None:
    """Bill vendor spans instead of the framework span of their kind above them, innermost framework spans first."""
    below = _vendors_below(calls, lineage)
    if not below:
        return
    spans_by_call = {key: keys for keys in groups for key in keys}
    for framework in sorted(below, key=lambda key: (-len(lineage.calls_above(key)), key)):
        if not _is_duplicate(verdicts, framework):
            spans_of_call = spans_by_call.get(framework, (framework,))
            if not _is_known_by_id(calls, identities, framework, spans_of_call):
                verdicts.update(_framework_or_vendors(calls, framework, below[framework], spans_of_call, verdicts))
    verdicts.update(_pointed_at_the_billed(verdicts))


def _vendors_below(calls: Mapping[SpanKey, Call], lineage: Lineage) -> dict[SpanKey, list[SpanKey]]:
    """Return each framework's span with the vendor spans below it that may report the same call."""
    below: dict[SpanKey, list[SpanKey]] = {}
    if any(call.emitter_rank is EmitterRank.FRAMEWORK for call in calls.values()):
        for key, call in calls.items():
            if call.emitter_rank is not EmitterRank.FRAMEWORK:
                for above in lineage.calls_above(key):
                    if _stands_for(calls[above], call):
                        below.setdefault(above, []).append(key)
    return below


def _stands_for(framework: Call, vendor: Call) -> bool:
    """Return whether a framework's span may report a vendor call below it: same operation, same provider."""
    if framework.emitter_rank is not EmitterRank.FRAMEWORK:
        return False
    of_framework, of_vendor = framework.usage, vendor.usage
    # A provider that is called by its host says only where the request went, not whose it is.
    names_no_vendor = of_framework.provider in {"", of_framework.base_url} or not of_vendor.provider
    is_one_provider = vendor.is_gateway or names_no_vendor or of_framework.provider == of_vendor.provider
    return is_one_provider and leg_of(of_framework.operation) == leg_of(of_vendor.operation)


def _is_known_by_id(
    calls: Mapping[SpanKey, Call], identities: Identities, framework: SpanKey, spans_of_call: Sequence[SpanKey]
) -> bool:
    """Return whether an id identifies a framework's one call: then other calls below it are separate."""
    call_id = calls[framework].call_id
    return identities.is_unique(call_id) and any(
        calls[key].call_id == call_id for key in spans_of_call if key != framework
    )


def _framework_or_vendors(
    calls: Mapping[SpanKey, Call],
    framework: SpanKey,
    vendors: Sequence[SpanKey],
    spans_of_call: Sequence[SpanKey],
    verdicts: Mapping[SpanKey, Verdict],
) -> Iterator[tuple[SpanKey, Verdict]]:
    """Bill the vendor spans, unless only the framework span has usage. `spans_of_call` are the spans of its call."""
    reported = calls[framework]
    others = sorted({_billed_for(verdicts, key) for key in vendors} - {framework})
    others = [key for key in others if calls[key].is_billable]
    if not others:
        return
    if reported.is_billable and reported.usage.quantities and not any(calls[key].usage.quantities for key in others):
        for key in others:
            yield key, _duplicate(framework, "usage_lost")
        return
    first = min(others, key=lambda key: (calls[key].started_at_unix_ns, key))
    yield framework, _duplicate(first, "framework")
    if others == [first] and first not in verdicts:
        yield from _completed(calls, first, [first, framework])
    # A vendor span without usage was grouped with the framework's call. Now that call is billed elsewhere, so this span
    # is a separate call whose usage is unknown.
    alone = [key for key in {*spans_of_call}.intersection(vendors) if calls[key].is_billable]
    if alone:
        billed_span = _richest(calls, alone)
        yield billed_span, Verdict()
        yield from _completed(calls, billed_span, [key for key in spans_of_call if key != framework])
        for key in spans_of_call:
            if key not in {framework, billed_span}:
                yield key, _duplicate(billed_span, "usage_lost")


def _billed_for(verdicts: Mapping[SpanKey, Verdict], key: SpanKey) -> SpanKey:
    """Return the span that is billed for the call of a span."""
    while (verdict := verdicts.get(key)) is not None and verdict.duplicate_of is not None:
        key = verdict.duplicate_of
    return key


def _pointed_at_the_billed(verdicts: Mapping[SpanKey, Verdict]) -> dict[SpanKey, Verdict]:
    """Follow chains of duplicates, so that `duplicate_of` names the span that is billed.

    A chain ends: only a span that is still billed is made a duplicate of another one that is.
    """
    followed: dict[SpanKey, Verdict] = {}
    for key, verdict in verdicts.items():
        billed = _billed_for(verdicts, key)
        if verdict.duplicate_of not in {None, billed}:
            followed[key] = Verdict(is_duplicate=True, duplicate_of=billed, issues=verdict.issues)
    return followed


def _session(calls: Mapping[SpanKey, Call], deltas: Sequence[SpanKey]) -> Iterator[tuple[SpanKey, Verdict]]:
    """Correct the deltas to the vendor's total of the session (rule 9), and give each the quantities before it."""
    quantities = [calls[key].usage.quantities for key in deltas]
    stated = [calls[key].session_vendor_total_seconds for key in deltas]
    vendor_total = next((total for total in reversed(stated) if total is not None), None)
    corrected = quantities if vendor_total is None else _corrected(quantities, vendor_total)
    before: dict[str, Decimal] = {}
    for key, own, billed in zip(deltas, quantities, corrected, strict=True):
        is_corrected = billed is not own
        if is_corrected or before:
            yield (
                key,
                Verdict(
                    quantities=billed if is_corrected else None,
                    session_before=dict(before) or None,
                    issues=("vendor_total",) if is_corrected else (),
                ),
            )
        for unit, number in billed.items():
            before[unit] = before.get(unit, Decimal(0)) + number


def _sessions(
    calls: Mapping[SpanKey, Call], verdicts: Mapping[SpanKey, Verdict]
) -> dict[tuple[str, str], list[SpanKey]]:
    """Return the billed deltas of each session, by sequence."""
    found: dict[tuple[str, str], list[SpanKey]] = {}
    for key, call in calls.items():
        if call.session_id and call.session_sequence is not None and not _is_duplicate(verdicts, key):
            found.setdefault((call.session_id, call.usage.operation), []).append(key)
    for keys in found.values():
        keys.sort(key=lambda key: (calls[key].session_sequence or 0, key))
    return found


def _corrected(deltas: Sequence[Quantities], vendor_total: Decimal) -> list[Quantities]:
    """Add what is missing to the last delta; take what is too much from the last ones, none below 0."""
    unit = "audio_seconds" if any("audio_seconds" in each for each in deltas) else "session_seconds"
    corrected = list(deltas)
    missing = vendor_total - sum((Decimal(each.get(unit, 0)) for each in deltas), Decimal(0))
    for position in range(len(deltas) - 1, -1, -1):
        seconds = Decimal(deltas[position].get(unit, 0))
        billed = max(Decimal(0), seconds + missing)
        if billed != seconds:
            corrected[position] = {**deltas[position], unit: billed}
        missing -= billed - seconds
    return corrected


def _is_duplicate(verdicts: Mapping[SpanKey, Verdict], key: SpanKey) -> bool:
    verdict = verdicts.get(key)
    return verdict is not None and verdict.is_duplicate
