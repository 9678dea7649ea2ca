"""Cartesia's SDK 2 against the same fake. Run by test_older_sdks.py, not by itself."""

import asyncio
from decimal import Decimal as D
from typing import Any

import pytest
from cartesia import AsyncCartesia, Cartesia
from cartesia.stt._websocket import SttWebsocket
from cartesia.tts._websocket import TtsWebsocket

from callfare import attributes as names
from tests.instrumentation.cartesia.sdk import CANARY
from tests.instrumentation.fakes.cartesia import SPOKEN, FakeCartesia
from tests.support.recording import Recorded, until

SPEECH: dict[str, Any] = {
    "model_id": "sonic-2",
    "voice": {"mode": "id", "id": "voice-1"},
    "output_format": {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 44100},
}
CHUNK = b"\x00\x00" * 1600  # 0.1 s


def test_speech_is_lazy_and_survives_barge_in(fake: FakeCartesia, spans: Recorded) -> None:
    """Generators: nothing is sent before the first `next`; the text is billed when left early."""
    client = Cartesia(api_key="k", base_url=fake.url)
    client.tts.bytes(transcript=CANARY, **SPEECH)
    assert fake.characters == []
    assert b"".join(client.tts.bytes(transcript=CANARY, **SPEECH)) == SPOKEN * 4
    chunks = client.tts.sse(transcript=CANARY, **SPEECH)
    next(chunks)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):  # SDK 2's own doing, with or without us
        chunks.close()
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters) == 2 * len(CANARY)
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",)]


def test_asynchronous_speech_and_files(fake: FakeCartesia, spans: Recorded) -> None:
    """The asynchronous client."""

    async def call() -> None:
        client = AsyncCartesia(api_key="k", base_url=fake.url)
        async for _ in client.tts.bytes(transcript=CANARY, **SPEECH):
            pass
        await client.stt.transcribe(file=b"x", model="ink-whisper")

    asyncio.run(call())
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters)
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("7.5")


def test_a_refused_call_is_free(fake: FakeCartesia, spans: Recorded) -> None:
    """And raises as before."""
    fake.refuse_next = [402]
    with pytest.raises(Exception, match="402"):
        list(Cartesia(api_key="k", base_url=fake.url).tts.bytes(transcript=CANARY, **SPEECH))
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 402, names.CALL_REFUSED: True}.items()


def test_sockets_are_counted(fake: FakeCartesia, spans: Recorded) -> None:
    """Speech and recognition, both over the `connect` the SDK imported."""
    socket = TtsWebsocket(fake.ws_url, "k", "2024-11-13")  # `tts.websocket()` insists on TLS
    list(socket.send(transcript=CANARY, stream=True, **SPEECH))
    socket.close()
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.contexts.values()) == len(CANARY)
    recogniser = SttWebsocket(fake.ws_url, "k", "2024-11-13")
    recogniser.connect(model="ink-whisper", encoding="pcm_s16le", sample_rate=16_000)
    for _ in range(4):
        recogniser.send(CHUNK)
    until(lambda: fake.audio_bytes == [4 * 3200])
    recogniser.close()
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.4")
    assert "canary" not in spans.text()


def test_infill_and_the_voice_changer_are_counted(fake: FakeCartesia, spans: Recorded, wav) -> None:
    """Generators as well; credits, and seconds of what goes in."""
    client = Cartesia(api_key="k", base_url=fake.url)
    output = {"output_format_container": "mp3", "output_format_sample_rate": 44100, "output_format_bit_rate": 128_000}
    infill = {"model_id": "sonic-2", "language": "en", "transcript": CANARY, "voice_id": "v", **output}
    assert b"".join(client.infill.bytes(left_audio=b"a", right_audio=b"b", **infill)) == SPOKEN
    assert b"".join(client.voice_changer.bytes(clip=wav(2.5), voice_id="v", **output)) == SPOKEN

    async def change() -> None:
        changer = AsyncCartesia(api_key="k", base_url=fake.url).voice_changer
        assert b"".join([piece async for piece in changer.bytes(clip=wav(2.5), voice_id="v", **output)]) == SPOKEN

    asyncio.run(change())
    assert spans.values(names.BILLED_QUANTITY) == [300 + len(CANARY), None, None]
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [None, 2.5, 2.5]
