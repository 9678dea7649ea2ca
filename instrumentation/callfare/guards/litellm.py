"""LiteLLM as a library: whatever vendor a model is of, its call passes through one of six functions.

Guarded there: `completion`, `embedding`, `responses` and their asynchronous kinds, streams too. Retries inside are one
reservation; a router's fallback is a call of its own. The vendor's own SDK below, where LiteLLM uses one, is not asked
again. What was imported by name before the guards were installed (`from litellm import completion`) passes unseen.
"""

import sys
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from callfare import attributes as names
from callfare.calls.span import CallRequest
from callfare.calls.stream import AsyncStream, SyncStream
from callfare.calls.wrapping import ReadRequest
from callfare.guards.guarded import GuardedCall, ReadAnswer
from callfare.guards.request_size import tokens_of_request
from callfare.guards.stainless import read_openai_chunk, take_openai

__all__ = ["ASYNC_FUNCTIONS", "FUNCTIONS", "read_async_litellm_answer", "read_litellm_answer", "reader_of"]

_INPUTS: Final = ("messages", "input", "instructions", "tools", "functions", "response_format")
_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_POSITIONS: Final = {"chat": ("model", "messages"), "embeddings": ("model", "input"), "responses": ("input", "model")}
FUNCTIONS: Final = {"completion": "chat", "embedding": "embeddings", "responses": "responses"}
"""What is called, and the kind of call."""
ASYNC_FUNCTIONS: Final = {f"a{name}": kind for name, kind in FUNCTIONS.items()}


def reader_of(kind: str) -> ReadRequest:
    """Return what reads a request of this kind; the request is None where LiteLLM answers by itself."""

    def read(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
        asked = {**dict(zip(_POSITIONS[kind], args, strict=False)), **kwargs}
        if asked.get("mock_response") is not None:
            return None
        quantities = {names.INPUT_TOKENS: tokens_of_request(*(asked.get(name) for name in _INPUTS))}
        limit = next((asked[name] for name in _OUTPUT_LIMITS if type(asked.get(name)) is int), None)
        if limit is not None:
            answers = asked.get("n")
            quantities[names.OUTPUT_TOKENS] = limit * (answers if type(answers) is int and answers > 0 else 1)
        provider, model = _vendor_of(asked)
        host = urlsplit(str(asked.get("api_base") or asked.get("base_url") or "")).hostname
        return CallRequest(
            operation="embeddings" if kind == "embeddings" else "chat",
            provider=provider,
            model=model,
            quantities=quantities,
            attributes={names.SERVER_ADDRESS: host} if host else {},
        )

    return read


def _vendor_of(asked: dict[str, Any]) -> tuple[str, str]:
    """Return provider and model as LiteLLM reads them; a model that it does not know is none of a known vendor."""
    model = str(asked.get("model") or "")
    provider = asked.get("custom_llm_provider")
    if isinstance(provider, str) and provider:
        return provider, model.removeprefix(f"{provider}/")
    try:
        library: Any = sys.modules["litellm"]  # it is being called
        found = library.get_llm_provider(model, api_base=asked.get("api_base") or asked.get("base_url"))
    except Exception:  # noqa: BLE001 - LiteLLM raises the same to the application
        return "", model
    return str(found[1]), str(found[0])


def _answer_reader(watch: Callable[..., Any]) -> ReadAnswer:
    """Return a reader of answers: of an object with usage, or of a stream, which is watched as `watch` does."""

    def read(call: GuardedCall, answer: Any) -> Any:
        if hasattr(answer, "__next__") or hasattr(answer, "__anext__"):
            return watch(answer, call, read_openai_chunk)
        take_openai(call, answer)
        return None

    return read


read_litellm_answer: Final = _answer_reader(SyncStream)
read_async_litellm_answer: Final = _answer_reader(AsyncStream)
