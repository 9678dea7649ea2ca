"""Recognise names of usage, of input or of output, by the words in them.

The alias table holds the known names. This is for unknown ones: an attribute, or a leaf of a usage object, whose name
says that something was used and that nothing reads. Pricing the rest without it would give a wrong figure that looks
right.
"""

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, NamedTuple

__all__ = [
    "UsageName",
    "counts_tokens",
    "holds_usage",
    "is_cache_hit",
    "is_container",
    "is_envelope",
    "is_service_tier",
    "is_surely_usage",
    "is_total",
    "is_vendors_container",
    "may_show_value",
    "speaks_of_usage",
    "usage_name",
]

_JUDGED_LENGTH_MAX: Final = 256
"""A longer one contains data and is not a name: none of its words is looked at, and it is not remembered."""
_NAMES_MAX: Final = 8192
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_JOINED: Final = re.compile(
    r"(?<=[a-z])(?=tokens?(?:$|count|usage))|(?<=token)(?=count|usage)|(?<=tokens)(?=count|usage)"
)
"""Where a word is two: `cachedtokens`, `tokencount`."""

_TOKENS: Final = frozenset({"token", "tokens", "tok", "toks"})
_CACHE: Final = frozenset({"cache", "cached"})
_ASKED_OF_CACHE: Final = frozenset({"request", "use", "control", "store", "allow"})
"""A flag with one of these words says what was asked for."""
_REASONING: Final = frozenset({"reason", "reasoning", "thought", "thoughts", "think", "thinking"})
_INPUT: Final = _CACHE | {"input", "inputs", "prompt", "prompts"}
_OUTPUT: Final = _REASONING | {"output", "outputs", "completion", "completions", "candidates", "generated"}
_MEDIA: Final = frozenset({"audio", "image", "images", "video", "videos"})
_METERS: Final = frozenset(
    {"character", "characters", "char", "chars", "second", "seconds", "minute", "minutes", "billed"}
    | {"credit", "credits", "search", "searches", "websearch", "websearches", "grounding", "duration"}
)
"""Other measures than tokens: what they count may be billed beside the tokens."""
_METERS_OF_FAMILIES: Final = frozenset({"pages", "pixels", "megapixels", "neurons", "frames"})
"""The same, but an application may count them too."""
_SPEAKING: Final = _TOKENS | _CACHE | _REASONING | _MEDIA | _METERS
_CONTAINER: Final = "usage"
_CONTAINER_ENDS: Final = (
    ("usage",),
    ("usage", "metadata"),
    ("usage", "details"),
    ("usage", "object"),
    ("usage", "raw"),
    ("usage", "metrics"),
    ("token", "usage"),
)
_USAGE_OBJECTS: Final = frozenset(
    {"langwatch.metrics", "lk.tts_metrics", "lk.stt_metrics", "lk.realtime_model_metrics"}
    | {"braintrust.metrics", "llm.token.counts"}
)
"""The same, by names that do not show it."""
_SUMS_OF_SEVERAL: Final = frozenset({"aggregated", "accumulated", "cumulative", "established"})
"""The words of a usage object that is not that of one call."""
_ENVELOPE_ENDS: Final = (
    *(("response", "metadata"), ("provider", "metadata")),
    *(("llm", "output"), ("llm", "response"), ("raw", "response")),
)
"""How the names of objects end that may hold a usage object among other things."""
_FAMILIES: Final = re.compile(
    r"(?:gen_?ai|llm|ai|openai|anthropic|tts|stt|aws[._]bedrock|cohere|mistral|groq|deepgram|elevenlabs|openrouter)[._]"
)
"""How the names of the instrumentations of language models and speech begin: there a weaker word is enough."""

_TOTAL: Final = frozenset({"usage", "total", "token", "tokens", "count"})
_OF_FAMILIES: Final = frozenset({"gen", "genai", "ai", "llm", "openai", "anthropic"})
_HARMLESS: Final[dict[str, str]] = {
    **dict.fromkeys((*_SUMS_OF_SEVERAL, "total", "totals", "sum"), "a sum"),
    **dict.fromkeys(("text", "uncached", "noncached", "prediction", "predicted"), "priced as the rest of its total"),
    **dict.fromkeys(("miss", "misses", "missed"), "priced as the rest of its total"),
    **dict.fromkeys(("per", "rate", "ratio", "percent", "percentage", "pct", "throughput", "tps"), "a rate"),
    **dict.fromkeys(("speed", "utilization", "utilisation", "score", "probability", "logprob", "logprobs"), "a rate"),
    **dict.fromkeys(("time", "ttft", "ttfb", "ttfc", "ttfa", "latency", "delay", "elapsed", "first"), "a latency"),
    **dict.fromkeys(("max", "maximum", "min", "minimum", "limit", "limits", "budget", "quota"), "a limit"),
    **dict.fromkeys(("remaining", "reset", "threshold", "window", "allowed", "available", "ratelimit"), "a limit"),
    **dict.fromkeys(("cost", "costs", "price", "prices", "usd", "fee"), "money, which has a table of its own"),
    **dict.fromkeys(("fetch", "fetches"), "free but for its tokens"),
    **dict.fromkeys(("id", "ids", "hash", "key", "uuid", "status"), "a name"),
    **dict.fromkeys(("finish", "stop", "oauth", "auth", "access", "refresh", "bearer", "csrf"), "a name"),
}
"""Words that make a name harmless, and why."""
_HARMLESS_IF_UNCOUNTED: Final[dict[str, str]] = {
    **dict.fromkeys(("ms", "millis", "milliseconds", "timestamp", "duration", "timeout", "retry"), "a time"),
    **dict.fromkeys(("created", "started", "ended", "expires", "ttl", "age", "retention"), "a time"),
    **dict.fromkeys(("size", "width", "height", "sample", "bitrate", "quality", "dimensions", "fps"), "a setting"),
    **dict.fromkeys(("effort", "enabled", "penalty", "seed", "index", "version", "port", "level"), "a setting"),
    **dict.fromkeys(("temperature", "setting", "settings", "config", "options", "detail", "resolution"), "a setting"),
    **dict.fromkeys(("breakpoint", "breakpoints"), "a setting"),
    **dict.fromkeys(("memory", "cpu", "disk", "heap", "gpu", "network", "bytes"), "of a machine"),
    **dict.fromkeys(("content", "contents", "message", "messages", "arguments", "args", "parameters"), "content"),
    **dict.fromkeys(("schema", "function", "functions", "document", "documents", "url", "uri", "code"), "content"),
}
"""The same, but where the name ends with what was counted, as `gen_ai.usage.message_tokens` does."""
_COUNTED: Final = frozenset({"tokens", "toks", "seconds", "characters", "chars", "credits", "searches", "images"})
_HARMLESS_OUTSIDE: Final = frozenset({"tool", "tools", "query", "queries", "value", "number"})
"""Content too, but for the leaf of a usage object, and where the name says that they were counted."""
_COUNTS: Final = frozenset(
    {"count", "counts", "calls", "requests", "uses", "used", "queries", "invocations", "runs", "sessions"}
)
"""How the name of a count ends: `gen_ai.tool.web_search.count`."""
_OPENINFERENCE: Final = "llm.token_count."
"""OpenInference counts under these names, and only there."""
_CONTENT: Final = frozenset({"content", "contents"})
_CODE, _RUNS = frozenset({"code"}), frozenset({"execution", "interpreter"})
_LENGTHS: Final = frozenset({"duration", "ms", "millis", "milliseconds", "min"})
_SOUND: Final = frozenset({"audio", "video", "videos"})
_PROMPT_OF_A_TOOL: Final = frozenset({"tool", "use", "prompt"})
"""Google counts what its own tools asked beside the prompt."""
_KEPT_LONGER: Final = re.compile(r"(?<![a-z0-9])(?:1|one)[_-]?h(?:r|our)?(?![a-z])", re.IGNORECASE)
_WRITTEN_FOR_LONGER: Final = frozenset({"cache_write_1h_tokens"})
"""Not the same number as all that was written, which is taken for the vendor's default of 5 minutes."""
_NOT_CACHED: Final = re.compile(r"(?:^|[._-])(?:no|non|not|un)[_-]?cach", re.IGNORECASE)
"""Names of the input without its cached part."""


def _remembered(judge: Callable[[str], bool]) -> Callable[[str], bool]:
    """Judge each name once: senders use the same ones. One that is too long for a name is none."""
    of_name = lru_cache(maxsize=_NAMES_MAX)(judge)

    @wraps(judge)
    def remembering(name: str) -> bool:
        return len(name) <= _JUDGED_LENGTH_MAX and of_name(name)

    return remembering


class UsageName(NamedTuple):
    """The kind of usage that a name refers to."""

    total: str
    """The total of which it can only be a part; "" where it may be more than was read."""
    says: frozenset[str]
    """The quantities that say the same: an equal number there was read, under another name."""


def usage_name(name: str, *, is_in_container: bool = False) -> UsageName | None:
    """Return the meaning of a name of usage; None for other names, and for usage that cannot be billed."""
    return _usage_name(name, is_in_container) if len(name) <= _JUDGED_LENGTH_MAX else None


@lru_cache(maxsize=_NAMES_MAX)
def _usage_name(name: str, is_in_container: bool) -> UsageName | None:
    words = _words(name)
    known = frozenset(words)
    is_in_container = is_in_container or _CONTAINER in known or name.startswith(_OPENINFERENCE)
    if not is_in_container and not _speaks(name, known):
        return None
    is_counted = words[-1:] != () and words[-1] in _COUNTED and (is_in_container or _FAMILIES.match(name) is not None)
    if _is_harmless(known, is_counted=is_counted, is_in_container=is_in_container) or _NOT_CACHED.search(name):
        return None
    if not is_in_container and not known.isdisjoint(_HARMLESS_OUTSIDE) and words[-1] not in _COUNTS:
        return None
    if words[-1:] == ("requests",) and known.isdisjoint(_SPEAKING | _HARMLESS_OUTSIDE):
        return None  # how many answers were added up
    total = _total(words)
    return UsageName(total, _says(known, total) if _KEPT_LONGER.search(name) is None else _WRITTEN_FOR_LONGER)


def _is_harmless(known: frozenset[str], *, is_counted: bool, is_in_container: bool) -> bool:
    """Return whether words make a name harmless: not the content that was cached, nor how long audio or video is."""
    harmless = known.intersection(_HARMLESS)
    if "text" in harmless and not known.isdisjoint(_METERS):
        harmless -= {"text"}  # speech is billed by the characters or seconds of it
    if not is_counted:
        harmless |= known.intersection(_HARMLESS_IF_UNCOUNTED)
    if not known.isdisjoint(_RUNS):
        harmless -= _CODE
    if harmless <= _CONTENT and not known.isdisjoint(_CACHE):
        return False
    if harmless <= _LENGTHS and not known.isdisjoint(_SOUND):
        return not is_in_container and "duration" not in known and bool(harmless)
    return bool(harmless)


@_remembered
def is_container(name: str) -> bool:
    """Return whether an attribute of this name may hold a usage object, by its last words."""
    words = _words(name)
    is_named_so = name in _USAGE_OBJECTS or any(words[-len(end) :] == end for end in _CONTAINER_ENDS)
    return is_named_so and _SUMS_OF_SEVERAL.isdisjoint(words)


@_remembered
def is_envelope(name: str) -> bool:
    """Return whether an attribute of this name may hold a usage object somewhere in it."""
    return _words(name)[-2:] in _ENVELOPE_ENDS


def holds_usage(name: str) -> bool:
    """Return whether an attribute of this name may hold a usage object, whole or within another."""
    return is_container(name) or is_envelope(name)


def speaks_of_usage(name: str) -> bool:
    """Return whether an attribute of this name may change what its record costs although no table lists it."""
    return holds_usage(name) or usage_name(name) is not None or is_service_tier(name) or is_total(name)


@_remembered
def counts_tokens(name: str) -> bool:
    """Return whether a name ends with tokens, or with how many there were."""
    words = _words(name)
    return words[-1:] != () and not _TOKENS.isdisjoint(words) and words[-1] in _TOKENS | {"count", "counts", "usage"}


@_remembered
def is_cache_hit(name: str) -> bool:
    """Return whether a flag of this name says that something came from a cache."""
    words = _words(name)
    return not _CACHE.isdisjoint(words) and _ASKED_OF_CACHE.isdisjoint(words)


@_remembered
def is_total(name: str) -> bool:
    """Return whether an attribute of this name is the sum of all tokens of a call, by words that say nothing else."""
    words = frozenset(_words(name)) - _OF_FAMILIES
    is_of_tokens = not words.isdisjoint(_TOKENS | {_CONTAINER})
    return "total" in words and words <= _TOTAL and is_of_tokens and may_show_value(name)


@_remembered
def is_service_tier(name: str) -> bool:
    """Return whether an attribute of this name says at which of a vendor's prices the call was served."""
    return _words(name)[-2:] == ("service", "tier")


@_remembered
def is_surely_usage(name: str) -> bool:
    """Return whether a name alone, without its value, shows that something was used."""
    if usage_name(name) is None:
        return is_vendors_container(name)
    words = frozenset(_words(name))
    return not words.isdisjoint(_TOKENS | _METERS | {_CONTAINER})


@_remembered
def is_vendors_container(name: str) -> bool:
    """Return whether it holds a usage object of a model or of speech for sure, without a look into it."""
    return is_container(name) and _FAMILIES.match(name) is not None


@_remembered
def may_show_value(name: str) -> bool:
    """Return whether the value under a name is a count for sure: not where an application chose the name."""
    return _CONTAINER in _words(name) or _FAMILIES.match(name) is not None


@lru_cache(maxsize=_NAMES_MAX)
def _words(name: str) -> tuple[str, ...]:
    found = (word.lower() for word in _WORD.findall(name))
    return tuple(part for word in found for part in _JOINED.split(word))


def _speaks(name: str, known: frozenset[str]) -> bool:
    """Return whether a name outside of any usage object is a name of usage."""
    if not known.isdisjoint(_TOKENS):
        return True
    if not known.isdisjoint(_CODE) and not known.isdisjoint(_RUNS):  # code that the vendor ran, by run or by session
        return _words(name)[-1] in _COUNTS
    is_of_family = _FAMILIES.match(name) is not None
    if is_of_family and not known.isdisjoint(_METERS_OF_FAMILIES):
        return True
    return not known.isdisjoint(_SPEAKING) and ("." not in name or is_of_family)


def _total(words: tuple[str, ...]) -> str:
    """Return the total that what is named must be in: the word next to the end decides between two."""
    if _TOKENS.isdisjoint(words) and not _METERS.isdisjoint(words):
        return ""
    if _TOKENS.isdisjoint(words) and not _MEDIA.isdisjoint(words):
        return ""
    if _PROMPT_OF_A_TOOL.issubset(words):
        return ""
    for word in reversed(words):
        if word in _OUTPUT:
            return "output_tokens"
        if word in _INPUT:
            return "input_tokens"
    return ""


_CACHED: Final = frozenset(
    {"cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"}
)


def _says(known: frozenset[str], total: str) -> frozenset[str]:
    found: set[str] = set()
    if not known.isdisjoint(_CACHE) or "ephemeral" in known:
        found |= _CACHED
    if not known.isdisjoint(_REASONING):
        found.add("reasoning_tokens")
    side = total.partition("_")[0]
    for medium in ("audio", "image", "video"):
        if medium in known or f"{medium}s" in known:
            found.add(f"{side}_{medium}_tokens")
            found.add("cache_audio_read_tokens")
    if not found and total:
        found.add(total)
    for meter, quantities in _STATED_BY_METER.items():
        if meter in known or f"{meter}s" in known or f"{meter}es" in known:
            found |= quantities
    return frozenset(found)


_STATED_BY_METER: Final = {
    "character": frozenset({"characters"}),
    "char": frozenset({"characters"}),
    "second": frozenset({"audio_seconds", "output_audio_seconds", "session_seconds", "call_seconds"}),
    "search": frozenset({"web_searches"}),
    "credit": frozenset({"credits"}),
    "image": frozenset({"images"}),
}
