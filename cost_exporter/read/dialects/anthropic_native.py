"""The spans of Anthropic's own SDK (anthropic >= 2): the conventions, and the split of cache writes.

The only emitter that separates 5-minute and 1-hour cache writes, which have different prices (measured 2.12.0).
An abandoned stream has input but no output: the input is billed. To count tokens costs nothing. What a compaction of
the conversation used is billed beside the input and output (2.14.0), and how much of it was cached is not stated.
"""

from typing import Final

from cost_exporter.domain.quantity import MAX_QUANTITY, Quantity
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.otlp.values import count_of, is_empty

__all__ = ["DIALECT"]

_COMPACTION: Final = {
    "anthropic.usage.compaction.input_tokens": "input_tokens",
    "anthropic.usage.compaction.output_tokens": "output_tokens",
}


def _complete(reading: Reading) -> None:
    for key, total in _COMPACTION.items():
        value = reading.attributes.get(key)
        if value is not None and not is_empty(value):
            _add(reading, key, total, count_of(value))


def _add(reading: Reading, key: str, total: str, tokens: Quantity | None) -> None:
    """Add what is a count to its total. What is none was used all the same, and nobody knows how much it was."""
    if tokens == 0:
        return
    reading.has_unread_usage = True
    if isinstance(tokens, int) and 0 < tokens <= MAX_QUANTITY:
        reading.quantities[total] = reading.quantities.get(total, 0) + tokens
        reading.issues.append(f"compaction: {total} has {tokens} of it")
    else:
        reading.issues.append(f"unreadable:{key}" if tokens is None else f"impossible_count:{key}")
        reading.is_incomplete = True


DIALECT = Dialect(
    name="anthropic-native",
    scopes=("com.anthropic.sdk*",),
    keys=frozenset(_COMPACTION),
    parts=frozenset({"anthropic.messages.count_tokens"}),
    complete=_complete,
)
