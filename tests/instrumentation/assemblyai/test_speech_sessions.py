"""AssemblyAI's speech sessions, after 1.6: characters of each request, whatever becomes of it."""

import asyncio
import gc
from typing import Any

import assemblyai
import pytest

from callfare import attributes as names
from tests.instrumentation.assemblyai.sdk import client_of, settings_of
from tests.instrumentation.fakes.assemblyai import FakeAssemblyAI
from tests.instrumentation.releases import is_too_old
from tests.support.recording import Recorded, until
from tests.support.waiting import PATIENCE_SECONDS

CANARY = "canary naïve 🦜 42"
pytestmark = [
    pytest.mark.skipif(
        is_too_old("assemblyai", "speech sessions", has=hasattr(assemblyai, "TTSSession")),
        reason="speech sessions came after 1.6",
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the SDK uses old ways of websockets
]


def _session(fake: FakeAssemblyAI) -> Any:
    return assemblyai.TTSSession(config=assemblyai.TTSConfig(voice_id="aai-jane"), client=client_of(fake))


def test_a_session_is_one_span_a_request(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Characters and seconds of speech: never a recogniser's connected time, though the SDK connects alike."""
    with _session(fake) as session:
        assert b"".join(session.speak(CANARY)) == b"\0\0\0"
        session.generate("More ")
        session.generate("text.")
        list(session.audio(session.flush()))
    assert session.termination.total_input_char_length == fake.spoken_characters
    assert spans.values(names.OPERATION_NAME) == ["text_to_speech"] * 2
    assert spans.values(names.REQUEST_MODEL) == ["assemblyai-tts-1"] * 2
    assert spans.values(names.SPEECH_VOICE) == ["aai-jane"] * 2
    assert spans.values(names.INPUT_CHARACTERS) == [len(CANARY), len("More text.")]
    assert spans.values(names.AUDIO_OUTPUT_SECONDS) == [0.5, 0.5]
    assert spans.values(names.SESSION_SECONDS) == [None, None]
    assert "canary" not in spans.text()


def test_a_cancelled_request_is_billed_for_what_was_sent(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """The barge-in: flushed or not. Its number is not the next request's."""
    with _session(fake) as session:
        session.generate("never flushed")
        session.cancel()
        list(session.speak("after it"))
    assert spans.values(names.INPUT_CHARACTERS) == [len("never flushed"), len("after it")]
    assert spans.values(names.FINISH_REASONS) == [("interrupted",), None]
    assert spans.total(names.INPUT_CHARACTERS) == fake.spoken_characters


def test_an_empty_flush_is_no_request(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """The vendor answers it, and by its own number."""
    with _session(fake) as session:
        session.flush()
        list(session.speak("words"))
    assert spans.values(names.INPUT_CHARACTERS) == [len("words")]


def test_what_the_vendor_counts_beyond_ours_is_billed(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """`total_input_char_length` is "the billed characters"."""
    fake.uncounted_characters = 7
    with _session(fake) as session:
        list(session.speak("words"))
    assert spans.values(names.INPUT_CHARACTERS) == [len("words"), 7]
    assert spans.values(names.USAGE_SOURCE) == ["request", "vendor_body"]


def test_text_never_flushed_is_spoken_at_the_end(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Leaving the session says `Terminate`."""
    with _session(fake) as session:
        session.generate("words")
    assert spans.one[names.INPUT_CHARACTERS] == fake.spoken_characters == len("words")
    assert names.FINISH_REASONS not in spans.one


def test_a_broken_session_bills_what_was_sent(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """The application gets the SDK's error."""
    fake.breaks_speech = True
    with pytest.raises(assemblyai.TTSError), _session(fake) as session:
        list(session.speak(CANARY))
    assert spans.one[names.INPUT_CHARACTERS] == len(CANARY)
    assert spans.one[names.ERROR_TYPE].endswith("ConnectionClosedError")
    assert names.CALL_REFUSED not in spans.one


def test_a_session_nobody_holds_any_more_bills_what_was_sent(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Neither closed nor terminated: its thread ends, and with it the connection."""
    session = _session(fake)
    session.connect()
    session.generate("words")
    until(lambda: fake.spoken_characters)
    session._stopped.set()  # the thread that reads, and holds the connection, stops by itself
    session._reader.join(PATIENCE_SECONDS)
    del session
    gc.collect()
    assert spans.one.items() >= {names.INPUT_CHARACTERS: 5, names.FINISH_REASONS: ("interrupted",)}.items()


def test_a_refused_session_is_one_free_span(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """402 at the handshake."""
    fake.refuse_next = [402]
    with pytest.raises(assemblyai.TTSError):
        _session(fake).connect()
    assert spans.one[names.OPERATION_NAME] == "text_to_speech"
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 402, names.CALL_REFUSED: True}.items()


def test_an_asyncio_session_is_counted_where_it_was_sent(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """One task is cancelled in the middle; each request belongs to the span around it."""

    async def call() -> None:
        config, client = assemblyai.TTSConfig(voice_id="aai-jane"), assemblyai.AsyncClient(settings=settings_of(fake))
        async with client, assemblyai.AsyncTTSSession(config=config, client=client) as session:
            with spans.tracer.start_as_current_span("turn"):
                assert b"".join([piece async for piece in session.speak(CANARY)]) == b"\0\0\0"
            await session.generate("left alone")
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(call(), PATIENCE_SECONDS))
    assert spans.values(names.INPUT_CHARACTERS) == [len(CANARY), len("left alone")]
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",)]
    (turn,) = [span for span in spans.all if span.name == "turn"]
    assert [span.parent for span in spans.paid] == [turn.context, None]
