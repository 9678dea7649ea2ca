"""Budgets for the models' own SDKs: a call that does not fit is refused before it goes out.

    BudgetInstrumentor().instrument()          # or `opentelemetry-instrument`, entry point `callfare_budget`

| SDK | guarded |
|---|---|
| `openai` | chat, responses, embeddings; `parse`, `stream`, raw answers; Azure and compatible hosts |
| `anthropic` | messages; `stream` |
| `google-genai` | generated contents, whole and streamed, each request of automatic function calling |
| `botocore` | Bedrock's Converse and InvokeModel, whole and streamed |
| `litellm` | `completion`, `embedding`, `responses` of the library and their asynchronous kinds, whole and streamed |
Synchronous and, but for botocore, asyncio. Where no budget applies, a guard costs one look-up in the context. A call
that is refused raises `BudgetExceeded` from the SDK's own method, and nothing is sent. The estimate is the length of
the request and the output limit it states; the call is settled by the usage of its answer. A stream that states none,
because it was left or because its host was not asked, is settled by the length of what was sent and received. What is
read by `with_streaming_response` is not seen: its estimate stays reserved. Calls inside Pipecat and LiveKit are counted
by their own spans.
"""

from typing import Any, ClassVar

from callfare.guards.bedrock import read_bedrock, read_bedrock_answer
from callfare.guards.google_genai import read_genai, read_genai_answer
from callfare.guards.guarded import guard, guard_async
from callfare.guards.litellm import (
    ASYNC_FUNCTIONS,
    FUNCTIONS,
    read_async_litellm_answer,
    read_litellm_answer,
    reader_of,
)
from callfare.guards.stainless import read_anthropic, read_anthropic_answer, read_openai, read_openai_answer
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["BudgetInstrumentor"]


class _OpenAIGuard(CallfareInstrumentor):
    name: ClassVar[str] = "budget.openai"
    instruments: ClassVar[tuple[str, ...]] = ("openai >= 1.66, < 4",)
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("openai._base_client", "SyncAPIClient.request", guard(read_openai, read_openai_answer)),
        Wrap("openai._base_client", "AsyncAPIClient.request", guard_async(read_openai, read_openai_answer)),
    )


class _AnthropicGuard(CallfareInstrumentor):
    name: ClassVar[str] = "budget.anthropic"
    instruments: ClassVar[tuple[str, ...]] = ("anthropic >= 0.49, < 3",)
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("anthropic._base_client", "SyncAPIClient.request", guard(read_anthropic, read_anthropic_answer)),
        Wrap("anthropic._base_client", "AsyncAPIClient.request", guard_async(read_anthropic, read_anthropic_answer)),
    )


class _GoogleGenAIGuard(CallfareInstrumentor):
    name: ClassVar[str] = "budget.google_genai"
    instruments: ClassVar[tuple[str, ...]] = ("google-genai >= 1.20, < 4",)
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("google.genai.models", "Models._generate_content", guard(read_genai, read_genai_answer)),
        Wrap("google.genai.models", "Models._generate_content_stream", guard(read_genai, read_genai_answer)),
        Wrap("google.genai.models", "AsyncModels._generate_content", guard_async(read_genai, read_genai_answer)),
        Wrap("google.genai.models", "AsyncModels._generate_content_stream", guard_async(read_genai, read_genai_answer)),
    )


class _BedrockGuard(CallfareInstrumentor):
    name: ClassVar[str] = "budget.bedrock"
    instruments: ClassVar[tuple[str, ...]] = ("botocore >= 1.35, < 2",)
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("botocore.client", "BaseClient._make_api_call", guard(read_bedrock, read_bedrock_answer)),
    )


class _LiteLLMGuard(CallfareInstrumentor):
    name: ClassVar[str] = "budget.litellm"
    instruments: ClassVar[tuple[str, ...]] = ("litellm >= 1.108, < 2",)
    wraps: ClassVar[tuple[Wrap, ...]] = (
        *(Wrap("litellm", each, guard(reader_of(kind), read_litellm_answer)) for each, kind in FUNCTIONS.items()),
        *(
            Wrap("litellm", each, guard_async(reader_of(kind), read_async_litellm_answer))
            for each, kind in ASYNC_FUNCTIONS.items()
        ),
    )


_GUARDS = (_OpenAIGuard, _AnthropicGuard, _GoogleGenAIGuard, _BedrockGuard, _LiteLLMGuard)


class BudgetInstrumentor(CallfareInstrumentor):
    """Installs every guard whose SDK is there, each for the versions whose methods it knows."""

    name: ClassVar[str] = "budget"

    def started(self, tracer: Any) -> None:  # noqa: ARG002 - the base class's signature
        """Install them."""
        for kind in _GUARDS:
            kind().instrument()

    def stopped(self) -> None:
        """Take them off."""
        for kind in _GUARDS:
            if kind().is_instrumented_by_opentelemetry:
                kind().uninstrument()
