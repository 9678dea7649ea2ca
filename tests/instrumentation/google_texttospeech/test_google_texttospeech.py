"""Google's text-to-speech client over gRPC against a fake that counts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import PermissionDenied
from google.cloud import texttospeech_v1 as tts
from google.cloud.texttospeech_v1.services.text_to_speech.transports import (
    TextToSpeechGrpcAsyncIOTransport,
    TextToSpeechGrpcTransport,
)

from callfare import attributes as names
from callfare.instrumentation.google_texttospeech import GoogleTextToSpeechInstrumentor
from callfare.instrumentation.google_texttospeech._usage import characters_of, model_of, voice_of
from tests.instrumentation.fakes.google import FakeGoogle
from tests.support.recording import Recorded, recorded

CANARY = "canary naïve 🦜 42"
VOICE = {"language_code": "en-US", "name": "en-US-Chirp3-HD-Aoede"}
AUDIO = {"audio_encoding": "LINEAR16"}


@pytest.fixture
def fake() -> Iterator[FakeGoogle]:
    with FakeGoogle() as server:
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(GoogleTextToSpeechInstrumentor) as record:
        yield record


@pytest.fixture
def client(fake: FakeGoogle) -> Iterator[tts.TextToSpeechClient]:
    with grpc.insecure_channel(fake.address) as channel:
        yield tts.TextToSpeechClient(transport=TextToSpeechGrpcTransport(channel=channel))


def _requests() -> Iterator[Any]:
    yield tts.StreamingSynthesizeRequest(streaming_config={"voice": VOICE})
    yield tts.StreamingSynthesizeRequest(input={"text": CANARY})
    yield tts.StreamingSynthesizeRequest(input={"text": "and more"})


def test_speech_counts_code_points(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """The voice is the model: its tier decides the price. Flattened arguments and a request alike."""
    client.synthesize_speech(input={"text": CANARY}, voice=VOICE, audio_config=AUDIO)
    client.synthesize_speech(request={"input": {"text": CANARY}, "voice": VOICE, "audio_config": AUDIO})
    assert spans.total(names.INPUT_CHARACTERS) == fake.characters == 2 * len(CANARY)
    assert spans.values(names.REQUEST_MODEL) == [VOICE["name"]] * 2
    assert spans.values(names.PROVIDER_NAME) == ["google"] * 2


def test_a_model_that_is_named_goes_before_the_voice() -> None:
    """Gemini's voices have names without a tier."""
    voice = {"name": "Kore", "model_name": "gemini-2.5-flash-tts"}
    assert (model_of({"voice": voice}), voice_of({"voice": voice})) == ("gemini-2.5-flash-tts", "Kore")
    assert model_of({"voice": VOICE}) == VOICE["name"]
    assert model_of({"voice": {"language_code": "en-US"}}) == ""


def test_ssml_is_billed_with_its_tags_but_marks() -> None:
    """As the pricing page says."""
    assert characters_of({"ssml": '<speak>Hi<mark name="here"/> you</speak>'}) == len("<speak>Hi you</speak>")


def test_a_stream_counts_every_text_that_was_taken(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """The first request names the voice."""
    assert len(list(client.streaming_synthesize(requests=_requests()))) == 2
    assert spans.total(names.INPUT_CHARACTERS) == fake.characters == len(CANARY) + 8
    assert spans.one[names.REQUEST_MODEL] == VOICE["name"]
    assert "canary" not in spans.text()


def test_a_stream_left_early_bills_what_was_sent(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """Barge-in."""
    answers = client.streaming_synthesize(requests=_requests())
    next(iter(answers))
    answers.cancel()
    del answers
    assert spans.one[names.INPUT_CHARACTERS] >= len(CANARY)
    assert spans.one[names.FINISH_REASONS] == ("interrupted",)


def test_a_refusal_is_free(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """PERMISSION_DENIED."""
    fake.refuses = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(PermissionDenied):
        client.synthesize_speech(input={"text": CANARY}, voice=VOICE, audio_config=AUDIO)
    assert spans.one.items() >= {names.CALL_REFUSED: True, names.HTTP_STATUS_CODE: 403}.items()
    assert "canary" not in spans.text()


def test_asynchronous_speech_is_counted(fake: FakeGoogle, spans: Recorded) -> None:
    """The asyncio client, whole and streamed."""

    async def requests() -> AsyncIterator[Any]:
        for request in _requests():
            yield request

    async def call() -> None:
        async with grpc.aio.insecure_channel(fake.address) as channel:
            client = tts.TextToSpeechAsyncClient(transport=TextToSpeechGrpcAsyncIOTransport(channel=channel))
            await client.synthesize_speech(input={"text": CANARY}, voice=VOICE, audio_config=AUDIO)
            async for _ in await client.streaming_synthesize(requests=requests()):
                pass

    asyncio.run(asyncio.wait_for(call(), 20))
    assert spans.total(names.INPUT_CHARACTERS) == fake.characters == 2 * len(CANARY) + 8
