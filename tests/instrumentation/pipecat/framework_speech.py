"""Pipecat's real Cartesia service on its socket: what an error costs. Run by test_older_sdks.py."""

import asyncio
from collections.abc import Iterator

import pytest
from pipecat.frames.frames import (
    EndFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.tts_service import TextAggregationMode

from callfare import attributes as names
from callfare.instrumentation.pipecat import PipecatInstrumentor
from tests.instrumentation.fakes.cartesia import FakeCartesia
from tests.support.waiting import wait_until

FIRST, SECOND = "Good morning.", "What can I do?"


class Cartesia(FakeCartesia):
    """Answers by an error whatever has a word in it, before or after audio."""

    def refuses(self, content: dict[str, object]) -> bool:
        return "error" in str(content["transcript"])


@pytest.fixture
def fake() -> Iterator[Cartesia]:
    with Cartesia() as server:
        yield server


@pytest.fixture(autouse=True)
def instrumented(spans) -> Iterator[None]:
    PipecatInstrumentor().instrument(tracer_provider=spans.provider)
    yield
    PipecatInstrumentor().uninstrument()


def speaker(fake: Cartesia, **options) -> CartesiaTTSService:
    url = fake.url.replace("http", "ws") + "/tts/websocket"
    settings = CartesiaTTSService.Settings(voice="v", model="sonic-3")
    return CartesiaTTSService(api_key="k", url=url, settings=settings, **options)


def call(spans, fake: Cartesia, *frames, **options) -> list[dict]:
    """What each of the frames became, a quarter of a second after the other; the spans of speech."""

    async def run() -> None:
        task = PipelineTask(Pipeline([speaker(fake, **options)]), cancel_on_idle_timeout=False)
        running = asyncio.ensure_future(PipelineRunner(handle_sigint=False).run(task))
        for frame in frames:
            await task.queue_frame(frame)
            if isinstance(frame, (TTSSpeakFrame, LLMFullResponseEndFrame)):
                before = sum(fake.contexts.values())
                await asyncio.to_thread(
                    wait_until, "the text", lambda before=before: sum(fake.contexts.values()) > before
                )
                await asyncio.sleep(0.2)
        await task.queue_frame(EndFrame())
        await running

    asyncio.run(run())
    return [found for found in spans.attributes if found.get(names.OPERATION_NAME) == "text_to_speech"]


def test_speech_is_billed_once_its_context_is_over(fake, spans) -> None:
    """Each text is a span, without a mark."""
    found = call(spans, fake, TTSSpeakFrame(FIRST), TTSSpeakFrame(SECOND))
    assert [each[names.INPUT_CHARACTERS] for each in found] == [len(FIRST), len(SECOND)]
    assert sum(fake.contexts.values()) == len(FIRST) + len(SECOND)
    assert {(each[names.USAGE_SOURCE], each.get(names.CALL_REFUSED)) for each in found} == {("client", None)}
    assert all(each[names.TIME_TO_FIRST_CHUNK] >= 0 for each in found), "how long the first sound took"


@pytest.mark.parametrize("status", [500, None])
def test_a_text_that_cartesia_answers_by_an_error_is_refused(fake, spans, status) -> None:
    """It documents that errors cost nothing; the text before is billed."""
    fake.error_status = status
    first, second = call(spans, fake, TTSSpeakFrame(FIRST), TTSSpeakFrame("This is an error."))
    assert (first.get(names.CALL_REFUSED), second.get(names.CALL_REFUSED)) == (None, True)
    assert first[names.USAGE_SOURCE] == "client"


def test_an_error_after_audio_is_estimated(fake, spans) -> None:
    """One context of two sentences: one was spoken, the other not, and nobody says what is charged."""
    words = (LLMTextFrame(f"{FIRST} "), LLMTextFrame("And then an error. "))
    found = call(spans, fake, LLMFullResponseStartFrame(), *words, LLMFullResponseEndFrame())
    assert sum(each[names.INPUT_CHARACTERS] for each in found) == sum(fake.contexts.values())
    assert "estimated" in {each[names.USAGE_SOURCE] for each in found}
    assert not any(each.get(names.CALL_REFUSED) for each in found)


def test_an_utterance_token_by_token_is_refused_as_a_whole(fake, spans) -> None:
    """It is one span, also where the error comes while its tokens are still on their way."""
    script = (
        LLMFullResponseStartFrame(),
        LLMTextFrame("An error, "),
        LLMTextFrame("sorry."),
        LLMFullResponseEndFrame(),
    )
    (found,) = call(spans, fake, *script, text_aggregation_mode=TextAggregationMode.TOKEN)
    assert found[names.CALL_REFUSED] is True


def test_speech_that_is_interrupted_on_its_socket_is_billed_in_full(fake, spans) -> None:
    """The text was sent."""
    fake.never_finishes = True
    (found,) = call(spans, fake, TTSSpeakFrame(FIRST), InterruptionFrame())
    assert found[names.INPUT_CHARACTERS] == len(FIRST)
    assert found[names.FINISH_REASONS] == ("interrupted",)


def test_speech_on_a_connection_that_is_lost_is_estimated(fake, spans) -> None:
    """Pipecat ends its audio context like any other; whether the vendor charges the text is not known."""
    fake.breaks_speech = True
    found = call(spans, fake, TTSSpeakFrame(FIRST))
    assert [(each[names.INPUT_CHARACTERS], each[names.USAGE_SOURCE]) for each in found] == [(len(FIRST), "estimated")]
