"""Cartesia's SDK 3 and 4 over HTTP against a fake that counts, and what holds for all of it."""

import asyncio
import io
import wave
from decimal import Decimal as D
from pathlib import Path

import cartesia
import pytest
from cartesia import Cartesia

from callfare import attributes as names
from callfare.instrumentation.cartesia import CartesiaInstrumentor
from tests.instrumentation.cartesia.sdk import (
    CANARY,
    SPEECH,
    async_client_of,
    message,
    needs_recognition,
)
from tests.instrumentation.fakes.cartesia import SPOKEN, FakeCartesia
from tests.support.recording import Recorded, recorded

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old ways of websockets


def test_speech_counts_code_points(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Model, voice and characters as they were sent; the audio arrives unchanged."""
    answer = client.tts.generate(transcript=CANARY, **SPEECH)
    assert answer.read() == SPOKEN * 4
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters) == len(CANARY)
    assert (
        spans.one.items()
        >= {
            names.OPERATION_NAME: "text_to_speech",
            names.PROVIDER_NAME: "cartesia",
            names.REQUEST_MODEL: "sonic-3",
            names.SPEECH_VOICE: "voice-1",
            names.USAGE_SOURCE: "request",
            names.REQUEST_STREAM: False,
        }.items()
    )


def test_older_names_of_a_call_are_counted_once(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """`bytes` calls `generate`; `sse` is an alias or calls `generate_sse`; raw responses wrap either."""
    b"".join(client.tts.bytes(transcript=CANARY, **SPEECH))
    list(client.tts.sse(transcript=CANARY, **SPEECH))
    client.tts.with_raw_response.generate(transcript=CANARY, **SPEECH)
    with client.tts.with_streaming_response.generate(transcript=CANARY, **SPEECH) as response:
        response.read()
    assert fake.characters == [len(CANARY)] * 4
    assert spans.values(names.INPUT_CHARACTERS) == fake.characters


def test_a_stream_left_early_bills_the_whole_text(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Barge-in: the text was sent."""
    with client.tts.generate_sse(transcript=CANARY, **SPEECH) as stream:
        assert type(stream).__name__ != stream.__class__.__name__, "a proxy that says it is the SDK's stream"
        next(iter(stream))
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters)
    assert spans.one[names.FINISH_REASONS] == ("interrupted",)


def test_a_stream_that_breaks_is_an_error_and_billed(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """The application gets the network's error. SDK 3.0 repeats the request inside: one call, one span."""
    fake.breaks_speech = True
    with pytest.raises(Exception, match=r"peer closed|closed connection|incomplete|error"):
        list(client.tts.generate_sse(transcript=CANARY, **SPEECH))
    assert spans.total(names.INPUT_CHARACTERS) == fake.characters[0]
    assert names.CALL_REFUSED not in spans.one
    assert names.ERROR_TYPE in spans.one


def test_refusals_are_free_and_retries_one_span(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """402 is refused; 500 twice and then an answer is one call."""
    fake.refuse_next = [402]
    with pytest.raises(cartesia.APIStatusError):
        client.tts.generate(transcript=CANARY, **SPEECH)
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 402, names.CALL_REFUSED: True}.items()
    spans.clear()
    fake.refuse_next = [500, 500]
    client.tts.generate(transcript=CANARY, **SPEECH)
    assert spans.total(names.INPUT_CHARACTERS) == len(CANARY)
    assert fake.request_count == 1 + 3


def test_infill_is_credits(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """300 and one a character, as the SDK's own docstring says."""
    client.tts.infill(transcript=CANARY, model_id="sonic-3", voice_id="voice-1", left_audio=b"a", language="en")
    assert spans.one[names.BILLED_QUANTITY] == 300 + len(CANARY)
    assert spans.one[names.BILLED_UNIT] == "credit"
    assert names.INPUT_CHARACTERS not in spans.one


def test_infill_finds_a_price_without_a_model(client: Cartesia, spans: Recorded) -> None:
    """The SDK lets it be left out; a credit costs the same with each."""
    client.tts.infill(transcript=CANARY, voice_id="voice-1", left_audio=b"a", language="en")
    assert spans.one[names.REQUEST_MODEL] == "sonic"


def test_the_voice_changer_is_billed_by_what_goes_in(
    fake: FakeCartesia, client: Cartesia, spans: Recorded, tmp_path: Path
) -> None:
    """Bytes, a named file, a path and an open file, which arrives whole; other clips' length nobody knows."""
    path, clip = tmp_path / "clip.wav", _wav(2)
    path.write_bytes(clip)
    change = client.voice_changer.change_voice_bytes
    with path.open("rb") as file:
        for given in (clip, ("a.wav", clip), path, file, io.BytesIO(clip), b"ID3"):
            change(clip=given, voice_id="voice-1")
    assert fake.clip_bytes == [len(clip)] * 5 + [3]
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [2] * 5 + [None]
    assert set(spans.values(names.REQUEST_MODEL)) == {"voice-changer"}
    assert spans.values(names.USAGE_SOURCE)[-1] == "unknown"


def test_a_clip_that_cannot_be_read_is_the_sdks_affair(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """A path that leads nowhere: its own error, and no request."""
    with pytest.raises(FileNotFoundError):
        client.voice_changer.change_voice_bytes(clip=Path("/nowhere/clip.wav"), voice_id="voice-1")
    assert fake.request_count == 0
    assert names.AUDIO_INPUT_SECONDS not in spans.one


@needs_recognition
def test_every_name_of_the_voice_changer_is_counted_once(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Older names, streams and raw responses, blocking and not."""
    changer, clip = client.voice_changer, _wav(1)
    changer.generate(clip=clip, voice_id="v")
    changer.with_raw_response.generate(clip=clip, voice_id="v")
    changer.change_voice_sse(clip=clip, voice_id="v")
    assert [event.type for event in changer.generate_sse(clip=clip, voice_id="v")] == ["chunk", "done"]
    left = changer.generate_sse(clip=clip, voice_id="v")
    next(left)
    left.close()

    async def call() -> None:
        async with async_client_of(fake) as twin:
            await twin.voice_changer.change_voice_bytes(clip=clip, voice_id="v")
            async for _ in await twin.voice_changer.generate_sse(clip=clip, voice_id="v"):
                pass

    asyncio.run(call())
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [1] * len(fake.clip_bytes) == [1] * 7
    assert spans.values(names.FINISH_REASONS) == [None] * 4 + [("interrupted",)] + [None] * 2


def test_a_transcription_is_billed_by_the_vendors_duration(
    fake: FakeCartesia, client: Cartesia, spans: Recorded
) -> None:
    """Without one the WAV is measured, and without a WAV the usage is unknown."""
    client.stt.transcribe(file=("a.wav", b"x"), model="ink-whisper", language="en")
    fake.states_duration = False
    client.stt.transcribe(file=_wav(3), model="ink-whisper")
    client.stt.transcribe(file=b"ID3", model="ink-whisper")
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [7.5, 3, None]
    assert spans.values(names.USAGE_SOURCE) == ["vendor_body", "client", "unknown"]


def test_asynchronous_calls_are_counted(fake: FakeCartesia, spans: Recorded) -> None:
    """The asynchronous resources, one of them left early and one cancelled."""

    async def call() -> None:
        async with async_client_of(fake) as client:
            await client.tts.generate(transcript=CANARY, **SPEECH)
            stream = await client.tts.generate_sse(transcript=CANARY, **SPEECH)
            async with stream:
                await anext(stream.__aiter__())
            await client.stt.transcribe(file=b"x", model="ink-whisper")

    asyncio.run(call())
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters) == 2 * len(CANARY)
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("7.5")


def test_no_content_leaves_the_process(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Neither what is said nor what is heard, nor the vendor's error text."""
    client.tts.generate(transcript=CANARY, **SPEECH)
    client.stt.transcribe(file=b"x", model="ink-whisper")
    fake.errors_on = {"bad"}
    with client.tts.websocket_connect() as connection:
        connection.send(message("bad", CANARY))
        connection.recv()
    assert len(spans.paid) == 3
    assert "canary" not in spans.text()


def test_uninstrumented_the_sdk_is_as_it_was(fake: FakeCartesia, client: Cartesia) -> None:
    """Aliases included."""
    from cartesia.resources.tts import TTSResource

    before = {name: vars(TTSResource)[name] for name in ("generate", "generate_sse", "sse", "infill")}
    with recorded(CartesiaInstrumentor) as spans:
        pass
    assert {name: vars(TTSResource)[name] for name in before} == before
    client.tts.generate(transcript=CANARY, **SPEECH)
    assert spans.paid == []


def _wav(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"\x00\x00" * 8000 * seconds)
    return file.getvalue()
