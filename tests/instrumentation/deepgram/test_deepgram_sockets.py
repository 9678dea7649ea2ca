"""Deepgram: recognition sockets, from their first chunk to the vendor's total."""

import asyncio
import gc
from decimal import Decimal as D
from typing import Any

import pytest
from deepgram.core.api_error import ApiError
from websockets.exceptions import InvalidHandshake

from callfare import attributes as names
from tests.instrumentation.deepgram.sdk import (
    CHUNK,
    LIVE,
    MAJOR,
    async_client_of,
    client_of,
    receive_all,
    send,
)
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.support.recording import Recorded, until
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old names of websockets


def test_a_socket_ends_with_the_vendors_total(fake: FakeDeepgram, spans: Recorded) -> None:
    """Deepgram's closing figure corrects ours, and stands beside the sum."""
    fake.clock_factor = 1.05
    with client_of(fake).listen.v1.connect(**LIVE) as socket:
        for _ in range(10):
            socket.send_media(CHUNK)
        send(socket, "CloseStream")
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
    with client_of(fake).listen.v1.connect(**LIVE) as socket:
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
        with client_of(fake).listen.v1.connect(**LIVE) as socket:
            socket.send_media(CHUNK)
            send(socket, "CloseStream")
            receive(socket)
    assert spans.values(names.SESSION_VENDOR_TOTAL_SECONDS) == [0.1, 0.1, 0.1]


def test_a_broken_socket_bills_what_it_heard(fake: FakeDeepgram, spans: Recorded) -> None:
    """The connection drops: the error is the application's, the audio so far is on the span."""
    fake.breaks_after_bytes = 3 * 3200
    with client_of(fake).listen.v1.connect(**LIVE) as socket:
        for _ in range(3):
            socket.send_media(CHUNK)
        with pytest.raises(Exception, match=r"close|reset|EOF") as raised:
            receive_all(socket)
    assert "ConnectionClosed" in type(raised.value).__name__
    assert fake.audio_bytes == [3 * 3200]
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.3")
    assert spans.one[names.SESSION_STATE] == "lost"
    assert names.CALL_REFUSED not in spans.one


def test_a_refused_socket_is_one_free_span(fake: FakeDeepgram, spans: Recorded) -> None:
    """401 at the handshake."""
    fake.refuse_next = [401]
    # The SDK's own error, or that of a websockets newer than it knows.
    with pytest.raises((ApiError, InvalidHandshake)), client_of(fake).listen.v1.connect(**LIVE):
        pass
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 401, names.CALL_REFUSED: True}.items()


def test_two_sockets_at_once_are_two_sessions(fake: FakeDeepgram, spans: Recorded) -> None:
    """Interleaved audio is counted where it was sent."""
    client = client_of(fake)
    with client.listen.v1.connect(**LIVE) as one, client.listen.v1.connect(**LIVE) as other:
        for number in range(6):
            (one if number % 3 else other).send_media(CHUNK)
        for socket in (one, other):
            send(socket, "CloseStream")
            list(socket)
    assert sorted(spans.values(names.AUDIO_INPUT_SECONDS)) == [0.2, 0.4]
    assert len(set(spans.values(names.SESSION_ID))) == 2


def test_a_container_is_measured_by_its_results(fake: FakeDeepgram, spans: Recorded) -> None:
    """Without an encoding the bytes say nothing: the end of the latest result does."""
    with client_of(fake).listen.v1.connect(model="nova-3") as socket:
        for _ in range(5):
            socket.send_media(CHUNK)
            socket.recv()
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.5")


def test_multichannel_sockets_state_their_channels_once(fake: FakeDeepgram, spans: Recorded) -> None:
    """Seconds are per channel; the channels stand beside them."""
    flag: Any = True if MAJOR > 5 else "true"
    with client_of(fake).listen.v1.connect(**LIVE, channels=2 if MAJOR > 5 else "2", multichannel=flag) as socket:
        socket.send_media(CHUNK * 2)
        send(socket, "CloseStream")
        list(socket)
    assert (spans.one[names.AUDIO_INPUT_SECONDS], spans.one[names.AUDIO_CHANNELS]) == (0.1, 2)


def test_keep_alive_is_not_audio(fake: FakeDeepgram, spans: Recorded) -> None:
    """JSON extends the session only."""
    with client_of(fake).listen.v1.connect(**LIVE) as socket:
        send(socket, "KeepAlive")
        socket.send_media(CHUNK)
        send(socket, "CloseStream")
        list(socket)
    assert spans.one[names.AUDIO_INPUT_SECONDS] == 0.1


def test_a_forgotten_socket_is_reported_as_lost(fake: FakeDeepgram, spans: Recorded) -> None:
    """Nobody closes it and nobody holds it: garbage collection ends the session."""
    manager = client_of(fake).listen.v1.connect(**LIVE)
    socket = manager.__enter__()
    socket.send_media(CHUNK)
    socket._websocket.__wrapped__.close()
    del manager, socket
    gc.collect()
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("0.1")


def test_a_cancelled_task_bills_what_it_sent(fake: FakeDeepgram, spans: Recorded) -> None:
    """Asyncio cancellation in the middle of a call: nothing is lost, and the task is cancelled as before."""

    async def call() -> None:
        async with async_client_of(fake) as client, client.listen.v1.connect(**LIVE) as socket:
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
        async with async_client_of(fake) as client, client.listen.v1.connect(**LIVE) as socket:
            await socket.send_media(CHUNK)
            await send(socket, "CloseStream")
            return [message.type async for message in socket]

    assert asyncio.run(call()) == ["Results", "Metadata"]
    assert spans.one[names.SESSION_VENDOR_TOTAL_SECONDS] == 0.1


def test_flux_counts_the_audio_sent(fake: FakeDeepgram, spans: Recorded) -> None:
    """Flux states no total at the close."""
    flux = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": LIVE["sample_rate"]}
    with client_of(fake).listen.v2.connect(**flux) as socket:
        for _ in range(3):
            socket._send(CHUNK)
        socket._send({"type": "CloseStream"})
        list(socket)
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D(fake.audio_bytes[0]) / 32_000 == D("0.3")
    assert spans.one[names.REQUEST_MODEL] == "flux-general-en"


def test_the_application_span_is_the_parent(fake: FakeDeepgram, spans: Recorded) -> None:
    """The context of the moment of connecting, also for a delta made by another thread."""
    with spans.tracer.start_as_current_span("call") as parent:
        manager = client_of(fake).listen.v1.connect(**LIVE)
        socket = manager.__enter__()
    socket.send_media(CHUNK)
    manager.__exit__(None, None, None)
    (span,) = spans.paid
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
