"""The state of a trace while it is settled: loaded from the database, then merged with the new facts.

Merging is where duplicates and conflicts are found and counted (rule 2); nothing is judged here. Of two
contents under one key the better one stays, whatever the order, and the other one is kept as a revision.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.facts import DeadLetter, Facts, OutgoingSpan, Receipt
from cost_exporter.domain.rollup import Measures
from cost_exporter.domain.settling.settle import TraceFacts, better_call, better_link
from cost_exporter.domain.span import Call, Link, Root, SpanKey
from cost_exporter.store.codec.call_json import call_payload
from cost_exporter.store.database.buckets import bucket_day_of

__all__ = [
    "JOINED_CALLS_MAX",
    "JOINED_LINKS_MAX",
    "LongTrace",
    "RootSpan",
    "TraceKey",
    "TraceState",
    "merge",
    "shared_keys_from",
]

TraceKey = tuple[bytes, str]
"""(trace id, namespace): in this order traces are locked."""
JOINED_CALLS_MAX: Final = 20_000
"""A trace that shares calls with other traces is settled as a whole with them, so its size bounds what one span may
cost; calls beyond are dead letters."""
JOINED_LINKS_MAX: Final = 20_000
"""Links of such a trace beyond these are counted and not kept, but for the root, which ends last and arrives last."""

_KEY_BYTES: Final = 8


@dataclass(slots=True, kw_only=True)
class RootSpan:
    """The root of a long trace, as its index holds it."""

    key: SpanKey
    is_link: bool
    words: Attribution
    root: Root


@dataclass(slots=True, kw_only=True)
class LongTrace:
    """What is known of a trace of many spans beside those that are loaded (`long_traces.py`)."""

    number: int
    words: Attribution = NO_ATTRIBUTION
    """Field by field, the greatest word of its spans as stored."""
    root: RootSpan | None = None
    """As stored, and then as it becomes."""
    has_gateway: bool = False
    """Whether a gateway is among its calls as stored."""
    is_partial: bool = True
    """Whether only a part of its spans is loaded."""
    was_tenant_trusted: bool = True
    started_at_unix_ns: int | None = None
    ended_at_unix_ns: int | None = None
    """From when to when the spans are that are not loaded."""
    totals: dict[str, Measures] = field(default_factory=dict[str, Measures])
    """The totals that are stored, by tenant."""
    framing: set[SpanKey] = field(default_factory=set[SpanKey])
    """Loaded spans that only look like calls and have one below them that is not loaded."""


@dataclass(slots=True, kw_only=True)
class TraceState:
    """One trace: as stored, and as it becomes."""

    key: TraceKey
    bucket_day: int
    """First of the month in which its first span was received, in days since 1970: the partition of its records."""
    is_stored: bool = False
    is_purged: bool = False
    is_joined: bool = False
    is_finalised: bool = False
    is_tenant_trusted: bool = True
    last_received_at_us: int = 0
    stored_record_count: int = 0
    calls: dict[SpanKey, Call] = field(default_factory=dict[SpanKey, Call])
    links: dict[SpanKey, Link] = field(default_factory=dict[SpanKey, Link])
    records: dict[SpanKey, CostRecord] = field(default_factory=dict[SpanKey, CostRecord])
    """As stored."""
    received_at_us: dict[SpanKey, int] = field(default_factory=dict[SpanKey, int])
    """When each call was first received."""
    outgoing: dict[SpanKey, OutgoingSpan] = field(default_factory=dict[SpanKey, OutgoingSpan])
    outgoing_links: list[OutgoingSpan] = field(default_factory=list[OutgoingSpan])
    """Spans of new links that are to be forwarded as they are."""
    superseded_calls: dict[tuple[SpanKey, int], Call] = field(default_factory=dict[tuple[SpanKey, int], Call])
    """Contents that lost a conflict, by key and content hash."""
    has_changed: bool = False
    has_new_links: bool = False
    has_new_keys: bool = False
    is_parted: bool = False
    """Whether a key that may have joined it with other traces does so no more."""
    new_span_count: int = 0
    dropped_link_count: int = 0
    shared_keys: frozenset[int] = frozenset()
    """Keys that calls of this trace have and that too many calls share."""
    long: LongTrace | None = None
    new_calls: set[SpanKey] = field(default_factory=set[SpanKey])
    new_links: set[SpanKey] = field(default_factory=set[SpanKey])
    """Spans whose content is new or better."""
    has_replaced: bool = False
    """Whether one of them had another content before."""

    @property
    def partial(self) -> LongTrace | None:
        """What is known of the rest, where only a part of the trace is loaded."""
        return self.long if self.long is not None and self.long.is_partial else None

    @property
    def facts(self) -> TraceFacts:
        """Return the facts to settle."""
        return TraceFacts(
            namespace=self.key[1],
            tenant_is_trusted=self.is_tenant_trusted,
            calls=self.calls,
            links=self.links,
            shared_keys=self.shared_keys,
            framing=frozenset() if self.partial is None else frozenset(self.partial.framing),
            words=NO_ATTRIBUTION if self.partial is None else self.partial.words,
        )

    def share(self, keys: AbstractSet[int]) -> bool:
        """Keep that too many calls share these keys; return whether that is new here."""
        if keys <= self.shared_keys:
            return False
        self.shared_keys |= keys
        self.has_new_keys = self.is_parted = True
        return True

    @property
    def shared_key_bytes(self) -> bytes:
        """The keys as stored."""
        return b"".join(key.to_bytes(_KEY_BYTES, "big", signed=True) for key in sorted(self.shared_keys))


def shared_keys_from(stored: bytes) -> frozenset[int]:
    """Return the keys as they were stored."""
    places = range(0, len(stored), _KEY_BYTES)
    return frozenset(int.from_bytes(stored[each : each + _KEY_BYTES], "big", signed=True) for each in places)


def merge(
    states: dict[TraceKey, TraceState], batch: Facts, dropped_months: AbstractSet[int] = frozenset()
) -> tuple[Receipt, Sequence[DeadLetter]]:
    """Merge one request into the states of its traces. Return its receipt, and dead letters for refused spans.

    `dropped_months` are those whose records are gone, as days since 1970: by what was forgotten with them a call of
    that time could be billed twice, so one that is not known is refused.
    """
    received_at_us = batch.received_at_unix_ns // 1000
    accepted = duplicate = conflict = 0
    letters: list[DeadLetter] = []
    for call in batch.calls:
        state = states[call.trace_id, batch.namespace]
        if state.is_purged:
            letters.append(_letter("too_old", "the records of this trace were purged", call, batch))
            continue
        if dropped_months and _is_of(dropped_months, call) and (call.trace_id, call.span_id) not in state.calls:
            letters.append(_letter("too_old", "the records of its month were dropped", call, batch))
            continue
        if not _has_room(state, call):
            detail = f"a trace that shares calls with others has {JOINED_CALLS_MAX} calls at most"
            letters.append(_letter("trace_too_large", detail, call, batch))
            continue
        outcome = _merge_call(state, call, received_at_us)
        accepted += outcome is None
        duplicate += outcome is True
        conflict += outcome is False
        if outcome is None and batch.outgoing:
            span = batch.outgoing.get((call.trace_id, call.span_id))
            if span is not None:
                state.outgoing[call.trace_id, call.span_id] = span
    _merge_look_alikes(states, batch, received_at_us)
    _merge_links(states, batch)
    for key in _traces_of(batch):
        state = states[key]
        if state.has_changed:
            state.last_received_at_us = max(state.last_received_at_us, received_at_us)
            state.is_tenant_trusted = state.is_tenant_trusted and batch.tenant_is_trusted
    receipt = Receipt(
        received=batch.span_count,
        accepted=accepted,
        duplicate=duplicate,
        conflict=conflict,
        ignored=batch.ignored_count,
        dead_letter=len(batch.dead_letters) + len(letters),
    )
    return receipt, letters


def _is_of(months: AbstractSet[int], call: Call) -> bool:
    return bucket_day_of(call.started_at_unix_ns) in months


def _has_room(state: TraceState, call: Call) -> bool:
    return not state.is_joined or len(state.calls) < JOINED_CALLS_MAX or (call.trace_id, call.span_id) in state.calls


def _merge_call(state: TraceState, call: Call, received_at_us: int) -> bool | None:
    """Return None for a call not known before, True for the same content again, False for a conflict."""
    key = call.trace_id, call.span_id
    known = state.calls.get(key)
    if known is None:
        state.calls[key] = call
        state.received_at_us[key] = received_at_us
        state.has_changed = True
        state.new_span_count += 1
        state.new_calls.add(key)
        return None
    if known.content_hash == call.content_hash:
        return True
    best = better_call(known, call)
    loser = call if best is known else known
    # Of a look-alike nothing is kept where calls are below it: whether it was there to lose depends on the order.
    if not loser.is_look_alike:
        state.superseded_calls[key, loser.content_hash] = loser
    state.has_changed = True
    if best is not known:
        state.calls[key] = best
        state.new_span_count += 1
        state.new_calls.add(key)
        state.has_replaced = True
    return False


def _merge_look_alikes(states: dict[TraceKey, TraceState], batch: Facts, received_at_us: int) -> None:
    """Merge the links that look like calls: they count as links, and become records where nothing is below them."""
    for call in batch.look_alikes:
        state = states[call.trace_id, batch.namespace]
        if not state.is_purged and _has_room(state, call):
            _merge_call(state, call, received_at_us)


def _merge_links(states: dict[TraceKey, TraceState], batch: Facts) -> None:
    for link in batch.links:
        state = states[link.trace_id, batch.namespace]
        key = link.trace_id, link.span_id
        known = state.links.get(key)
        if state.is_purged or known == link:
            continue
        if known is None and key in batch.outgoing:
            state.outgoing_links.append(batch.outgoing[key])
        is_full = state.is_joined and len(state.links) >= JOINED_LINKS_MAX
        if known is None and is_full and not _is_first_root(state, link):
            state.dropped_link_count += 1
            continue
        best = link if known is None else better_link(known, link)
        if best is not known:
            state.links[key] = best
            state.has_changed = state.has_new_links = True
            state.new_links.add(key)
            state.has_replaced |= known is not None


def _is_first_root(state: TraceState, link: Link) -> bool:
    """Return whether the root of a trace has come at last: it ends the workflow and says whose it is."""
    return link.root is not None and all(known.root is None for known in state.links.values())


def _traces_of(batch: Facts) -> Iterable[TraceKey]:
    return {(each.trace_id, batch.namespace) for each in (*batch.calls, *batch.links)}


def _letter(reason: str, detail: str, call: Call, batch: Facts) -> DeadLetter:
    payload = call_payload(call, batch.outgoing.get((call.trace_id, call.span_id)))
    return DeadLetter(reason=reason, detail=detail, trace_id=call.trace_id, span_id=call.span_id, payload=payload)
