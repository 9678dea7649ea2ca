"""Pipecat's real services in a real pipeline against the fakes. Run by test_older_sdks.py: Pipecat is heavy."""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from opentelemetry import trace
from pipecat.frames.frames import (
    EndFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.deepgram.stt import DeepgramSTTService as RealDeepgramSTTService
from pipecat.services.elevenlabs.tts import ElevenLabsHttpTTSService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TextAggregationMode
from pipecat.tests.utils import run_test

from callfare import BudgetExceeded, budget
from callfare import attributes as names
from callfare.instrumentation.deepgram import DeepgramInstrumentor
from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from callfare.instrumentation.pipecat import PipecatInstrumentor
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.instrumentation.fakes.openai import OpenAIFake
from tests.support.waiting import wait_until

PRICES = """
inherit: list
prices:
  - {provider: deepgram, model: nova-3-general, unit: audio_seconds, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: openai, model: whisper-1, unit: audio_seconds, price: "0.01", per: "1", valid_from: 2020-01-01}
"""
TEXT = "Héllo wörld 👋🏽."


class DeepgramSTTService(STTService):
    """Hears everything, says nothing: as the real one between two final transcripts."""

    async def run_stt(self, audio):
        yield None


@pytest.fixture
def openai_fake() -> Iterator[OpenAIFake]:
    with OpenAIFake() as server:
        yield server


@pytest.fixture
def elevenlabs_fake() -> Iterator[ElevenLabsFake]:
    with ElevenLabsFake() as server:
        yield server


@pytest.fixture
def instrumented(spans) -> Iterator[None]:
    instrumentors = [PipecatInstrumentor(), OpenAIAudioInstrumentor(), DeepgramInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=spans.provider)
    yield
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def operations(spans, operation: str) -> list[dict]:
    return [found for found in spans.attributes if found.get(names.OPERATION_NAME) == operation]


def test_speech_through_the_sdk_is_billed_once(openai_fake, spans, instrumented) -> None:
    """The framework's span is the parent and says billable=false; the vendor's span is the bill."""

    async def speak() -> None:
        service = OpenAITTSService(api_key="k", base_url=f"{openai_fake.url}/v1", voice="alloy", model="tts-1")
        await run_test(Pipeline([service]), frames_to_send=[TTSSpeakFrame(TEXT)])

    asyncio.run(speak())
    billed = [found for found in operations(spans, "text_to_speech") if found.get(names.USAGE_BILLABLE) is not False]
    unbilled = [found for found in operations(spans, "text_to_speech") if found.get(names.USAGE_BILLABLE) is False]
    assert [found[names.INPUT_CHARACTERS] for found in billed] == [openai_fake.characters]
    assert [found[names.INPUT_CHARACTERS] for found in unbilled] == [openai_fake.characters]
    speech = {span.instrumentation_scope.name: span for span in spans.all if span.name.startswith("text_to_speech")}
    vendor, framework = speech["callfare.instrumentation.openai_audio"], speech["callfare.instrumentation.pipecat"]
    assert vendor.parent.span_id == framework.context.span_id


def test_speech_that_no_sdk_sees_is_billed_by_the_framework(elevenlabs_fake, spans, instrumented) -> None:
    """Pipecat speaks to ElevenLabs over aiohttp: only its own report tells."""

    async def speak() -> None:
        async with aiohttp.ClientSession() as session:
            service = ElevenLabsHttpTTSService(
                api_key="k", voice_id="v", aiohttp_session=session, base_url=elevenlabs_fake.url
            )
            await run_test(Pipeline([service]), frames_to_send=[TTSSpeakFrame(TEXT), TTSSpeakFrame("Again.")])

    asyncio.run(speak())
    found = operations(spans, "text_to_speech")
    assert sum(each[names.INPUT_CHARACTERS] for each in found) == elevenlabs_fake.characters > 0
    assert {each[names.PROVIDER_NAME] for each in found} == {"elevenlabs"}
    assert all(each.get(names.USAGE_BILLABLE) is not False for each in found)


def test_recognition_is_a_session_with_all_audio(spans, instrumented) -> None:
    """Silence and the audio after the last transcript are in it."""

    async def listen() -> None:
        service = DeepgramSTTService(sample_rate=16_000, model="nova-3")
        audio = InputAudioRawFrame(audio=b"\0" * 6400, sample_rate=16_000, num_channels=1)
        await run_test(Pipeline([service]), frames_to_send=[audio] * 16)

    asyncio.run(listen())
    assert spans.total(names.AUDIO_INPUT_SECONDS) == Decimal("3.2")  # 16 frames of 0.2 s, not one digit more
    found = operations(spans, "speech_to_text")
    assert found[-1][names.SESSION_STATE] == "closed"
    assert found[-1][names.PROVIDER_NAME] == "deepgram"
    assert all(each.get(names.USAGE_BILLABLE) is not False for each in found)


@pytest.mark.parametrize("is_instrumented_elsewhere", [False, True])
def test_a_model_call_is_counted_once(openai_fake, spans, instrumented, is_instrumented_elsewhere) -> None:
    """With another instrumentation of the SDK active, its span is the bill; without one, the framework's is."""

    async def ask() -> None:
        service = OpenAILLMService(api_key="k", base_url=f"{openai_fake.url}/v1", model="gpt-4o-mini")
        if is_instrumented_elsewhere:
            create = service._client.chat.completions.create

            async def watched(*args, **kwargs):
                tracer = trace.get_tracer("opentelemetry.instrumentation.openai.v1", tracer_provider=spans.provider)
                with tracer.start_as_current_span("openai.chat") as span:
                    span.set_attribute(names.INPUT_TOKENS, 7)
                    return await create(*args, **kwargs)

            service._client.chat.completions.create = watched
        context = LLMContext(messages=[{"role": "user", "content": "hi"}])
        await run_test(Pipeline([service]), frames_to_send=[LLMContextFrame(context)])

    asyncio.run(ask())
    (found,) = operations(spans, "chat")
    assert (found[names.INPUT_TOKENS], found[names.OUTPUT_TOKENS]) == (7, 2)
    assert found.get(names.USAGE_BILLABLE) is (False if is_instrumented_elsewhere else None)


async def ran(service, *frames, until: Callable[[], object]) -> None:
    """The service in a pipeline of its own: it gets one frame after the other, and waits for `until` at a None."""
    task = PipelineTask(Pipeline([service]), cancel_on_idle_timeout=False)
    running = asyncio.ensure_future(PipelineRunner(handle_sigint=False).run(task))
    for frame in frames:
        if frame is not None:
            await task.queue_frame(frame)
            continue
        await asyncio.to_thread(wait_until, "what the script waits for", until)
    await task.queue_frame(EndFrame())
    await running


def billed(spans, operation: str) -> list[dict]:
    return [found for found in operations(spans, operation) if found.get(names.USAGE_BILLABLE) is not False]


def sound(seconds: float) -> InputAudioRawFrame:
    return InputAudioRawFrame(audio=bytes(int(seconds * 16_000) * 2), sample_rate=16_000, num_channels=1)


def test_recognition_through_deepgrams_sdk_is_billed_once(spans, instrumented) -> None:
    """Pipecat connects while it sets the service up: the socket of the SDK is seen all the same, and is the bill."""
    with FakeDeepgram() as fake:
        service = RealDeepgramSTTService(api_key="k", base_url=fake.url, sample_rate=16_000)
        asyncio.run(ran(service, *[sound(0.2)] * 5, None, until=lambda: fake.audio_bytes == [32_000]))
    (bill,) = billed(spans, "speech_to_text")
    assert bill[names.AUDIO_INPUT_SECONDS] == 1.0 == sum(fake.audio_bytes) / 32_000
    (kept,) = [found for found in operations(spans, "speech_to_text") if found != bill]
    assert (kept[names.AUDIO_INPUT_SECONDS], kept[names.SESSION_STATE]) == (1.0, "closed")


def test_one_segment_through_openais_sdk_is_billed_once(openai_fake, spans, instrumented) -> None:
    """Pipecat reports a segment before it sends it: that one is not the bill either."""
    service = OpenAISTTService(api_key="k", base_url=f"{openai_fake.url}/v1", model="gpt-4o-transcribe")
    segment = (VADUserStartedSpeakingFrame(), *[sound(0.2)] * 5, VADUserStoppedSpeakingFrame(), None)
    asyncio.run(ran(service, *segment, until=lambda: operations(spans, "speech_to_text")))
    (bill,) = billed(spans, "speech_to_text")
    assert bill[names.INPUT_TOKENS] == 14
    assert len(openai_fake.uploads) == 1


@pytest.fixture
def cent_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognition by Deepgram costs a cent a second, and by OpenAI's Whisper too."""
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES, encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))


def amounts(money) -> tuple[Decimal, Decimal]:
    return money.spent_usd, money.reserved_usd


@pytest.mark.parametrize("sees_the_sdk", [False, True])
def test_a_recogniser_that_does_not_fit_never_connects(spans, cent_a_second, sees_the_sdk) -> None:
    """It gets no audio, and the application an error; one that fits is held once, by whoever is the bill."""
    instrumentors = [PipecatInstrumentor(), *([DeepgramInstrumentor()] if sees_the_sdk else [])]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=spans.provider)
    errors, held = [], []
    with FakeDeepgram() as fake:
        options = {"api_key": "k", "base_url": fake.url, "sample_rate": 16_000}
        with budget("0.59") as money:
            service = RealDeepgramSTTService(**options)
            service.add_event_handler("on_error", lambda _, error: errors.append(error.exception))
            asyncio.run(ran(service, *[sound(0.2)] * 5, None, until=lambda: errors))
            assert amounts(money) == (0, 0)
        assert [type(error) for error in errors] == [BudgetExceeded]
        assert (fake.request_count, operations(spans, "speech_to_text")) == (0, [])
        with budget("0.60") as money:

            def is_sent() -> bool:
                held.append(money.reserved_usd)
                return fake.audio_bytes == [32_000]

            asyncio.run(ran(RealDeepgramSTTService(**options), *[sound(0.2)] * 5, None, until=is_sent))
            assert amounts(money) == (Decimal("0.01"), 0)
        assert max(held) == Decimal("0.60")
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


@pytest.mark.parametrize("sees_the_sdk", [False, True])
def test_a_segment_that_does_not_fit_is_not_sent(openai_fake, spans, cent_a_second, sees_the_sdk) -> None:
    """A piece of 1.1 seconds costs 1.1 cents: the second one is refused, and on no bill."""
    instrumentors = [PipecatInstrumentor(), *([OpenAIAudioInstrumentor()] if sees_the_sdk else [])]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=spans.provider)
    errors = []
    with budget("0.012") as money:
        service = OpenAISTTService(api_key="k", base_url=f"{openai_fake.url}/v1", model="whisper-1")
        service.add_event_handler("on_error", lambda _, error: errors.append(error.exception))
        segment = (VADUserStartedSpeakingFrame(), *[sound(0.2)] * 3, VADUserStoppedSpeakingFrame())
        asyncio.run(ran(service, *segment * 2, None, until=lambda: errors))
        assert money.reserved_usd == 0
    assert [type(error) for error in errors] == [BudgetExceeded]
    assert len(openai_fake.uploads) == len(billed(spans, "speech_to_text")) == 1
    (bill,) = billed(spans, "speech_to_text")
    assert money.spent_usd == Decimal(str(bill[names.AUDIO_INPUT_SECONDS])) / 100
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def speaker(fake: OpenAIFake, **options) -> OpenAITTSService:
    return OpenAITTSService(api_key="k", base_url=f"{fake.url}/v1", voice="alloy", model="tts-1", **options)


REPLY = ("Héllo", " wörld", " 👋🏽", ".")


@pytest.mark.parametrize("is_interrupted", [False, True])
@pytest.mark.parametrize("sees_the_sdk", [False, True])
def test_an_utterance_token_by_token_is_billed_once(openai_fake, spans, is_interrupted, sees_the_sdk) -> None:
    """By the SDK's spans where they are, else by Pipecat's report, which forgets an interrupted utterance."""
    instrumentors = [PipecatInstrumentor(), *([OpenAIAudioInstrumentor()] if sees_the_sdk else [])]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=spans.provider)
    sent = [LLMFullResponseStartFrame(), *(LLMTextFrame(word) for word in REPLY), None]
    end = InterruptionFrame() if is_interrupted else LLMFullResponseEndFrame()
    service = speaker(openai_fake, text_aggregation_mode=TextAggregationMode.TOKEN)
    asyncio.run(ran(service, *sent, end, until=lambda: openai_fake.characters == len("".join(REPLY))))
    for instrumentor in instrumentors:
        instrumentor.uninstrument()
    bill = billed(spans, "text_to_speech")
    assert sum(found[names.INPUT_CHARACTERS] for found in bill) == len("".join(REPLY)) == openai_fake.characters
    assert len(bill) == (len(REPLY) if sees_the_sdk else 1)


def test_speech_interrupted_before_the_vendor_answers_is_billed(openai_fake, spans) -> None:
    """The text is with the vendor, Pipecat has not reported it yet: its length is known, and marked as estimated."""
    PipecatInstrumentor().instrument(tracer_provider=spans.provider)
    openai_fake.never_answers = True
    script = (TTSSpeakFrame(TEXT), None, InterruptionFrame())
    asyncio.run(ran(speaker(openai_fake), *script, until=lambda: openai_fake.characters))
    PipecatInstrumentor().uninstrument()
    (bill,) = billed(spans, "text_to_speech")
    assert bill[names.INPUT_CHARACTERS] == openai_fake.characters
    assert (bill[names.USAGE_SOURCE], bill[names.FINISH_REASONS]) == ("estimated", ("interrupted",))


class Thinking(OpenAIFake):
    """A model that is asked and says nothing."""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.chat_requests.append(await request.json())
        await asyncio.Event().wait()
        raise AssertionError


def question() -> LLMContextFrame:
    return LLMContextFrame(LLMContext(messages=[{"role": "user", "content": "hi"}]))


def test_a_model_interrupted_before_its_usage_is_not_free(spans, instrumented) -> None:
    """Its prompt is billed, nobody knows how much: a span without usage that does not say it is not the bill."""
    with Thinking() as fake:
        service = OpenAILLMService(api_key="k", base_url=f"{fake.url}/v1", model="gpt-4o-mini")
        asyncio.run(ran(service, question(), None, InterruptionFrame(), until=lambda: fake.chat_requests))
    (bill,) = billed(spans, "chat")
    assert (bill[names.USAGE_SOURCE], bill[names.FINISH_REASONS]) == ("unknown", ("interrupted",))


def test_a_refused_model_call_says_so(openai_fake, spans, instrumented) -> None:
    """Pipecat turns the error into a frame; the span still tells that the vendor did no work."""
    openai_fake.refuse_next = [400]
    service = OpenAILLMService(api_key="k", base_url=f"{openai_fake.url}/v1", model="gpt-4o-mini")
    asyncio.run(ran(service, question(), None, until=lambda: operations(spans, "chat")))
    (found,) = billed(spans, "chat")
    assert (found[names.CALL_REFUSED], found[names.HTTP_STATUS_CODE]) == (True, 400)


def test_pipecats_own_spans_are_no_bill_while_ours_are_there(spans, instrumented) -> None:
    """Its `stt` spans tell a part of what our session tells, its `tts` and `llm` spans the same."""
    tracer = spans.provider.get_tracer("pipecat")
    tracer.start_span("stt", attributes={"metrics.audio_seconds": 1.5}).end()
    PipecatInstrumentor().uninstrument()
    tracer.start_span("stt", attributes={"metrics.audio_seconds": 1.5}).end()
    assert [found.get(names.USAGE_BILLABLE) for found in spans.attributes] == [False, None]


def test_no_text_reaches_a_span(openai_fake, elevenlabs_fake, spans, instrumented) -> None:
    """Neither what was said nor what was heard."""
    test_speech_through_the_sdk_is_billed_once(openai_fake, spans, instrumented)
    assert not [found for found in spans.attributes if "wörld" in str(found)]
