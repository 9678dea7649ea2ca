"""Usage in the vendors' own words: the JSON objects that some emitters put on spans as they got them.

OpenAI's family has inclusive totals with details, Anthropic's and Bedrock's input without the cached tokens, Google's
output without the thoughts; LangChain and the AI SDK have words of their own for all of them. Only what the attributes
did not say is taken, and zero parts are left out: they say nothing. Names are compared in snake case.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final, cast

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.fields.quantities import total_cache_writes
from cost_exporter.read.fields.reading import Reading
from cost_exporter.read.otlp.values import clean_text, json_count, json_number
from cost_exporter.read.otlp.wire import AnyValue

__all__ = [
    "BEGINNINGS",
    "JSON_LENGTH_MAX",
    "LEFT_OUT",
    "PLACE",
    "READ_PATHS",
    "TOOL_PROMPT",
    "add_leaves",
    "json_list",
    "json_object",
    "object_at",
    "object_of",
    "python_object",
    "read_usage",
    "take_terms",
    "usage_leaves",
]

JSON_LENGTH_MAX: Final = 256 * 1024
"""Longer texts are not parsed: an answer with its usage is short, and parsing costs time."""
_REPR_LENGTH_MAX: Final = 8 * 1024
_REPR_BRACKETS_MAX: Final = 64
_LEAVES_MAX: Final = 256
_LISTED_LEAVES_MAX: Final = 1024
"""Of objects in lists, such as the rounds of an answer. They take no room from the totals beside them."""
_WALKED_MAX: Final = 4096
PLACE: Final = re.compile(r"\.\d+(?=\.)")
"""Of an object in a list: `iterations.0.input_tokens`."""
_DEPTH_MAX: Final = 5
BEGINNINGS: Final = ("{", '"{')
LEFT_OUT: Final = "members_left_out"
"""Stands for what of a usage object is too much or too deep to look at."""

_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details", "prompt_token_details")
_OUTPUT_DETAILS: Final = (
    *("completion_tokens_details", "output_tokens_details", "output_token_details"),
    "candidates_tokens_details",  # Google's, a list of modalities, as are the three of its input
)
_WRITE_DETAILS: Final = ("cache_creation", "prompt_tokens_details.cache_creation_token_details", *_INPUT_DETAILS)
"""Anthropic's own place, LiteLLM's and LangChain's."""
_INPUT_TOTALS: Final = ("input_tokens", "prompt_tokens", "prompt_token_count", "input_token_count")
_OUTPUT_TOTALS: Final = ("output_tokens", "completion_tokens", "output_token_count")
_CANDIDATES: Final = ("candidates_token_count", "response_token_count")
_THOUGHTS: Final = "thoughts_token_count"
TOOL_PROMPT: Final = "tool_use_prompt_token_count"


def _in(details: Sequence[str], *names: str) -> tuple[str, ...]:
    return tuple(f"{each}.{name}" for name in names for each in details)


_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "cache_read_tokens": (
        *_in(_INPUT_DETAILS, "cached_tokens", "cache_read_tokens", "cache_read", "cached_token_count"),
        "cache_read_input_tokens",
        "cached_content_token_count",
        "prompt_cache_hit_tokens",
        "cached_input_tokens",
        "cached_tokens",
        "cached_prompt_tokens",  # AI SDK 4
        "prompt_cached_tokens",  # Braintrust
        "cached_content_tokens",  # Genkit
        "num_cached_tokens",  # Mistral
        "cache_read_tokens",
    ),
    "cache_write_tokens": (
        "cache_creation_input_tokens",
        "cache_write_input_tokens",
        *_in(_INPUT_DETAILS, "cache_creation_tokens", "cache_write_tokens", "cache_creation"),
        "cache_creation_tokens",
        "prompt_cache_creation_tokens",
        "cache_write_tokens",
    ),
    "cache_write_5m_tokens": (*_in(_WRITE_DETAILS, "ephemeral_5m_input_tokens"), "cache_details.5m"),
    "cache_write_1h_tokens": (*_in(_WRITE_DETAILS, "ephemeral_1h_input_tokens"), "cache_details.1h"),
    "input_audio_tokens": _in(_INPUT_DETAILS, "audio_tokens", "audio", "audio_token_count"),
    "input_image_tokens": _in(_INPUT_DETAILS, "image_tokens", "image"),
    "input_video_tokens": _in(_INPUT_DETAILS, "video_tokens", "video"),
    "cache_image_read_tokens": (
        *_in(_INPUT_DETAILS, "cached_tokens_details.image_tokens"),
        "cache_tokens_details.image",
    ),
    "citation_tokens": ("citation_tokens",),
    "cache_audio_read_tokens": (
        *_in(_INPUT_DETAILS, "cached_tokens_details.audio_tokens"),
        "cache_tokens_details.audio",
    ),
    "reasoning_tokens": (
        *_in(_OUTPUT_DETAILS, "reasoning_tokens", "reasoning", "thinking_tokens", "reasoning_token_count"),
        "reasoning_tokens",
        "thoughts_tokens",  # Genkit
        _THOUGHTS,
    ),
    "output_audio_tokens": _in(_OUTPUT_DETAILS, "audio_tokens", "audio", "audio_token_count"),
    "output_image_tokens": _in(_OUTPUT_DETAILS, "image_tokens", "image"),
    "web_searches": ("server_tool_use.web_search_requests", "num_search_queries"),
}
READ_PATHS: Final = frozenset(
    {
        *_INPUT_TOTALS,
        *_OUTPUT_TOTALS,
        *_CANDIDATES,
        TOOL_PROMPT,
        "seconds",
        *(path for paths in _PARTS.values() for path in paths),
    }
)
_READ_BESIDE: Final = READ_PATHS - {TOOL_PROMPT}
"""The same where the span states its output: then what the vendor's own tools asked is in no total."""
_TERMS: Final = ("service_tier", "speed", "inference_geo")
_EXCLUSIVE: Final = frozenset(
    {
        *("cache_read_input_tokens", "cache_write_input_tokens", "cache_creation_input_tokens"),
        *("cache_creation.ephemeral_5m_input_tokens", "cache_creation.ephemeral_1h_input_tokens"),
    }
)
"""Emitters that write these count input without them, unless the input has OpenAI's name."""
_INCLUSIVE: Final = frozenset(_in(_INPUT_DETAILS, "cached_tokens", "cache_read_tokens", "cache_read"))
"""Details of an input: they are in it."""


def json_object(text: str) -> Mapping[str, Any]:
    """Return the JSON object in `text`; an empty one where there is none, or it is too long or too deep.

    Some write it as a JSON string once more.
    """
    if not text.startswith(BEGINNINGS) or len(text) > JSON_LENGTH_MAX:
        return {}
    try:
        parsed = json.loads(text)
        if isinstance(parsed, str) and parsed.startswith("{"):
            parsed = json.loads(parsed)
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
    return {name: member for name, member in cast("dict[object, Any]", parsed).items() if isinstance(name, str)}


def object_of(value: AnyValue) -> Mapping[str, object]:
    """Return the object in a value: a map, or the JSON or Python repr of one; an empty one where there is none."""
    if value.WhichOneof("value") == "kvlist_value":
        return dict(_members(value, _DEPTH_MAX))
    text = value.string_value.strip()
    return json_object(text) or python_object(text)


def object_at(reading: Reading, key: str) -> Mapping[str, Any]:
    """Return the object in an attribute of a span, however it is written; an empty one where there is none."""
    found = reading.attributes.get(key)
    return {} if found is None else object_of(found)


def _members(value: AnyValue, depth: int) -> Iterator[tuple[str, object]]:
    for name, each in value.kvlist_value.values.items():
        kind = each.WhichOneof("value")
        if kind in {"int_value", "double_value", "string_value", "bool_value"}:
            yield name, getattr(each, kind)
        elif kind == "kvlist_value" and depth:
            yield name, dict(_members(each, depth - 1))
        elif kind == "array_value" and depth:
            listed = (one for one in each.array_value.values if one.WhichOneof("value") == "kvlist_value")
            yield name, [dict(_members(one, depth - 1)) for one in listed]


def read_usage(reading: Reading, name: str, usage: object) -> None:
    """Take what a vendor's usage object says beyond the attributes; what it says and nobody reads is named later."""
    if isinstance(usage, Mapping):
        leaves = usage_leaves(cast("Mapping[str, object]", usage))
        is_whole = "output_tokens" not in reading.quantities or _was_tool_prompt_read(reading, leaves)
        add_leaves(reading.quantities, leaves)
        if reading.has_input_cached is None:
            reading.has_input_cached = _has_input_cached(reading.quantities, leaves)
        if reading.has_output_thoughts is None:
            reading.has_output_thoughts = _has_output_thoughts(reading.quantities, leaves)
        reading.saw_usage(name, leaves, READ_PATHS if is_whole else _READ_BESIDE)
        take_terms(reading, cast("Mapping[str, object]", usage))


def _has_input_cached(quantities: Mapping[str, Quantity], leaves: Mapping[str, Quantity]) -> bool | None:
    """Return whether what was cached is in the input; None where a usage object does not show it."""
    stated, own = quantities.get("input_tokens"), _first(leaves, _INPUT_TOTALS)
    cached = quantities.get("cache_read_tokens", 0) + quantities.get("cache_write_tokens", 0)
    if stated is None or own is None or not cached:
        return None
    if not _EXCLUSIVE.isdisjoint(leaves) and "prompt_tokens" not in leaves:
        return {own + cached: True, own: False}.get(stated)
    return True if stated == own >= cached and not _INCLUSIVE.isdisjoint(leaves) else None


def _has_output_thoughts(quantities: Mapping[str, Quantity], leaves: Mapping[str, Quantity]) -> bool | None:
    """Return whether the thoughts are in the output; None where a usage object does not show it."""
    candidates, thoughts = _first(leaves, _CANDIDATES) or 0, leaves.get(_THOUGHTS)
    if not thoughts:
        return None
    return {candidates + thoughts: True, candidates: False}.get(quantities.get("output_tokens", 0))


def _was_tool_prompt_read(reading: Reading, leaves: Mapping[str, Quantity]) -> bool:
    """Return whether what Google's own tools asked is in the input, or was read from another usage object."""
    number, own = leaves.get(TOOL_PROMPT), _first(leaves, _INPUT_TOTALS)
    if number is None:
        return False
    if own is not None and reading.quantities.get("input_tokens") == own + number:
        return True
    return any(
        each.leaves.get(TOOL_PROMPT) == number for each in reading.usage_objects or () if TOOL_PROMPT in each.read
    )


_STANDARD_SPEEDS: Final = frozenset({"", "standard", "normal", "default"})
_ANYWHERE: Final = frozenset({"", "global", "not_available", "unspecified", "default"})
"""Where a call was answered for the list price."""
_WORD: Final = re.compile(r"[a-z][a-z_-]{1,15}")


def take_terms(reading: Reading, usage: Mapping[str, object]) -> None:
    """Take the words in Anthropic's usage object on which its prices depend: tier, speed and place."""
    terms = {name: clean_text(each).strip().lower() for name in _TERMS if isinstance(each := usage.get(name), str)}
    reading.stated_tier = reading.stated_tier or terms.get("service_tier", "")
    speed, place = terms.get("speed", ""), terms.get("inference_geo", "")
    if speed not in _STANDARD_SPEEDS:
        reading.speed = speed
    if place not in _ANYWHERE and _WORD.fullmatch(place):
        issue = f"unpriced_term: inference_geo = {place}"
        if issue not in reading.issues:
            reading.issues.append(issue)
        reading.has_unread_usage = True


def usage_leaves(usage: Mapping[str, object]) -> dict[str, Quantity]:
    """Return the numbers in a usage object by their paths in snake case, a bounded number of them."""
    found: dict[str, Quantity] = {}
    left = {False: _LEAVES_MAX, True: _LISTED_LEAVES_MAX}
    left_out = 0
    walked = _walk(usage, "", _DEPTH_MAX)
    for path, number in islice(walked, _WALKED_MAX):
        is_listed = PLACE.search(path) is not None
        if path == LEFT_OUT or not left[is_listed]:
            left_out += 1
        elif path not in found:
            found[path] = number
            left[is_listed] -= 1
    left_out += next(walked, None) is not None
    if left_out:
        found[LEFT_OUT] = left_out
    return found


def _walk(usage: Mapping[str, object], prefix: str, depth: int) -> Iterator[tuple[str, Quantity]]:
    for name, member in usage.items():
        path = f"{prefix}{_snake(name)}"
        here = _by_modality(cast("list[object]", member)) if isinstance(member, list) else member
        if isinstance(here, Mapping):
            if depth:
                yield from _walk(cast("Mapping[str, object]", here), f"{path}.", depth - 1)
            elif here:
                yield LEFT_OUT, 1
        elif (number := json_number(here) if name == "seconds" else json_count(here)) is not None:
            yield path, number


def _by_modality(listed: list[object]) -> Mapping[str, object]:
    """Return a list of objects as one: Google's counts by modality, Bedrock's by time to live, any other by place."""
    found: dict[str, object] = {}
    for place, each in enumerate(listed[:_LEAVES_MAX]):
        if isinstance(each, Mapping):
            entry = cast("Mapping[str, object]", each)
            kind = entry.get("modality", entry.get("ttl"))
            count = entry.get("tokenCount", entry.get("token_count", entry.get("inputTokens")))
            if isinstance(kind, str) and count is not None:
                found[kind.lower()] = count
            else:
                found[str(place)] = entry
    if len(listed) > _LEAVES_MAX:
        found[LEFT_OUT] = len(listed) - _LEAVES_MAX
    return found


_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@lru_cache(maxsize=4096)
def _snake(name: object) -> str:
    text = str(name)[:128]
    return _HUMP.sub("_", text).lower()


def add_leaves(quantities: dict[str, Quantity], leaves: Mapping[str, Quantity]) -> None:
    """Add to `quantities` what the leaves of a vendor's usage object say beyond them."""
    if "seconds" in leaves and leaves.keys() <= {"seconds", "type"}:
        quantities.setdefault("audio_seconds", leaves["seconds"])
        return
    had_input = "input_tokens" in quantities
    _add(quantities, "input_tokens", _first(leaves, _INPUT_TOTALS))
    _add(quantities, "output_tokens", _first(leaves, _OUTPUT_TOTALS))
    if "output_tokens" not in quantities:
        _add_candidates(quantities, leaves)
    for quantity, paths in _PARTS.items():
        _add(quantities, quantity, _first(leaves, paths) or None)
    total_cache_writes(quantities)
    if not had_input and not _EXCLUSIVE.isdisjoint(leaves) and "prompt_tokens" not in leaves:
        # Anthropic's own object counts input without cache; totals here are inclusive.
        quantities["input_tokens"] = sum(
            quantities.get(part, 0) for part in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
        )


def _add_candidates(quantities: dict[str, Quantity], leaves: Mapping[str, Quantity]) -> None:
    """Google counts thoughts beside the candidates, and what its own tools asked beside the prompt; both are billed."""
    candidates = _first(leaves, _CANDIDATES)
    if candidates is None and _THOUGHTS not in leaves:
        return
    quantities["output_tokens"] = (candidates or 0) + leaves.get(_THOUGHTS, 0)
    if TOOL_PROMPT in leaves:
        quantities["input_tokens"] = quantities.get("input_tokens", 0) + leaves[TOOL_PROMPT]


def _add(quantities: dict[str, Quantity], quantity: str, number: Quantity | None) -> None:
    if number is not None:
        quantities.setdefault(quantity, number)


def _first(leaves: Mapping[str, Quantity], paths: tuple[str, ...]) -> Quantity | None:
    return next((leaves[path] for path in paths if path in leaves), None)
