"""OpenInference (Arize Phoenix): `llm.token_count.*`, the span kind, and the answer as JSON.

What the attributes lack is in two JSON texts: the request's model, stream flag and, for speech, its text in
`llm.invocation_parameters`; the response id, the tier and the usage of audio and images in `output.value`. LangChain's
answer holds the vendor's id deeper, and ids of LangChain's own beside it, which identify nothing; LangChain.js says who
was asked in `metadata` alone.
Chat errors carry the model nowhere else (measured 0.1.66). Only ids, names and numbers are taken from them.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.vendor_usage import object_at, read_usage
from cost_exporter.read.otlp.values import clean_text
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_KIND: Final = "openinference.span.kind"
_OUTPUT: Final = "output.value"
_METADATA: Final = "metadata"
_PARAMETERS: Final = ("llm.invocation_parameters", "embedding.invocation_parameters")
_CALL_KINDS: Final = {"LLM": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"}
_BY_SPAN_NAME: Final = {
    # The OpenAI instrumentor names spans for what the SDK returns, and calls all of them LLM.
    "Completion": "text_completion",
    "HttpxBinaryResponseContent": "text_to_speech",
    "Transcription": "speech_to_text",
    "TranscriptionVerbose": "speech_to_text",
    "TranscriptionDiarized": "speech_to_text",
    "Translation": "speech_to_text",
    "TranslationVerbose": "speech_to_text",
    "ImagesResponse": "image_generation",
    "ModerationCreateResponse": "moderation",
}


def _operation(reading: Reading) -> str | None:
    kind = reading.text(_KIND).upper()
    if not kind:
        return None
    operation = _CALL_KINDS.get(kind, WRAPPER)
    return _BY_SPAN_NAME.get(reading.span.name, operation) if kind == "LLM" else operation


def _complete(reading: Reading) -> None:
    for key in _PARAMETERS:
        _take_request(object_at(reading, key), reading)
    answer = object_at(reading, _OUTPUT)
    if answer:
        _take_answer(answer, reading)
    if not reading.provider:
        reading.provider = _text(object_at(reading, _METADATA).get("ls_provider"))


def _take_request(parameters: Mapping[str, Any], reading: Reading) -> None:
    reading.request_model = reading.request_model or _text(parameters.get("model"))
    if reading.is_stream is None and parameters.get("stream") is True:
        reading.is_stream = True
    spoken = parameters.get("input")
    if reading.operation == "text_to_speech" and isinstance(spoken, str):
        reading.quantities.setdefault("characters", len(spoken))


def _take_answer(answer: Mapping[str, Any], reading: Reading) -> None:
    reading.response_id = reading.response_id or _text(answer.get("id")) or _id_by_langchain(answer)
    reading.response_model = reading.response_model or _text(answer.get("model"))
    reading.service_tier = reading.service_tier or _text(answer.get("service_tier"))
    read_usage(reading, f"{_OUTPUT}.usage", answer.get("usage"))


def _id_by_langchain(answer: Mapping[str, Any]) -> str:
    """Return the vendor's id of the one answer that LangChain had; "" where it had several, or of another kind."""
    found = _vendor_id(_object(answer.get("llm_output")))
    generations = answer.get("generations")
    while not found and isinstance(generations, list) and generations:
        several = cast("list[Any]", generations)
        if isinstance(several[0], list):
            if len(several) > 1:
                return ""
            generations = several[0]
            continue
        found = _vendor_id(_message(_object(several[0])))
        break
    return found or _vendor_id(_message(answer))


def _message(generation: Mapping[str, Any]) -> Mapping[str, Any]:
    message = _object(generation.get("message")) or generation
    message = _object(message.get("kwargs")) or message
    return _object(message.get("response_metadata")) or _object(generation.get("generation_info"))


def _vendor_id(found: Mapping[str, Any]) -> str:
    return _text(found.get("id"))


def _object(found: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _text(found: object) -> str:
    return clean_text(found) if isinstance(found, str) else ""


DIALECT = Dialect(
    name="openinference",
    scopes=("openinference.instrumentation.*", "@arizeai/openinference-*"),
    markers=frozenset({_KIND}),
    keys=frozenset({_OUTPUT, _METADATA, *_PARAMETERS}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
