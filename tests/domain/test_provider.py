"""One name for each provider, and who bills by the host."""

import pytest

from cost_exporter.domain.provider import canonical_provider, host_provider


@pytest.mark.parametrize(
    ("said", "canonical"),
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
def test_canonical_provider(said: str, canonical: str) -> None:
    """Every spelling of a provider leads to one name; an unknown one is only lowered."""
    assert canonical_provider(said) == canonical


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
