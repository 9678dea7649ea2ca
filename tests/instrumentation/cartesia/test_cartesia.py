"""Cartesia's SDK 3 and 4 against a fake that counts."""

import asyncio
import gc
import io
import wave
from collections.abc import Iterator
from decimal import Decimal as D
from importlib import metadata
from pathlib import Path
from typing import Any

import cartesia
import pytest
from cartesia import AsyncCartesia, Cartesia
from websockets.exceptions import InvalidStatus

from callfare import attributes as names
from callfare.instrumentation.cartesia import CartesiaInstrumentor
from tests.instrumentation.fakes.cartesia import SPOKEN, FakeCartesia
from tests.support.recording import Recorded, recorded, until
from tests.support.waiting import PATIENCE_SECONDS

VERSION = tuple(int(part) for part in metadata.version("cartesia").split(".")[:2])
CANARY = "canary naïve 🦜 42"
SPEECH: dict[str, Any] = {
    "model_id": "sonic-3",
    "voice": {"mode": "id", "id": "voice-1"},
    "output_format": {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 44100},
}
LIVE: dict[str, Any] = {"model": "ink-whisper", "encoding": "pcm_s16le", "sample_rate": 16_000}
CHUNK = b"\x00\x00" * 1600  # 0.1 s
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old ways of websockets
needs_recognition = pytest.mark.skipif(VERSION < (3, 1), reason="recognition sockets came with 3.1 or later")


@pytest.fixture
def fake() -> Iterator[FakeCartesia]:
    with FakeCartesia() as server:
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(CartesiaInstrumentor) as record:
        yield record


@pytest.fixture
def client(fake: FakeCartesia) -> Iterator[Cartesia]:
    with Cartesia(api_key="k", base_url=fake.url, websocket_base_url=fake.ws_url) as made:
        yield made


def _async_client(fake: FakeCartesia) -> AsyncCartesia:
    return AsyncCartesia(api_key="k", base_url=fake.url, websocket_base_url=fake.ws_url)


def _message(context: str, text: str, *, more: bool = False) -> dict[str, Any]:
    return {"context_id": context, "transcript": text, "continue": more, **SPEECH}


# --- HTTP ----------------------------------------------------------------------------------------------------


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
        async with _async_client(fake) as twin:
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
        async with _async_client(fake) as client:
            await client.tts.generate(transcript=CANARY, **SPEECH)
            stream = await client.tts.generate_sse(transcript=CANARY, **SPEECH)
            async with stream:
                await anext(stream.__aiter__())
            await client.stt.transcribe(file=b"x", model="ink-whisper")

    asyncio.run(call())
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters) == 2 * len(CANARY)
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("7.5")


# --- speech sockets ------------------------------------------------------------------------------------------


def test_two_contexts_on_one_socket_are_two_spans(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Interleaved; each has the characters of all its messages."""
    with client.tts.websocket_connect() as connection:
        connection.send(_message("one", CANARY, more=True))
        connection.send(_message("two", "second"))
        connection.send(_message("one", "and more"))
        done = 0
        while done < 2:
            done += connection.recv().type == "done"
    found = sorted(spans.values(names.INPUT_CHARACTERS))
    assert found == sorted(fake.contexts.values()) == [6, len(CANARY) + 8]
    assert spans.values(names.FINISH_REASONS) == [None, None]
    assert spans.values(names.REQUEST_MODEL) == ["sonic-3", "sonic-3"]


def test_a_cancelled_context_is_billed_for_what_was_sent(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """The vendor's `cancel` is the barge-in; the other context goes on."""
    with client.tts.websocket_connect() as connection:
        context = connection.context()
        context.send(transcript=CANARY, continue_=True, **SPEECH)
        connection.recv()
        context.cancel()
        connection.send(_message("left open", "bye", more=True))
        until(lambda: len(fake.contexts) == 2)
    assert spans.values(names.INPUT_CHARACTERS) == list(fake.contexts.values()) == [len(CANARY), 3]
    assert spans.values(names.FINISH_REASONS) == [("interrupted",), ("interrupted",)]


def test_an_error_before_audio_is_a_refusal(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Cartesia: errors cost nothing."""
    fake.errors_on = {"bad"}
    with client.tts.websocket_connect() as connection:
        connection.send(_message("bad", CANARY))
        assert connection.recv().type == "error"
    assert spans.one.items() >= {names.CALL_REFUSED: True, names.HTTP_STATUS_CODE: 400}.items()


def test_an_error_without_a_status_is_a_refusal_as_well(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """It is the vendor's own word, not its number, that the error costs nothing."""
    fake.errors_on, fake.error_status = {"bad"}, None
    with client.tts.websocket_connect() as connection:
        connection.send(_message("bad", CANARY))
        assert connection.recv().type == "error"
    assert spans.one[names.CALL_REFUSED] is True


def test_an_error_after_audio_is_estimated(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """What was spoken is charged, the error is not: how much that leaves, nobody says."""
    with client.tts.websocket_connect() as connection:
        connection.send(_message("late", "spoken ", more=True))
        assert connection.recv().type == "chunk"
        fake.errors_on = {"late"}
        connection.send(_message("late", CANARY))
        assert connection.recv().type == "error"
    found = spans.one
    assert (found[names.USAGE_SOURCE], found.get(names.CALL_REFUSED)) == ("estimated", None)
    assert found[names.INPUT_CHARACTERS] == len(CANARY) + 7


def test_a_broken_speech_socket_bills_what_was_sent(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """And raises as before."""
    fake.breaks_speech = True
    with client.tts.websocket_connect() as connection:
        connection.send(_message("one", CANARY))
        with pytest.raises(Exception, match=r"close|reset|EOF") as raised:
            connection.recv()
    assert type(raised.value).__name__ == "ConnectionClosedError"
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.contexts.values())
    assert names.CALL_REFUSED not in spans.one


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_speech_socket_nobody_holds_any_more_bills_what_was_sent(
    fake: FakeCartesia, client: Cartesia, spans: Recorded
) -> None:
    """Never closed and never read: the text was sent all the same."""
    connection = client.tts.websocket_connect().enter()
    connection.send(_message("a", "left alone", more=True))
    until(lambda: fake.contexts)
    connection._connection.__wrapped__.close()  # the test's own tidiness: past what watches
    del connection
    gc.collect()
    assert spans.one.items() >= {names.INPUT_CHARACTERS: 10, names.FINISH_REASONS: ("interrupted",)}.items()


def test_the_old_websocket_interface_is_counted(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """`tts.websocket()` sends through the same connection."""
    socket = client.tts.websocket()
    list(socket.send(transcript=CANARY, **SPEECH))
    socket.close()
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.contexts.values()) == len(CANARY)


def test_asynchronous_contexts_survive_cancellation(fake: FakeCartesia, spans: Recorded) -> None:
    """One context is finished; the task is cancelled in the middle of the other."""

    async def speak(client: AsyncCartesia) -> None:
        async with client.tts.websocket_connect() as connection:
            await connection.send(_message("one", CANARY))
            while (await connection.recv()).type != "done":
                pass
            await connection.send(_message("two", "half a sentence", more=True))
            await asyncio.Event().wait()

    async def main() -> None:
        async with _async_client(fake) as client:
            task = asyncio.create_task(speak(client))
            await asyncio.to_thread(until, lambda: len(fake.contexts) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))
    assert spans.values(names.INPUT_CHARACTERS) == list(fake.contexts.values())
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",)]


def test_each_context_belongs_to_who_sent_it(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """One socket may serve several callers."""
    with client.tts.websocket_connect() as connection:
        for name in ("first", "second"):
            with spans.tracer.start_as_current_span(name):
                connection.send(_message(name, CANARY))
                while connection.recv().type != "done":
                    pass
    traces = {span.context.trace_id for span in spans.paid}
    assert len(traces) == 2


# --- recognition sockets -------------------------------------------------------------------------------------


@needs_recognition
@pytest.mark.parametrize("kind", ["manual_finalize", "auto_finalize"])
def test_recognition_counts_the_audio_sent(fake: FakeCartesia, client: Cartesia, spans: Recorded, kind: str) -> None:
    """Silence included."""
    with getattr(client.stt, kind).websocket(**LIVE) as connection:
        for _ in range(7):
            connection.send_raw(CHUNK)
        until(lambda: fake.audio_bytes == [7 * 3200])
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D(fake.audio_bytes[0]) / 32_000 == D("0.7")
    assert spans.one[names.REQUEST_MODEL] == "ink-whisper"
    assert spans.one[names.SESSION_STATE] == "closed"


@needs_recognition
def test_a_reconnect_goes_on_with_the_session(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Two connections, one session: what both received is what it says."""
    fake.breaks_after_bytes = 3200
    manager = client.stt.manual_finalize.websocket(**LIVE, on_reconnecting=lambda _: None, initial_delay=0.01)
    with manager as connection:
        connection.send_raw(CHUNK)
        until(lambda: connection._connection.state.name == "CLOSED")
        with pytest.raises(Exception, match="close"):
            connection.send("finalize")  # queued by the SDK
        messages = iter(connection)
        next(messages)  # reconnects, and sends what was queued
        connection.send_raw(CHUNK * 2)
        connection.send("done")
        next(messages)
    assert fake.audio_bytes == [3200, 6400]
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.3")
    assert len(set(spans.values(names.SESSION_ID))) == 1


@needs_recognition
def test_a_recogniser_that_is_opened_again_is_counted_again(
    fake: FakeCartesia, client: Cartesia, spans: Recorded
) -> None:
    """One manager, entered twice: two connections in a row are two sessions; refused, it is a call of its own."""
    manager = client.stt.manual_finalize.websocket(**LIVE)
    for _ in range(2):
        with manager as connection:
            connection.send_raw(CHUNK * 5)
            connection.send("finalize")
            connection.recv()
    fake.refuse_next = [401]
    with pytest.raises(InvalidStatus):
        manager.enter()
    assert fake.audio_bytes == [5 * len(CHUNK)] * 2
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [0.5, 0.5, None]
    assert len(set(spans.values(names.SESSION_ID))) == 3
    assert spans.values(names.CALL_REFUSED) == [None, None, True]


@needs_recognition
def test_a_break_without_reconnect_is_lost_and_billed(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """The application gets the error."""
    fake.breaks_after_bytes = 3200
    with client.stt.manual_finalize.websocket(**LIVE) as connection:
        connection.send_raw(CHUNK)
        with pytest.raises(Exception, match=r"close|reset|EOF"):
            connection.recv()
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.1")
    assert spans.one[names.SESSION_STATE] == "lost"


@needs_recognition
def test_a_refused_recogniser_is_one_free_span(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """401 at the handshake."""
    fake.refuse_next = [401]
    with pytest.raises(Exception, match="401"), client.stt.manual_finalize.websocket(**LIVE):
        pass
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 401, names.CALL_REFUSED: True}.items()


@needs_recognition
def test_an_asynchronous_recogniser_is_counted(fake: FakeCartesia, spans: Recorded) -> None:
    """The asynchronous connection."""

    async def call() -> None:
        async with _async_client(fake) as client, client.stt.auto_finalize.websocket(**LIVE) as connection:
            for _ in range(3):
                await connection.send_raw(CHUNK)
            await asyncio.to_thread(until, lambda: fake.audio_bytes == [3 * 3200])

    asyncio.run(asyncio.wait_for(call(), PATIENCE_SECONDS))
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.3")


# --- promises ------------------------------------------------------------------------------------------------


def test_no_content_leaves_the_process(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Neither what is said nor what is heard, nor the vendor's error text."""
    client.tts.generate(transcript=CANARY, **SPEECH)
    client.stt.transcribe(file=b"x", model="ink-whisper")
    fake.errors_on = {"bad"}
    with client.tts.websocket_connect() as connection:
        connection.send(_message("bad", CANARY))
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
