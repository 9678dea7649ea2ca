"""LiteLLM's OpenTelemetry callbacks, of the library and of its proxy: details in a repr, and the proxy's own names.

Through the proxy `gen_ai.response.model` is the public alias, which may be another real model's name; the model that
was called is `litellm.provider.model`. `raw_gen_ai_request` repeats the answer under the vendor's names: it is the call
if no other span reports it (the proxy's default set-up, 1.108). The type of the request gives the operation, for
example `aspeech`. Embeddings name the provider only in the model's prefix, and a refused call has LiteLLM's own call id
as its response id (measured 1.106.2). Below a span of the application it makes no span of its own, and writes all this
onto that span. Newer versions count the text of a stream without usage themselves and do not mark the counts as
estimates (8/3 tokens for 1200/345, measured 1.110.2). For OpenAI, whose usage always has details of the input, their
absence shows it.
"""

import re
from typing import Final

from cost_exporter.domain.settling.base_model import base_model
from cost_exporter.read.fields.failure import exception_type
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.usage_containers import is_unread, usage_object_at
from cost_exporter.read.fields.vendor_usage import object_of, read_usage
from cost_exporter.read.otlp.wire import AnyValue
from cost_exporter.read.vocabulary.operations import WRAPPER, operation_named

__all__ = ["DIALECT"]

_USAGE_OBJECT: Final = "metadata.usage_object"
_PROVIDER_MODEL: Final = "litellm.provider.model"
_MODEL_GROUP: Final = "litellm.model_group"
_PROXY: Final = frozenset({"", "litellm", "litellm_proxy"})
_CALL_ID: Final = "litellm.call_id"
_TYPES: Final = ("litellm.call_type", "llm.request.type")
_INPUT_DETAILS: Final = "prompt_tokens_details"
_ALWAYS_DETAILED: Final = frozenset({"openai", "azure"})
_RAW_REQUEST: Final = "raw_gen_ai_request"
_RAW_USAGE: Final = re.compile(r"llm\.(.+)\.usage(?:Metadata)?")
_RAW_KEYS: Final = frozenset(
    f"llm.{vendor}.{name}"
    for vendor in (
        *("openai", "azure", "azure_ai", "anthropic", "gemini", "vertex_ai", "bedrock", "cohere", "mistral", "groq"),
        *("deepseek", "xai", "openrouter", "together_ai", "fireworks_ai", "perplexity", "cerebras", "hosted_vllm"),
        *("text-completion-openai", "custom_openai", "databricks", "watsonx", "nvidia_nim", "sambanova", "moonshot"),
    )
    for name in (
        *("usage", "id", "model", "object", "service_tier"),
        *("usageMetadata", "responseId", "modelVersion"),  # Google's
    )
)
_RAW_USAGES: Final = frozenset(key for key in _RAW_KEYS if _RAW_USAGE.fullmatch(key))
_BY_OBJECT: Final = {"list": "embeddings", "text_completion": "text_completion"}
_ROUTES: Final = frozenset(
    {"converse", "converse_like", "invoke", "o_series", "gpt5_series", "responses", "deepseek_r1"}
)
"""What LiteLLM puts between the provider and its model to choose an API."""
_ERROR: Final = 2
_REFUSED_BY_PROXY: Final = frozenset(
    {
        "ProxyException",
        "BudgetExceededError",
        "ProxyModelNotFoundError",
        "RejectedRequestError",
        "GuardrailRaisedException",
        "ModifyResponseException",
    }
)
_IMAGES: Final = re.compile(r"gpt-image-|chatgpt-image")
"""All that they answer is images, which the list prices as their output."""


def _operation(reading: Reading) -> str | None:
    if reading.span.name == _RAW_REQUEST:
        vendor = _raw_vendor(reading)
        return _BY_OBJECT.get(reading.text(f"llm.{vendor}.object"), "chat") if vendor else WRAPPER
    if _is_refused_by_proxy(reading):
        reading.is_no_call = True
        return WRAPPER
    stated = next(filter(None, (reading.text(key) for key in _TYPES)), "")
    return operation_named(stated, has_usage=False) or None if stated else None


def _is_refused_by_proxy(reading: Reading) -> bool:
    """Return whether the proxy answered with an error of its own: no provider was asked."""
    if reading.span.status.code != _ERROR:
        return False
    error = exception_type(reading).rpartition(".")[2]
    return error in _REFUSED_BY_PROXY or (
        bool(error) and not reading.identity.provider and not reading.text(_PROVIDER_MODEL)
    )


def _raw_vendor(reading: Reading) -> str:
    """Return whose answer a raw request repeats; "" where it says nothing of usage."""
    found = (_RAW_USAGE.fullmatch(key) for key in reading.attributes)
    return next((match[1] for match in found if match and _holds_usage(match[0], reading.attributes[match[0]])), "")


def _holds_usage(key: str, value: AnyValue) -> bool:
    return bool(object_of(value)) or is_unread(key, value)


def _complete(reading: Reading) -> None:
    if reading.span.name == _RAW_REQUEST:
        _complete_raw(reading)
        return
    provider, slash, model = reading.text(_PROVIDER_MODEL).partition("/")
    if slash:
        reading.provider = provider if reading.provider.lower() in _PROXY else reading.provider
        _name_the_real_model(reading, _without_route(model))
        reading.is_gateway = True
    elif reading.request_model and not _is_of(reading.response_model, reading.request_model):
        _doubt_the_answer(reading, reading.request_model)
    if reading.response_id == reading.text(_CALL_ID):
        reading.response_id = ""
    usage = usage_object_at(reading, _USAGE_OBJECT)
    read_usage(reading, _USAGE_OBJECT, usage)
    for key in sorted(_RAW_USAGES.intersection(reading.attributes)):
        read_usage(reading, key, usage_object_at(reading, key))
    is_counted = reading.quantities.get("output_tokens", 0) > 0 and not usage.get(_INPUT_DETAILS)
    if usage and is_counted and reading.is_stream and reading.provider.lower() in _ALWAYS_DETAILED:
        reading.is_estimated = True
    if _IMAGES.match(reading.request_model):
        reading.quantities.pop("output_image_tokens", None)


def _complete_raw(reading: Reading) -> None:
    vendor = _raw_vendor(reading)
    usage_key = next(key for key in (f"llm.{vendor}.usage", f"llm.{vendor}.usageMetadata") if key in reading.attributes)
    if usage_key not in reading.layout.containers:
        read_usage(reading, usage_key, usage_object_at(reading, usage_key))
    reading.provider = vendor
    reading.response_id = reading.text(f"llm.{vendor}.id") or reading.text(f"llm.{vendor}.responseId")
    reading.has_vendor_id = reading.is_gateway = True
    reading.response_model = reading.text(f"llm.{vendor}.model") or reading.text(f"llm.{vendor}.modelVersion")
    reading.service_tier = reading.text(f"llm.{vendor}.service_tier")


def _name_the_real_model(reading: Reading, model: str) -> None:
    """Take the model that the proxy asked for: the vendor's answer stays where it is no name of the proxy's own."""
    group = reading.text(_MODEL_GROUP)
    answered = reading.response_model
    is_alias = answered in {group, reading.request_model} or model.startswith(answered)
    if is_alias and answered != model:
        reading.response_model = model
        reading.resolves_alias = True
    elif not group and not _is_of(answered, model):
        _doubt_the_answer(reading, model)
    reading.request_model = model


def _is_of(answered: str, asked: str) -> bool:
    """Return whether an answer may be of the model that was asked for: the same one, or an edition of it."""
    mine, theirs = base_model(answered), base_model(asked).removesuffix("-latest")
    return not answered or mine.startswith(theirs) or theirs.startswith(mine)


def _doubt_the_answer(reading: Reading, model: str) -> None:
    """Bill what was asked for where the answer has another name, which is a public name of the proxy or the vendor's.

    Azure is asked for a deployment, whose name has no price.
    """
    reading.issues.append(f"assumed_model: asked for {model[:80]}, answered as {reading.response_model[:80]}")
    reading.is_estimated = True
    if not reading.provider.lower().startswith("azure"):
        reading.response_model = model


def _without_route(model: str) -> str:
    route, slash, rest = model.partition("/")
    return _without_route(rest) if slash and route in _ROUTES else model


DIALECT = Dialect(
    name="litellm",
    scopes=("litellm*",),
    markers=frozenset({_USAGE_OBJECT, _PROVIDER_MODEL}) | _RAW_USAGES,
    keys=frozenset({_CALL_ID, _MODEL_GROUP, *_TYPES}) | _RAW_KEYS,
    operation=_operation,
    complete=_complete,
)
