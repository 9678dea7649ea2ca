"""Provider names: one canonical name for each, however an SDK, a framework or a URL spells it.

Prices are looked up by provider and model, and the provider is a hard filter: `llama-3.3-70b` costs
different money at Groq and at Cerebras. So every spelling must lead to the same name, and no spelling may
lead to another provider's. `host_provider` names who bills by the host a request went to, which outranks
the name: an OpenAI SDK pointed at Groq is billed by Groq.
"""

import re
from functools import lru_cache
from typing import Final

__all__ = ["RESALE", "STORES_CACHE_APART", "canonical_provider", "host_provider"]

_ALIASES: Final[dict[str, str]] = {
    # OpenTelemetry's `gen_ai.provider.name` and its older `gen_ai.system`
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "ibm.watsonx.ai": "watsonx",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "moonshot_ai": "moonshotai",
    # Traceloop, OpenInference, LangChain, LiteLLM, Vercel AI
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "bedrock_mantle": "aws",
    "amazon_bedrock": "aws",
    "amazon": "aws",
    "azure_openai": "azure",
    "azure_ai": "azure",
    "azurefoundry": "azure",
    "ibm": "watsonx",
    "microsoft": "azure",
    "google_genai": "google",
    "cohere_llm": "cohere",
    "google_vertexai": "google",
    "google_generative_ai": "google",
    "google_ai_studio": "google",
    "google_anthropic_vertex": "google",
    "mistralai": "mistral",
    "xai": "x-ai",
    "grok": "x-ai",
    "togetherai": "together",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "fireworksai": "fireworks",
    "voyage": "voyageai",
    "voyage_ai": "voyageai",
    "moonshot": "moonshotai",
    "z_ai": "zai",
    "z.ai": "zai",
    "zhipu": "zhipuai",
    "github_copilot": "github-copilot",
    # Pipecat and LiveKit: class names of services and plugins, as their spans carry them
    "elevenlabshttp": "elevenlabs",
    "elevenlabsrealtime": "elevenlabs",
    "eleven_labs": "elevenlabs",
    "11labs": "elevenlabs",
    "deepgramflux": "deepgram",
    "deepgramhttp": "deepgram",
    "deepgramsagemaker": "deepgram",
    "cartesiahttp": "cartesia",
    "cartesiaturns": "cartesia",
    "openairealtime": "openai",
    "openairealtimebeta": "openai",
    "openaibase": "openai",
    "openairesponses": "openai",
    "anthropicllm": "anthropic",
    "azurehttp": "azure",
    "azurerealtime": "azure",
    "googlehttp": "google",
    "googlevertex": "google",
    "geminilive": "google",
    "geminimultimodallive": "google",
    "awsbedrock": "aws",
    "awspolly": "aws",
    "awstranscribe": "aws",
    "awsnovasonic": "aws",
    "groqstt": "groq",
    "assembly_ai": "assemblyai",
    "livekit_agents": "livekit",
    "livekit_inference": "livekit",
    # Speech and telephony products whose product name is used as the provider's
    "aws.polly": "aws",
    "aws_polly": "aws",
    "aws.transcribe": "aws",
    "amazon_transcribe": "aws",
    "transcribe": "aws",
    "amazon_polly": "aws",
    "polly": "aws",
    "azure_speech": "azure",
    "azure_cognitive_services": "azure",
    "google_cloud_speech": "google",
    "google_cloud_tts": "google",
    "twilio_voice": "twilio",
}

RESALE: Final[dict[str, tuple[str, ...]]] = {
    "azure": ("openai", "anthropic", "deepseek", "x-ai", "moonshotai"),
    "google": ("anthropic",),
}
"""Resellers, and the vendors whose models they sell at list price. Looked up in the list only; the quote names it."""

STORES_CACHE_APART: Final = frozenset({"google", "openrouter"})
"""Vendors that bill cache writes separately: the same tokens may also have been read, at their own price."""

_HOSTS: Final[tuple[tuple[str, str], ...]] = (
    (r"api\.openai\.com|(?:us|eu)\.api\.openai\.com", "openai"),
    (r"(?:.*\.)?(?:openai\.azure\.com|azure-api\.net|cognitiveservices\.azure\.com|services\.ai\.azure\.com)", "azure"),
    (r"(?:.*\.)?(?:speech|tts|stt)\.(?:microsoft\.com|azure\.com)", "azure"),
    (r"api\.anthropic\.com", "anthropic"),
    (r"bedrock(?:-runtime)?(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com", "aws"),
    (r"bedrock(?:-runtime|-mantle)?(?:-fips)?\.[a-z0-9-]+\.api\.aws", "aws"),
    (r"(?:polly|transcribe|transcribestreaming)\.[a-z0-9-]+\.amazonaws\.com", "aws"),
    (r"(?:.*\.)?googleapis\.com", "google"),
    (r"api\.groq\.com", "groq"),
    (r"api\.cerebras\.ai", "cerebras"),
    (r"api\.deepseek\.com", "deepseek"),
    (r"api\.x\.ai", "x-ai"),
    (r"api\.mistral\.ai|codestral\.mistral\.ai", "mistral"),
    (r"api\.together\.(?:xyz|ai)", "together"),
    (r"api\.fireworks\.ai", "fireworks"),
    (r"api\.perplexity\.ai", "perplexity"),
    (r"(?:api\.)?openrouter\.ai", "openrouter"),
    (r"api\.cohere\.(?:ai|com)", "cohere"),
    (r"api\.voyageai\.com", "voyageai"),
    (r"api\.moonshot\.(?:ai|cn)", "moonshotai"),
    (r"api\.z\.ai", "zai"),
    (r"open\.bigmodel\.cn", "zhipuai"),
    (r"api\.minimaxi?\.(?:com|io|chat)", "minimax"),
    (r"api\.novita\.ai", "novita"),
    (r"inference\.baseten\.co", "baseten"),
    (r"api\.githubcopilot\.com", "github-copilot"),
    (r".*\.(?:cloud\.databricks\.com|azuredatabricks\.net)", "databricks"),
    (r"(?:.*\.)?elevenlabs\.io", "elevenlabs"),
    (r"(?:.*\.)?deepgram\.com", "deepgram"),
    (r"(?:.*\.)?cartesia\.ai", "cartesia"),
    (r"(?:.*\.)?assemblyai\.com", "assemblyai"),
    (r"(?:.*\.)?twilio\.com", "twilio"),
    (r"(?:.*\.)?telnyx\.com", "telnyx"),
    (r"(?:.*\.)?pinecone\.io", "pinecone"),
)
_HOST_PATTERN: Final = re.compile("|".join(f"(?P<p{i}>{pattern})" for i, (pattern, _) in enumerate(_HOSTS)))
_SERVICE_SUFFIX: Final = re.compile(r"(?:tts|stt|llm|speech)?service$")


@lru_cache(maxsize=4096)
def canonical_provider(name: str) -> str:
    """Return the canonical name of a provider: `ElevenLabs`, `elevenlabshttp` -> `elevenlabs`; unknown ones lowered."""
    lowered = name.strip().lower()
    for spelling in (lowered, lowered.replace(" ", "_").replace("-", "_"), _SERVICE_SUFFIX.sub("", lowered)):
        if spelling in _ALIASES:
            return _ALIASES[spelling]
    return _SERVICE_SUFFIX.sub("", lowered) or lowered


@lru_cache(maxsize=4096)
def host_provider(base_url: str) -> str:
    """Return who bills for requests to this host or URL; "" where that is not known."""
    host = base_url.strip().lower().partition("://")[2] or base_url.strip().lower()
    host = re.split(r"[/?#]", host, maxsplit=1)[0].rpartition("@")[2].partition(":")[0]
    match = _HOST_PATTERN.fullmatch(host)
    if match is None or match.lastgroup is None:
        return ""
    return _HOSTS[int(match.lastgroup[1:])][1]
