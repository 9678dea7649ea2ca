"""Content stays out: no text, transcript or audio on any span, in any event, status or log.

Here over calls of every kind of two vendors, keys and audio included. Over everything else each test of an instrumentor
sees to it: the fixtures and `recorded` look for what was sent and answered when the test ends.
"""

import base64
import logging
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from elevenlabs.client import ElevenLabs

from callfare.instrumentation.elevenlabs import ElevenLabsInstrumentor
from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.instrumentation.fakes.openai import OpenAIFake

TESTS = Path(__file__).parent
ROOT = TESTS.parents[1]
SPOKEN = "CANARY-spoken"
CANARIES = "canary|Héllo wörld|the secret words|Where is my order"
TRANSCRIPT = "the secret words"  # what every fake recogniser answers


def carried(spans) -> str:
    """Everything a span could carry out of the process."""
    return repr(
        [(s.name, dict(s.attributes), s.events, s.status.description, dict(s.resource.attributes)) for s in spans.all]
    )


@pytest.fixture
def instrumented(spans) -> Iterator[None]:
    instrumentors = [OpenAIAudioInstrumentor(), ElevenLabsInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=spans.provider)
    yield
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def speak_and_listen(wav) -> None:
    """Every kind of call with content in it, good and refused."""
    with OpenAIFake() as fake, openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0) as client:
        client.audio.speech.create(input=SPOKEN, model="tts-1", voice="a")
        client.audio.transcriptions.create(file=wav(1), model="whisper-1", prompt=SPOKEN)
        fake.refuse_next = [400]
        with pytest.raises(openai.BadRequestError):
            client.audio.speech.create(input=SPOKEN, model="tts-1", voice="a")
    with ElevenLabsFake() as fake:
        eleven = ElevenLabs(api_key="k", base_url=fake.url)
        with eleven._client_wrapper.httpx_client.httpx_client:
            list(eleven.text_to_speech.convert(voice_id="v", text=SPOKEN))
            eleven.speech_to_text.convert(model_id="scribe_v2", file=wav(1))
            fake.refuse_next = [400]
            with pytest.raises(Exception, match="400"):
                list(eleven.text_to_speech.convert(voice_id="v", text=SPOKEN))


def test_nothing_of_what_was_said_is_on_a_span(spans, instrumented, wav, caplog, monkeypatch) -> None:
    """By default: no word, no piece of audio, no key; nor in our log."""
    monkeypatch.delenv("CALLFARE_CAPTURE_CONTENT", raising=False)
    with caplog.at_level(logging.DEBUG, "callfare"):
        speak_and_listen(wav)
    assert len(spans.all) == 6
    everything = carried(spans) + "".join(record.getMessage() for record in caplog.records if record.name == "callfare")
    for secret in (SPOKEN, TRANSCRIPT, base64.b64encode(SPOKEN.encode()).decode(), "RIFF"):
        assert secret not in everything


def test_the_canary_sings(spans, instrumented, wav, monkeypatch) -> None:
    """Where the operator asks for content, the same search finds it: the test above can fail."""
    monkeypatch.setenv("CALLFARE_CAPTURE_CONTENT", "1")
    speak_and_listen(wav)
    assert TRANSCRIPT in carried(spans)


def test_every_instrumentor_is_watched() -> None:
    """Each that makes spans has tests of its own, and they record through what looks for content."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    targets = project["entry-points"]["opentelemetry_instrumentor"].values()
    vendors = {target.partition(":")[0].rpartition(".")[2] for target in targets} - {"crewai", "threads"}
    for vendor in sorted(vendors):
        tests = "".join(file.read_text(encoding="utf-8") for file in (TESTS / vendor).glob("*.py"))
        assert "recorded(" in tests or "spans.provider" in tests, vendor
        assert re.search("canary|Héllo wörld|the secret words|Where is my order", tests, re.IGNORECASE), (
            f"{vendor} sends no canary"
        )
