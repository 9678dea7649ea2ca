"""Claude Code's own tracing: `claude_code.llm_request`, below an interaction and beside its tools.

Under bare names `input_tokens` is Anthropic's, without the tokens read from the cache and written to it (2.1.114).
Later releases write the conventions' names as well, with an input that includes both (2.1.332). The lifetime of a write
is not reported: five minutes are assumed, the vendor's default.
"""

from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_TYPE: Final = "span.type"
_MODEL: Final = "model"
_SPEED: Final = "speed"
_INPUT: Final = "gen_ai.usage.input_tokens"
_QUANTITIES: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_creation_tokens": "cache_write_tokens",
}


def _operation(reading: Reading) -> str | None:
    return "chat" if reading.text(_TYPE) == "llm_request" else WRAPPER


def _complete(reading: Reading) -> None:
    reading.provider = reading.provider or "anthropic"
    reading.request_model = reading.request_model or reading.text(_MODEL)
    reading.speed = "fast" if reading.text(_SPEED) == "fast" else ""
    quantities = reading.quantities
    stated = quantities.get("input_tokens")
    counts = {
        quantity: count
        for key, quantity in _QUANTITIES.items()
        if key in reading.attributes and (count := reading.first_count((key,)))
    }
    for quantity, count in counts.items():
        quantities.setdefault(quantity, count)
    if stated is None:
        return
    whole = sum(counts.get(part, 0) for part in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))
    reading.has_input_cached = True
    if "input_tokens" in counts and stated != whole:
        reading.issues.append(f"conflicting_usage: input_tokens = {whole} with what was cached, {_INPUT} = {stated}")
        reading.has_unread_usage = True
        reading.is_incomplete = whole > stated


DIALECT = Dialect(
    name="claude-code",
    scopes=("com.anthropic.claude_code*",),
    markers=frozenset(),
    keys=frozenset({_TYPE, _MODEL, _SPEED, *_QUANTITIES}),
    operation=_operation,
    complete=_complete,
)
