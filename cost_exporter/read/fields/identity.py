"""Work out what the words on a span mean, once for each combination of them.

An emitter writes the same operation, provider, models, tier and host on span after span. The combination is
remembered by plan, so cleaning and canonical names cost nothing for all spans but the first.
"""

from collections.abc import Callable
from typing import Final

from cost_exporter.read.fields.fingerprint import fingerprint, named
from cost_exporter.read.fields.reading import NO_KEYS, Keys, Plan, Words, first_flag, first_text
from cost_exporter.read.otlp.attribute_values import SpanAttributes
from cost_exporter.read.otlp.values import text_of
from cost_exporter.read.otlp.wire import Attributes, EncodedAttributes
from cost_exporter.read.vocabulary.names import is_model, names_of, tier_named
from cost_exporter.read.vocabulary.operations import operation_named
from cost_exporter.read.vocabulary.usage_names import is_surely_usage

__all__ = ["FLAGS", "WORDS", "words_meaning", "words_of"]

WORDS: Final = ("operation", "provider", "response_model", "request_model", "service_tier", "source", "redacted")
"""The rows of `TEXT_KEYS` that say the same on span after span; and `host`, by its first name only."""
FLAGS: Final = ("is_stream", "is_billable")
_WORDS_MAX: Final = 1024
_WORDS_BYTES_MAX: Final = 2048
"""Longer ones are worked out each time: a sender that makes up words takes at most 2 MiB of memory a plan."""


_NAMES_LENGTH_MAX: Final = 65_536


def words_of(plan: Plan, attributes: EncodedAttributes) -> Words:
    """Return what the words of a span mean. Raises `UnreadableValue`."""
    said = tuple([attributes[key] for key in plan.word_keys])
    words = plan.words.get(said)
    if words is None:
        words = _worked_out(plan, SpanAttributes(attributes))
        if sum(map(len, said)) <= _WORDS_BYTES_MAX:
            if len(plan.words) >= _WORDS_MAX:
                plan.words.clear()
            plan.words[said] = words
    return words


def words_meaning(
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
) -> Words:
    """Return words with all that follows from them."""
    names, tier = names_of(provider, response_model, request_model, address), tier_named(service_tier)
    return Words(
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


def _worked_out(plan: Plan, attributes: Attributes) -> Words:
    def said(name: str) -> str:
        return first_text(attributes, plan.texts.get(name, NO_KEYS))

    def telling(name: str, tells: Callable[[str], object]) -> str:
        texts = (text_of(attributes[key]) for key in plan.texts.get(name, NO_KEYS))
        return next(filter(tells, texts), "")

    stated = said("operation")
    key_list = "".join(attributes[key].string_value for key in plan.texts.get("redacted", NO_KEYS))
    return words_meaning(
        operation=operation_named(stated, has_usage=bool(plan.quantities)) if stated else None,
        provider=said("provider"),
        response_model=telling("response_model", is_model),
        request_model=telling("request_model", is_model),
        service_tier=telling("service_tier", tier_named),
        address=first_text(attributes, plan.texts.get("host", NO_KEYS)[:1]),
        is_stream=first_flag(attributes, plan.flags.get("is_stream", NO_KEYS)),
        is_billable=first_flag(attributes, plan.flags.get("is_billable", NO_KEYS)) is not False,
        is_estimated=said("source") == "estimated",
        redacted=_usage_among(key_list),
    )


def _usage_among(names: str) -> Keys:
    """Return those of the names, a list with commas, that speak of usage."""
    return tuple(name for name in names[:_NAMES_LENGTH_MAX].split(",") if is_surely_usage(name))
