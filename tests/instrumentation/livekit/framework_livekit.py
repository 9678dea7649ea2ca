"""LiveKit's real STT classes, event bus and AgentSession. Run by test_older_sdks.py: LiveKit is heavy."""

import asyncio
import gc
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, stt, telemetry
from livekit.agents.language import LanguageCode
from livekit.agents.metrics import RealtimeModelMetrics, STTMetrics
from livekit.agents.metrics.base import Metadata
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN
from livekit.agents.voice import io
from livekit.plugins import openai as plugin

from callfare import BudgetExceeded, budget
from callfare import attributes as names
from callfare.calls.span import CallRequest, open_call
from callfare.instrumentation.livekit import LiveKitInstrumentor
from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from tests.instrumentation.fakes.openai import OpenAIFake

PRICES = """
inherit: list
prices:
  - {provider: deepgram, model: nova-3, unit: audio_seconds, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: openai, model: whisper-1, unit: audio_seconds, price: "0.01", per: "1", valid_from: 2020-01-01}
"""


class Recogniser(stt.STT):
    """A recogniser whose vendor is this file: it hears what it is given."""

    def __init__(self, tracer=None) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._tracer = tracer

    async def _recognize_impl(self, buffer, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        if self._tracer is not None:
            open_call(self._tracer, CallRequest(operation="speech_to_text", provider="openai")).end()
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[])


@pytest.fixture(autouse=True)
def instrumented(spans) -> Iterator[None]:
    instrumentor = LiveKitInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield
    instrumentor.uninstrument()


def ours(spans) -> list[dict]:
    return [
        dict(span.attributes)
        for span in spans.all
        if span.instrumentation_scope.name == "callfare.instrumentation.livekit"
    ]


def test_metrics_events_become_one_session(spans) -> None:
    """The seconds add up, an event that adapters pass on is counted once, and closing says goodbye."""

    async def listen() -> None:
        recogniser = Recogniser()
        adapter = Recogniser()
        for seconds in (0.1 + 0.2, 1.1 + 2.2, 0.15):
            metrics = STTMetrics(
                label="l", request_id="r", timestamp=time.time(), duration=0.0, audio_duration=seconds, streamed=True,
                metadata=Metadata(model_name="nova-3", model_provider="Deepgram"),
            )  # fmt: skip
            recogniser.emit("metrics_collected", metrics)
            adapter.emit("metrics_collected", metrics)
        await recogniser.aclose()

    asyncio.run(listen())
    assert spans.total(names.AUDIO_INPUT_SECONDS) == 3.75
    (found,) = ours(spans)
    assert (found[names.PROVIDER_NAME], found[names.REQUEST_MODEL]) == ("deepgram", "nova-3")
    assert found[names.SESSION_STATE] == "closed"
    assert names.USAGE_BILLABLE not in found


@pytest.mark.parametrize(("host", "provider"), [("api.openai.com", "openai"), ("api.groq.com", "groq")])
def test_a_plugin_that_names_a_host_means_its_vendor(spans, host, provider) -> None:
    """Prices are by vendor: `api.openai.com` has none."""

    async def listen() -> None:
        recogniser = plugin.STT(model="whisper-1", api_key="k", base_url=f"https://{host}/v1")
        assert recogniser.provider == host
        metrics = STTMetrics(
            label="l", request_id="r", timestamp=time.time(), duration=0.0, audio_duration=1.0, streamed=False,
            metadata=Metadata(model_name="whisper-1", model_provider=recogniser.provider),
        )  # fmt: skip
        recogniser.emit("metrics_collected", metrics)
        await recogniser.aclose()

    asyncio.run(listen())
    assert [found[names.PROVIDER_NAME] for found in ours(spans)] == [provider]


@pytest.mark.parametrize("has_vendor_span", [False, True])
def test_a_vendors_span_of_the_same_recognition_is_the_bill(spans, has_vendor_span) -> None:
    """The framework's figure is kept, but not billed where an instrumentor saw the call."""

    async def listen() -> None:
        recogniser = Recogniser(spans.provider.get_tracer("vendor") if has_vendor_span else None)
        frame = rtc.AudioFrame(data=b"\0" * 32_000, sample_rate=16_000, num_channels=1, samples_per_channel=16_000)
        await recogniser.recognize(frame)
        await recogniser.aclose()

    asyncio.run(listen())
    (found,) = ours(spans)
    assert found[names.AUDIO_INPUT_SECONDS] == 1.0
    assert found.get(names.USAGE_BILLABLE) is (False if has_vendor_span else None)


def spoken(**more) -> RealtimeModelMetrics:
    """What OpenAI tells of an answer: 100 tokens of 250 heard were cached, 60 of them audio."""
    details = RealtimeModelMetrics.InputTokenDetails(
        audio_tokens=200, text_tokens=50, cached_tokens=100,
        cached_tokens_details=RealtimeModelMetrics.CachedTokenDetails(audio_tokens=60, text_tokens=40),
    )  # fmt: skip
    return RealtimeModelMetrics(
        request_id="resp_1", timestamp=time.time(), input_tokens=250, output_tokens=80, total_tokens=330,
        input_token_details=details, output_token_details=RealtimeModelMetrics.OutputTokenDetails(audio_tokens=70),
        metadata=Metadata(model_name="gpt-realtime", model_provider="api.openai.com"), **more,
    )  # fmt: skip


def test_an_answer_that_no_turn_speaks_is_told(spans) -> None:
    """Its tokens are billed like any other's; LiveKit puts them on no span."""
    session = rtc.EventEmitter()
    metrics = spoken(cancelled=True)
    for _ in range(2):
        session.emit("metrics_collected", metrics)
    (found,) = ours(spans)
    assert (found[names.PROVIDER_NAME], found[names.REQUEST_MODEL]) == ("openai", "gpt-realtime")
    assert (found[names.INPUT_TOKENS], found[names.INPUT_AUDIO_TOKENS]) == (250, 200)
    assert (found[names.CACHE_READ_TOKENS], found[names.CACHE_AUDIO_READ_TOKENS]) == (100, 60)
    assert found[names.OUTPUT_TOKENS] == 80
    assert (found[names.OUTPUT_AUDIO_TOKENS], found[names.RESPONSE_ID]) == (70, "resp_1")
    assert found[names.FINISH_REASONS] == ("interrupted",)


def test_an_answer_on_livekits_own_span_is_not_told_again(spans) -> None:
    """Nor is an event that tells how long the connection took, and no usage."""
    session = rtc.EventEmitter()
    with spans.provider.get_tracer("livekit-agents").start_as_current_span("realtime_assistant_turn") as span:
        session.on("metrics_collected", lambda metrics: telemetry.utils.record_realtime_metrics(span, metrics))
        session.emit("metrics_collected", spoken())
    nothing = {"input_token_details": {}, "output_token_details": {}}
    session = rtc.EventEmitter()
    session.emit("metrics_collected", RealtimeModelMetrics(request_id="", timestamp=time.time(), **nothing))
    assert ours(spans) == []


class OwnGoodbye(Recogniser):
    """A plugin that closes without asking its base class, as OpenAI's does."""

    async def aclose(self) -> None:
        self.is_closed = True


def test_a_plugins_own_aclose_is_a_goodbye(spans) -> None:
    """Whichever class of the recogniser has the method: the session is closed, not lost, and comes off again."""
    original = vars(OwnGoodbye)["aclose"]

    async def listen() -> None:
        for _ in range(2):
            recogniser = OwnGoodbye()
            await recogniser.recognize(silence(seconds=1))
            await recogniser.aclose()
            assert recogniser.is_closed

    asyncio.run(listen())
    assert [found[names.SESSION_STATE] for found in ours(spans)] == ["closed", "closed"]
    LiveKitInstrumentor().uninstrument()
    assert vars(OwnGoodbye)["aclose"] is original


def test_openais_recogniser_says_goodbye(spans) -> None:
    """The real plugin, whose `aclose` closes its connections only."""

    async def listen(fake: OpenAIFake) -> None:
        recogniser = plugin.STT(model="whisper-1", api_key="k", base_url=f"{fake.url}/v1")
        await recogniser.recognize(silence(seconds=2))
        await recogniser.aclose()

    with OpenAIFake() as fake:
        asyncio.run(listen(fake))
    (found,) = ours(spans)
    assert (found[names.SESSION_STATE], found[names.AUDIO_INPUT_SECONDS]) == ("closed", 2.0)


def silence(*, seconds: float) -> rtc.AudioFrame:
    samples = int(16_000 * seconds)
    return rtc.AudioFrame(data=b"\0\0" * samples, sample_rate=16_000, num_channels=1, samples_per_channel=samples)


class Listening(stt.STT):
    """A recogniser with a connection: understands one sentence after a second, then reports what it heard."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.on_connect = lambda: None

    model = "nova-3"
    provider = "Deepgram"

    async def _recognize_impl(self, *_args, **_options):
        raise NotImplementedError

    def stream(self, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return RecognitionStream(stt=self, conn_options=conn_options)


class RecognitionStream(stt.RecognizeStream):
    async def _run(self) -> None:
        self._stt.on_connect()
        seconds, kinds = 0.0, stt.SpeechEventType
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            seconds += frame.duration
            if seconds == 1.0:
                self._event_ch.send_nowait(stt.SpeechEvent(type=kinds.START_OF_SPEECH))
                words = stt.SpeechData(language=LanguageCode("en"), text="Where is my order?", confidence=1.0)
                self._event_ch.send_nowait(stt.SpeechEvent(type=kinds.FINAL_TRANSCRIPT, alternatives=[words]))
                self._event_ch.send_nowait(stt.SpeechEvent(type=kinds.END_OF_SPEECH))
                usage = stt.RecognitionUsage(audio_duration=seconds)
                self._event_ch.send_nowait(stt.SpeechEvent(type=kinds.RECOGNITION_USAGE, recognition_usage=usage))


@pytest.fixture
def cent_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognition costs a cent a second."""
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES, encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))


def amounts(money) -> tuple[Decimal, Decimal]:
    return money.spent_usd, money.reserved_usd


def test_a_stream_that_does_not_fit_never_connects(spans, cent_a_second) -> None:
    """Its task ends before the plugin's begins: an error event, and the exception for its reader."""
    errors: list = []

    async def listen(recogniser: Listening) -> None:
        recogniser.on("error", errors.append)
        async with recogniser.stream() as stream:
            for _ in range(4):
                stream.push_frame(silence(seconds=0.25))
            stream.end_input()
            async for _ in stream:
                pass
        await recogniser.aclose()

    connected: list[Decimal] = []
    for limit in ("0.59", "0.60"):
        recogniser = Listening()
        recogniser.on_connect = lambda: connected.append(money.reserved_usd)
        with budget(limit) as money:
            if limit == "0.60":
                asyncio.run(listen(recogniser))
                assert amounts(money) == (Decimal("0.01"), 0)
                continue
            with pytest.raises(BudgetExceeded):
                asyncio.run(listen(recogniser))
            assert (amounts(money), connected, ours(spans)) == ((0, 0), [], [])
    assert [type(event.error) for event in errors] == [BudgetExceeded]
    assert connected == [Decimal("0.60")]


class OfOpenAI(plugin.STT):
    """Of the vendor, whatever address the fake has."""

    provider = "api.openai.com"


@pytest.mark.parametrize("sees_the_sdk", [False, True])
def test_a_piece_that_does_not_fit_is_not_sent(spans, cent_a_second, sees_the_sdk) -> None:
    """By its length, and held once, whether OpenAI's SDK is instrumented below or not."""
    speech = OpenAIAudioInstrumentor()
    if sees_the_sdk:
        speech.instrument(tracer_provider=spans.provider)

    async def listen(fake: OpenAIFake) -> None:
        recogniser = OfOpenAI(model="whisper-1", api_key="k", base_url=f"{fake.url}/v1")
        with budget("0.019") as money, pytest.raises(BudgetExceeded):
            await recogniser.recognize(silence(seconds=2))
        assert amounts(money) == (0, 0)
        assert fake.request_count == 0
        with budget("0.70") as money:
            await recogniser.recognize(silence(seconds=2))
            assert money.reserved_usd == (0 if sees_the_sdk else Decimal("0.02"))
            await recogniser.aclose()
            assert money.reserved_usd == 0
            assert money.spent_usd > 0

    try:
        with OpenAIFake() as fake:
            asyncio.run(listen(fake))
    finally:
        if sees_the_sdk:
            speech.uninstrument()


def test_a_recogniser_of_no_price_is_not_refused(spans, cent_a_second) -> None:
    """It may run on this machine; only its report tells."""

    async def listen() -> None:
        recogniser = Recogniser()
        await recogniser.recognize(silence(seconds=1))
        await recogniser.aclose()

    with budget("0.01"):
        asyncio.run(listen())
    assert len(ours(spans)) == 1


class Microphone(io.AudioInput):
    """A second of audio in four frames, then silence that nobody hears."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._frames = 4

    async def __anext__(self) -> rtc.AudioFrame:
        if self._frames == 0:
            await asyncio.Event().wait()
        self._frames -= 1
        return silence(seconds=0.25)


class Loudspeaker(io.AudioOutput):
    """Plays at once whatever it is given."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self.seconds = 0.0
        self.has_played = asyncio.Event()

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self.seconds += frame.duration

    def flush(self) -> None:
        super().flush()
        if self.seconds:
            self.on_playback_finished(playback_position=self.seconds, interrupted=False)
            self.has_played.set()

    def clear_buffer(self) -> None:
        self.flush()


async def _answer_a_call(fake: OpenAIFake) -> None:
    connection = {"api_key": "k", "base_url": f"{fake.url}/v1"}
    session = AgentSession(
        stt=Listening(),
        llm=plugin.LLM(model="gpt-4o-mini", **connection),
        tts=plugin.TTS(model="tts-1", voice="alloy", response_format="pcm", **connection),
        vad=None,
        turn_detection="stt",
    )
    loudspeaker = Loudspeaker()
    session.input.audio, session.output.audio = Microphone(), loudspeaker
    await session.start(Agent(instructions="Be brief."), record=False)
    await asyncio.wait_for(loudspeaker.has_played.wait(), timeout=120)
    await session.aclose()


def test_an_agent_session_is_recorded_once(spans) -> None:
    """A caller's sentence, an answer, speech: each used amount is there once, and the recogniser says goodbye."""
    speech = OpenAIAudioInstrumentor()
    speech.instrument(tracer_provider=spans.provider)
    telemetry.set_tracer_provider(spans.provider)
    try:
        with OpenAIFake() as fake:
            asyncio.run(_answer_a_call(fake))
    finally:
        speech.uninstrument()
    gc.collect()
    recognitions = [found for found in ours(spans) if found[names.OPERATION_NAME] == "speech_to_text"]
    assert [found[names.SESSION_STATE] for found in recognitions] == ["closed"]
    assert (recognitions[0][names.PROVIDER_NAME], recognitions[0][names.REQUEST_MODEL]) == ("deepgram", "nova-3")
    assert spans.total(names.AUDIO_INPUT_SECONDS) == 1
    assert fake.characters > 0
    assert spans.total(names.INPUT_CHARACTERS) == fake.characters
    assert len(fake.chat_requests) == sum(span.name == "llm_request" for span in spans.all) == 1
