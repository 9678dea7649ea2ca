"""Spans that look like provider calls but report none: which of them are kept as records.

An agent, a chain or an aborted wrapper names a model or repeats usage, and the calls below it are billed. Where no call
is below it, it is all that is known of a call: a record without usage, which counts as unpriced. What has a call or
another such span below it, in whatever order they arrive, makes no record.
"""

from collections.abc import Mapping

from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.span import Call, Link, SpanKey

__all__ = ["framing_spans"]


def framing_spans(calls: Mapping[SpanKey, Call], links: Mapping[SpanKey, Link]) -> frozenset[SpanKey]:
    """Return the look-alikes with a call, or another look-alike, below them."""
    look_alikes = {key for key, call in calls.items() if call.is_look_alike}
    if not look_alikes:
        return frozenset()
    lineage = Lineage(calls, links)
    return frozenset(above for key in calls for above in lineage.calls_above(key) if above in look_alikes)
