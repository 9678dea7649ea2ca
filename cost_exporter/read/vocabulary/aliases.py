"""The alias table: the attribute names that emitters use for each quantity and field, and what they mean.

This is data: the first name in a row that is present and readable wins. To teach callfare a new spelling, add it to
its row, and a recorded span to the corpus. If one emitter uses a name with another meaning, `scopes.py` has it.
"""

from dataclasses import dataclass
from typing import Final

from callfare import attributes as ours
from cost_exporter.domain.quantity import QUANTITIES, WHOLE_QUANTITIES

__all__ = [
    "ATTRIBUTION_KEYS",
    "COSTS",
    "FLAG_KEYS",
    "NUMBER_KEYS",
    "QUANTITY_ALIASES",
    "TEXT_KEYS",
    "TOTAL_KEYS",
    "CostAlias",
    "QuantityAlias",
]

_TRACELOOP: Final = "traceloop.association.properties."
_LITELLM: Final = ("litellm.metadata.", "metadata.")
"""LiteLLM's second version, and its first."""
_LITELLM_TEAM: Final = ("litellm.team.id", *(prefix + "user_api_key_team_id" for prefix in _LITELLM))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityAlias:
    """One quantity, the names it goes by, and what the number means."""

    quantity: str
    keys: tuple[str, ...]
    meaning: str
    is_measured: bool = False
    """Measured, so a fraction is fine; else counted."""


def _counted(quantity: str, meaning: str, *keys: str) -> QuantityAlias:
    return QuantityAlias(quantity=quantity, keys=keys, meaning=meaning)


def _measured(quantity: str, meaning: str, *keys: str) -> QuantityAlias:
    return QuantityAlias(quantity=quantity, keys=keys, meaning=meaning, is_measured=True)


_NAMED: Final[tuple[QuantityAlias, ...]] = (
    _counted(
        "input_tokens",
        "all input, cached, audio and image tokens included; exclusive counts: scopes.py",
        ours.INPUT_TOKENS,
        "gen_ai.usage.prompt_tokens",  # conventions before 1.27, Traceloop before 0.40
        "llm.token_count.prompt",  # OpenInference
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",  # Vercel AI 5, 6
        "ai.usage.promptTokens",  # Vercel AI 3, 4
        "ai.usage.tokens",  # Vercel AI embeddings
        "gen_ai.response.input_tokens",  # Microsoft.Extensions.AI before 9.6
        "ai.prompt_tokens.used",  # Sentry before 10
    ),
    _counted(
        "output_tokens",
        "all output, reasoning and audio included; never derived as total minus input (phoenix#10783)",
        ours.OUTPUT_TOKENS,
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "gen_ai.response.output_tokens",
        "ai.completion_tokens.used",
    ),
    _counted(
        "cache_read_tokens",
        "part of the input, read from the provider's cache",
        ours.CACHE_READ_TOKENS,
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.input_cached_tokens",  # LiveKit before 1.8
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        "gen_ai.usage.details.cache_read_tokens",  # Pydantic AI
        "gen_ai.usage.cached_input_tokens",  # Mastra, until April 2026
        "gen_ai.usage.input_tokens.cached",  # Sentry
        "gen_ai.usage.input_tokens.cache_read",
        "gen_ai.usage.cached_tokens",
        "gen_ai.usage.cached_content_tokens",
        "gen_ai.usage.details.cached_content_tokens",  # Google, under Pydantic AI
        "gen_ai.usage.details.num_cached_tokens",  # Mistral, under Pydantic AI
        "gen_ai.usage.details.cached_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
    ),
    _counted(
        "cache_write_tokens",
        "part of the input, written to the provider's cache; the total of the 5 min and 1 h parts",
        ours.CACHE_WRITE_TOKENS,  # semantic-conventions-genai#440
        "gen_ai.usage.cache_creation.input_tokens",  # the name before that
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.cache_write_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",  # Sentry
        "gen_ai.usage.input_tokens.cache_creation",
        "gen_ai.usage.cache_creation_tokens",
    ),
    _counted(
        "cache_write_5m_tokens",
        "part of cache_write_tokens kept for 5 minutes",
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens",  # the Anthropic SDK itself
        "gen_ai.usage.details.ephemeral_5m_input_tokens",  # Pydantic AI
    ),
    _counted(
        "cache_write_1h_tokens",
        "part of cache_write_tokens kept for 1 hour, at a higher price",
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
        "gen_ai.usage.details.ephemeral_1h_input_tokens",
        "gen_ai.usage.cache_creation.ephemeral_1h_input_tokens",
        "llm.token_count.prompt_details.cache_write_1h",
    ),
    _counted(
        "input_audio_tokens",
        "part of the input. `gen_ai.usage.details.audio_tokens` (Pydantic AI) names no direction and is not read",
        ours.INPUT_AUDIO_TOKENS,
        "gen_ai.usage.input_audio_tokens",  # draft semantic-conventions-genai#390
        "gen_ai.usage.audio_input_tokens",  # Mastra
        "llm.token_count.prompt_details.audio",
        "gen_ai.usage.details.input_audio_tokens",
        "gen_ai.usage.details.audio_prompt_tokens",  # Google, under Pydantic AI
    ),
    _counted(
        "cache_audio_read_tokens",
        "part of input_audio_tokens and of cache_read_tokens",
        ours.CACHE_AUDIO_READ_TOKENS,
        "gen_ai.usage.details.cache_audio_read_tokens",
        "gen_ai.usage.details.audio_cache_tokens",
    ),
    _counted(
        "input_image_tokens",
        "part of the input",
        ours.INPUT_IMAGE_TOKENS,
        "gen_ai.usage.input_image_tokens",
        "llm.token_count.prompt_details.image",
        "gen_ai.usage.details.image_prompt_tokens",
    ),
    _counted(
        "output_audio_tokens",
        "part of the output",
        ours.OUTPUT_AUDIO_TOKENS,
        "gen_ai.usage.output_audio_tokens",
        "gen_ai.usage.audio_output_tokens",  # Mastra
        "llm.token_count.completion_details.audio",
        "gen_ai.usage.details.output_audio_tokens",
        "gen_ai.usage.details.audio_candidates_tokens",
    ),
    _counted(
        "cache_image_read_tokens",
        "part of input_image_tokens and of cache_read_tokens",
        "gen_ai.usage.image.cache_read.input_tokens",  # the registry's
        "gen_ai.usage.cache_read.image.input_tokens",
        "gen_ai.usage.details.image_cache_tokens",
    ),
    _counted(
        "input_video_tokens",
        "part of the input",
        "gen_ai.usage.video.input_tokens",  # the registry's
        "gen_ai.usage.input_video_tokens",
        "llm.token_count.prompt_details.video",
        "gen_ai.usage.details.video_prompt_tokens",
    ),
    _counted(
        "citation_tokens",
        "tokens of cited passages, billed beside the input and output (Perplexity)",
        "gen_ai.usage.citation_tokens",
        "gen_ai.usage.details.citation_tokens",
    ),
    _counted(
        "output_image_tokens",
        "part of the output",
        ours.OUTPUT_IMAGE_TOKENS,
        "gen_ai.usage.output_image_tokens",
        "llm.token_count.completion_details.image",
        "gen_ai.usage.details.image_candidates_tokens",
    ),
    _counted(
        "reasoning_tokens",
        "part of the output; informational unless a price row names it",
        ours.REASONING_TOKENS,
        "gen_ai.usage.reasoning_tokens",  # Traceloop, OpenLIT
        "gen_ai.usage.output_tokens.reasoning",  # Sentry
        "gen_ai.usage.details.thoughts_tokens",  # Google, under Pydantic AI
        "llm.token_count.completion_details.reasoning",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
        "gen_ai.usage.details.reasoning_tokens",
    ),
    _counted(
        "characters",
        "code points of text sent to a TTS",
        ours.INPUT_CHARACTERS,
        "gen_ai.usage.characters",
        "gen_ai.usage.character_count",
        "metrics.character_count",  # Pipecat
        "tts.character_count",  # OpenInference for Pipecat: the last metric only, see its dialect
    ),
    _measured(
        "audio_seconds",
        "audio sent to an STT, per channel",
        ours.AUDIO_INPUT_SECONDS,
        "metrics.audio_seconds",  # Pipecat
        "gen_ai.request.audio_duration",  # OpenLIT for AssemblyAI
    ),
    _measured("output_audio_seconds", "audio produced", ours.AUDIO_OUTPUT_SECONDS),
    _measured("session_seconds", "socket open or call connected, wall clock", ours.SESSION_SECONDS),
    _measured("call_seconds", "telephone call connected", ours.CALL_DURATION_SECONDS),
    _counted("channels", "multiplies audio seconds if the price is per channel", ours.AUDIO_CHANNELS),
    _measured("read_units", "a vector store's own meter", "pinecone.usage.read_units"),  # Traceloop
    _measured("write_units", "a vector store's own meter", "pinecone.usage.write_units"),  # Traceloop
)


def _with_plain_names(aliases: tuple[QuantityAlias, ...]) -> tuple[QuantityAlias, ...]:
    """Add `callfare.usage.<quantity>`, the name of every quantity that has no attribute of its own."""
    rest = sorted(QUANTITIES - {alias.quantity for alias in aliases})
    by_name = tuple((_counted if each in WHOLE_QUANTITIES else _measured)(each, "stated by name") for each in rest)
    return tuple(
        QuantityAlias(
            quantity=alias.quantity,
            keys=(*alias.keys, ours.USAGE_PREFIX + alias.quantity),
            meaning=alias.meaning,
            is_measured=alias.is_measured,
        )
        for alias in (*aliases, *by_name)
    )


QUANTITY_ALIASES: Final = _with_plain_names(_NAMED)

TOTAL_KEYS: Final = (
    "gen_ai.usage.total_tokens",
    "llm.usage.total_tokens",
    "llm.token_count.total",
    "ai.usage.totalTokens",
    "ai.total_tokens.used",
    "gen_ai.client.token.usage",  # OpenLIT
)
"""Never billed: a sum of what the others say. Where it is another sum, it proves something, see `totals.py`."""

TEXT_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "operation": (ours.OPERATION_NAME,),
    "provider": (
        ours.PROVIDER_NAME,
        "gen_ai.system",  # conventions before 1.37
        "llm.provider",  # OpenInference: who hosts
        "llm.system",  # OpenInference: who made the model
        "ai.model.provider",
        _TRACELOOP + "ls_provider",  # LangChain's own word, under Traceloop
    ),
    "response_model": (ours.RESPONSE_MODEL, "ai.response.model", "llm.model_name", "embedding.model_name"),
    "request_model": (
        ours.REQUEST_MODEL,
        "ai.model.id",
        "settings.model",
        "metrics.model",
        "reranker.model_name",
        "langfuse.observation.model.name",
        _TRACELOOP + "ls_model_name",
    ),
    "response_id": (ours.RESPONSE_ID, "ai.response.id", "llm.response.id"),
    "service_tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
        "openai.request.service_tier",
        "gen_ai.openai.request.service_tier",
        "gen_ai.request.service_tier",
    ),
    "host": (ours.SERVER_ADDRESS, "gen_ai.openai.api_base", "url.full"),
    "error_type": (ours.ERROR_TYPE,),
    "redacted": ("redaction.redacted.keys",),  # what our Collector removed, by name
    "error_level": ("langfuse.observation.level",),
    "error_text": ("langfuse.observation.status_message",),
    "http_status": (ours.HTTP_STATUS_CODE, "http.status_code", "status_code"),
    "source": (ours.USAGE_SOURCE,),
    "billed_unit": (ours.BILLED_UNIT,),
    "phone_call_id": (ours.CALL_ID, ours.MESSAGE_ID),  # both are reported several times, and priced late
    "phone_call_status": (ours.CALL_STATUS,),
    "session_id": (ours.SESSION_ID,),
    "session_state": (ours.SESSION_STATE,),
    "producer_id": (ours.PRODUCER_ID,),
    "reservation_id": (ours.BUDGET_RESERVATION_ID,),
    "paid_extras": (ours.PAID_EXTRAS,),
}

FLAG_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "is_stream": (
        ours.REQUEST_STREAM,
        "gen_ai.is_streaming",  # Traceloop
        "llm.is_streaming",  # Traceloop before 0.40
        "gen_ai.request.is_stream",  # OpenLIT
        "langwatch.gen_ai.streaming",
        "stream",  # Pipecat
    ),
    "is_billable": (ours.USAGE_BILLABLE,),
    "is_refused": (ours.CALL_REFUSED,),
}

NUMBER_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "billed_quantity": (ours.BILLED_QUANTITY,),
    "session_sequence": (ours.SESSION_SEQUENCE,),
    "producer_sequence": (ours.PRODUCER_SEQUENCE,),
    "session_vendor_total_seconds": (ours.SESSION_VENDOR_TOTAL_SECONDS,),
}

ATTRIBUTION_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "tenant": (ours.TENANT_ID, _TRACELOOP + "tenant", _TRACELOOP + "tenant_id", *_LITELLM_TEAM),
    "category": (ours.CATEGORY,),
    "task": (ours.TASK,),
    "tier": (ours.TIER,),
    "user": (
        ours.USER_ID,
        "user.id",
        "enduser.id",
        "langwatch.user.id",
        _TRACELOOP + "user_id",
        "ai.telemetry.metadata.userId",
        *(prefix + "user_api_key_end_user_id" for prefix in _LITELLM),
        *(prefix + "user_api_key_user_id" for prefix in _LITELLM),
    ),
    "api_key": (
        ours.API_KEY_ID,
        *(prefix + "user_api_key_alias" for prefix in _LITELLM),
        "litellm.api_key.hash",
        *(prefix + "user_api_key_hash" for prefix in _LITELLM),
    ),
    "workflow_id": (
        ours.WORKFLOW_ID,
        ours.CONVERSATION_ID,
        "session.id",
        "langwatch.thread.id",
        "conversation.id",  # Pipecat
        _TRACELOOP + "session_id",
        _TRACELOOP + "call_id",
        "ai.telemetry.metadata.sessionId",
    ),
    "workflow_name": (ours.WORKFLOW_NAME, "gen_ai.workflow.name", "traceloop.workflow.name"),
    "outcome": (ours.OUTCOME,),
    "revenue_amount": (ours.REVENUE_AMOUNT,),
    "revenue_currency": (ours.REVENUE_CURRENCY,),
}
"""In the order of the fields of `Attribution`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAlias:
    """One way in which somebody states a cost on a span."""

    amount_key: str
    currency_key: str = ""
    """Absent or "": US dollars."""
    source_key: str = ""
    is_vendor_word: bool = False
    """Money that the vendor states and the instrumentation copies; a zero is then a real zero."""


COSTS: Final[tuple[CostAlias, ...]] = (
    CostAlias(amount_key=ours.VENDOR_COST, currency_key=ours.VENDOR_COST_CURRENCY, is_vendor_word=True),
    CostAlias(amount_key=ours.COST_AMOUNT, currency_key=ours.COST_CURRENCY, source_key=ours.COST_SOURCE),
    CostAlias(amount_key="operation.cost"),  # Logfire, Pydantic AI: from genai-prices
    CostAlias(amount_key="gen_ai.cost.total_cost"),  # LiteLLM; its other gen_ai.cost.* are parts of it
    CostAlias(  # OpenLIT; 0 where its download of prices failed
        amount_key="gen_ai.usage.cost", currency_key=ours.COST_CURRENCY, source_key=ours.COST_SOURCE
    ),
    CostAlias(amount_key="litellm.cost.total"),  # LiteLLM's second version
    CostAlias(amount_key="llm.cost.total"),  # OpenInference
)
