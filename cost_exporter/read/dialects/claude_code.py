"""Claude Code's own tracing: `claude_code.llm_request` with bare names, below an interaction and beside its tools.

`input_tokens` is Anthropic's, without the tokens read from the cache and written to it (2.1.114). The lifetime of a
write is not reported: five minutes are assumed, the vendor's default.
"""

from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_TYPE: Final = "span.type"
_MODEL: Final = "model"
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
    for key, quantity in _QUANTITIES.items():
        count = reading.first_count((key,)) if key in reading.attributes else None
        if count:
            reading.quantities.setdefault(quantity, count)


DIALECT = Dialect(
    name="claude-code",
    scopes=("com.anthropic.claude_code*",),
    markers=frozenset(),
    keys=frozenset({_TYPE, _MODEL, *_QUANTITIES}),
    operation=_operation,
    complete=_complete,
)
