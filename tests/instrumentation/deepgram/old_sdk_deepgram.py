"""Deepgram's hand-written SDK, 3 and 4, against the same fake. Run by test_older_sdks.py, not by itself."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal as D

import pytest
from deepgram import (
    DeepgramClient,
    DeepgramClientOptions,
    LiveOptions,
    LiveTranscriptionEvents,
    PrerecordedOptions,
    SpeakOptions,
    SpeakWSOptions,
)

from callfare import attributes as names
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.support.recording import Recorded, until
from tests.support.waiting import PATIENCE_SECONDS

CANARY = "canary naïve 🦜 42"
CHUNK = b"\x00\x00" * 1600  # 0.1 s
LIVE = {"model": "nova-2", "encoding": "linear16", "sample_rate": 16_000}
SPEAK = {"model": "aura-asteria-en"}


@pytest.fixture
def fake() -> Iterator[FakeDeepgram]:
    with FakeDeepgram() as server:
        yield server


def _client(fake: FakeDeepgram) -> DeepgramClient:
    return DeepgramClient("k", DeepgramClientOptions(url=fake.url))


def test_files_are_billed_by_the_vendors_duration(fake: FakeDeepgram, spans: Recorded) -> None:
    """Options as an object and as a dictionary."""
    rest = _client(fake).listen.rest.v("1")
    rest.transcribe_file({"buffer": b"abc"}, PrerecordedOptions(model="nova-2"))
    rest.transcribe_url({"url": "http://example.test/a.wav"}, {"model": "nova-2", "multichannel": "true"})
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [12.34, 12.34]
    assert spans.values(names.AUDIO_CHANNELS) == [1, 2]
    assert spans.values(names.REQUEST_MODEL) == ["nova-2", "nova-2"]


def test_a_callback_is_the_second_argument(fake: FakeDeepgram, spans: Recorded) -> None:
    """The options then come third, by position or by name; the result goes elsewhere and has no length here."""
    rest, address = _client(fake).listen.rest.v("1"), "http://example.test/done"
    rest.transcribe_url_callback({"url": "http://example.test/a.wav"}, address, PrerecordedOptions(model="nova-2"))
    rest.transcribe_file_callback({"buffer": b"abc"}, address, options={"model": "nova-2"})
    rest.transcribe_url({"url": "http://example.test/a.wav"}, {"model": "nova-2", "callback": address})
    assert spans.values(names.REQUEST_MODEL) == ["nova-2"] * 3
    assert spans.values(names.USAGE_SOURCE) == ["unknown"] * 3


def test_a_refused_file_is_free(fake: FakeDeepgram, spans: Recorded) -> None:
    """The exception passes through."""
    fake.refuse_next = [401]
    with pytest.raises(Exception, match=r"401|refused|DeepgramApiError"):
        _client(fake).listen.rest.v("1").transcribe_url({"url": "http://example.test/a.wav"}, {"model": "nova-2"})
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 401, names.CALL_REFUSED: True}.items()


def test_asynchronous_files_are_counted(fake: FakeDeepgram, spans: Recorded) -> None:
    """The asynchronous twin."""
    rest = _client(fake).listen.asyncrest.v("1")
    asyncio.run(rest.transcribe_url({"url": "http://example.test/a.wav"}, PrerecordedOptions(model="nova-2")))
    assert spans.one[names.AUDIO_INPUT_SECONDS] == 12.34


def test_speech_counts_code_points(fake: FakeDeepgram, spans: Recorded) -> None:
    """In memory, raw, and to a file."""
    rest = _client(fake).speak.rest.v("1")
    rest.stream_memory({"text": CANARY}, SpeakOptions(model="aura-asteria-en"))
    rest.stream_raw({"text": CANARY}, SPEAK).close()
    asyncio.run(_client(fake).speak.asyncrest.v("1").stream_memory({"text": CANARY}, SPEAK))
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters) == 3 * len(CANARY)


def test_a_live_socket_reaches_the_vendors_total(fake: FakeDeepgram, spans: Recorded) -> None:
    """The SDK listens in a thread of its own."""
    socket = _client(fake).listen.websocket.v("1")
    socket.on(LiveTranscriptionEvents.Transcript, lambda *_, **__: None)
    assert socket.start(LiveOptions(**LIVE))
    for _ in range(10):
        assert socket.send(CHUNK)
    until(lambda: fake.audio_bytes == [32_000])
    socket._socket.send('{"type": "CloseStream"}')
    until(lambda: spans.paid)
    socket.finish()
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D(fake.audio_bytes[0]) / 32_000
    assert spans.one[names.SESSION_VENDOR_TOTAL_SECONDS] == 1.0
    assert spans.one[names.REQUEST_MODEL] == "nova-2"


def test_an_asynchronous_live_socket_is_counted(fake: FakeDeepgram, spans: Recorded) -> None:
    """Left by `finish`."""

    async def call() -> None:
        socket = _client(fake).listen.asyncwebsocket.v("1")
        assert await socket.start(LiveOptions(**LIVE))
        for _ in range(4):
            await socket.send(CHUNK)
        await asyncio.to_thread(until, lambda: fake.audio_bytes == [4 * 3200])
        await socket.finish()

    asyncio.run(asyncio.wait_for(call(), PATIENCE_SECONDS))
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.4")


def test_a_refused_socket_is_free(fake: FakeDeepgram, spans: Recorded) -> None:
    """The SDK answers False; the span tells why."""
    fake.refuse_next = [401]
    assert _client(fake).listen.websocket.v("1").start(LiveOptions(**LIVE)) is False
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 401, names.CALL_REFUSED: True}.items()


def test_a_speech_socket_is_one_span_an_utterance(fake: FakeDeepgram, spans: Recorded) -> None:
    """Flushed, then cleared."""
    socket = _client(fake).speak.websocket.v("1")
    assert socket.start(SpeakWSOptions(model="aura-asteria-en", encoding="linear16", sample_rate=24_000))
    socket.send_text(CANARY)
    socket.flush()
    until(lambda: len(spans.paid) == 1)
    socket.send_text("stop me")
    socket.clear()
    until(lambda: len(fake.characters) == 2)
    socket.finish()
    assert spans.values(names.INPUT_CHARACTERS) == fake.characters == [len(CANARY), 7]
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",)]
    assert "canary" not in spans.text()
