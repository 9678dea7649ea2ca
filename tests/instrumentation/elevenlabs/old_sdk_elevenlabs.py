"""ElevenLabs' SDK 1.x, whose public methods are all there is to wrap. Run by test_older_sdks.py."""

import asyncio
from collections.abc import Iterator

import pytest
from elevenlabs.client import AsyncElevenLabs, ElevenLabs
from elevenlabs.environment import ElevenLabsEnvironment

from callfare import attributes as names
from callfare.instrumentation.elevenlabs import ElevenLabsInstrumentor
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake

TEXT = "Héllo wörld 👋🏽"  # 14 code points
OPTIONS = {"voice_id": "v1", "text": TEXT, "model_id": "eleven_flash_v2_5"}


@pytest.fixture
def fake() -> Iterator[ElevenLabsFake]:
    with ElevenLabsFake() as server:
        yield server


def here(fake: ElevenLabsFake) -> ElevenLabsEnvironment:
    """Where the fake listens; `base_url` would force https."""
    return ElevenLabsEnvironment(base=fake.url, wss=fake.ws_url)


@pytest.fixture
def client(fake, spans) -> Iterator[ElevenLabs]:
    instrumentor = ElevenLabsInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield ElevenLabs(api_key="k", environment=here(fake))
    instrumentor.uninstrument()


@pytest.mark.parametrize("method", ["convert", "convert_as_stream"])
def test_speech_records_the_code_points(fake, spans, client, method) -> None:
    """One span, begun at the first chunk, with what the fake received."""
    stream = getattr(client.text_to_speech, method)(**OPTIONS)
    assert spans.all == ()
    assert len(b"".join(stream)) == 4 * 32_000
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14
    assert spans.only[names.REQUEST_MODEL] == "eleven_flash_v2_5"
    assert spans.only[names.USAGE_SOURCE] == "request"


def test_generate_is_counted_once(fake, spans, client) -> None:
    """The old convenience method goes through `convert`."""
    assert b"".join(client.generate(text=TEXT, voice="EXAVITQu4vr4xnSDxMaL", model="eleven_flash_v2_5"))
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14


def test_barge_in_and_asynchronous(fake, spans, client) -> None:
    """Closing early keeps the characters; so does the asynchronous twin."""
    stream = client.text_to_speech.convert_as_stream(**OPTIONS)
    next(stream)
    stream.close()

    async def leave() -> None:
        twin = AsyncElevenLabs(api_key="k", environment=here(fake)).text_to_speech.convert_as_stream(**OPTIONS)
        await anext(twin)
        await twin.aclose()

    asyncio.run(leave())
    assert [found[names.FINISH_REASONS] for found in spans.attributes] == [("interrupted",)] * 2
    assert spans.total(names.INPUT_CHARACTERS) == fake.characters == 28


def test_timestamps_and_transcription(fake, spans, client, wav) -> None:
    """Complete answers: characters, and the measured seconds of the upload."""
    client.text_to_speech.convert_with_timestamps(voice_id="v1", text=TEXT)
    client.speech_to_text.convert(model_id="scribe_v1", file=wav(2))
    speech, transcription = spans.attributes
    assert speech[names.INPUT_CHARACTERS] == 14
    assert transcription[names.AUDIO_INPUT_SECONDS] in {2.0, 7.25}  # 7.25 where the release knows the answer's field


def test_effects_and_conversions_are_recorded(fake, spans, client, wav) -> None:
    """Without headers the credits are out of reach: a request, and the seconds that went in, without a price."""
    assert list(client.text_to_sound_effects.convert(text="boom", duration_seconds=2.5))
    for method in ("convert", "convert_as_stream"):
        convert = getattr(client.speech_to_speech, method)
        assert list(convert(voice_id="v1", audio=wav(2), model_id="eleven_multilingual_sts_v2"))
    effect, *conversions = spans.attributes
    assert (effect[names.OPERATION_NAME], effect[names.AUDIO_OUTPUT_SECONDS]) == ("sound_generation", 2.5)
    assert [found[names.AUDIO_INPUT_SECONDS] for found in conversions] == [2.0, 2.0]
    assert names.BILLED_QUANTITY not in effect
