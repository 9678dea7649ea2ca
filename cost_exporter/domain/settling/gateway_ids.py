"""The ids that gateways made up: equal ones mean one call, and they prove nothing against a vendor's id.

A gateway says of its own id that it is one, or its request to the vendor has another id than the calls above it, which
are its clients'. What the vendor states is never a gateway's.
"""

from collections.abc import Mapping

from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.span import Call, SpanKey

__all__ = ["gateway_ids"]


def gateway_ids(calls: Mapping[SpanKey, Call], lineage: Lineage) -> set[str]:
    """Return the response ids among these that a gateway made up."""
    found: set[str] = set()
    vendors: set[str] = set()
    for key, call in calls.items():
        if call.has_gateway_id:
            found.add(call.call_id)
        elif call.is_gateway and call.call_id:
            vendors.add(call.call_id)
            found.update(calls[above].call_id for above in lineage.calls_above(key))
    return found - vendors - {""}
