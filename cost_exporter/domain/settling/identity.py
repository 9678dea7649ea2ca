"""Identity of a provider call: the ids that make several spans one call, and the keys under which a ledger finds them.

An id that one scope repeats for too many successive calls is ignored: it comes from a mock, or is a constant. A
gateway may make an id up and give it to its client, while the request it sends has the vendor's: then a call has two
ids, and an unequal pair of the two kinds proves nothing. Both are properties of the whole set of spans, so the order
in which they arrive cannot matter.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final

from cost_exporter.domain.span import Call

__all__ = [
    "CALLS_PER_ID_MAX",
    "SPANS_PER_ID_MAX",
    "Identities",
    "call_key",
    "ids_of_keys",
    "is_unique",
    "key_name",
    "repeated_ids",
]

CALLS_PER_ID_MAX: Final = 8
"""One scope may state an id for this many calls that do not overlap in time: retries, polls, a stream resumed."""
SPANS_PER_ID_MAX: Final = 256
"""One scope may state an id on this many spans, whenever they are; it bounds what is settled together by one id."""

# Ollama's OpenAI API draws the id of an answer, below 999 or 999,999 (ollama, middleware/openai.go, seen 2026-11-26).
_NON_UNIQUE_ID = re.compile(r"response:(?:(?:chatcmpl|cmpl)-\d{1,3}|resp_(?:0|[1-9]\d{0,5}))")
_RESPONSE: Final = "response:"


@lru_cache(maxsize=4096)
def is_unique(call_id: str) -> bool:
    """Return whether equal ids mean one call. An id drawn from few says only that unequal ones are different calls."""
    return bool(call_id) and _NON_UNIQUE_ID.fullmatch(call_id) is None


class Identities:
    """The identity of each call; ids that too many calls share are ignored."""

    def __init__(self, repeated: Collection[str] = (), by_gateways: Collection[str] = ()) -> None:
        """Take the ids that too many calls have, and those that a gateway made up."""
        self._repeated = frozenset(repeated)
        self._by_gateways = frozenset(by_gateways)

    def is_unique(self, call_id: str) -> bool:
        """Return whether two spans of this id are one call."""
        return is_unique(call_id) and call_id not in self._repeated

    def are_comparable(self, one: str, other: str) -> bool:
        """Return whether two ids that differ are of two calls: not if one is a gateway's and the other the vendor's."""
        return (one in self._by_gateways) == (other in self._by_gateways)

    def of(self, call: Call) -> object | None:
        """Return the call's identity, or None. For a session's delta it is (session, sequence), never a response id."""
        if call.session_id and call.session_sequence is not None:
            return call.session_id, call.session_sequence
        return call.call_id if self.is_unique(call.call_id) else None


def repeated_ids(calls: Collection[Call]) -> set[str]:
    """Return the response ids that one scope states for too many calls.

    Spans without usage do not count: polling for an answer makes many of them. Nor do phone calls, whose status and
    price are fetched repeatedly under one id.
    """
    if len(calls) <= CALLS_PER_ID_MAX:
        return set()
    found: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in calls:
        if call.call_id.startswith(_RESPONSE) and call.usage.quantities and call.session_sequence is None:
            found[call.call_id, call.scope].append(call)
    return {call_id for (call_id, _), some in found.items() if _are_too_many(some) and is_unique(call_id)}


def key_name(call: Call) -> str:
    """Return the name under which spans of this call, or of its session, find each other; "" where there is none."""
    if call.session_id and call.session_sequence is not None:
        return f"session:{call.session_id}"
    return f"call:{call.call_id}" if is_unique(call.call_id) else ""


def call_key(namespace: str, name: str) -> int:
    """Return the signed 64-bit key of a name."""
    digest = hashlib.blake2b(f"{namespace}\x1f{name}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def ids_of_keys(namespace: str, keys: frozenset[int], calls: Iterable[Call]) -> set[str]:
    """Return the ids among those of the calls whose keys these are."""
    if not keys:
        return set()
    ids = {call.call_id for call in calls if is_unique(call.call_id)}
    return {call_id for call_id in ids if call_key(namespace, f"call:{call_id}") in keys}


def _are_too_many(calls: Sequence[Call]) -> bool:
    if len(calls) <= CALLS_PER_ID_MAX:
        return False
    return len(calls) > SPANS_PER_ID_MAX or _disjoint_count(calls) > CALLS_PER_ID_MAX


def _disjoint_count(calls: Iterable[Call]) -> int:
    """Return how many of the calls can be chosen so that no two overlap: always the next one to end."""
    count = 0
    last_end_ns = -1
    # What takes no time at all still takes its instant: two of one instant overlap.
    for end_ns, start_ns in sorted(
        (max(call.ended_at_unix_ns, call.started_at_unix_ns + 1), call.started_at_unix_ns) for call in calls
    ):
        if start_ns >= last_end_ns:
            count += 1
            last_end_ns = end_ns
    return count
