"""Cartesia's sockets: each context of speech is a span, each recogniser a session."""

import asyncio
import gc
from decimal import Decimal as D
from typing import Any

import pytest
from cartesia import AsyncCartesia, Cartesia
from websockets.exceptions import InvalidStatus

from callfare import attributes as names
from tests.instrumentation.cartesia.sdk import (
    CANARY,
    SPEECH,
    async_client_of,
    message,
    needs_recognition,
)
from tests.instrumentation.fakes.cartesia import FakeCartesia
from tests.support.recording import Recorded, until
from tests.support.waiting import PATIENCE_SECONDS

LIVE: dict[str, Any] = {"model": "ink-whisper", "encoding": "pcm_s16le", "sample_rate": 16_000}
CHUNK = b"\x00\x00" * 1600  # 0.1 s
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old ways of websockets


# --- speech sockets ------------------------------------------------------------------------------------------


def test_two_contexts_on_one_socket_are_two_spans(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Interleaved; each has the characters of all its messages."""
    with client.tts.websocket_connect() as connection:
        connection.send(message("one", CANARY, more=True))
        connection.send(message("two", "second"))
        connection.send(message("one", "and more"))
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
        connection.send(message("left open", "bye", more=True))
        until(lambda: len(fake.contexts) == 2)
    assert spans.values(names.INPUT_CHARACTERS) == list(fake.contexts.values()) == [len(CANARY), 3]
    assert spans.values(names.FINISH_REASONS) == [("interrupted",), ("interrupted",)]


def test_an_error_before_audio_is_a_refusal(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """Cartesia: errors cost nothing."""
    fake.errors_on = {"bad"}
    with client.tts.websocket_connect() as connection:
        connection.send(message("bad", CANARY))
        assert connection.recv().type == "error"
    assert spans.one.items() >= {names.CALL_REFUSED: True, names.HTTP_STATUS_CODE: 400}.items()


def test_an_error_without_a_status_is_a_refusal_as_well(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """It is the vendor's own word, not its number, that the error costs nothing."""
    fake.errors_on, fake.error_status = {"bad"}, None
    with client.tts.websocket_connect() as connection:
        connection.send(message("bad", CANARY))
        assert connection.recv().type == "error"
    assert spans.one[names.CALL_REFUSED] is True


def test_an_error_after_audio_is_estimated(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """What was spoken is charged, the error is not: how much that leaves, nobody says."""
    with client.tts.websocket_connect() as connection:
        connection.send(message("late", "spoken ", more=True))
        assert connection.recv().type == "chunk"
        fake.errors_on = {"late"}
        connection.send(message("late", CANARY))
        assert connection.recv().type == "error"
    found = spans.one
    assert (found[names.USAGE_SOURCE], found.get(names.CALL_REFUSED)) == ("estimated", None)
    assert found[names.INPUT_CHARACTERS] == len(CANARY) + 7


def test_a_broken_speech_socket_bills_what_was_sent(fake: FakeCartesia, client: Cartesia, spans: Recorded) -> None:
    """And raises as before."""
    fake.breaks_speech = True
    with client.tts.websocket_connect() as connection:
        connection.send(message("one", CANARY))
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
    connection.send(message("a", "left alone", more=True))
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
            await connection.send(message("one", CANARY))
            while (await connection.recv()).type != "done":
                pass
            await connection.send(message("two", "half a sentence", more=True))
            await asyncio.Event().wait()

    async def main() -> None:
        async with async_client_of(fake) as client:
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
                connection.send(message(name, CANARY))
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
        async with async_client_of(fake) as client, client.stt.auto_finalize.websocket(**LIVE) as connection:
            for _ in range(3):
                await connection.send_raw(CHUNK)
            await asyncio.to_thread(until, lambda: fake.audio_bytes == [3 * 3200])

    asyncio.run(asyncio.wait_for(call(), PATIENCE_SECONDS))
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.3")
