"""Name the usage on a span that nothing read, so that the rest does not get a price that looks complete.

A number with a name of usage that no table reads is unread usage. If it can only be a part of a total that was read,
the record is an estimate: a part may have a price of its own. If it may be more, the record is partial; so it is if our
own Collector removed the number (`redaction.redacted.keys` has its name). Where it removed the service tier, the record
is an estimate. A number that repeats one read under another name is neither.
"""

import re
from collections.abc import Mapping
from typing import Final

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.fields.reading import Reading, UsageObject
from cost_exporter.read.fields.usage_containers import NAME_LENGTH_MAX, may_hold_usage
from cost_exporter.read.fields.vendor_usage import PLACE, TOOL_PROMPT
from cost_exporter.read.otlp.values import flag_of, number_of
from cost_exporter.read.vocabulary.usage_names import (
    UsageName,
    is_cache_hit,
    is_service_tier,
    may_show_value,
    usage_name,
)

__all__ = ["name_lost_cache", "name_unread_usage"]

_CACHED_FROM: Final = 1024
"""Tokens: OpenAI, Anthropic and Google cache no shorter prompt. DeepSeek does, from 64 on."""

_LIST_AND_PLACE: Final = re.compile(r"(?:^|(?<=\.))[^.]+\.\d+\.")


def name_unread_usage(reading: Reading) -> None:
    """Name the attributes of a span, and the leaves of its usage objects, that are usage and were not read."""
    for key, meaning in reading.layout.unread:
        value = reading.attributes[key]
        number = number_of(value)
        if number is not None:
            _judge(reading, key, number, meaning)
        elif may_hold_usage(key, value):
            reading.issues.append(f"unread_usage: {key[:NAME_LENGTH_MAX]}")
            reading.has_unread_usage = reading.is_incomplete = True
        elif is_cache_hit(key) and flag_of(value) and not any(map(reading.quantities.get, meaning.says)):
            # It is the vendor's, and then some of the input was cached; or it has an answer for which nobody was asked.
            reading.issues.append(f"unread_usage: {key[:NAME_LENGTH_MAX]}")
            reading.has_unread_usage = True
    for name in reading.identity.redacted:
        if is_service_tier(name):
            reading.issues.append(f"unpriced_term: {name[:NAME_LENGTH_MAX]} (redacted)")
        else:
            reading.issues.append(f"unread_usage: {name[:NAME_LENGTH_MAX]} (redacted)")
            reading.is_incomplete = True
        reading.has_unread_usage = True
    for found in reading.usage_objects or ():
        _judge_object(reading, found)


def name_lost_cache(reading: Reading) -> None:
    """Call an input that is long enough to be cached an estimate, for its emitter never says what was."""
    of = reading.quantities.get
    is_stated = "cache_read_tokens" in reading.quantities or "cache_write_tokens" in reading.quantities
    if not is_stated and of("input_tokens", 0) >= _CACHED_FROM and of("output_tokens"):
        reading.issues.append("not_reported: cache_read_tokens")
        reading.has_unread_usage = True


def _judge_object(reading: Reading, found: UsageObject) -> None:
    """Name the numbers of a usage object that nobody reads, and those that say more than was read."""
    unplaced = {path: PLACE.sub("", path) for path in found.leaves if PLACE.search(path)}
    sums: dict[str, Quantity] = dict.fromkeys(unplaced.values(), 0)
    for path, name in unplaced.items():
        sums[name] += found.leaves[path]
    for path, number in found.leaves.items():
        meaning = usage_name(unplaced.get(path, path), is_in_container=True)
        if meaning is None:
            continue
        read = [reading.quantities[quantity] for quantity in meaning.says if quantity in reading.quantities]
        if path in found.read:
            if read and number > max(read):
                _judge(reading, f"{found.name}.{path}", number, meaning)
            elif number > 0 and read and not _is_explained(reading, number, meaning):
                _name_conflict(reading, f"{found.name}.{path}", number, meaning)
        elif path not in unplaced:
            _judge(reading, f"{found.name}.{path}", number, meaning)
        elif sums[unplaced[path]] != _beside_list(path, found.leaves):
            # Of several rounds: more than was read, for all that is known.
            _judge(reading, f"{found.name}.{path}", number, UsageName("", meaning.says))


def _is_explained(reading: Reading, number: Quantity, meaning: UsageName) -> bool:
    """Return whether a smaller number of a usage object is what was read, or that without a part of it."""
    of = reading.quantities.get
    if any(of(quantity) == number for quantity in meaning.says):
        return True
    if "output_tokens" in meaning.says:
        return number + of("reasoning_tokens", 0) == of("output_tokens") or "thoughts_from_total" in reading.issues
    cached, written = of("cache_read_tokens", 0), of("cache_write_tokens", 0)
    parts = {cached, written, cached + written, *(each.leaves.get(TOOL_PROMPT) for each in reading.usage_objects or ())}
    return "input_tokens" in meaning.says and of("input_tokens", 0) - number in parts


def _name_conflict(reading: Reading, name: str, number: Quantity, meaning: UsageName) -> None:
    """Name a number that says less than the attributes beside it: one of the two is not what was used."""
    quantity = next(each for each in sorted(meaning.says) if each in reading.quantities)
    shown = f"{name[:NAME_LENGTH_MAX]} = {number}" if may_show_value(name) else name[:NAME_LENGTH_MAX]
    reading.issues.append(f"conflicting_usage: {shown}, {quantity} = {reading.quantities[quantity]}")
    reading.has_unread_usage = True


def _beside_list(path: str, leaves: Mapping[str, Quantity]) -> Quantity | None:
    """Return the number outside of a list that its objects may add up to: at the same place, else at the top."""
    return leaves.get(_LIST_AND_PLACE.sub("", path), leaves.get(path.rpartition(".")[2]))


def _judge(reading: Reading, name: str, number: Quantity, meaning: UsageName) -> None:
    quantities = reading.quantities
    if number <= 0 or any(quantities.get(quantity) == number for quantity in meaning.says):
        return
    shown = f" = {number}" if may_show_value(name) else ""
    reading.issues.append(f"unread_usage: {name[:NAME_LENGTH_MAX]}{shown}")
    reading.has_unread_usage = True
    if number > quantities.get(meaning.total, 0):
        reading.is_incomplete = True
