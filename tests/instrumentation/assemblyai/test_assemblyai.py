"""AssemblyAI's SDK, 0.64 and 1.x, against a fake that counts."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import assemblyai
import pytest
from assemblyai.streaming.v3 import (
    StreamingClient,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
)

from callfare import attributes as names
from callfare.instrumentation.assemblyai import AssemblyAIInstrumentor
from tests.instrumentation.assemblyai.sdk import MAJOR, client_of
from tests.instrumentation.fakes.assemblyai import FakeAssemblyAI
from tests.support.recording import Recorded, recorded, until
from tests.support.waiting import PATIENCE_SECONDS

CANARY = "canary naïve 🦜 42"
CHUNK = b"\x00\x00" * 1600  # 0.1 s
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # the SDK uses old ways of websockets, and its own threads


def _transcriber(fake: FakeAssemblyAI) -> Any:
    return assemblyai.Transcriber(client=client_of(fake))


def _params(**more: Any) -> StreamingParameters:
    return StreamingParameters(sample_rate=16_000, speech_model="universal-streaming-english", **more)


def _stream(fake: FakeAssemblyAI) -> StreamingClient:
    return StreamingClient(StreamingClientOptions(api_key="k", api_host=fake.ws_url.removeprefix("ws://")))


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test() -> Iterator[None]:
    """What a thread of the SDK dies of is ignored here, and would fail the test of another module."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(PATIENCE_SECONDS)


@pytest.fixture(autouse=True)
def _plain_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK insists on TLS: the fake speaks without."""
    for module in ("assemblyai.streaming.v3.client", "assemblyai.streaming.v3.async_client"):
        monkeypatch.setattr(f"{module}._build_uri", _plain_uri)


def _plain_uri(host: str, params: Any) -> str:
    from assemblyai.streaming.v3 import _base

    return _base._build_uri(host, params).replace("wss://", "ws://")


# --- recorded audio ------------------------------------------------------------------------------------------


def test_a_transcript_is_billed_when_it_is_complete(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Upload, submit, two polls: one span, by the vendor's duration, parented where it was asked for."""
    with spans.tracer.start_as_current_span("call") as parent:
        transcript = _transcriber(fake).transcribe("http://example.test/a.wav")
    assert transcript.text == "canary transcript"
    assert (
        spans.one.items()
        >= {
            names.OPERATION_NAME: "speech_to_text",
            names.PROVIDER_NAME: "assemblyai",
            names.REQUEST_MODEL: "universal",
            names.RESPONSE_ID: "tr-0",
            names.AUDIO_INPUT_SECONDS: 93.0,
            names.USAGE_SOURCE: "vendor_body",
        }.items()
    )
    assert spans.paid[0].parent.span_id == parent.get_span_context().span_id


def test_a_transcript_is_billed_once_however_often_it_is_fetched(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Submitted, awaited, and fetched again."""
    transcript = _transcriber(fake).submit("http://example.test/a.wav")
    assert spans.paid == []
    transcript.wait_for_completion()
    transcript.wait_for_completion()
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [93]


def test_a_group_is_one_span_a_transcript(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Threads of the SDK's own."""
    _transcriber(fake).transcribe_group(["http://example.test/a.wav", "http://example.test/b.wav"])
    assert sorted(spans.values(names.RESPONSE_ID)) == sorted(fake.transcripts) == ["tr-0", "tr-1"]


def test_extras_of_a_transcript_are_named(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """The answer repeats what was asked for. By names alone: not a key term of the caller's."""
    fake.asked = {"speaker_labels": True, "keyterms_prompt": [CANARY], "redact_pii": False, "entity_detection": True}
    _transcriber(fake).transcribe("http://example.test/a.wav")
    assert spans.one[names.PAID_EXTRAS] == "entity_detection,keyterms_prompt,speaker_labels"
    assert "canary" not in spans.text()


def test_a_failed_transcript_is_free(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """The SDK returns it with an error; so do we leave it."""
    fake.fails = True
    assert _transcriber(fake).transcribe("http://example.test/a.wav").error == "canary error"
    assert spans.one[names.CALL_REFUSED] is True
    assert names.AUDIO_INPUT_SECONDS not in spans.one


@pytest.mark.skipif(MAJOR < 1, reason="asyncio came with 1.0")
def test_asynchronous_transcripts_are_billed(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """`AsyncTranscriber`."""

    async def call() -> None:
        settings = assemblyai.Settings(api_key="k", base_url=fake.url, polling_interval=0.01)
        async with assemblyai.AsyncClient(settings=settings) as client:
            await assemblyai.AsyncTranscriber(client=client).transcribe("http://example.test/a.wav")

    asyncio.run(call())
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [93]


# --- streams -------------------------------------------------------------------------------------------------


def test_a_terminated_stream_is_billed_by_the_vendors_clock(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """`session_duration_seconds`, not the audio that was sent."""
    client, terminated = _stream(fake), threading.Event()
    client.on(StreamingEvents.Termination, lambda *_: terminated.set())
    client.connect(_params(keyterms_prompt=[CANARY]))
    client.stream(CHUNK * 3)
    client.disconnect(terminate=True)
    assert terminated.wait(PATIENCE_SECONDS), "the application's handler gets the event as before"
    assert fake.audio_bytes == [3 * 3200]
    assert (
        spans.one.items()
        >= {
            names.SESSION_SECONDS: 42.0,
            names.SESSION_VENDOR_TOTAL_SECONDS: 42.0,
            names.SESSION_STATE: "closed",
            names.RESPONSE_ID: "session-1",
            names.REQUEST_MODEL: "universal-streaming-english",
            names.PAID_EXTRAS: "keyterms_prompt",
        }.items()
    )
    assert names.AUDIO_INPUT_SECONDS not in spans.one
    assert "canary" not in spans.text()


def test_a_stream_that_is_only_dropped_is_lost(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Our own clock, and a state that says the vendor's may run on."""
    client, at_seconds = _stream(fake), [time.monotonic()]
    client.connect(_params())
    at_seconds.append(time.monotonic())
    client.stream(CHUNK)
    until(lambda: fake.audio_bytes == [3200])
    at_seconds.append(time.monotonic())
    client.disconnect()
    at_seconds.append(time.monotonic())
    before, opened, closing, after = at_seconds
    assert spans.one[names.SESSION_STATE] == "lost"
    assert closing - opened - 0.001 <= spans.one[names.SESSION_SECONDS] <= after - before  # cut to milliseconds


def test_a_broken_stream_is_lost_with_its_error(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """The application's error handler is called as before."""
    fake.breaks_after_bytes = 3200
    client, errors = _stream(fake), []
    client.on(StreamingEvents.Error, lambda _, error: errors.append(error))
    client.connect(_params())
    client.stream(CHUNK)
    until(lambda: errors)
    until(lambda: spans.paid)
    assert spans.one[names.SESSION_STATE] == "lost"
    assert "ConnectionClosedError" in spans.one[names.ERROR_TYPE]


def test_a_refused_stream_is_one_free_span(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """401 at the handshake goes to the error handler."""
    fake.refuse_next = [401]
    client, errors = _stream(fake), []
    client.on(StreamingEvents.Error, lambda _, error: errors.append(error))
    client.connect(_params())
    assert len(errors) == 1
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 401, names.CALL_REFUSED: True}.items()


def test_two_streams_at_once_are_billed_twice(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """As the vendor's FAQ says."""
    one, other = _stream(fake), _stream(fake)
    for client in (one, other):
        client.connect(_params())
    for client in (one, other):
        client.disconnect(terminate=True)
    assert spans.total(names.SESSION_SECONDS) == 2 * fake.session_seconds
    assert len(set(spans.values(names.SESSION_ID))) == 2


def test_an_asynchronous_stream_is_billed(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """The asyncio client."""
    from assemblyai.streaming.v3 import AsyncStreamingClient

    async def call() -> None:
        client = AsyncStreamingClient(StreamingClientOptions(api_key="k", api_host=fake.ws_url.removeprefix("ws://")))
        await client.connect(_params())
        await client.stream(CHUNK)
        await client.disconnect(terminate=True)

    asyncio.run(asyncio.wait_for(call(), PATIENCE_SECONDS))
    assert spans.total(names.SESSION_SECONDS) == fake.session_seconds


# --- speech --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(MAJOR < 1, reason="speech came with 1.0")
def test_speech_counts_code_points_and_the_vendors_header(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Whole and streamed; a stream that is never opened sends nothing."""
    speech = assemblyai.TextToSpeech(client=client_of(fake))
    assert speech.synthesize(CANARY).audio.startswith(b"RIFF")
    speech.stream(CANARY)
    with speech.stream(CANARY) as stream:
        assert b"".join(stream).startswith(b"RIFF")
    assert spans.values(names.INPUT_CHARACTERS) == fake.characters == [len(CANARY)] * 2
    assert spans.values(names.BILLED_QUANTITY) == [float(len(CANARY))] * 2
    assert spans.values(names.AUDIO_OUTPUT_SECONDS) == [0.25, 0.25]
    assert "canary" not in spans.text()


@pytest.mark.skipif(MAJOR < 1, reason="speech came with 1.0")
def test_refused_speech_is_free(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """The SDK's own exception."""
    fake.refuse_next = [402]
    with pytest.raises(assemblyai.AssemblyAIError):
        assemblyai.TextToSpeech(client=client_of(fake)).synthesize(CANARY)
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 402, names.CALL_REFUSED: True}.items()


def test_no_content_leaves_the_process(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """No transcript, no error text."""
    _transcriber(fake).transcribe("http://example.test/canary.wav")
    fake.fails = True
    _transcriber(fake).transcribe("http://example.test/canary.wav")
    assert len(spans.paid) == 2
    assert "canary" not in spans.text()


def test_uninstrumented_the_sdk_is_as_it_was(fake: FakeAssemblyAI) -> None:
    """The function the SDK imported is put back as well."""
    from assemblyai.streaming.v3 import client as module
    from assemblyai.transcriber import _TranscriptImpl

    before = module.websocket_connect, vars(_TranscriptImpl)["wait_for_completion"]
    with recorded(AssemblyAIInstrumentor) as spans:
        pass
    assert (module.websocket_connect, vars(_TranscriptImpl)["wait_for_completion"]) == before
    _transcriber(fake).transcribe("http://example.test/a.wav")
    assert spans.paid == []
