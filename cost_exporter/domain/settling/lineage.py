"""Lineage: the ancestors of each span in a trace, and what a span inherits from them.

Spans arrive in any order and some never do, so a chain may be broken; then the root of the trace replaces the
missing part (rule 16). A forged cycle of parents ends the walk.
"""

from collections.abc import Container, Iterator, Mapping
from itertools import islice
from typing import Final

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.span import Call, Link, Root, SpanKey

__all__ = ["CALLS_ABOVE_MAX", "Lineage", "root_of_call"]

CALLS_ABOVE_MAX: Final = 64
"""Calls nested deeper than this are not compared; no application reports one call in more layers."""


class Lineage:
    """The parents, roots and inherited attribution of all spans of some traces."""

    def __init__(self, calls: Mapping[SpanKey, Call], links: Mapping[SpanKey, Link]) -> None:
        self._calls = calls
        self._links = links
        self._roots = _roots(calls, links)
        self._inherited: dict[SpanKey, Attribution] = {}
        self._calls_above: dict[SpanKey, tuple[SpanKey, ...]] = {}

    def root(self, trace_id: bytes) -> tuple[Root, Attribution] | None:
        """Return the root of a trace and what the root span itself says, or None while it has not arrived."""
        found = self._roots.get(trace_id)
        return None if found is None else (found[1], found[2])

    def root_key(self, trace_id: bytes) -> SpanKey | None:
        """Return the key of the root of a trace, or None while it has not arrived."""
        found = self._roots.get(trace_id)
        return None if found is None else found[0]

    def parent(self, key: SpanKey) -> SpanKey | None:
        """Return the key of the parent, whether or not that span has arrived."""
        span = self._calls.get(key) or self._links.get(key)
        if span is None or span.parent_span_id is None:
            return None
        return key[0], span.parent_span_id

    def ancestors(self, key: SpanKey) -> Iterator[SpanKey]:
        """Yield the known part of the chain above `key`, nearest first."""
        seen = {key}
        above = self.parent(key)
        while above is not None and above not in seen:
            yield above
            seen.add(above)
            above = self.parent(above)

    def calls_above(self, key: SpanKey) -> tuple[SpanKey, ...]:
        """Return the calls among the ancestors of a call, nearest first, `CALLS_ABOVE_MAX` at most."""
        parent_span_id = self._calls[key].parent_span_id
        if parent_span_id is None:
            return ()
        found = self._calls_from((key[0], parent_span_id))
        # In a forged cycle a span is above itself: it ends there.
        return found[: found.index(key)] if key in found else found

    def are_related(self, one: SpanKey, other: SpanKey) -> bool:
        """Return whether one of two calls is above the other."""
        return other in self.calls_above(one) or one in self.calls_above(other)

    def attribution(self, key: SpanKey) -> Attribution:
        """Return what applies to a call: its own word, else its nearest ancestor's, the root's, the resource's."""
        call = self._calls[key]
        attribution = call.attribution
        if call.parent_span_id is not None:
            attribution = attribution.with_fallback(self._inherited_attribution((key[0], call.parent_span_id)))
        found = self._roots.get(key[0])
        if found is None:
            return attribution.with_fallback(call.resource_attribution)
        _, root, root_attribution = found
        return (
            attribution.with_fallback(root_attribution)
            .with_fallback(call.resource_attribution)
            .with_fallback(root.resource_attribution)
        )

    def _walk(self, key: SpanKey, memo: Container[SpanKey]) -> tuple[dict[SpanKey, None], SpanKey | None]:
        """Return the spans from `key` upwards that are not in `memo`, in order, and the one where the walk ends.

        That one is in `memo`, or among the spans themselves in a forged cycle; None above the last known span.
        """
        chain: dict[SpanKey, None] = {}
        here: SpanKey | None = key
        while here is not None and here not in memo and here not in chain:
            chain[here] = None
            here = self.parent(here)
        return chain, here

    def _calls_from(self, key: SpanKey) -> tuple[SpanKey, ...]:
        """Return the calls from `key` upwards, memoised for every span on the way."""
        chain, here = self._walk(key, self._calls_above)
        if here in chain:  # a forged cycle: what is above depends on where one begins
            calls = (each for each in (key, *self.ancestors(key)) if each in self._calls)
            return tuple(islice(calls, CALLS_ABOVE_MAX))
        found = () if here is None else self._calls_above[here]
        for each in reversed(chain):
            if each in self._calls:
                found = (each, *found[: CALLS_ABOVE_MAX - 1])
            self._calls_above[each] = found
        return found

    def _inherited_attribution(self, key: SpanKey) -> Attribution:
        """Return the attribution of the spans from `key` upwards, memoised for every span on the way."""
        known = self._inherited.get(key)
        if known is not None:
            return known
        chain, here = self._walk(key, self._inherited)
        attribution = NO_ATTRIBUTION if here is None else self._inherited.get(here, NO_ATTRIBUTION)
        if here in chain:
            # In a parent cycle, make one full pass first so that the result does not depend on the starting span.
            spans = list(chain)
            for each in reversed(spans[spans.index(here) :]):
                attribution = self._own_attribution(each).with_fallback(attribution)
        for each in reversed(chain):
            attribution = self._inherited[each] = self._own_attribution(each).with_fallback(attribution)
        return attribution

    def _own_attribution(self, key: SpanKey) -> Attribution:
        span = self._calls.get(key) or self._links.get(key)
        return NO_ATTRIBUTION if span is None else span.attribution


def _roots(
    calls: Mapping[SpanKey, Call], links: Mapping[SpanKey, Link]
) -> dict[bytes, tuple[SpanKey, Root, Attribution]]:
    """Return the root of each trace; of several the one that started first, then the smaller id."""
    found: dict[bytes, tuple[SpanKey, Root, Attribution]] = {}

    def offer(key: SpanKey, root: Root, attribution: Attribution) -> None:
        known = found.get(key[0])
        if known is None or (root.started_at_unix_ns, key[1]) < (known[1].started_at_unix_ns, known[0][1]):
            found[key[0]] = (key, root, attribution)

    for key, link in links.items():
        if link.root is not None:
            offer(key, link.root, link.attribution)
    for key, call in calls.items():
        if call.parent_span_id is None:
            offer(key, root_of_call(call), call.attribution)
    return found


def root_of_call(call: Call) -> Root:
    """Return what a call says as the root of its trace."""
    return Root(
        started_at_unix_ns=call.started_at_unix_ns,
        ended_at_unix_ns=call.ended_at_unix_ns,
        has_failed=call.usage.has_failed or call.usage.is_refused,
        resource_attribution=call.resource_attribution,
    )
