"""Deepgram: speech and agents, whole or broken off."""

import asyncio
import gc

import pytest
from deepgram.core.api_error import ApiError

from callfare import attributes as names
from callfare.instrumentation.deepgram._sockets import listener_for
from callfare.instrumentation.deepgram._usage import socket_request
from tests.instrumentation.deepgram.sdk import (
    CANARY,
    MAJOR,
    async_client_of,
    client_of,
    receive_all,
    speak,
)
from tests.instrumentation.fakes.deepgram import SPOKEN, FakeDeepgram
from tests.support.recording import Recorded, until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old names of websockets


def test_speech_counts_code_points_and_the_vendors_header(fake: FakeDeepgram, spans: Recorded) -> None:
    """Characters are code points; Deepgram's own count stands beside them."""
    audio = b"".join(client_of(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))
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


def test_speech_without_a_model_is_by_the_one_that_spoke(fake: FakeDeepgram, spans: Recorded) -> None:
    """Deepgram chooses a voice where the request names none, and says which: its price is that voice's."""
    b"".join(client_of(fake).speak.v1.audio.generate(text="one"))
    with client_of(fake).speak.v1.connect() as socket:
        speak(socket, "two")
        socket._send({"type": "Flush"})
        while getattr(socket.recv(), "type", "") != "Flushed":
            pass
        speak(socket, "three")
    b"".join(client_of(fake).speak.v1.audio.generate(text="four", model="aura-asteria-en"))
    assert spans.values(names.REQUEST_MODEL) == [None, None, None, "aura-asteria-en"]
    assert spans.values(names.RESPONSE_MODEL) == ["aura-2-thalia-en", "aura", "aura", None]


def test_a_generator_that_is_never_started_costs_nothing(fake: FakeDeepgram, spans: Recorded) -> None:
    """`generate` is lazy: calling it sends nothing."""
    client_of(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en")
    assert (spans.paid, fake.characters) == ([], [])


def test_barge_in_bills_the_whole_text(fake: FakeDeepgram, spans: Recorded) -> None:
    """The application stops listening: the text was sent."""
    chunks = client_of(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en")
    next(chunks)
    chunks.close()
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters)
    assert spans.one[names.FINISH_REASONS] == ("interrupted",)


def test_speech_that_breaks_off_is_an_error_and_billed(fake: FakeDeepgram, spans: Recorded) -> None:
    """A failure after the first byte is no refusal."""
    fake.breaks_speech_after_chunks = 2
    with pytest.raises(Exception, match=r"peer closed|closed connection|disconnected") as raised:
        list(client_of(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))
    assert type(raised.value).__name__ in ("RemoteProtocolError", "ReadError")
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters)
    assert names.CALL_REFUSED not in spans.one
    assert spans.one[names.ERROR_TYPE].startswith("httpx.")


def test_refused_speech_says_so(fake: FakeDeepgram, spans: Recorded) -> None:
    """402: the vendor did no work."""
    fake.refuse_next = [402]
    with pytest.raises(ApiError):
        list(client_of(fake).speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 402, names.CALL_REFUSED: True}.items()


def test_asynchronous_speech_survives_barge_in(fake: FakeDeepgram, spans: Recorded) -> None:
    """`aclose` ends the span."""

    async def call() -> None:
        async with async_client_of(fake) as client:
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
    with client_of(fake).speak.v1.connect(
        model="aura-2-thalia-en", encoding="linear16", sample_rate=24_000 if MAJOR > 5 else "24000"
    ) as socket:
        speak(socket, "Hello ")
        speak(socket, CANARY)
        socket._send({"type": "Flush"})
        while getattr(socket.recv(), "type", "") != "Flushed":
            pass
        speak(socket, "stop me")
        socket._send({"type": "Clear"})
        speak(socket, "bye")
    until(lambda: len(fake.characters) == 3)
    assert spans.values(names.INPUT_CHARACTERS) == fake.characters == [6 + len(CANARY), 7, 3]
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",), ("interrupted",)]
    assert spans.values(names.AUDIO_OUTPUT_SECONDS)[0] == 0.05


def test_a_speech_socket_that_breaks_bills_what_was_sent(fake: FakeDeepgram, spans: Recorded) -> None:
    """The text went out over an open connection."""
    fake.breaks_speech_after_chunks = 0
    with client_of(fake).speak.v1.connect(model="aura-2-thalia-en") as socket:
        speak(socket, CANARY)
        socket._send({"type": "Flush"})
        with pytest.raises(Exception, match=r"close|reset|EOF"):
            receive_all(socket)
    assert spans.total(names.INPUT_CHARACTERS) == sum(fake.characters)
    assert spans.one[names.ERROR_TYPE].endswith("ConnectionClosedError")
    assert names.CALL_REFUSED not in spans.one


def test_a_speech_socket_nobody_holds_any_more_bills_what_was_sent(fake: FakeDeepgram, spans: Recorded) -> None:
    """Never left and never read: both the utterance that was flushed and the open one were sent all the same."""
    manager = client_of(fake).speak.v1.connect(model="aura-2-thalia-en")
    socket = manager.__enter__()
    speak(socket, "flushed")
    socket._send({"type": "Flush"})
    speak(socket, "left alone")
    socket._websocket.__wrapped__.close()  # the test's own tidiness: past what watches
    del manager, socket
    gc.collect()
    assert spans.values(names.INPUT_CHARACTERS) == [len("flushed"), len("left alone")]
    assert spans.values(names.FINISH_REASONS) == [("interrupted",)] * 2


@pytest.mark.skipif(MAJOR < 7, reason="Flux text to speech came with SDK 7")
def test_flux_speech_takes_the_vendors_bill_of_each_turn(fake: FakeDeepgram, spans: Recorded) -> None:
    """Billable characters come with every turn, also an interrupted one."""
    with client_of(fake).speak.v2.connect(model="flux-thalia-en") as socket:
        speak(socket, CANARY)
        socket._send({"type": "Flush"})
        while getattr(socket.recv(), "type", "") != "SpeechMetadata":
            pass
        speak(socket, "stop me")
        socket._send({"type": "Interrupt"})
        while getattr(socket.recv(), "type", "") != "SpeechInterrupted":
            pass
    assert spans.values(names.INPUT_CHARACTERS) == fake.characters == [len(CANARY), 7]
    assert spans.values(names.BILLED_QUANTITY) == [len(CANARY) - 1, 6]
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",)]


def test_an_agent_is_billed_by_connected_time(fake: FakeDeepgram, spans: Recorded) -> None:
    """The Voice Agent's price is per minute of connection."""
    with client_of(fake).agent.v1.connect() as socket:
        socket.recv()
    assert spans.one[names.OPERATION_NAME] == "voice_agent"
    assert spans.one[names.SESSION_SECONDS] > 0
    assert names.AUDIO_INPUT_SECONDS not in spans.one


def test_the_total_of_an_agent_is_of_its_connection(spans: Recorded) -> None:
    """By the same seconds its budget holds."""
    request = socket_request("voice_agent", {})
    listener = listener_for("voice_agent", {})(spans.provider.get_tracer("test"), request)
    listener.received('{"type": "Metadata", "duration": 7.5}')
    assert request.meter == names.SESSION_SECONDS
    assert spans.one[names.SESSION_SECONDS] == spans.one[names.SESSION_VENDOR_TOTAL_SECONDS] == 7.5
    assert names.AUDIO_INPUT_SECONDS not in spans.one
