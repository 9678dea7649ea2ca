"""Bedrock's models through botocore: Converse and InvokeModel, each whole or streamed.

Every operation of every AWS service passes through one method of botocore's client; those of other services are left
alone. Bedrock states the tokens of InvokeModel in headers, whatever the model's own answer looks like.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from callfare import attributes as names
from callfare.calls.span import CallRequest
from callfare.calls.stream import SyncStream
from callfare.guards.guarded import GuardedCall
from callfare.guards.request_size import tokens_of_request

__all__ = ["read_bedrock", "read_bedrock_answer"]

_CONVERSATIONS: Final = frozenset({"Converse", "ConverseStream"})
_INVOCATIONS: Final = frozenset({"InvokeModel", "InvokeModelWithResponseStream"})
_OUTPUT_LIMITS: Final = ("max_tokens", "maxTokens", "max_gen_len", "max_tokens_to_sample", "maxTokenCount")
_STREAMS: Final = ("stream", "body")
"""Where the answer keeps its events."""
_COUNT_HEADERS: Final = {
    names.INPUT_TOKENS: "x-amzn-bedrock-input-token-count",
    names.OUTPUT_TOKENS: "x-amzn-bedrock-output-token-count",
    names.CACHE_READ_TOKENS: "x-amzn-bedrock-cache-read-input-token-count",
    names.CACHE_WRITE_TOKENS: "x-amzn-bedrock-cache-write-input-token-count",
}


def read_bedrock(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    """A request to a model; None for any other operation of AWS."""
    if instance.meta.service_model.service_name != "bedrock-runtime":
        return None
    operation, parameters = (*args, *kwargs.values())[:2]
    if operation in _CONVERSATIONS:
        inputs = [parameters.get(name) for name in ("messages", "system", "toolConfig")]
        limit = (parameters.get("inferenceConfig") or {}).get("maxTokens")
    elif operation in _INVOCATIONS:
        body = _body(parameters.get("body"))
        inputs = [body]
        limit = next((body[name] for name in _OUTPUT_LIMITS if type(body.get(name)) is int), None)
    else:
        return None
    quantities = {names.INPUT_TOKENS: tokens_of_request(*inputs)}
    if type(limit) is int:
        quantities[names.OUTPUT_TOKENS] = limit
    return CallRequest(
        operation="chat", provider="aws.bedrock", model=str(parameters.get("modelId", "")), quantities=quantities
    )


def _body(body: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}


def read_bedrock_answer(call: GuardedCall, answer: Any) -> Any:
    """Read the usage of an answer, or watch its events arrive."""
    for name in _STREAMS:
        events = answer.get(name)
        if events is not None and not hasattr(events, "read"):
            answer[name] = SyncStream(events, call, _read_event)
            return answer
    if answer.get("usage"):
        call.state(_usage(answer["usage"]))
    else:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        counts = {name: headers.get(header, "") for name, header in _COUNT_HEADERS.items()}
        call.state(_inclusive({name: int(count) for name, count in counts.items() if count.isdigit()}))
    return None


def _read_event(call: GuardedCall, event: Any) -> None:
    if "metadata" in event:
        call.state(_usage(event["metadata"].get("usage") or {}))
    elif "chunk" in event:
        stated = _body(event["chunk"].get("bytes"))
        metrics = stated.get("amazon-bedrock-invocationMetrics") or {}
        call.state(
            {
                name: metrics[key]
                for name, key in ((names.INPUT_TOKENS, "inputTokenCount"), (names.OUTPUT_TOKENS, "outputTokenCount"))
                if type(metrics.get(key)) is int
            }
        )
        call.received_characters += sum(len(text) for text in _texts(stated))
    else:
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        call.received_characters += sum(len(text) for text in _texts(delta))


def _texts(value: Any) -> list[str]:
    """The texts of an event, however deep."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


def _usage(stated: Mapping[str, Any]) -> dict[str, int]:
    keys = {
        names.INPUT_TOKENS: "inputTokens",
        names.OUTPUT_TOKENS: "outputTokens",
        names.CACHE_READ_TOKENS: "cacheReadInputTokens",
        names.CACHE_WRITE_TOKENS: "cacheWriteInputTokens",
    }
    return _inclusive({name: stated[key] for name, key in keys.items() if type(stated.get(key)) is int})


def _inclusive(counts: dict[str, int]) -> dict[str, int]:
    """Bedrock states the input without what was cached."""
    if names.INPUT_TOKENS in counts:
        counts[names.INPUT_TOKENS] += counts.get(names.CACHE_READ_TOKENS, 0) + counts.get(names.CACHE_WRITE_TOKENS, 0)
    return counts
