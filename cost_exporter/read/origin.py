"""The attribution of spans, as their resource and they themselves state it.

With credentials the tenant comes from these alone (rule 15): then what an attribute claims is dropped
here, and counted where it disagrees.
"""

from functools import lru_cache
from typing import Final

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.read.fields.fingerprint import fingerprint, named
from cost_exporter.read.fields.reading import AttributeLayout, Keys, Origin, first_text
from cost_exporter.read.otlp.attribute_values import SpanAttributes
from cost_exporter.read.otlp.values import text_of
from cost_exporter.read.otlp.wire import Attributes, EncodedAttributes, Resource
from cost_exporter.read.vocabulary.aliases import ATTRIBUTION_KEYS

__all__ = ["attribution_of", "origin_of", "without_tenant"]

_SERVICE_NAME: Final = "service.name"
_UNNAMED: Final[list[str | None]] = [None] * len(Attribution._fields)
_PLACES: Final[tuple[tuple[int, Keys], ...]] = tuple(enumerate(ATTRIBUTION_KEYS.values()))
_ATTRIBUTIONS_MAX: Final = 4096
_ATTRIBUTION_BYTES_MAX: Final = 1024
"""Longer values are read each time: so a sender that makes them up takes little memory."""
assert tuple(ATTRIBUTION_KEYS) == Attribution._fields


def origin_of(resource: Resource, *, tenant_is_trusted: bool) -> Origin:
    """Return what a resource says."""
    attributes = resource.attributes
    found = attributes.get(_SERVICE_NAME)
    service_name = "" if found is None else text_of(found)
    present = tuple((position, here) for position, keys in _PLACES if (here := _present(keys, attributes)))
    attribution = _attribution(attributes, present) if present else NO_ATTRIBUTION
    return Origin(
        service_name=service_name,
        attribution=attribution
        if tenant_is_trusted or attribution.tenant is None
        else attribution._replace(tenant=None),
        tenant_claim=attribution.tenant,
        fingerprint=fingerprint(f"{service_name!r} {named(attribution)}"),
    )


def attribution_of(attributes: EncodedAttributes, layout: AttributeLayout) -> Attribution:
    """Return what a span says, remembered by its values: most spans of a trace say the same.

    Raises `UnreadableValue`.
    """
    encoded = layout.attribution_values(attributes)
    attribution = layout.attributions.get(encoded)
    if attribution is None:
        attribution = _attribution(SpanAttributes(attributes), layout.attribution_places)
        if sum(map(len, encoded)) <= _ATTRIBUTION_BYTES_MAX:
            if len(layout.attributions) >= _ATTRIBUTIONS_MAX:
                layout.attributions.clear()
            layout.attributions[encoded] = attribution
    return attribution


@lru_cache(maxsize=_ATTRIBUTIONS_MAX)
def without_tenant(attribution: Attribution) -> Attribution:
    """Return an attribution without its tenant. Remembered, as `attribution_of`."""
    return attribution._replace(tenant=None)


def _attribution(attributes: Attributes, places: tuple[tuple[int, Keys], ...]) -> Attribution:
    fields = _UNNAMED.copy()
    for position, keys in places:
        fields[position] = first_text(attributes, keys) or None
    return Attribution(*fields)


def _present(keys: Keys, attributes: Attributes) -> Keys:
    return tuple(key for key in keys if key in attributes)
