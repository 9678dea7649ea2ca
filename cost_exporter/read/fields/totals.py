"""Make totals inclusive: the cached tokens in the input, the thoughts in the output.

Emitters differ in whether the totals include these. What is certain by arithmetic is decided by it: a part that exceeds
its whole was counted beside it, or is wrong, so from an emitter that nobody verified it makes an estimate. Then the
table of scopes decides, and then a stated grand total, which proves only what it excludes: input + cached + output
proves an input without the cached tokens, input + output + thoughts proves thoughts beside the output. Input + output
proves nothing: emitters add up what they show. Where nothing decides, and the provider's API counts input without the
cached tokens, the input is taken for inclusive, and the record says what else it may be. No reading is chosen because
it costs more or less.
"""

from typing import Final

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.fields.reading import Reading
from cost_exporter.read.vocabulary.names import Names
from cost_exporter.read.vocabulary.scopes import EXCLUSIVE_PROVIDERS

__all__ = ["is_claude_elsewhere", "make_inclusive", "stated_total"]

_THINKS_BESIDE: Final = frozenset({"google", "x-ai", "perplexity"})
"""Their APIs count output without the thoughts that came before it."""


_SELL_CLAUDE: Final = frozenset({"google", "azure"})
"""Their Claude is Anthropic's API, which counts input without what was cached."""


def is_claude_elsewhere(provider: str, model: str) -> bool:
    """Return whether Anthropic's counts may come under the name of somebody else who sells its models."""
    return provider in _SELL_CLAUDE and "claude" in model


_TOTALS_OF_OBJECTS: Final = ("total_tokens", "total_token_count")


def stated_total(reading: Reading) -> Quantity:
    """Return the sum of input and output as it is stated: on the span, else in a usage object, else 0."""
    total = reading.first_count(reading.layout.total_keys)
    if total is not None and total > 0:
        return total
    quantities = reading.quantities
    known = quantities.get("input_tokens", 0) + quantities.get("output_tokens", 0)
    stated = [leaves.get(path, 0) for _, leaves, _ in reading.usage_objects or () for path in _TOTALS_OF_OBJECTS]
    return max((each for each in stated if each > known), default=0)  # a smaller one may be of a part of them


def make_inclusive(reading: Reading, names: Names) -> None:
    """Add to the totals what was stated beside them, and name a grand total that does not fit."""
    if reading.has_vendors_counts:
        return
    quantities = reading.quantities
    stated, answered = quantities.get("input_tokens"), quantities.get("output_tokens")
    cached = quantities.get("cache_read_tokens", 0) + quantities.get("cache_write_tokens", 0)
    thoughts = quantities.get("reasoning_tokens", 0)
    total = stated_total(reading)
    is_exclusive, has_thoughts_beside = reading.has_input_cached is False, reading.has_output_thoughts is False
    if cached and stated is not None and reading.has_input_cached is None:
        is_exclusive = _is_exclusive(reading, names, cached, total)
    if thoughts and answered is not None and reading.has_output_thoughts is None:
        has_thoughts_beside = _has_thoughts_beside(reading, names, total)
    if is_exclusive:
        quantities["input_tokens"] += cached
        reading.issues.append("exclusive_input")
    if has_thoughts_beside:
        quantities["output_tokens"] += thoughts
        reading.issues.append("thoughts_beside_output")
    if total and stated is not None and answered is not None:
        _compare(reading, names, total, {stated + answered, stated + cached + answered})


def _is_exclusive(reading: Reading, names: Names, cached: Quantity, total: Quantity) -> bool:
    """Return whether the input was stated without what was read from the cache and written to it."""
    quantities, rule = reading.quantities, reading.scope.rule
    stated, answered = quantities["input_tokens"], quantities.get("output_tokens", 0)
    counts_so = names.provider in EXCLUSIVE_PROVIDERS or "claude" in names.model
    is_ruled = names.provider in rule.exclusive_providers and not reading.is_input_foreign
    if is_ruled or (stated < cached and counts_so):
        return True
    thoughts = quantities.get("reasoning_tokens", 0)
    if total and total in {stated + cached + answered, stated + cached + answered + thoughts}:
        return cached != thoughts or counts_so
    parts = quantities.get("cache_read_tokens", 0), quantities.get("cache_write_tokens", 0)
    if stated < max(parts) and not rule.is_known:
        reading.issues.append(f"assumed_exclusive: input_tokens = {stated}, less than the {cached} that were cached")
        reading.has_unread_usage = True
        return True
    is_elsewhere = is_claude_elsewhere(names.provider, names.model)
    if names.provider not in EXCLUSIVE_PROVIDERS and not is_elsewhere:
        return False
    if rule.is_known and not (is_elsewhere and rule.exclusive_providers):
        return False
    other = f"{stated + cached} if the cached are beside it"
    reading.issues.append(f"assumed_inclusive: input_tokens = {stated}, or {other}")
    reading.has_unread_usage = True
    return False


def _has_thoughts_beside(reading: Reading, names: Names, total: Quantity) -> bool:
    """Return whether the output was stated without the thoughts before it."""
    quantities, rule = reading.quantities, reading.scope.rule
    thoughts, answered = quantities["reasoning_tokens"], quantities["output_tokens"]
    if names.provider in _THINKS_BESIDE and (thoughts > answered or rule.reports_thoughts_beside):
        return True
    known = quantities.get("input_tokens", 0) + answered
    cached = quantities.get("cache_read_tokens", 0) + quantities.get("cache_write_tokens", 0)
    if total and (total == known + thoughts != known + cached or total == known + cached + thoughts):
        return True
    if thoughts <= answered or rule.is_known:
        return False
    reading.issues.append(f"assumed_exclusive: output_tokens = {answered}, less than the {thoughts} of reasoning")
    reading.has_unread_usage = True
    return True


def _compare(reading: Reading, names: Names, total: Quantity, as_stated: set[Quantity]) -> None:
    """Take what a total has beyond what was read for Google's thoughts; of others it is not known what it is."""
    quantities = reading.quantities
    known = quantities["input_tokens"] + quantities["output_tokens"]
    if total == known or total in as_stated:
        return
    if total > known and names.provider == "google":
        quantities["output_tokens"] += total - known
        reading.issues.append("thoughts_from_total")
    else:
        reading.issues.append(f"total_mismatch: total_tokens = {total}, input and output are {known}")
        reading.is_incomplete = reading.is_incomplete or total > known
    reading.has_unread_usage = True
