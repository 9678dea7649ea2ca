"""Speech by sockets under a budget, by the vendors' real SDKs: what is refused never reaches the fakes."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from decimal import Decimal as D
from importlib import import_module
from pathlib import Path
from typing import Any

import assemblyai
import httpx
import pytest
from cartesia import Cartesia
from elevenlabs.client import AsyncElevenLabs, ElevenLabs

from callfare import BudgetExceeded, budget
from callfare.calls.span import CallRequest
from callfare.instrumentation.assemblyai import AssemblyAIInstrumentor
from callfare.instrumentation.assemblyai._sockets import listener_for as assemblyai_listener_for
from callfare.instrumentation.cartesia import CartesiaInstrumentor
from callfare.instrumentation.cartesia._sockets import Contexts
from callfare.instrumentation.deepgram import DeepgramInstrumentor
from callfare.instrumentation.deepgram._sockets import listener_for as deepgram_listener_for
from callfare.instrumentation.elevenlabs import ElevenLabsInstrumentor
from tests.instrumentation.assemblyai.sdk import client_of as assemblyai_of
from tests.instrumentation.assemblyai.test_assemblyai import _params, _plain_uri, _stream
from tests.instrumentation.cartesia.sdk import SPEECH
from tests.instrumentation.cartesia.test_cartesia_sockets import LIVE as CARTESIA_LIVE
from tests.instrumentation.deepgram.sdk import CHUNK, LIVE, async_client_of, client_of, send, speak
from tests.instrumentation.elevenlabs.test_elevenlabs import SETTINGS, here
from tests.instrumentation.fakes.assemblyai import FakeAssemblyAI
from tests.instrumentation.fakes.cartesia import FakeCartesia
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.support.recording import Recorded, until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDKs use old ways of websockets
AURA = {"model": "aura-2-thalia-en", "encoding": "linear16", "sample_rate": "24000"}
PRICES = """
inherit: list
prices:
  - {provider: deepgram, model: nova-3, unit: audio_seconds, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: cartesia, model: ink-whisper, unit: audio_seconds, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: elevenlabs, model: scribe_v2_realtime, unit: audio_seconds, price: "0.01", per: "1",
     valid_from: 2020-01-01}
  - {provider: assemblyai, model: universal-streaming-english, unit: session_seconds, price: "0.01", per: "1",
     valid_from: 2020-01-01}
  - {provider: deepgram, model: aura-2-thalia-en, unit: characters, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: cartesia, model: sonic-3, unit: characters, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: elevenlabs, model: m, unit: characters, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: assemblyai, model: assemblyai-tts-1, unit: characters, price: "0.01", per: "1", valid_from: 2020-01-01}
"""
A_MINUTE = D("0.60")
TEN = "ten chars."


@pytest.fixture(autouse=True)
def cent_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second heard and every character spoken costs a cent."""
    path = tmp_path / "sockets.yaml"
    path.write_text(PRICES, encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))


def amounts(money: Any) -> tuple[D, D]:
    return money.spent_usd, money.reserved_usd


@contextlib.contextmanager
def instrumented(spans: Recorded, kind: Any) -> Iterator[None]:
    instrumentor = kind()
    instrumentor.instrument(tracer_provider=spans.provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


@pytest.fixture
def deepgram(spans: Recorded) -> Iterator[FakeDeepgram]:
    with FakeDeepgram() as fake, httpx.Client(timeout=60) as http, instrumented(spans, DeepgramInstrumentor):
        fake.client = http
        yield fake


@pytest.fixture
def cartesia(spans: Recorded) -> Iterator[tuple[FakeCartesia, Cartesia]]:
    with (
        FakeCartesia() as fake,
        instrumented(spans, CartesiaInstrumentor),
        Cartesia(api_key="k", base_url=fake.url, websocket_base_url=fake.ws_url) as client,
    ):
        yield fake, client


@pytest.fixture
def elevenlabs(spans: Recorded) -> Iterator[tuple[ElevenLabsFake, ElevenLabs]]:
    with ElevenLabsFake() as fake, instrumented(spans, ElevenLabsInstrumentor):
        client = ElevenLabs(api_key="k", **here(fake))
        client.text_to_speech._ws_base_url = fake.ws_url
        with client._client_wrapper.httpx_client.httpx_client:
            yield fake, client


@pytest.fixture
def assembly(spans: Recorded, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAssemblyAI]:
    monkeypatch.setattr("assemblyai.streaming.v3.client._build_uri", _plain_uri)  # the SDK insists on TLS
    with FakeAssemblyAI() as fake, instrumented(spans, AssemblyAIInstrumentor):
        fake.clients = []
        yield fake
        for client in fake.clients:
            client.http_client.close()


# --- recognition: the connection is refused ------------------------------------------------------------------


def test_a_recogniser_that_does_not_fit_never_connects(deepgram: FakeDeepgram, spans: Recorded) -> None:
    """No handshake, no span. One that fits is settled by the vendor's own total."""
    with budget("0.59") as money:
        with pytest.raises(BudgetExceeded) as refused, client_of(deepgram).listen.v1.connect(**LIVE):
            pass
        assert refused.value.estimate_usd == A_MINUTE
        assert (deepgram.request_count, spans.all, amounts(money)) == (0, (), (0, 0))
    with budget("0.60") as money:
        with client_of(deepgram).listen.v1.connect(**LIVE) as socket:
            assert amounts(money) == (0, A_MINUTE)
            with pytest.raises(BudgetExceeded), client_of(deepgram).listen.v1.connect(**LIVE):
                pass
            for _ in range(10):
                socket._send(CHUNK)
            send(socket, "CloseStream")
            with contextlib.suppress(Exception):
                while True:
                    socket.recv()
        assert amounts(money) == (D("0.01"), 0)
    assert len(deepgram.audio_bytes) == 1


def test_a_cancelled_recogniser_is_settled(deepgram: FakeDeepgram, spans: Recorded) -> None:
    """The task that listens is cancelled: what was sent is spent, and nothing stays reserved."""

    async def listen() -> None:
        async with async_client_of(deepgram) as client, client.listen.v1.connect(**LIVE) as socket:
            for _ in range(10):
                await socket._send(CHUNK)
            sent.set()
            await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(listen())
        await sent.wait()
        assert amounts(money) == (0, A_MINUTE)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with budget("1") as money:
        sent = asyncio.Event()
        asyncio.run(run())
    assert amounts(money) == (D("0.01"), 0)


def test_an_exception_in_the_conversation_settles(deepgram: FakeDeepgram, spans: Recorded) -> None:
    """The application's own error leaves nothing reserved."""
    with budget("1") as money:
        with pytest.raises(ZeroDivisionError), client_of(deepgram).listen.v1.connect(**LIVE) as socket:
            _break_off(socket)
        assert amounts(money) == (D("0.001"), 0)


def _break_off(socket: Any) -> None:
    socket._send(CHUNK)
    raise ZeroDivisionError


def test_a_connection_that_never_comes_about_gives_its_money_back(deepgram: FakeDeepgram, spans: Recorded) -> None:
    """One failed span, nothing spent."""
    deepgram.refuse_next = [401]
    with budget("1") as money:
        with pytest.raises(Exception, match="401"), client_of(deepgram).listen.v1.connect(**LIVE):
            pass
        assert amounts(money) == (0, 0)


def test_other_recognisers_are_refused_as_well(
    cartesia: tuple[FakeCartesia, Cartesia],
    elevenlabs: tuple[ElevenLabsFake, ElevenLabs],
    assembly: FakeAssemblyAI,
    spans: Recorded,
) -> None:
    """Cartesia, ElevenLabs and AssemblyAI: each is asked for before it connects, and held while it is open."""

    async def scribe() -> None:
        client = AsyncElevenLabs(api_key="k", **here(elevenlabs[0]))
        client.speech_to_text.realtime.base_url = elevenlabs[0].ws_url
        form = import_module("elevenlabs.realtime.scribe").AudioFormat.PCM_16000
        options = {"model_id": "scribe_v2_realtime", "audio_format": form, "sample_rate": 16_000}
        connection = await client.speech_to_text.realtime.connect(options)
        assert amounts(money) == (0, A_MINUTE)
        await connection.send({"audio_base_64": base64.b64encode(CHUNK).decode()})
        await connection.close()

    def ink() -> None:
        with cartesia[1].stt.manual_finalize.websocket(**CARTESIA_LIVE) as connection:
            assert amounts(money) == (0, A_MINUTE)
            connection.send_raw(CHUNK)

    def universal() -> None:
        client = _stream(assembly)
        client.connect(_params())
        assert amounts(money) == (0, A_MINUTE)
        client.disconnect(terminate=True)

    for listen, fake, cost in (
        (ink, cartesia[0], D("0.001")),
        (lambda: asyncio.run(scribe()), elevenlabs[0], D("0.001")),
        (universal, assembly, D("0.42")),
    ):
        with budget("0.59") as money:
            with pytest.raises(BudgetExceeded):
                listen()
            assert (fake.request_count, amounts(money)) == (0, (0, 0))
        with budget("0.60") as money:
            listen()
            until(lambda money=money: money.reserved_usd == 0)
            assert amounts(money) == (cost, 0)


# --- speech: the text is refused -----------------------------------------------------------------------------


def test_text_that_does_not_fit_is_not_sent(deepgram: FakeDeepgram, spans: Recorded) -> None:
    """Piece by piece: the third one would be 0.30 of 0.25. What was sent before is spoken, and spent."""
    with budget("0.25") as money, client_of(deepgram).speak.v1.connect(**AURA) as socket:
        assert amounts(money) == (0, 0)
        speak(socket, TEN)
        assert amounts(money) == (0, D("0.10"))
        speak(socket, TEN)
        assert amounts(money) == (0, D("0.20"))
        with pytest.raises(BudgetExceeded):
            speak(socket, TEN)
        assert amounts(money) == (0, D("0.20"))
        socket._send({"type": "Flush"})
        while getattr(socket.recv(), "type", "") != "Flushed":
            pass
        assert amounts(money) == (D("0.20"), 0)
        with pytest.raises(BudgetExceeded):
            speak(socket, TEN)
    assert amounts(money) == (D("0.20"), 0)
    assert deepgram.characters == [20]


def test_text_to_other_vendors_is_refused_as_well(
    cartesia: tuple[FakeCartesia, Cartesia],
    elevenlabs: tuple[ElevenLabsFake, ElevenLabs],
    assembly: FakeAssemblyAI,
    spans: Recorded,
) -> None:
    """Cartesia by its contexts, AssemblyAI by its requests, ElevenLabs by the chunks of its own chunker."""
    with budget("0.25") as money, cartesia[1].tts.websocket_connect() as connection:
        context = connection.context()
        context.send(transcript=TEN, continue_=True, **SPEECH)
        context.send(transcript=TEN, continue_=True, **SPEECH)
        assert amounts(money) == (0, D("0.20"))
        with pytest.raises(BudgetExceeded):
            context.send(transcript=TEN, continue_=True, **SPEECH)
        until(lambda: sum(cartesia[0].contexts.values()) == 20)
    assert amounts(money) == (D("0.20"), 0)

    client = assemblyai_of(assembly)
    with (
        budget("0.25") as money,
        assemblyai.TTSSession(config=assemblyai.TTSConfig(voice_id="aai-jane"), client=client) as session,
    ):
        session.generate(TEN)
        session.generate(TEN)
        with pytest.raises(BudgetExceeded):
            session.generate(TEN)
        list(session.audio(session.flush()))
    assert (amounts(money), assembly.spoken_characters) == ((D("0.20"), 0), 20)

    with budget("0.25") as money:
        pieces = iter([f"{TEN} "] * 9)
        with pytest.raises(BudgetExceeded):
            list(elevenlabs[1].text_to_speech.convert_realtime(voice_id="v1", text=pieces, model_id="m", **SETTINGS))
        assert money.reserved_usd == 0
        until(lambda: elevenlabs[0].characters == money.spent_usd * 100)
        assert D("0.10") <= money.spent_usd <= D("0.25")


def test_a_connection_that_is_left_gives_back_what_no_piece_took(deepgram: FakeDeepgram, spans: Recorded) -> None:
    """Reserved, and then the message did not go out."""
    with budget("1") as money:
        with client_of(deepgram).speak.v1.connect(**AURA) as socket:
            socket._websocket.__wrapped__.close()
            with pytest.raises(Exception, match=r"."):
                speak(socket, TEN)
        assert amounts(money) == (0, 0)


def test_without_a_budget_no_message_is_read_before_it_goes_out(spans: Recorded) -> None:
    """Reading costs more than all the rest: where no budget applies, nothing but its absence is looked up."""
    tracer = spans.provider.get_tracer("test")
    request = CallRequest(operation="text_to_speech", provider="any")
    sockets: list[tuple[Callable[[], Any], str]] = [
        (lambda: deepgram_listener_for("text_to_speech", {})(tracer, request), '{"Speak"'),
        (lambda: assemblyai_listener_for(tracer, request), '{"Generate"'),
        (lambda: Contexts(tracer), '{"transcript"'),
    ]
    for listen, unreadable in sockets:
        assert listen().asks(unreadable) is None
        with budget("1"), pytest.raises(json.JSONDecodeError):
            listen().asks(unreadable)
