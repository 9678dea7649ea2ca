"""Recognise spans that report no provider call but look like one: they may be the only trace of a call.

It has a number of tokens, or names a model and a provider. What only sets up or runs something (an agent that is
made, a tool, a memory) names a model without asking it.
"""

from typing import Final

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.fields.reading import NO_KEYS, Keys, Reading
from cost_exporter.read.fields.usage_containers import usage_objects
from cost_exporter.read.fields.vendor_usage import usage_leaves
from cost_exporter.read.otlp.values import number_of

__all__ = ["look_alike_names"]

_ASKS_NOBODY: Final = frozenset(
    {"create_agent", "execute_tool", "tool", "handoff", "turn", "conversation", "plan", "count_tokens"}
    | {"search_memory", "create_memory", "update_memory", "upsert_memory", "delete_memory"}
)
_TOKENS: Final = frozenset({"input_tokens", "output_tokens"})
_NAMES_MAX: Final = 4


def look_alike_names(reading: Reading) -> Keys:
    """Return the attributes by which a span looks like a call; none where it does not."""
    layout = reading.layout
    if reading.is_no_call or reading.span.name in layout.dialect.parts:
        return NO_KEYS
    if reading.first_text(layout.texts.get("operation", NO_KEYS)).lower() in _ASKS_NOBODY:
        return NO_KEYS
    counted = [key for quantity, key, _, _ in layout.quantities if quantity in _TOKENS]
    counted += [key for key, meaning in layout.unread if meaning.total]
    used = [key for key in counted if _is_positive(reading, key)]
    used += [name for name, usage in usage_objects(reading) if any(map(_tokens_of, usage_leaves(usage).items()))]
    models = (*layout.texts.get("request_model", NO_KEYS), *layout.texts.get("response_model", NO_KEYS))
    if not used and not (models and reading.identity.provider and reading.identity.names.model):
        return NO_KEYS
    return tuple(dict.fromkeys([*used, *models]))[:_NAMES_MAX]


def _tokens_of(leaf: tuple[str, Quantity]) -> Quantity:
    path, number = leaf
    return number if "token" in path else 0


def _is_positive(reading: Reading, key: str) -> bool:
    number = number_of(reading.attributes[key])
    return number is not None and number > 0
