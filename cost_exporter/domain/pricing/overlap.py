"""Split the input where its parts exceed it because vendors count the same tokens under two of them.

Two cases are known. Cached tokens are also counted by kind: 800 cached and 600 of images in 1,000 tokens have at least
400 in common, which are billed as cached. And what is written to a cache is also read from it (Gemini): then the
storage is billed beside the input. Both are assumptions, so a quote that rests on one is an estimate.
"""

from typing import Final

from cost_exporter.domain.quantity import InconsistentUsage, Quantities, Quantity, disjoint_parts

__all__ = ["overlapping_parts"]

_MAY_BE_CACHED: Final = ("input_image_tokens", "input_video_tokens")
_CACHED_BY_KIND: Final = ("cache_audio_read_tokens", "cache_image_read_tokens")
_WRITTEN: Final = ("cache_write_5m_tokens", "cache_write_1h_tokens")


def overlapping_parts(quantities: Quantities) -> tuple[dict[str, Quantity], str] | None:
    """Return the parts to bill and the issue that says why; None where no overlap explains the quantities."""
    if "input_tokens" not in quantities or not quantities.get("cache_read_tokens"):
        return None
    counted = dict(quantities)
    written = max(counted.get("cache_write_tokens", 0), sum(counted.get(part, 0) for part in _WRITTEN))
    each = (counted["cache_read_tokens"], written, *[counted.get(kind, 0) for kind in _MAY_BE_CACHED])
    if max(each) > counted["input_tokens"]:
        return None  # exceeds the whole by itself
    if counted["cache_read_tokens"] + written > counted["input_tokens"]:
        rest = counted["input_tokens"] - max(counted["cache_read_tokens"], written)
        counted["input_tokens"] = counted["cache_read_tokens"] + written + rest
        common = ["cache_write_tokens"]
    else:
        common = _without_cached_kinds(counted, written)
    try:
        parts = disjoint_parts(counted)
    except InconsistentUsage:
        return None
    return parts, f"assumed_overlap: cache_read_tokens and {', '.join(common)} count the same tokens"


def _without_cached_kinds(counted: dict[str, Quantity], written: Quantity) -> list[str]:
    """Take what must be cached out of images and video; return their names."""
    stated_twice = sum(counted.get(part, 0) for part in _CACHED_BY_KIND)
    kinds = sum(counted.get(kind, 0) for kind in ("input_audio_tokens", *_MAY_BE_CACHED))
    excess = counted["cache_read_tokens"] + written + kinds - stated_twice - counted["input_tokens"]
    room = counted["cache_read_tokens"] - stated_twice
    changed: list[str] = []
    for kind in _MAY_BE_CACHED:
        own = counted.get(kind, 0) - (counted.get("cache_image_read_tokens", 0) if kind == "input_image_tokens" else 0)
        common = min(excess, own, room)
        if common > 0:
            counted[kind] -= common
            excess, room = excess - common, room - common
            changed.append(kind)
    return changed
