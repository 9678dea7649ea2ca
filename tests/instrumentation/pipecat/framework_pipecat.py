"""Pipecat's real services in a real pipeline against the fakes. Run by test_older_sdks.py: Pipecat is heavy."""

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from opentelemetry import trace
from pipecat.frames.frames import InputAudioRawFrame, LLMContextFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.elevenlabs.tts import ElevenLabsHttpTTSService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.stt_service import STTService
from pipecat.tests.utils import run_test

from callfare import attributes as names
from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from callfare.instrumentation.pipecat import PipecatInstrumentor
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.instrumentation.fakes.openai import OpenAIFake

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
    instrumentors = [PipecatInstrumentor(), OpenAIAudioInstrumentor()]
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
    scopes = {span.instrumentation_scope.name: span for span in spans.all}
    vendor, framework = scopes["callfare.instrumentation.openai_audio"], scopes["callfare.instrumentation.pipecat"]
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
    assert float(spans.total(names.AUDIO_INPUT_SECONDS)) == pytest.approx(16 * 0.2)
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
                with tracer.start_as_current_span("openai.chat"):
                    return await create(*args, **kwargs)

            service._client.chat.completions.create = watched
        context = LLMContext(messages=[{"role": "user", "content": "hi"}])
        await run_test(Pipeline([service]), frames_to_send=[LLMContextFrame(context)])

    asyncio.run(ask())
    (found,) = operations(spans, "chat")
    assert (found[names.INPUT_TOKENS], found[names.OUTPUT_TOKENS]) == (7, 2)
    assert found.get(names.USAGE_BILLABLE) is (False if is_instrumented_elsewhere else None)


def test_no_text_reaches_a_span(openai_fake, elevenlabs_fake, spans, instrumented) -> None:
    """Neither what was said nor what was heard."""
    test_speech_through_the_sdk_is_billed_once(openai_fake, spans, instrumented)
    assert not [found for found in spans.attributes if "wörld" in str(found)]
