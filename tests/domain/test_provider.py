"""One name for each provider, and who bills by the host."""

import pytest

from cost_exporter.domain.provider import canonical_provider, host_provider


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("ElevenLabs", "elevenlabs"),
        ("elevenlabshttp", "elevenlabs"),
        ("ElevenLabsTTSService", "elevenlabs"),
        ("ElevenLabsHttpTTSService", "elevenlabs"),
        ("DeepgramSTTService", "deepgram"),
        ("azure.ai.openai", "azure"),
        ("azure-openai", "azure"),
        ("gcp.vertex_ai", "google"),
        ("Google GenAI", "google"),
        ("x_ai", "x-ai"),
        ("mistral_ai", "mistral"),
        ("aws.bedrock", "aws"),
        ("openai", "openai"),
        ("some-new-one", "some-new-one"),
        (" Cartesia ", "cartesia"),
        ("service", "service"),
        ("", ""),
    ],
)
def test_canonical_provider(spelling: str, canonical: str) -> None:
    """Every spelling of a provider leads to one name; an unknown one is only lowered."""
    assert canonical_provider(spelling) == canonical


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("api.groq.com:443", "groq"),
        ("https://user:secret@api.deepseek.com/v1?x=1", "deepseek"),
        ("https://acme.openai.azure.com/openai/deployments/x", "azure"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "aws"),
        ("https://us-central1-aiplatform.googleapis.com", "google"),
        ("http://localhost:8080", ""),
        ("https://api.openai.com.evil.example", ""),
        ("https://notapi.groq.com", ""),
        ("", ""),
    ],
)
def test_host_provider(url: str, provider: str) -> None:
    """The whole host is compared, never a part of it."""
    assert host_provider(url) == provider


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("us.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure"),
        ("mine.azure-api.net", "azure"),
        ("mine.cognitiveservices.azure.com", "azure"),
        ("mine.services.ai.azure.com", "azure"),
        ("westeurope.tts.speech.microsoft.com", "azure"),
        ("westeurope.stt.speech.microsoft.com", "azure"),
        ("mine.speech.azure.com", "azure"),
        ("api.anthropic.com", "anthropic"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "aws"),
        ("polly.eu-west-1.amazonaws.com", "aws"),
        ("transcribe.eu-west-1.amazonaws.com", "aws"),
        ("transcribestreaming.eu-west-1.amazonaws.com", "aws"),
        ("generativelanguage.googleapis.com", "google"),
        ("api.groq.com", "groq"),
        ("api.cerebras.ai", "cerebras"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "x-ai"),
        ("api.mistral.ai", "mistral"),
        ("codestral.mistral.ai", "mistral"),
        ("api.together.xyz", "together"),
        ("api.together.ai", "together"),
        ("api.fireworks.ai", "fireworks"),
        ("api.perplexity.ai", "perplexity"),
        ("openrouter.ai", "openrouter"),
        ("api.openrouter.ai", "openrouter"),
        ("api.cohere.com", "cohere"),
        ("api.cohere.ai", "cohere"),
        ("api.voyageai.com", "voyageai"),
        ("api.moonshot.cn", "moonshotai"),
        ("api.moonshot.ai", "moonshotai"),
        ("api.z.ai", "zai"),
        ("open.bigmodel.cn", "zhipuai"),
        ("api.minimax.io", "minimax"),
        ("api.minimaxi.com", "minimax"),
        ("api.novita.ai", "novita"),
        ("inference.baseten.co", "baseten"),
        ("api.githubcopilot.com", "github-copilot"),
        ("mine.cloud.databricks.com", "databricks"),
        ("adb-1.azuredatabricks.net", "databricks"),
        ("api.elevenlabs.io", "elevenlabs"),
        ("api.deepgram.com", "deepgram"),
        ("api.cartesia.ai", "cartesia"),
        ("streaming.assemblyai.com", "assemblyai"),
        ("api.twilio.com", "twilio"),
        ("api.telnyx.com", "telnyx"),
        ("index.svc.us-east-1.pinecone.io", "pinecone"),
    ],
)
def test_every_host_is_known(host: str, provider: str) -> None:
    """The table entry by entry: one that is lost would leave calls without a provider, or with the wrong one."""
    assert host_provider(f"https://{host}/v1") == provider
