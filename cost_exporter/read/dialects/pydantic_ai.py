"""Pydantic AI: `chat MODEL` spans by the conventions, below an agent span that repeats the sums.

Of Anthropic's cache writes the 1 h part is stated and the 5 min part is not (measured 2.68.0). Newer releases name the
sums `gen_ai.aggregated_usage.*`, which nothing reads; older ones repeat `gen_ai.usage.*` on `agent run`, which has no
operation name. Searches of a provider's own tool are billed and stated nowhere but in the messages, as tool calls with
`builtin: true`; counted there, they are an estimate. An error of Pydantic AI's own comes before or after a request,
never from a provider.
"""

from typing import Final, cast

from cost_exporter.read.fields.failure import exception_type
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.vendor_usage import JSON_LENGTH_MAX, json_list
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_AGENT: Final = "agent_name"
_MESSAGES: Final = "gen_ai.output.messages"
_SEARCHES: Final = frozenset({"web_search", "web_search_call", "google_search"})
_ERROR: Final = 2
_OWN_ERRORS: Final = frozenset({"UserError", "UsageLimitExceeded", "ConcurrencyLimitExceeded", "ApprovalRequired"})


def _operation(reading: Reading) -> str | None:
    if reading.layout.texts.get("operation"):
        reading.is_no_call = _is_before_any_request(reading)
        return WRAPPER if reading.is_no_call else None
    return WRAPPER if reading.text(_AGENT) or reading.span.name == "agent run" else None


def _is_before_any_request(reading: Reading) -> bool:
    if reading.span.status.code != _ERROR or reading.layout.quantities or "response_model" in reading.layout.texts:
        return False
    return exception_type(reading).rpartition(".")[2] in _OWN_ERRORS


def _complete(reading: Reading) -> None:
    searches = sum(map(_searches, _output(reading)))
    if searches and "web_searches" not in reading.quantities:
        reading.quantities["web_searches"] = searches
        reading.is_estimated = True
        reading.issues.append("counted_in_messages:web_searches")


def _output(reading: Reading) -> list[object]:
    return list(json_list(reading.whole_text(_MESSAGES, JSON_LENGTH_MAX)))


def _searches(message: object) -> int:
    if not isinstance(message, dict):
        return 0
    parts = cast("dict[str, object]", message).get("parts")
    return sum(map(_is_search, cast("list[object]", parts))) if isinstance(parts, list) else 0


def _is_search(part: object) -> bool:
    if not isinstance(part, dict):
        return False
    of = cast("dict[str, object]", part).get
    return of("type") == "tool_call" and of("builtin") is True and of("name") in _SEARCHES


DIALECT = Dialect(
    name="pydantic-ai",
    scopes=("pydantic-ai",),
    keys=frozenset({_AGENT, _MESSAGES}),
    operation=_operation,
    complete=_complete,
)
