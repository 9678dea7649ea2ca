"""Deepgram's SDK 5 to 7 against a fake that counts."""

import asyncio
import gc
import io
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal as D
from typing import Any

import deepgram
import httpx
import pytest
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from websockets.exceptions import InvalidHandshake

from callfare import attributes as names
from callfare.instrumentation.deepgram import DeepgramInstrumentor
from tests.instrumentation.fakes.deepgram import SPOKEN, FakeDeepgram
from tests.instrumentation.recording import Recorded, recorded, until
from tests.support.waiting import PATIENCE_SECONDS

MAJOR = int(deepgram.__version__.split(".")[0])
CANARY = "canary naïve 🦜 42"
LIVE = {"model": "nova-3", "encoding": "linear16", "sample_rate": 16_000 if MAJOR > 5 else "16000"}
CHUNK = b"\x00\x00" * 1600  # 0.1 s
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old names of websockets


@pytest.fixture
def fake() -> Iterator[FakeDeepgram]:
    with FakeDeepgram() as server, httpx.Client(timeout=60) as http:
        server.client = http  # ours to close: the SDK's clients cannot be
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(DeepgramInstrumentor) as record:
        yield record


def _environment(fake: FakeDeepgram) -> DeepgramClientEnvironment:
    addresses = {"base": fake.url, "production": fake.ws_url, "agent": fake.ws_url}
    return DeepgramClientEnvironment(**addresses, **({"agent_rest": fake.url} if MAJOR > 6 else {}))


def _client(fake: FakeDeepgram) -> DeepgramClient:
    return DeepgramClient(api_key="k", environment=_environment(fake), httpx_client=fake.client)


@asynccontextmanager
async def _async_client(fake: FakeDeepgram) -> AsyncIterator[AsyncDeepgramClient]:
    async with httpx.AsyncClient(timeout=60) as http:
        yield AsyncDeepgramClient(api_key="k", environment=_environment(fake), httpx_client=http)


def _send(socket: Any, kind: str) -> Any:
    """A control message, in the words of this version; a coroutine for an asynchronous socket."""
    if MAJOR > 5:
        named = {"CloseStream": "close_stream", "KeepAlive": "keep_alive"}.get(kind, kind.lower())
        return getattr(socket, f"send_{named}")()
    return socket._send({"type": kind})


def _speak(socket: Any, text: str) -> Any:
    return socket._send({"type": "Speak", "text": text})


def _receive_all(socket: Any) -> None:
    while True:
        socket.recv()


def _wav(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"\x00\x00" * 8000 * seconds)
    return file.getvalue()


# --- files ---------------------------------------------------------------------------------------------------


def test_a_file_is_billed_by_the_vendors_duration(fake: FakeDeepgram, spans: Recorded) -> None:
    """The answer's duration wins over the file's own; the request's model is kept."""
    answer = _client(fake).listen.v1.media.transcribe_file(request=_wav(3), model="nova-3", language="en")
    assert answer.results.channels[0].alternatives[0].transcript == "canary transcript"
    assert (
        spans.one.items()
        >= {
            names.OPERATION_NAME: "speech_to_text",
            names.PROVIDER_NAME: "deepgram",
            names.REQUEST_MODEL: "nova-3",
            names.RESPONSE_ID: "dg-file",
            names.REQUEST_STREAM: False,
            names.SPEECH_INPUT_LANGUAGE: "en",
            names.AUDIO_INPUT_SECONDS: 12.34,
            names.AUDIO_CHANNELS: 1,
            names.USAGE_SOURCE: "vendor_body",
        }.items()
    )


def test_each_channel_is_billed_under_multichannel_only(fake: FakeDeepgram, spans: Recorded) -> None:
    """Stereo is billed once unless its channels are transcribed separately."""
    client = _client(fake)
    client.listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3")
    client.listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3", multichannel=True)
    assert spans.values(names.AUDIO_CHANNELS) == [1, 2]


def test_nova_3_in_many_languages_has_a_price_of_its_own(fake: FakeDeepgram, spans: Recorded) -> None:
    """`language=multi` is not in the model's name, but in its price."""
    client = _client(fake)
    client.listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3", language="multi")
    with client.listen.v1.connect(**LIVE, language="multi") as socket:
        socket.send_media(CHUNK)
    assert spans.values(names.REQUEST_MODEL) == ["nova-3-multilingual"] * 2


def test_the_raw_client_is_counted_once(fake: FakeDeepgram, spans: Recorded) -> None:
    """`with_raw_response` is the layer below the public method, and no second call."""
    response = _client(fake).listen.v1.media.with_raw_response.transcribe_url(url="http://example.test/a.wav")
    assert response.data.metadata.duration == 12.34
    assert spans.one[names.AUDIO_INPUT_SECONDS] == 12.34
    assert spans.one[names.RESPONSE_MODEL] == "nova-2", "without a model in the request, the answer's architecture"


def test_a_callback_request_measures_its_wav_or_says_unknown(fake: FakeDeepgram, spans: Recorded) -> None:
    """The result goes to the callback: a WAV tells its own length, an MP3 does not."""
    media = _client(fake).listen.v1.media
    media.transcribe_file(request=_wav(3), model="nova-3", callback="http://example.test/done")
    media.transcribe_file(request=b"ID3...", model="nova-3", callback="http://example.test/done")
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [3, None]
    assert spans.values(names.USAGE_SOURCE) == ["client", "unknown"]


def test_a_refused_file_costs_nothing_and_raises_as_before(fake: FakeDeepgram, spans: Recorded) -> None:
    """The vendor's own exception passes through; the span says that no work was done."""
    fake.refuse_next = [401]
    with pytest.raises(ApiError) as raised:
        _client(fake).listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3")
    assert raised.value.status_code == 401
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 401, names.CALL_REFUSED: True}.items()


def test_retries_inside_the_sdk_are_one_span(fake: FakeDeepgram, spans: Recorded) -> None:
    """Two 503 answers and a success: three requests, one bill."""
    fake.refuse_next = [503, 503]
    media = _client(fake).listen.v1.media
    media.transcribe_url(
        url="http://example.test/a.wav", model="nova-3", request_options={"max_retries": 4}
    )  # 5 counts from 2
    assert fake.request_count == 3
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("12.34")


def test_asynchronous_files_are_counted_too(fake: FakeDeepgram, spans: Recorded) -> None:
    """The asynchronous client has wrappers of its own."""

    async def call() -> None:
        async with _async_client(fake) as client:
            await client.listen.v1.media.transcribe_file(request=_wav(1), model="nova-3")

    asyncio.run(call())
    assert spans.one[names.AUDIO_INPUT_SECONDS] == 12.34


# --- recognition sockets -------------------------------------------------------------------------------------


def test_a_socket_ends_with_the_vendors_total(fake: FakeDeepgram, spans: Recorded) -> None:
    """Deepgram's closing figure corrects ours, and stands beside the sum."""
    fake.clock_factor = 1.05
    with _client(fake).listen.v1.connect(**LIVE) as socket:
        for _ in range(10):
            socket.send_media(CHUNK)
        _send(socket, "CloseStream")
        kinds = [message.type for message in socket]
    assert kinds == ["Results"] * 10 + ["Metadata"]
    assert fake.audio_bytes == [32_000]
    assert (
        spans.one.items()
        >= {
            names.REQUEST_MODEL: "nova-3",
            names.AUDIO_INPUT_SECONDS: 1.05,
            names.SESSION_VENDOR_TOTAL_SECONDS: 1.05,
            names.SESSION_STATE: "closed",
            names.SESSION_SEQUENCE: 1,
            names.RESPONSE_ID: "dg-live",
            names.REQUEST_STREAM: True,
            names.USAGE_SOURCE: "vendor_body",
        }.items()
    )


def test_a_socket_left_without_goodbye_counts_what_was_sent(fake: FakeDeepgram, spans: Recorded) -> None:
    """Leaving early: the audio that went out is billed."""
    with _client(fake).listen.v1.connect(**LIVE) as socket:
        for _ in range(7):
            socket.send_media(CHUNK)
    until(lambda: fake.audio_bytes == [7 * 3200])
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D(7 * 3200) / 32_000
    assert spans.values(names.SESSION_STATE) == ["closed"]


def test_all_three_ways_to_receive_see_the_total(fake: FakeDeepgram, spans: Recorded) -> None:
    """`recv`, iteration and `start_listening` each parse on their own."""

    def by_recv(socket: Any) -> None:
        while socket.recv().type != "Metadata":
            pass

    for receive in (by_recv, list, lambda socket: socket.start_listening()):
        with _client(fake).listen.v1.connect(**LIVE) as socket:
            socket.send_media(CHUNK)
            _send(socket, "CloseStream")
            receive(socket)
    assert spans.values(names.SESSION_VENDOR_TOTAL_SECONDS) == [0.1, 0.1, 0.1]


def test_a_broken_socket_bills_what_it_heard(fake: FakeDeepgram, spans: Recorded) -> None:
    """The connection drops: the error is the application's, the audio so far is on the span."""
    fake.breaks_after_bytes = 3 * 3200
    with _client(fake).listen.v1.connect(**LIVE) as socket:
        for _ in range(3):
            socket.send_media(CHUNK)
        with pytest.raises(Exception, match=r"close|reset|EOF") as raised:
            _receive_all(socket)
    assert "ConnectionClosed" in type(raised.value).__name__
    assert fake.audio_bytes == [3 * 3200]
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.3")
    assert spans.one[names.SESSION_STATE] == "lost"
    assert names.CALL_REFUSED not in spans.one


def test_a_refused_socket_is_one_free_span(fake: FakeDeepgram, spans: Recorded) -> None:
    """401 at the handshake."""
    fake.refuse_next = [401]
    # The SDK's own error, or that of a websockets newer than it knows.
    with pytest.raises((ApiError, InvalidHandshake)), _client(fake).listen.v1.connect(**LIVE):
        pass
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 401, names.CALL_REFUSED: True}.items()


def test_two_sockets_at_once_are_two_sessions(fake: FakeDeepgram, spans: Recorded) -> None:
    """Interleaved audio is counted where it was sent."""
    client = _client(fake)
    with client.listen.v1.connect(**LIVE) as one, client.listen.v1.connect(**LIVE) as other:
        for number in range(6):
            (one if number % 3 else other).send_media(CHUNK)
        for socket in (one, other):
            _send(socket, "CloseStream")
            list(socket)
    assert sorted(spans.values(names.AUDIO_INPUT_SECONDS)) == [0.2, 0.4]
    assert len(set(spans.values(names.SESSION_ID))) == 2


def test_a_container_is_measured_by_its_results(fake: FakeDeepgram, spans: Recorded) -> None:
    """Without an encoding the bytes say nothing: the end of the latest result does."""
    with _client(fake).listen.v1.connect(model="nova-3") as socket:
        for _ in range(5):
            socket.send_media(CHUNK)
            socket.recv()
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.5")


def test_multichannel_sockets_state_their_channels_once(fake: FakeDeepgram, spans: Recorded) -> None:
    """Seconds are per channel; the channels stand beside them."""
    flag: Any = True if MAJOR > 5 else "true"
    with _client(fake).listen.v1.connect(**LIVE, channels=2 if MAJOR > 5 else "2", multichannel=flag) as socket:
        socket.send_media(CHUNK * 2)
        _send(socket, "CloseStream")
        list(socket)
    assert (spans.one[names.AUDIO_INPUT_SECONDS], spans.one[names.AUDIO_CHANNELS]) == (0.1, 2)


def test_keep_alive_is_not_audio(fake: FakeDeepgram, spans: Recorded) -> None:
    """JSON extends the session only."""
    with _client(fake).listen.v1.connect(**LIVE) as socket:
        _send(socket, "KeepAlive")
        socket.send_media(CHUNK)
        _send(socket, "CloseStream")
        list(socket)
    assert spans.one[names.AUDIO_INPUT_SECONDS] == 0.1


def test_a_forgotten_socket_is_reported_as_lost(fake: FakeDeepgram, spans: Recorded) -> None:
    """Nobody closes it and nobody holds it: garbage collection ends the session."""
    manager = _client(fake).listen.v1.connect(**LIVE)
    socket = manager.__enter__()
    socket.send_media(CHUNK)
    socket._websocket.__wrapped__.close()
    del manager, socket
    gc.collect()
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.1")


def test_a_cancelled_task_bills_what_it_sent(fake: FakeDeepgram, spans: Recorded) -> None:
    """Asyncio cancellation in the middle of a call: nothing is lost, and the task is cancelled as before."""

    async def call() -> None:
        async with _async_client(fake) as client, client.listen.v1.connect(**LIVE) as socket:
            for _ in range(4):
                await socket.send_media(CHUNK)
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(call())
        await asyncio.to_thread(until, lambda: fake.audio_bytes == [4 * 3200])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.4")


def test_an_asynchronous_socket_reaches_the_vendors_total(fake: FakeDeepgram, spans: Recorded) -> None:
    """The asynchronous proxy, iterated."""

    async def call() -> list[str]:
        async with _async_client(fake) as client, client.listen.v1.connect(**LIVE) as socket:
            await socket.send_media(CHUNK)
            await _send(socket, "CloseStream")
            return [message.type async for message in socket]

    assert asyncio.run(call()) == ["Results", "Metadata"]
    assert spans.one[names.SESSION_VENDOR_TOTAL_SECONDS] == 0.1


def test_flux_counts_the_audio_sent(fake: FakeDeepgram, spans: Recorded) -> None:
    """Flux states no total at the close."""
    flux = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": LIVE["sample_rate"]}
    with _client(fake).listen.v2.connect(**flux) as socket:
        for _ in range(3):
            socket._send(CHUNK)
        socket._send({"type": "CloseStream"})
        list(socket)
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D(fake.audio_bytes[0]) / 32_000 == D("0.3")
    assert spans.one[names.REQUEST_MODEL] == "flux-general-en"


def test_the_application_span_is_the_parent(fake: FakeDeepgram, spans: Recorded) -> None:
    """The context of the moment of connecting, also for a delta made by another thread."""
    with spans.tracer.start_as_current_span("call") as parent:
        manager = _client(fake).listen.v1.connect(**LIVE)
        socket = manager.__enter__()
    socket.send_media(CHUNK)
    manager.__exit__(None, None, None)
    (span,) = spans.paid
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id


# --- speech --------------------------------------------------------------------------------------------------


def test_speech_counts_code_points_and_the_vendors_header(fake: FakeDeepgram, spans: Recorded) -> None:
    """Characters are code points; Deepgram's own count stands beside them."""
    audio = b"".join(_client(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))
    assert audio == SPOKEN * 8
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters) == len(CANARY)
    assert (
        spans.one.items()
        >= {
            names.OPERATION_NAME: "text_to_speech",
            names.REQUEST_MODEL: "aura-2-thalia-en",
            names.BILLED_QUANTITY: float(len(CANARY)),
            names.BILLED_UNIT: "character",
            names.USAGE_SOURCE: "vendor_header",
            names.RESPONSE_ID: "dg-say",
        }.items()
    )
    assert names.FINISH_REASONS not in spans.one


def test_a_generator_that_is_never_started_costs_nothing(fake: FakeDeepgram, spans: Recorded) -> None:
    """`generate` is lazy: calling it sends nothing."""
    _client(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en")
    assert (spans.paid, fake.characters) == ([], [])


def test_barge_in_bills_the_whole_text(fake: FakeDeepgram, spans: Recorded) -> None:
    """The application stops listening: the text was sent."""
    chunks = _client(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en")
    next(chunks)
    chunks.close()
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters)
    assert spans.one[names.FINISH_REASONS] == ("interrupted",)


def test_speech_that_breaks_off_is_an_error_and_billed(fake: FakeDeepgram, spans: Recorded) -> None:
    """A failure after the first byte is no refusal."""
    fake.breaks_speech_after_chunks = 2
    with pytest.raises(Exception, match=r"peer closed|closed connection|disconnected") as raised:
        list(_client(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))
    assert type(raised.value).__name__ in ("RemoteProtocolError", "ReadError")
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters)
    assert names.CALL_REFUSED not in spans.one
    assert spans.one[names.ERROR_TYPE].startswith("httpx.")


def test_refused_speech_says_so(fake: FakeDeepgram, spans: Recorded) -> None:
    """402: the vendor did no work."""
    fake.refuse_next = [402]
    with pytest.raises(ApiError):
        list(_client(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 402, names.CALL_REFUSED: True}.items()


def test_asynchronous_speech_survives_barge_in(fake: FakeDeepgram, spans: Recorded) -> None:
    """`aclose` ends the span."""

    async def call() -> None:
        async with _async_client(fake) as client:
            chunks = client.speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en")
            await anext(chunks)
            await chunks.aclose()
            async for _ in client.speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"):
                pass

    asyncio.run(call())
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters) == 2 * len(CANARY)
    assert spans.values(names.FINISH_REASONS) == [("interrupted",), None]


def test_a_speech_socket_is_one_span_an_utterance(fake: FakeDeepgram, spans: Recorded) -> None:
    """Speak, Speak, Flush; Speak, Clear; Speak and gone: three bills, each for what was sent."""
    with _client(fake).speak.v1.connect(
        model="aura-2-thalia-en", encoding="linear16", sample_rate=24_000 if MAJOR > 5 else "24000"
    ) as socket:
        _speak(socket, "Hello ")
        _speak(socket, CANARY)
        socket._send({"type": "Flush"})
        while getattr(socket.recv(), "type", "") != "Flushed":
            pass
        _speak(socket, "stop me")
        socket._send({"type": "Clear"})
        _speak(socket, "bye")
    until(lambda: len(fake.characters) == 3)
    assert spans.values(names.INPUT_CHARACTERS) == fake.characters == [6 + len(CANARY), 7, 3]
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",), ("interrupted",)]
    assert spans.values(names.AUDIO_OUTPUT_SECONDS)[0] == 0.05


def test_a_speech_socket_that_breaks_bills_what_was_sent(fake: FakeDeepgram, spans: Recorded) -> None:
    """The text went out over an open connection."""
    fake.breaks_speech_after_chunks = 0
    with _client(fake).speak.v1.connect(model="aura-2-thalia-en") as socket:
        _speak(socket, CANARY)
        socket._send({"type": "Flush"})
        with pytest.raises(Exception, match=r"close|reset|EOF"):
            _receive_all(socket)
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters)
    assert spans.one[names.ERROR_TYPE].endswith("ConnectionClosedError")
    assert names.CALL_REFUSED not in spans.one


@pytest.mark.skipif(MAJOR < 7, reason="Flux text to speech came with SDK 7")
def test_flux_speech_takes_the_vendors_bill_of_each_turn(fake: FakeDeepgram, spans: Recorded) -> None:
    """Billable characters come with every turn, also an interrupted one."""
    with _client(fake).speak.v2.connect(model="flux-thalia-en") as socket:
        _speak(socket, CANARY)
        socket._send({"type": "Flush"})
        while getattr(socket.recv(), "type", "") != "SpeechMetadata":
            pass
        _speak(socket, "stop me")
        socket._send({"type": "Interrupt"})
        while getattr(socket.recv(), "type", "") != "SpeechInterrupted":
            pass
    assert spans.values(names.INPUT_CHARACTERS) == fake.characters == [len(CANARY), 7]
    assert spans.values(names.BILLED_QUANTITY) == [len(CANARY) - 1, 6]
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",)]


def test_an_agent_is_billed_by_connected_time(fake: FakeDeepgram, spans: Recorded) -> None:
    """The Voice Agent's price is per minute of connection."""
    with _client(fake).agent.v1.connect() as socket:
        socket.recv()
    assert spans.one[names.OPERATION_NAME] == "voice_agent"
    assert spans.one[names.SESSION_SECONDS] > 0
    assert names.AUDIO_INPUT_SECONDS not in spans.one


# --- promises ------------------------------------------------------------------------------------------------


def test_no_content_leaves_the_process(fake: FakeDeepgram, spans: Recorded) -> None:
    """Neither what is said nor what is heard is on any span."""
    client = _client(fake)
    list(client.speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))
    client.listen.v1.media.transcribe_file(request=_wav(1), model="nova-3", keyterm=["canary"])
    with client.listen.v1.connect(**LIVE) as socket:
        socket.send_media(CHUNK)
        _send(socket, "CloseStream")
        list(socket)
    with client.speak.v1.connect(model="aura-2-thalia-en") as socket:
        _speak(socket, CANARY)
    assert len(spans.paid) == 4
    assert "canary" not in spans.text()


def test_uninstrumented_the_sdk_is_as_it_was(fake: FakeDeepgram) -> None:
    """Every wrapped object is put back, and nothing is recorded any more."""
    from deepgram.listen.v1.client import V1Client
    from deepgram.listen.v1.media.raw_client import RawMediaClient

    before = vars(V1Client)["connect"], vars(RawMediaClient)["transcribe_url"]
    with recorded(DeepgramInstrumentor) as spans:
        assert vars(V1Client)["connect"] is not before[0]
    assert (vars(V1Client)["connect"], vars(RawMediaClient)["transcribe_url"]) == before
    _client(fake).listen.v1.media.transcribe_url(url="http://example.test/a.wav")
    assert spans.paid == []


def test_the_results_are_the_same_with_and_without(fake: FakeDeepgram) -> None:
    """What the application gets does not depend on us."""

    def run() -> list[Any]:
        client = _client(fake)
        file = client.listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3").dict()
        with client.listen.v1.connect(**LIVE) as socket:
            socket.send_media(CHUNK)
            _send(socket, "CloseStream")
            heard = [message.dict() for message in socket]
        return [file, heard, list(client.speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))]

    plain = run()
    with recorded(DeepgramInstrumentor):
        assert run() == plain
