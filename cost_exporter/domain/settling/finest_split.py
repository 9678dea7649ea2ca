"""The finest consistent split of one call's usage that any of its spans reports.

Emitters of one call agree on its totals, but one knows what was cached, another the reasoning, a third the output
of a stream that was left early. Which of the spans is billed is decided elsewhere; here it is completed.
"""

from collections.abc import Sequence
from typing import Final

from cost_exporter.domain.quantity import (
    INPUT_PARTS,
    OUTPUT_PARTS,
    InconsistentUsage,
    Quantities,
    Quantity,
    disjoint_parts,
)
from cost_exporter.domain.settling.look_alike import OUTPUT_TOKENS_SLACK
from cost_exporter.domain.span import Call

__all__ = ["finest_split"]

_FIRST_WORDS_MAX: Final = 8
"""Anthropic's count at the start of a stream, 1 to 8 tokens: all that a client sees that leaves the stream early."""
_SIDES: Final = (("input_tokens", INPUT_PARTS), ("output_tokens", OUTPUT_PARTS))
"""Each total with its parts."""


def finest_split(billed: Call, others: Sequence[Call]) -> tuple[Quantities, list[int]]:
    """Return the quantities to bill, and which of the other spans of the call, best first, gave a part of them.

    A part, or a total, is taken where the billed span reports none, from a span that does not contradict it: the
    total it is part of must be the same. An estimate completes only an estimate.
    """
    quantities: dict[str, Quantity] = dict(billed.usage.quantities)
    helpers: list[int] = []
    if not quantities and billed.is_gateway:
        # The gateway names the model, and its client has the usage.
        exact = (position for position, other in enumerate(others) if not other.usage.is_estimated)
        helpers = [position for position in exact if others[position].usage.quantities][:1]
        quantities = dict(others[helpers[0]].usage.quantities) if helpers else quantities
    if not quantities or billed.session_sequence is not None:
        return quantities, helpers
    for position, other in enumerate(others):
        if other.usage.is_estimated and not billed.usage.is_estimated:
            continue
        for total, parts in _SIDES:
            missing = _missing(quantities, other.usage.quantities, total, parts)
            if missing and _is_consistent(completed := {**quantities, **missing}):
                quantities = completed
                if position not in helpers:
                    helpers.append(position)
    return quantities, helpers


def _missing(mine: Quantities, theirs: Quantities, total: str, parts: Sequence[str]) -> dict[str, Quantity]:
    """Return what they report of one side that is missing here."""
    if not theirs.get(total):
        return {}
    if total not in mine:
        # Of a stream that was left early one knows the input alone; the input must be the same one.
        is_same = total == "output_tokens" and mine.get("input_tokens", 0) == theirs.get("input_tokens", -1)
        return {name: theirs[name] for name in (total, *parts) if name in theirs} if is_same else {}
    slack = OUTPUT_TOKENS_SLACK if total == "output_tokens" else 0
    if abs(mine[total] - theirs[total]) > slack:
        if total == "output_tokens" and _was_left_early(mine, theirs):
            return {name: theirs[name] for name in (total, *parts) if name in theirs}
        return {}
    return {name: theirs[name] for name in parts if theirs.get(name) and not mine.get(name)}


def _was_left_early(mine: Quantities, theirs: Quantities) -> bool:
    """Return whether this is the count of a stream's first words, and theirs that of the same stream's end."""
    is_same_input = mine.get("input_tokens", 0) == theirs.get("input_tokens", -1)
    return is_same_input and 0 < mine["output_tokens"] <= _FIRST_WORDS_MAX < theirs["output_tokens"]


def _is_consistent(quantities: Quantities) -> bool:
    try:
        disjoint_parts(quantities)
    except InconsistentUsage:
        return False
    return True
