"""The spans of Anthropic's own SDK (anthropic >= 2): the conventions, and the split of cache writes.

The only emitter that separates 5-minute and 1-hour cache writes, which have different prices (measured 2.12.0).
An abandoned stream has input but no output: the input is billed.
"""

from cost_exporter.read.fields.reading import Dialect

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name="anthropic-native",
    scopes=("com.anthropic.sdk*",),
    markers=frozenset({"anthropic.usage.cache_creation.ephemeral_5m_input_tokens"}),
)
