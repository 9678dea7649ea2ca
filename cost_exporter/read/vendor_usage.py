"""Usage in the vendors' own words: the JSON objects that some emitters put on spans as they got them.

Two families: OpenAI's (inclusive totals with details) and Anthropic's (input without the cached tokens).
Only what the attributes did not say is taken, and zero parts are left out: they say nothing.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.values import json_count, json_number

__all__ = ["JSON_LENGTH_MAX", "add_vendor_usage", "json_list", "json_object", "python_object"]

JSON_LENGTH_MAX: Final = 256 * 1024
"""Longer texts are not parsed: an answer with its usage is short, and parsing costs time."""
_REPR_LENGTH_MAX: Final = 8 * 1024
_REPR_BRACKETS_MAX: Final = 64

_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_WRITE_DETAILS: Final = (("cache_creation",), ("prompt_tokens_details", "cache_creation_token_details"))
"""Anthropic's own place, and LiteLLM's."""
_PARTS: Final[tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]] = (
    ("cache_read_tokens", (*((each, "cached_tokens") for each in _INPUT_DETAILS), ("cache_read_input_tokens",))),
    (
        "cache_write_tokens",
        (("cache_creation_input_tokens",), ("prompt_tokens_details", "cache_creation_tokens")),
    ),
    ("cache_write_5m_tokens", tuple((*each, "ephemeral_5m_input_tokens") for each in _WRITE_DETAILS)),
    ("cache_write_1h_tokens", tuple((*each, "ephemeral_1h_input_tokens") for each in _WRITE_DETAILS)),
    ("input_audio_tokens", tuple((each, "audio_tokens") for each in _INPUT_DETAILS)),
    ("input_image_tokens", tuple((each, "image_tokens") for each in _INPUT_DETAILS)),
    ("cache_audio_read_tokens", tuple((each, "cached_tokens_details", "audio_tokens") for each in _INPUT_DETAILS)),
    ("reasoning_tokens", tuple((each, "reasoning_tokens") for each in _OUTPUT_DETAILS)),
    ("output_audio_tokens", tuple((each, "audio_tokens") for each in _OUTPUT_DETAILS)),
    ("output_image_tokens", tuple((each, "image_tokens") for each in _OUTPUT_DETAILS)),
    ("web_searches", (("server_tool_use", "web_search_requests"),)),
)
_INPUT_TOTALS: Final = (("input_tokens",), ("prompt_tokens",))
_OUTPUT_TOTALS: Final = (("output_tokens",), ("completion_tokens",))


def json_object(text: str) -> Mapping[str, Any]:
    """Return the JSON object in `text`; an empty one where there is none, or it is too long or too deep."""
    if not text.startswith("{") or len(text) > JSON_LENGTH_MAX:
        return {}
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def json_list(text: str) -> Sequence[object]:
    """Return the JSON array in `text`; an empty one where there is none, or it is too long or too deep."""
    if not text.startswith("[") or len(text) > JSON_LENGTH_MAX:
        return []
    try:
        return cast("Sequence[object]", json.loads(text))
    except (ValueError, RecursionError):
        return []


def python_object(text: str) -> Mapping[str, Any]:
    """Return the dict whose Python repr is `text` (LiteLLM writes such); an empty one where there is none."""
    if not text.startswith("{") or len(text) > _REPR_LENGTH_MAX or text.count("{") > _REPR_BRACKETS_MAX:
        return {}
    if text.count("(") + text.count("[") > _REPR_BRACKETS_MAX:
        return {}
    try:
        parsed = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return {}  # TypeError: a key that cannot be one, as in {[1]: 2}
    if not isinstance(parsed, dict):
        return {}
    return {name: said for name, said in cast("dict[object, Any]", parsed).items() if isinstance(name, str)}


def add_vendor_usage(quantities: dict[str, Quantity], usage: object) -> None:
    """Add to `quantities` what a vendor's usage object says beyond them."""
    if not isinstance(usage, Mapping):
        return
    said = cast("Mapping[str, object]", usage)
    if said.get("type") == "duration" or set(said) == {"seconds"}:
        _add(quantities, "audio_seconds", json_number(said.get("seconds")))
        return
    had_input = "input_tokens" in quantities
    _add(quantities, "input_tokens", _first(said, _INPUT_TOTALS))
    _add(quantities, "output_tokens", _first(said, _OUTPUT_TOTALS))
    for quantity, places in _PARTS:
        _add(quantities, quantity, _first(said, places) or None)
    if not had_input and "cache_read_input_tokens" in said and "prompt_tokens" not in said:
        # Anthropic's own object counts input without cache; totals here are inclusive.
        quantities["input_tokens"] = sum(
            quantities.get(part, 0) for part in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
        )


def _add(quantities: dict[str, Quantity], quantity: str, number: Quantity | None) -> None:
    if number is not None:
        quantities.setdefault(quantity, number)


def _first(said: Mapping[str, object], places: tuple[tuple[str, ...], ...]) -> Quantity | None:
    for place in places:
        found: object = said
        for step in place:
            found = found.get(step) if isinstance(found, Mapping) else None
        number = json_count(found)
        if number is not None:
            return number
    return None
