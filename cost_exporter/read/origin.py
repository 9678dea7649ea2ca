"""Where spans come from: the resource's service name, and on whose account resource and span say they go.

With credentials the tenant comes from these alone (semantics 15): then what an attribute claims is dropped
here, and counted where it disagrees.
"""

from typing import Final, NamedTuple

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.read.aliases import ATTRIBUTION_KEYS
from cost_exporter.read.reading import Keys
from cost_exporter.read.values import text_of
from cost_exporter.read.wire import Attributes, Resource

__all__ = ["Origin", "attribution_of", "origin_of"]

_SERVICE_NAME: Final = "service.name"
_UNNAMED: Final[list[str | None]] = [None] * len(Attribution._fields)
_KEYS: Final[tuple[tuple[int, Keys], ...]] = tuple(enumerate(ATTRIBUTION_KEYS.values()))
assert tuple(ATTRIBUTION_KEYS) == Attribution._fields


class Origin(NamedTuple):
    """What the resource says of all its spans."""

    service_name: str
    attribution: Attribution
    tenant_claim: str | None
    """The tenant the resource names, whether it is believed or not."""


def origin_of(resource: Resource, *, tenant_is_trusted: bool) -> Origin:
    """Return what a resource says."""
    attributes = resource.attributes
    found = attributes.get(_SERVICE_NAME)
    present = tuple((position, here) for position, keys in _KEYS if (here := _present(keys, attributes)))
    said = attribution_of(attributes, present) if present else NO_ATTRIBUTION
    return Origin(
        service_name="" if found is None else text_of(found),
        attribution=said if tenant_is_trusted or said.tenant is None else said._replace(tenant=None),
        tenant_claim=said.tenant,
    )


def attribution_of(attributes: Attributes, present: tuple[tuple[int, Keys], ...]) -> Attribution:
    """Return what some attributes say, `present` being (position in `Attribution`, names that are there)."""
    fields = _UNNAMED.copy()
    for position, keys in present:
        for key in keys:
            text = text_of(attributes[key])
            if text:
                fields[position] = text
                break
    return Attribution(*fields)


def _present(keys: Keys, attributes: Attributes) -> Keys:
    return tuple(key for key in keys if key in attributes)
