"""OpenAI's and Anthropic's SDKs: one generator made both, and each request of theirs passes through one method.

Guarded there: chat, responses, embeddings and messages; `parse`, `stream` and raw variants; Azure and every host that
speaks one of the two APIs. Retries happen inside that method: they share one reservation.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from callfare import attributes as names
from callfare.calls.span import CallRequest
from callfare.calls.stream import AsyncStream, SyncStream
from callfare.guards.guarded import GuardedCall, ReadAnswer
from callfare.guards.request_size import tokens_of_request

__all__ = [
    "read_anthropic",
    "read_anthropic_answer",
    "read_openai",
    "read_openai_answer",
    "read_openai_chunk",
    "take_openai",
]

_ReadUsage = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_OPENAI_OPERATIONS: Final = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/embeddings": "embeddings",
}
_ANTHROPIC_OPERATIONS: Final = {"/v1/messages": "chat"}
_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_INPUTS: Final = (
    "messages", "input", "prompt", "instructions", "system", "tools", "functions", "response_format", "text",
)  # fmt: skip
_RAW_HEADER: Final = "x-stainless-raw-response"


def read_openai(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    """A request of OpenAI's SDK; None for one that is not paid by tokens."""
    return _read("openai", _OPENAI_OPERATIONS, instance, args, kwargs)


def read_anthropic(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    """A request of Anthropic's SDK; None for one that is not paid by tokens."""
    return _read("anthropic", _ANTHROPIC_OPERATIONS, instance, args, kwargs)


def _read(
    provider: str, operations: Mapping[str, str], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> CallRequest | None:
    options = args[1] if len(args) > 1 else kwargs["options"]
    body = options.json_data
    # Azure's client puts the deployment before the path.
    path = next((path for path in operations if str(options.url).partition("?")[0].endswith(path)), None)
    if path is None or not isinstance(body, Mapping) or str(options.method).lower() != "post":
        return None
    quantities = {names.INPUT_TOKENS: tokens_of_request(*(body.get(name) for name in _INPUTS))}
    limit = next((body[name] for name in _OUTPUT_LIMITS if type(body.get(name)) is int), None)
    if limit is not None:
        quantities[names.OUTPUT_TOKENS] = limit * _answers(body)
    return CallRequest(
        operation=operations[path],
        provider=provider,
        model=str(body.get("model", "")),
        quantities=quantities,
        attributes={names.SERVER_ADDRESS: str(getattr(instance.base_url, "host", ""))},
    )


def _answers(body: Mapping[str, Any]) -> int:
    """How many answers were asked for, each up to the limit."""
    asked = body.get("n")
    return asked if type(asked) is int and asked > 0 else 1


def _answer_reader(read_usage: _ReadUsage) -> ReadAnswer:
    """A reader of answers, by the vendor's way to state usage."""

    def read(call: GuardedCall, answer: Any) -> Any:
        if hasattr(answer, "__aiter__") and hasattr(answer, "response"):
            return AsyncStream(answer, call, read_chunk)
        if hasattr(answer, "__next__") and hasattr(answer, "response"):
            return SyncStream(answer, call, read_chunk)
        if hasattr(answer, "http_response") and hasattr(answer, "parse"):
            parsed = _parsed(answer)
            if parsed is None:
                call.keep()
                return None
            answer = parsed
        _take(call, answer, read_usage)
        return None

    read_chunk = _chunk_reader(read_usage)
    return read


def _chunk_reader(read_usage: _ReadUsage) -> Callable[[GuardedCall, Any], None]:
    def read_chunk(call: GuardedCall, chunk: Any) -> None:
        # Responses and messages nest what they state at their beginning and end.
        for holder in (chunk, getattr(chunk, "response", None), getattr(chunk, "message", None)):
            if holder is not None:
                _take(call, holder, read_usage)
        call.received_characters += _length(chunk)

    return read_chunk


def _parsed(raw: Any) -> Any:
    """The answer whose bytes the application asked for; None where reading it would take it from the application."""
    is_streamed = raw.http_request.headers.get(_RAW_HEADER) == "stream"
    if is_streamed or "text/event-stream" in raw.http_response.headers.get("content-type", ""):
        return None
    parsed = raw.parse()
    return None if hasattr(parsed, "__await__") else parsed


def _take(call: GuardedCall, holder: Any, read_usage: _ReadUsage) -> None:
    usage = getattr(holder, "usage", None)
    if usage is not None:
        amounts = read_usage(usage.model_dump(exclude_none=True))
        call.state({name: amount for name, amount in amounts.items() if type(amount) is int})
    model = getattr(holder, "model", None)
    if isinstance(model, str) and model:
        call.state({names.RESPONSE_MODEL: model})


def _length(chunk: Any) -> int:
    """How many characters of text, thought or arguments a chunk brings."""
    delta = getattr(chunk, "delta", None)
    if isinstance(delta, str):
        return len(delta)
    pieces = [] if delta is None else [delta]
    pieces += [getattr(choice, "delta", None) or choice for choice in getattr(chunk, "choices", None) or ()]
    return sum(_piece_length(piece) for piece in pieces)


def _piece_length(piece: Any) -> int:
    texts = [getattr(piece, name, None) for name in ("content", "text", "thinking", "partial_json", "refusal")]
    texts += [
        getattr(getattr(each, "function", None), "arguments", None) for each in getattr(piece, "tool_calls", None) or ()
    ]
    return sum(len(text) for text in texts if isinstance(text, str))


def _openai_usage(stated: Mapping[str, Any]) -> dict[str, Any]:
    inputs = stated.get("prompt_tokens_details") or stated.get("input_tokens_details") or {}
    outputs = stated.get("completion_tokens_details") or stated.get("output_tokens_details") or {}
    return {
        names.INPUT_TOKENS: stated.get("prompt_tokens", stated.get("input_tokens")),
        names.OUTPUT_TOKENS: stated.get("completion_tokens", stated.get("output_tokens")),
        names.CACHE_READ_TOKENS: inputs.get("cached_tokens"),
        names.CACHE_WRITE_TOKENS: inputs.get("cache_write_tokens", inputs.get("cache_creation_tokens")),
        names.INPUT_AUDIO_TOKENS: inputs.get("audio_tokens"),
        names.REASONING_TOKENS: outputs.get("reasoning_tokens"),
        names.OUTPUT_AUDIO_TOKENS: outputs.get("audio_tokens"),
    }


def _anthropic_usage(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic states the input without what was cached; the end of a stream may state the output alone."""
    found = {names.OUTPUT_TOKENS: stated.get("output_tokens")}
    if "input_tokens" not in stated:
        return found
    read, written = stated.get("cache_read_input_tokens", 0), stated.get("cache_creation_input_tokens", 0)
    parts = stated.get("cache_creation") or {}
    return found | {
        names.INPUT_TOKENS: stated["input_tokens"] + read + written,
        names.CACHE_READ_TOKENS: read,
        names.CACHE_WRITE_TOKENS: written,
        f"{names.USAGE_PREFIX}cache_write_5m_tokens": parts.get("ephemeral_5m_input_tokens"),
        f"{names.USAGE_PREFIX}cache_write_1h_tokens": parts.get("ephemeral_1h_input_tokens"),
        f"{names.USAGE_PREFIX}web_searches": (stated.get("server_tool_use") or {}).get("web_search_requests"),
    }


def take_openai(call: GuardedCall, answer: Any) -> None:
    """Take usage and model of an answer in OpenAI's form."""
    _take(call, answer, _openai_usage)


read_openai_chunk: Final = _chunk_reader(_openai_usage)
read_openai_answer: Final = _answer_reader(_openai_usage)
read_anthropic_answer: Final = _answer_reader(_anthropic_usage)
