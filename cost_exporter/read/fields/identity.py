"""Resolve operation, provider, models, tier and host, once for each combination of what a span states.

An emitter writes the same operation, provider, models, tier and host on span after span. The combination is
remembered with the layout, so cleaning and canonical names cost nothing for all spans but the first.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cost_exporter.read.fields.fingerprint import fingerprint, named
from cost_exporter.read.fields.reading import NO_KEYS, AttributeLayout, CallIdentity, Keys, first_flag, first_text
from cost_exporter.read.otlp.attribute_values import SpanAttributes
from cost_exporter.read.otlp.values import text_of
from cost_exporter.read.otlp.wire import Attributes, EncodedAttributes
from cost_exporter.read.vocabulary.names import is_model, names_of, tier_named
from cost_exporter.read.vocabulary.operations import operation_named
from cost_exporter.read.vocabulary.usage_names import is_service_tier, is_surely_usage

__all__ = ["IDENTITY_FLAGS", "IDENTITY_TEXTS", "completed_identity", "identity_of"]

IDENTITY_TEXTS: Final = (
    "operation",
    "provider",
    "response_model",
    "request_model",
    "service_tier",
    "source",
    "redacted",
)
"""The rows of `TEXT_KEYS` that say the same on span after span; and `host`, by its first name only."""
IDENTITY_FLAGS: Final = ("is_stream", "is_billable")
_IDENTITIES_MAX: Final = 1024
_IDENTITY_BYTES_MAX: Final = 2048
"""Longer ones are worked out each time: a sender that makes up words takes at most 2 MiB of memory a plan."""


_NAMES_LENGTH_MAX: Final = 65_536


def identity_of(layout: AttributeLayout, attributes: EncodedAttributes) -> CallIdentity:
    """Return what the words of a span mean. Raises `UnreadableValue`."""
    encoded = layout.identity_values(attributes)
    identity = layout.identities.get(encoded)
    if identity is None:
        identity = _resolve_identity(layout, SpanAttributes(attributes))
        if sum(map(len, encoded)) <= _IDENTITY_BYTES_MAX:
            if len(layout.identities) >= _IDENTITIES_MAX:
                layout.identities.clear()
            layout.identities[encoded] = identity
    return identity


def _identity_from(
    *,
    operation: str | None,
    provider: str,
    response_model: str,
    request_model: str,
    service_tier: str,
    address: str,
    is_stream: bool | None,
    is_billable: bool,
    is_estimated: bool,
    redacted: Keys = NO_KEYS,
) -> CallIdentity:
    """Return words with all that follows from them."""
    names, tier = names_of(provider, response_model, request_model, address), tier_named(service_tier)
    return CallIdentity(
        operation=operation,
        provider=provider,
        response_model=response_model,
        request_model=request_model,
        service_tier=service_tier,
        address=address,
        names=names,
        tier=tier,
        mode="batch" if tier == "batch" else "stream" if is_stream else "",
        is_stream=is_stream,
        is_billable=is_billable,
        is_estimated=is_estimated,
        redacted=redacted,
        fingerprint=fingerprint(f"{named(names)} {tier!r} {is_stream} {is_billable} {is_estimated}"),
    )


completed_identity = lru_cache(maxsize=_IDENTITIES_MAX)(_identity_from)
"""The same, remembered from span to span: what a dialect finds is the same on most of them. It gets no template."""


def _resolve_identity(layout: AttributeLayout, attributes: Attributes) -> CallIdentity:
    def stated_text(name: str) -> str:
        return first_text(attributes, layout.texts.get(name, NO_KEYS))

    def text_accepted(name: str, accepts: Callable[[str], object]) -> str:
        texts = (text_of(attributes[key]) for key in layout.texts.get(name, NO_KEYS))
        return next(filter(accepts, texts), "")

    stated = stated_text("operation")
    key_list = "".join(attributes[key].string_value for key in layout.texts.get("redacted", NO_KEYS))
    is_stream = first_flag(attributes, layout.flags.get("is_stream", NO_KEYS))
    is_stream = True if is_stream is None and layout.is_streamed else is_stream
    return _identity_from(
        operation=operation_named(stated, has_usage=bool(layout.quantities)) if stated else None,
        provider=stated_text("provider"),
        response_model=text_accepted("response_model", is_model),
        request_model=text_accepted("request_model", is_model),
        service_tier=text_accepted("service_tier", tier_named),
        address=first_text(attributes, layout.texts.get("host", NO_KEYS)[:1]),
        is_stream=is_stream,
        is_billable=first_flag(attributes, layout.flags.get("is_billable", NO_KEYS)) is not False,
        is_estimated=stated_text("source") == "estimated"
        or (is_stream is True and layout.scope.rule.overcounts_streams),
        redacted=_decisive_names(key_list),
    )


def _decisive_names(names: str) -> Keys:
    """Return the names of a comma-separated list that decide the price: those of usage, and of a service tier."""
    listed = names[:_NAMES_LENGTH_MAX].split(",")
    return tuple(name for name in listed if is_surely_usage(name) or is_service_tier(name))
