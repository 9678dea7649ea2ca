"""Whether what two spans report can be the same call: kind, model and usage, as far as both report them.

Emitters of one call agree on its totals, and many report no parts. Times, ids and lineage are not judged here.
"""

from typing import Final

from cost_exporter.domain.quantity import Quantities, Quantity
from cost_exporter.domain.settling.base_model import are_one_model, base_model
from cost_exporter.domain.settling.look_alike import OUTPUT_TOKENS_SLACK
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import CHAT_OPERATIONS

__all__ = [
    "CACHED",
    "agree",
    "agree_but_for_cache",
    "agree_but_for_model",
    "agree_where_both_report",
    "lacks_output",
    "models_agree",
    "omits_cached_tokens_of",
    "one_omits_cached_tokens",
    "report_the_same",
    "uncached_bucket",
    "usage_bucket",
]

_BEDROCK: Final = "aws"
CACHED: Final = frozenset({"cache_read_tokens", "cache_write_tokens"})
_COMPARED: Final = frozenset({"input_tokens", "characters", "audio_seconds", "call_seconds", "images"})
"""Two emitters of one call agree on these."""
_PARTS: Final = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
"""They agree on these where both report them; many report none."""


def usage_bucket(call: Call) -> tuple[object, ...]:
    """Return what spans of one call agree on in model and usage, output tokens aside."""
    usage = tuple(sorted((name, n) for name, n in call.measured_quantities.items() if name in _COMPARED))
    return base_model(call.usage.model), _kind(call), usage


def uncached_bucket(call: Call) -> tuple[object, ...] | None:
    """Return the same with the input that was not cached, for the provider whose spans may leave the rest out."""
    if call.usage.provider != _BEDROCK:
        return None
    quantities = call.measured_quantities
    return base_model(call.usage.model), _kind(call), _uncached_input(quantities), quantities.get("output_tokens")


def agree(one: Call, other: Call) -> bool:
    """Return whether the kind, the model and the usage agree as far as both spans report them."""
    return models_agree(one, other) and agree_but_for_model(one, other)


def agree_but_for_model(one: Call, other: Call) -> bool:
    """Return whether the kind and the usage agree as far as both spans report them."""
    if _kind(one) != _kind(other):
        return False
    mine, theirs = one.measured_quantities, other.measured_quantities
    if not mine or not theirs:
        return True
    return all(mine.get(name) == theirs.get(name) for name in _COMPARED) and agree_where_both_report(one, other)


def agree_where_both_report(one: Call, other: Call) -> bool:
    """Return whether the parts and the output agree, as far as both calls report them; a part of 0 is none."""
    mine, theirs = one.measured_quantities, other.measured_quantities
    for name in _PARTS:
        part, other_part = mine.get(name), theirs.get(name)
        if part and other_part and part != other_part:
            return False
    if lacks_output(one) or lacks_output(other):
        return bool(mine.get("input_tokens")) or lacks_output(one) == lacks_output(other)
    return abs(mine["output_tokens"] - theirs["output_tokens"]) <= OUTPUT_TOKENS_SLACK


def agree_but_for_cache(one: Call, other: Call) -> bool:
    """Return whether everything agrees, except that one states the input without what was cached."""
    return one_omits_cached_tokens(one, other) and _kind(one) == _kind(other) and models_agree(one, other)


def one_omits_cached_tokens(one: Call, other: Call) -> bool:
    """Return whether one of the two may report the other without its cached tokens."""
    return omits_cached_tokens_of(one, other) or omits_cached_tokens_of(other, one)


def omits_cached_tokens_of(part: Call, whole: Call) -> bool:
    """Return whether `part` may report the same call as `whole`, without its cached tokens.

    botocore's instrumentation reports InvokeModel like this (0.66b2): 50 of 1350. It is assumed for Bedrock only, and
    only if the rest and the output agree to the token.
    """
    if part.usage.provider != _BEDROCK or whole.usage.provider != _BEDROCK or part.scope == whole.scope:
        return False
    reported, whole_reported = part.measured_quantities, whole.measured_quantities
    return (
        not CACHED.intersection(reported)
        and "output_tokens" in reported
        and reported["output_tokens"] == whole_reported.get("output_tokens")
        and not CACHED.isdisjoint(whole_reported)
        and reported.get("input_tokens") == _uncached_input(whole_reported)
    )


def _uncached_input(quantities: Quantities) -> Quantity | None:
    """Return the input without what was read from the cache or written to it; None where no input is stated."""
    input_tokens = quantities.get("input_tokens")
    if input_tokens is None:
        return None
    return input_tokens - quantities.get("cache_read_tokens", 0) - quantities.get("cache_write_tokens", 0)


def report_the_same(one: Call, other: Call) -> bool:
    """Return whether two calls that agree report the same parts."""
    mine, theirs = one.measured_quantities, other.measured_quantities
    return mine.get("cache_read_tokens") == theirs.get("cache_read_tokens") and lacks_output(one) == lacks_output(other)


def lacks_output(call: Call) -> bool:
    """Return whether no output is stated."""
    return "output_tokens" not in call.measured_quantities


def models_agree(one: Call, other: Call) -> bool:
    """Return whether two spans may name one model."""
    mine, theirs = one.usage, other.usage
    return mine.model == theirs.model or are_one_model(mine.provider, mine.model, theirs.provider, theirs.model)


def _kind(call: Call) -> str:
    """Return the operation, where several names for one kind of operation count as one."""
    return "chat" if call.usage.operation in CHAT_OPERATIONS else call.usage.operation
