"""The changes to write so that the database agrees with the facts: the difference, and nothing else.

Pure. The traces of a component (one trace, or several that report the same call) are settled together. Each record
that is new or decided differently is written, and the rollups change by exactly the difference between the records
before and after. So they are exact at every commit, whatever the order of arrival.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, localcontext
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.domain.money import CONTEXT
from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.rollup import (
    NOTHING,
    HourlyKey,
    Measures,
    WorkflowKey,
    hourly_key,
    measures_of,
    workflow_key,
)
from cost_exporter.domain.settling.identity import call_key, repeated_ids
from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.settling.settle import Price, TraceFacts, Workflow, settle, workflow_of
from cost_exporter.domain.span import Call, Link, SpanKey
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.domain.value import value
from cost_exporter.store.ledger.trace_state import TraceKey, TraceState

__all__ = [
    "Amendment",
    "RecordChange",
    "Revision",
    "TraceRow",
    "WriteSet",
    "add_settled",
    "decision_of",
    "keeping_quotes",
    "quotes_by_usage",
    "settle_component",
    "usage_key",
    "usage_key_of",
]

Key = TypeVar("Key")


@value
class RecordChange:
    """A record as it is to be; `before` is None for a new one."""

    record: CostRecord
    before: CostRecord | None
    namespace: str
    bucket_day: int
    received_at_us: int
    outgoing: OutgoingSpan | None = None


@value
class TraceRow:
    """The row of `trace` as it is to be."""

    state: TraceState
    tenant: str
    workflow: Workflow
    record_count: int
    started_at_unix_ns: int | None
    ended_at_unix_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An earlier state of a record: content that lost a conflict, or a decision or quote that was replaced."""

    namespace: str
    call: Call
    tenant: str
    """The tenant that the call is attributed to now."""
    reason: str = "conflict"
    content: str = ""
    """JSON; "" for the decision before, or without one for the whole call."""
    before: CostRecord | None = None
    """The record on which late spans changed the decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """The changes that late spans made to a finalised workflow, for one tenant."""

    key: TraceKey
    tenant: str
    span_count: int
    before_usd: Decimal
    after_usd: Decimal
    before_unpriced: int
    after_unpriced: int


@dataclass(slots=True)
class WriteSet:
    """Everything that one transaction writes."""

    trace_rows: list[TraceRow] = field(default_factory=list[TraceRow])
    changes: list[RecordChange] = field(default_factory=list[RecordChange])
    removals: list[RecordChange] = field(default_factory=list[RecordChange])
    """Records of spans that only looked like calls, now that calls below them are known; `record` is the one stored."""
    revisions: list[Revision] = field(default_factory=list[Revision])
    amendments: list[Amendment] = field(default_factory=list[Amendment])
    outgoing_links: list[OutgoingSpan] = field(default_factory=list[OutgoingSpan])
    """Spans without a cost that are forwarded as they are."""
    shared_keys: set[int] = field(default_factory=set[int])
    """Keys of ids that turned out to be shared by too many calls."""
    final_traces: set[TraceKey] = field(default_factory=set[TraceKey])
    """Workflows that were final before these changes."""
    parted_traces: set[TraceKey] = field(default_factory=set[TraceKey])
    """Traces that share a key with others which joins them no more."""
    unindexed: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    """Spans of long traces that have no record, because they only frame calls: number of the trace, span id."""
    reason: str = ""
    """Why records change, where it is not for what arrived: a re-rating or its undoing."""

    def moves(self) -> tuple[dict[tuple[str, WorkflowKey], Measures], dict[HourlyKey, Measures]]:
        """Return by how much the rollups move, by (namespace, workflow key) and by hourly key."""
        workflows, hours = _Sums[tuple[str, WorkflowKey]](), _Sums[HourlyKey]()
        for change in self.changes:
            record, before = change.record, change.before
            measures = measures_of(record)
            workflows.added[change.namespace, workflow_key(record)].append(measures)
            hours.added[hourly_key(record)].append(measures)
            if before is not None:
                measures = measures_of(before)
                workflows.removed[change.namespace, workflow_key(before)].append(measures)
                hours.removed[hourly_key(before)].append(measures)
        for change in self.removals:
            measures = measures_of(change.record)
            workflows.removed[change.namespace, workflow_key(change.record)].append(measures)
            hours.removed[hourly_key(change.record)].append(measures)
        return workflows.moves(), hours.moves()


def settle_component(states: Sequence[TraceState], price: Price, write_set: WriteSet) -> None:
    """Settle traces that belong together and add the difference to `write_set`."""
    # Of a purged trace nothing is left to be settled; its header stays as it was.
    states = [state for state in states if not state.is_purged]
    if not any(state.has_changed or state.has_new_keys for state in states):
        return
    _share_repeated_ids(states, write_set)
    stored = [record for state in states for record in state.records.values()]
    planned = len(write_set.changes)
    add_settled(states, keeping_quotes(stored, price) if stored else price, write_set)
    write_set.revisions += _moved_decisions(write_set.changes[planned:])


def add_settled(states: Sequence[TraceState], price: Price, write_set: WriteSet) -> None:
    """Settle traces that belong together with this price, whatever they cost before."""
    records = settle(_facts_of(states), price)
    for state in states:
        _add_trace(state, records, write_set)


def _share_repeated_ids(states: Sequence[TraceState], write_set: WriteSet) -> None:
    """Keep on each trace, and for those to come, which ids identify nothing: then no other trace need be asked."""
    repeated = repeated_ids([call for state in states for call in state.calls.values()])
    if not repeated:
        return
    for state in states:
        mine = repeated.intersection(call.call_id for call in state.calls.values())
        keys = {call_key(state.key[1], f"call:{call_id}") for call_id in mine}
        if state.share(keys):
            write_set.shared_keys |= keys


def _facts_of(states: Sequence[TraceState]) -> TraceFacts:
    """Return the facts of all, which are of different traces; each is copied once, however many there are."""
    facts = states[0].facts
    if len(states) == 1:
        return facts
    calls: dict[SpanKey, Call] = {}
    links: dict[SpanKey, Link] = {}
    for state in states:
        calls |= state.calls
        links |= state.links
    shared_keys = frozenset[int]().union(*(state.shared_keys for state in states))
    return replace(facts, calls=calls, links=links, shared_keys=shared_keys)


def keeping_quotes(stored: Iterable[CostRecord], price: Price) -> Price:
    """Return a price that quotes what was stored as it was quoted then.

    A late span must not re-price its neighbours by a newer book: that is what re-rating is for (rule 20).
    """
    known = quotes_by_usage(stored)

    def quote(usage: UsageRecord) -> Quote:
        return known.get(usage_key(usage)) or price(usage)

    return quote


def quotes_by_usage(stored: Iterable[CostRecord]) -> dict[object, Quote]:
    """Return what was quoted for each usage; see `usage_key`."""
    return {
        usage_key_of(record): record.quote
        for record in stored
        # The vendor's figure of an amended record came from another span, so its usage is not ours to rebuild.
        if record.status != "duplicate" and not any(issue.startswith("amended_by:") for issue in record.issues)
    }


_ON_ACCOUNT: Final = frozenset({"quantities", "tenant", "api_key", "session_before"})
_rest_of_usage: Final = attrgetter(*(each.name for each in fields(UsageRecord) if each.name not in _ON_ACCOUNT))


def usage_key(usage: UsageRecord) -> object:
    """Return a key that is equal for equal usage of one tenant and API key."""
    return _key(usage, usage.tenant, usage.api_key, usage.quantities, usage.session_before)


def usage_key_of(record: CostRecord) -> object:
    """Return the key of the usage as it was billed."""
    api_key = record.attribution.api_key or ""
    return _key(record.call.usage, record.tenant, api_key, record.quantities, record.session_before)


def _key(
    usage: UsageRecord, tenant: str, api_key: str, quantities: Quantities, session_before: Quantities | None
) -> object:
    before = None if session_before is None else frozenset(session_before.items())
    return _rest_of_usage(usage), tenant, api_key, frozenset(quantities.items()), before


def _change(state: TraceState, record: CostRecord, before: CostRecord | None) -> RecordChange:
    key = record.call.trace_id, record.call.span_id
    return RecordChange(
        record=record,
        before=before,
        namespace=state.key[1],
        bucket_day=state.bucket_day,
        received_at_us=state.received_at_us[key],
        outgoing=state.outgoing.get(key),
    )


def _add_trace(state: TraceState, records: Mapping[SpanKey, CostRecord], write_set: WriteSet) -> None:
    changes: list[RecordChange] = []
    removals: list[RecordChange] = []
    for key, call in state.calls.items():
        before = state.records.get(key)
        record = records.get(key)
        if record is None:  # it only frames others
            if state.long is not None:
                write_set.unindexed.append((state.long.number, key[1]))
            if before is not None:
                removals.append(_change(state, before, before))
        elif before is None or _stored_fields(before) != _stored_fields(record) or before.call is not call:
            changes.append(_change(state, record, before))
    write_set.changes += changes
    write_set.removals += removals
    write_set.revisions += [
        Revision(
            namespace=state.key[1],
            call=each.record.call,
            tenant=each.record.tenant,
            reason="settled",
            before=each.record,
        )
        for each in removals
    ]
    write_set.outgoing_links += state.outgoing_links
    write_set.revisions += [
        Revision(namespace=state.key[1], call=call, tenant=records[key].tenant if key in records else state.key[1])
        for (key, _), call in state.superseded_calls.items()
    ]
    if state.is_parted:
        write_set.parted_traces.add(state.key)
    if state.has_changed or state.has_new_keys or changes:
        write_set.trace_rows.append(_trace_row(state, records, changes, removals))
        if state.is_finalised and (changes or removals):
            write_set.final_traces.add(state.key)
            write_set.amendments += _amendments(state, changes, removals)


def _moved_decisions(changes: Iterable[RecordChange]) -> Iterable[Revision]:
    """Return what was decided before on calls that are billed otherwise now, though they say the same as before."""
    for change in changes:
        before, record = change.before, change.record
        if before is not None and before.call is record.call and decision_of(before) != decision_of(record):
            yield Revision(
                namespace=change.namespace,
                call=before.call,
                tenant=record.tenant,
                reason="settled",
                before=before,
            )


def decision_of(record: CostRecord) -> tuple[object, ...]:
    """Return what is decided on a call but for whose account it is."""
    return record.status, record.cost_usd, record.quantities, record.duplicate_of, record.duplicate_trace_id


def _stored_fields(record: CostRecord) -> tuple[object, ...]:
    """Return what a record says beyond its call; two that agree here need no write."""
    words = record.attribution
    return (
        record.status,
        record.cost_usd,
        record.tenant,
        record.category,
        words.task,
        words.tier,
        words.user,
        words.api_key,
        record.quantities,
        record.session_before,
        record.lines,
        record.issues,
        record.duplicate_of,
        record.duplicate_trace_id,
        record.book_version,
        record.amended_model,
    )


def _trace_row(
    state: TraceState,
    records: Mapping[SpanKey, CostRecord],
    changes: Sequence[RecordChange],
    removals: Sequence[RecordChange],
) -> TraceRow:
    trace_id = state.key[0]
    facts = state.facts
    kept = {key: call for key, call in state.calls.items() if key in records}
    started = [call.started_at_unix_ns for call in kept.values()]
    ended = [call.ended_at_unix_ns for call in kept.values()]
    for link in state.links.values():
        if link.root is not None:
            started.append(link.root.started_at_unix_ns)
            ended.append(link.root.ended_at_unix_ns)
    tenants, record_count = {records[key].tenant for key in kept}, len(kept)
    if state.partial is not None:
        totals = _moved(state.partial.totals, changes, removals)
        tenants = {tenant for tenant, total in totals.items() if total.request_count or total.duplicate_count}
        record_count = state.stored_record_count - len(removals) + sum(each.before is None for each in changes)
        started += _known(state.partial.started_at_unix_ns)
        ended += _known(state.partial.ended_at_unix_ns)
    start = min(started, default=None)
    return TraceRow(
        state=state,
        tenant=_tenant_of(facts, trace_id, tenants),
        workflow=workflow_of(trace_id, facts),
        record_count=record_count,
        started_at_unix_ns=start,
        ended_at_unix_ns=None if start is None else max(start, *ended),
    )


def _known(instant: int | None) -> list[int]:
    return [] if instant is None else [instant]


def _tenant_of(facts: TraceFacts, trace_id: bytes, tenants: Iterable[str]) -> str:
    """Return the tenant of the workflow as a whole: the root's, else the smallest name among its calls' tenants."""
    root = Lineage(facts.calls, facts.links).root(trace_id)
    if root is not None and facts.tenant_is_trusted:
        root_tenant = root[1].tenant or root[0].resource_attribution.tenant
        if root_tenant:
            return root_tenant
    return min(tenants, default=facts.namespace)


def _amendments(
    state: TraceState, changes: Sequence[RecordChange], removals: Sequence[RecordChange]
) -> Iterable[Amendment]:
    if state.partial is not None:
        sums = state.partial.totals, _moved(state.partial.totals, changes, removals)
    else:
        removed = {(each.record.call.trace_id, each.record.call.span_id) for each in removals}
        after = {key: record for key, record in state.records.items() if key not in removed}
        after |= {(change.record.call.trace_id, change.record.call.span_id): change.record for change in changes}
        sums = _sum_by_tenant(state.records.values()), _sum_by_tenant(after.values())
    for tenant in sorted(sums[0].keys() | sums[1].keys()):
        before, now = (each.get(tenant, NOTHING) for each in sums)
        if before != now:
            yield Amendment(
                key=state.key,
                tenant=tenant,
                span_count=state.new_span_count,
                before_usd=before.cost_usd,
                after_usd=now.cost_usd,
                before_unpriced=before.unpriced_count,
                after_unpriced=now.unpriced_count,
            )


def _moved(
    sums: Mapping[str, Measures], changes: Sequence[RecordChange], removals: Sequence[RecordChange]
) -> dict[str, Measures]:
    """Return the sums by tenant as these changes leave them."""
    gone = [change.before for change in changes if change.before is not None] + [each.record for each in removals]
    moved = dict(sums)
    for tenant, measures in _sum_by_tenant(change.record for change in changes).items():
        moved[tenant] = moved.get(tenant, NOTHING).plus(measures)
    for tenant, measures in _sum_by_tenant(gone).items():
        moved[tenant] = moved.get(tenant, NOTHING).minus(measures)
    return moved


def _sum_by_tenant(records: Iterable[CostRecord]) -> dict[str, Measures]:
    found: dict[str, list[Measures]] = {}
    for record in records:
        found.setdefault(record.tenant, []).append(measures_of(record))
    return {tenant: _total(measures) for tenant, measures in found.items()}


class _Sums(Generic[Key]):
    """The amounts added to and taken from the rollups of one kind."""

    def __init__(self) -> None:
        self.added: defaultdict[Key, list[Measures]] = defaultdict(list)
        self.removed: defaultdict[Key, list[Measures]] = defaultdict(list)

    def moves(self) -> dict[Key, Measures]:
        """Return the difference by key; keys that do not move are left out."""
        moves = {key: _total(measures) for key, measures in self.added.items()}
        for key, measures in self.removed.items():
            moves[key] = moves.get(key, NOTHING).minus(_total(measures))
        return {key: move for key, move in moves.items() if move != NOTHING}


def _total(measures: Sequence[Measures]) -> Measures:
    """Return the exact sum, a column at a time."""
    if len(measures) == 1:
        return measures[0]
    with localcontext(CONTEXT):
        sums: list[Any] = [sum(column[1:], column[0]) for column in zip(*measures, strict=True)]
        return Measures(*sums)
