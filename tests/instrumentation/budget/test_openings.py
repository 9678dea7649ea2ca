"""Listening and agents under a budget, by the vendors' real SDKs: what is refused at its opening reaches no vendor."""

import asyncio
import contextlib
import gc
import operator
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import azure.cognitiveservices.speech as azure
import grpc
import openai
import pytest
from google.cloud import speech_v1, speech_v2
from google.cloud.speech_v1.services.speech.transports import SpeechGrpcAsyncIOTransport, SpeechGrpcTransport
from google.cloud.speech_v2.services.speech.transports import SpeechGrpcTransport as SpeechGrpcTransportV2

from callfare import BudgetExceeded, budget
from callfare.instrumentation.azure_speech import AzureSpeechInstrumentor
from callfare.instrumentation.elevenlabs import ElevenLabsInstrumentor
from callfare.instrumentation.google_speech import GoogleSpeechInstrumentor
from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from tests.instrumentation.elevenlabs.test_conversation import Line, conversation, greeted
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.instrumentation.fakes.google import FakeGoogle
from tests.instrumentation.fakes.openai import OpenAIFake
from tests.instrumentation.google_speech.test_google_speech import CHUNK, CONFIG, RECOGNIZER
from tests.instrumentation.openai_audio.test_openai_connections import async_client, created, done, sync_client
from tests.support.recording import Recorded, recorded, until
from tests.support.waiting import PATIENCE_SECONDS

with warnings.catch_warnings(action="ignore"):  # the SDK names what websockets is about to drop
    from elevenlabs.conversational_ai import conversation as elevenlabs_sdk

pytestmark = [
    pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the SDKs use old ways of websockets
]
PRICES = """
inherit: list
prices:
  - {provider: google, model: telephony, unit: audio_seconds, price: "0.01", per: "1", multiplier: channels,
     valid_from: 2020-01-01}
  - {provider: azure, model: speech, unit: audio_seconds, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: azure, model: neural, unit: characters, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: openai, model: gpt-realtime-translate, unit: audio_seconds, price: "0.01", per: "1",
     valid_from: 2020-01-01}
  - {provider: elevenlabs, model: conversational-ai, unit: session_seconds, price: "0.01", per: "1",
     valid_from: 2020-01-01}
"""
A_MINUTE = D("0.60")
NEARLY = "0.59"
TALK = D("0.096")
"""A minute of gpt-realtime, by the price list: 600 tokens of sound at $32 a million, and 1200 at $64."""
ANSWER = D("0.0090896")
"""What the fake answers: 50 tokens of text and 150 of sound, of which 24 and 40 were cached, for 20 and 80."""


@pytest.fixture(autouse=True)
def cent_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second costs a cent."""
    path = tmp_path / "openings.yaml"
    path.write_text(PRICES, encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))


def amounts(money: Any) -> tuple[D, D]:
    return money.spent_usd, money.reserved_usd


# --- Google --------------------------------------------------------------------------------------------------


def _google_v1(fake: FakeGoogle) -> None:
    with grpc.insecure_channel(fake.address) as channel:
        client = speech_v1.SpeechClient(transport=SpeechGrpcTransport(channel=channel))
        audio = (speech_v1.StreamingRecognizeRequest(audio_content=CHUNK) for _ in range(10))
        list(client.streaming_recognize(speech_v1.StreamingRecognitionConfig(config=CONFIG), audio))


def _google_v2(fake: FakeGoogle) -> None:
    config = {"explicit_decoding_config": {"encoding": "LINEAR16", "sample_rate_hertz": 16_000}, "model": "telephony"}

    def requests() -> Iterator[Any]:
        yield speech_v2.StreamingRecognizeRequest(recognizer=RECOGNIZER, streaming_config={"config": config})
        for _ in range(10):
            yield speech_v2.StreamingRecognizeRequest(audio=CHUNK)

    with grpc.insecure_channel(fake.address) as channel:
        client = speech_v2.SpeechClient(transport=SpeechGrpcTransportV2(channel=channel))
        list(client.streaming_recognize(requests=requests()))


def _google_asyncio(fake: FakeGoogle) -> None:
    async def requests() -> AsyncIterator[Any]:
        yield speech_v1.StreamingRecognizeRequest(streaming_config={"config": CONFIG})
        for _ in range(10):
            yield speech_v1.StreamingRecognizeRequest(audio_content=CHUNK)

    async def listen() -> None:
        async with grpc.aio.insecure_channel(fake.address) as channel:
            client = speech_v1.SpeechAsyncClient(transport=SpeechGrpcAsyncIOTransport(channel=channel))
            async for _ in await client.streaming_recognize(requests()):
                pass

    asyncio.run(listen())


@pytest.mark.parametrize("listen", [_google_v1, _google_v2, _google_asyncio])
def test_a_google_stream_that_does_not_fit_sends_nothing(listen: Callable[[FakeGoogle], None]) -> None:
    """Not even its configuration. One that fits is settled by the vendor's own total."""
    with FakeGoogle() as fake, recorded(GoogleSpeechInstrumentor) as spans:
        with budget(NEARLY) as money:
            with pytest.raises(BudgetExceeded) as refused:
                listen(fake)
            assert refused.value.estimate_usd == A_MINUTE
            assert (fake.stream_messages, spans.all, amounts(money)) == (0, (), (0, 0))
        with budget("0.60") as money:
            listen(fake)
            assert amounts(money) == (D("0.15"), 0)
        assert fake.stream_messages == 11


# --- Azure ---------------------------------------------------------------------------------------------------


class Port:
    """An address that counts who comes, and says nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        host, port = self._listening.getsockname()
        self.address = f"ws://{host}:{port}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                came, _ = self._listening.accept()
                self.connections += 1
                came.close()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def test_azure_connects_to_nothing_that_does_not_fit() -> None:
    """The native library itself, which is started only where the money is there."""
    port = Port()
    with contextlib.closing(port), recorded(AzureSpeechInstrumentor) as spans:
        config = azure.SpeechConfig(endpoint=port.address, subscription="k")
        stream = azure.audio.PushAudioInputStream(azure.audio.AudioStreamFormat(16_000, 16, 1))
        recogniser = azure.SpeechRecognizer(config, azure.audio.AudioConfig(stream=stream))
        speaker = azure.SpeechSynthesizer(config, audio_config=None)
        with budget("0.05") as money:
            for send in (
                recogniser.start_continuous_recognition_async,
                recogniser.recognize_once_async,
                lambda: speaker.speak_text_async("ten chars."),
                lambda: speaker.speak_ssml_async("<speak>ten chars.</speak>"),
            ):
                with pytest.raises(BudgetExceeded):
                    send()
            assert (spans.all, amounts(money)) == ((), (0, 0))
        assert port.connections == 0
        with budget("0.60") as money:
            recogniser.start_continuous_recognition_async().get()
            assert amounts(money) == (0, A_MINUTE)
            for _ in range(10):
                stream.write(CHUNK)
            until(lambda: port.connections)
            recogniser.stop_continuous_recognition_async().get()
            stream.close()
            assert amounts(money) == (D("0.01"), 0)


# --- OpenAI --------------------------------------------------------------------------------------------------


@pytest.fixture
def openai_fake() -> Iterator[tuple[OpenAIFake, Recorded]]:
    with OpenAIFake() as fake, recorded(OpenAIAudioInstrumentor) as spans:
        yield fake, spans


def _realtime(fake: OpenAIFake, model: str, talk: Callable[[Any], None], api: str = "realtime") -> None:
    with sync_client(fake) as client, operator.attrgetter(api)(client).connect(model=model) as connection:
        talk(connection)


def _entered(fake: OpenAIFake, model: str, talk: Callable[[Any], None]) -> None:
    with sync_client(fake) as client:
        connection = client.realtime.connect(model=model).enter()
        with contextlib.closing(connection):
            talk(connection)


def _realtime_asyncio(fake: OpenAIFake, model: str, talk: Callable[[Any], None]) -> None:
    async def listen() -> None:
        async with async_client(fake) as client, client.realtime.connect(model=model) as connection:
            for _ in fake.realtime_events:
                await connection.recv()
            talk(None)

    asyncio.run(listen())


@pytest.mark.parametrize("connect", [_realtime, _entered, _realtime_asyncio])
def test_a_realtime_connection_that_does_not_fit_is_not_made(
    openai_fake: tuple[OpenAIFake, Recorded], connect: Callable[..., None]
) -> None:
    """600 tokens are heard in a minute, 1200 spoken: that much is held while it is open, beside what answers cost."""
    fake, spans = openai_fake
    fake.realtime_events = [created(), done("resp_1")]
    exceeded: list[BudgetExceeded] = []
    with budget("0.095") as money:
        with pytest.raises(BudgetExceeded) as refused:
            connect(fake, "gpt-realtime", lambda _: None)
        assert refused.value.estimate_usd == TALK
        assert (fake.request_count, spans.all, amounts(money)) == (0, (), (0, 0))

    def talk(connection: Any) -> None:
        if connection is not None:
            assert amounts(money) == (0, TALK)
            for _ in fake.realtime_events:
                connection.recv()
        assert amounts(money) == (ANSWER, TALK)

    with budget("0.10", on_exceeded=exceeded.append) as money:
        connect(fake, "gpt-realtime", talk)
        assert amounts(money) == (ANSWER, 0)
        until(lambda: exceeded)
    assert exceeded[0].spent_usd == ANSWER


def test_a_realtime_connection_that_fails_or_is_forgotten_gives_its_money_back(
    openai_fake: tuple[OpenAIFake, Recorded],
) -> None:
    """Refused by the vendor, or never closed."""
    fake, _ = openai_fake
    with budget("0.10") as money:
        fake.refuse_next = [401]
        with pytest.raises(Exception, match="401"):
            _realtime(fake, "gpt-realtime", lambda _: None)
        assert amounts(money) == (0, 0)
        with sync_client(fake) as client:
            connection = client.realtime.connect(model="gpt-realtime").enter()
            assert amounts(money) == (0, TALK)
            connection._connection.close()
            del connection
            gc.collect()
        assert amounts(money) == (0, 0)


def test_a_translation_that_does_not_fit_is_not_made(openai_fake: tuple[OpenAIFake, Recorded]) -> None:
    """By the audio of a minute; one that is left before any audio holds nothing any more."""
    fake, spans = openai_fake
    if not hasattr(openai.resources.realtime.Realtime, "translations"):
        pytest.skip("newer than this SDK")
    translations = "realtime.translations"
    with budget(NEARLY) as money:
        with pytest.raises(BudgetExceeded):
            _realtime(fake, "gpt-realtime-translate", lambda _: None, translations)
        assert (fake.request_count, spans.all, amounts(money)) == (0, (), (0, 0))

    def talk(connection: Any) -> None:
        assert amounts(money) == (0, A_MINUTE)
        connection.recv()
        assert amounts(money) == (0, A_MINUTE)

    with budget("0.60") as money:
        _realtime(fake, "gpt-realtime-translate", talk, translations)
        assert amounts(money) == (0, 0)


# --- ElevenLabs' agents --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_conversation_with_an_agent_that_does_not_fit_never_connects() -> None:
    """One that fits holds a minute and is settled by its time; one that the vendor refuses gives it back."""
    with ElevenLabsFake() as fake, recorded(ElevenLabsInstrumentor) as spans:
        with budget(NEARLY) as money:
            with pytest.raises(BudgetExceeded):
                conversation(fake, Line()).start_session()
            assert (fake.request_count, spans.all, amounts(money)) == (0, (), (0, 0))
        with budget("1.00") as money:
            fake.refuse_next = [401]
            talk = conversation(fake, Line())
            talk.start_session()
            talk.wait_for_session_end()
            assert amounts(money) == (0, 0)
            talk = conversation(fake, Line())
            talk.start_session()
            greeted(talk)
            assert amounts(money) == (0, A_MINUTE)
            talk.end_session()
            talk.wait_for_session_end()
            assert money.reserved_usd == 0
            assert 0 < money.spent_usd < PATIENCE_SECONDS


def test_an_asynchronous_conversation_is_refused_as_well() -> None:
    """And one whose start fails gives its money back."""

    class Broken(elevenlabs_sdk.AsyncAudioInterface):
        async def start(self, input_callback: Any) -> None:
            raise OSError("no microphone")

        async def stop(self) -> None: ...
        async def output(self, audio: bytes) -> None: ...
        async def interrupt(self) -> None: ...

    async def run(fake: ElevenLabsFake) -> None:
        talk = conversation(fake, Broken(), elevenlabs_sdk.AsyncConversation)
        with budget(NEARLY), pytest.raises(BudgetExceeded):
            await talk.start_session()
        with budget("0.60") as money:
            await talk.start_session()
            with contextlib.suppress(OSError):
                await talk.wait_for_session_end()
            assert amounts(money) == (0, 0)

    with ElevenLabsFake() as fake, recorded(ElevenLabsInstrumentor):
        asyncio.run(run(fake))
        assert fake.request_count <= 1
