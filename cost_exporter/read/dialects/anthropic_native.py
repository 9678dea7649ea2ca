"""The spans of Anthropic's own SDK (anthropic >= 2): the conventions, and the split of cache writes.

The only emitter that separates 5-minute and 1-hour cache writes, which have different prices (measured 2.12.0).
An abandoned stream has input but no output: the input is billed. To count tokens costs nothing. What a compaction of
the conversation used is billed beside the input and output (2.14.0), and how much of it was cached is not stated.
"""

from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading

__all__ = ["DIALECT"]

_COMPACTION: Final = {
    "anthropic.usage.compaction.input_tokens": "input_tokens",
    "anthropic.usage.compaction.output_tokens": "output_tokens",
}


def _complete(reading: Reading) -> None:
    for key, total in _COMPACTION.items():
        tokens = reading.first_count((key,)) if key in reading.attributes else None
        if tokens:
            reading.quantities[total] = reading.quantities.get(total, 0) + tokens
            reading.issues.append(f"compaction: {total} has {tokens} of it")
            reading.has_unread_usage = True


DIALECT = Dialect(
    name="anthropic-native",
    scopes=("com.anthropic.sdk*",),
    keys=frozenset(_COMPACTION),
    parts=frozenset({"anthropic.messages.count_tokens"}),
    complete=_complete,
)
