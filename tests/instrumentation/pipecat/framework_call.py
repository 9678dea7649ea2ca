"""The call as the unit, through Pipecat's real worker and services. Run by test_older_sdks.py."""

import asyncio
import contextlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    TTSSpeakFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.stt_service import SegmentedSTTService, STTService, WebsocketSTTService
from websockets.protocol import State

from callfare import attributes as names
from callfare import workflow
from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from callfare.instrumentation.pipecat import PipecatInstrumentor
from tests.instrumentation.fakes.openai import OpenAIFake
from tests.support.waiting import wait_until

CALL = "voice call"


@pytest.fixture
def fake() -> Iterator[OpenAIFake]:
    with OpenAIFake() as server:
        yield server


@pytest.fixture(autouse=True)
def instrumented(spans) -> Iterator[None]:
    instrumentors = [PipecatInstrumentor(), OpenAIAudioInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=spans.provider)
    yield
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def services(fake: OpenAIFake) -> list[FrameProcessor]:
    connection = {"api_key": "k", "base_url": f"{fake.url}/v1"}
    return [
        OpenAILLMService(settings=OpenAILLMService.Settings(model="gpt-4o-mini"), **connection),
        OpenAITTSService(settings=OpenAITTSService.Settings(model="tts-1", voice="alloy"), **connection),
    ]


def question() -> LLMContextFrame:
    return LLMContextFrame(LLMContext(messages=[{"role": "user", "content": "hi"}]))


async def answered(processors, *frames, **options) -> None:
    """One call from its first frame to its last."""
    task = PipelineTask(Pipeline(processors), cancel_on_idle_timeout=False, **options)
    for frame in frames or (question(), TTSSpeakFrame("Good morning.")):
        await task.queue_frame(frame)
    await task.queue_frame(EndFrame())
    await PipelineRunner(handle_sigint=False).run(task)


def named(spans, name: str) -> list:
    return [span for span in spans.all if span.name == name]


def paid(spans) -> list:
    return [span for span in spans.all if span.attributes.get(names.OPERATION_NAME) in {"chat", "text_to_speech"}]


def test_a_call_is_one_trace_with_a_name(fake, spans) -> None:
    """Every span of it, the vendors' included; the id is Pipecat's own, the tenant what the task was told."""
    stated = {names.TENANT_ID: "acme", "app.version": 7}
    asyncio.run(answered(services(fake), conversation_id="call-7", additional_span_attributes=stated))
    (root,) = named(spans, CALL)
    assert root.parent is None
    assert {span.context.trace_id for span in spans.all} == {root.context.trace_id}
    expected = {
        names.WORKFLOW_NAME: CALL, names.WORKFLOW_ID: "call-7", names.TENANT_ID: "acme", names.CATEGORY: "voice",
        names.OUTCOME: "completed", names.OPERATION_NAME: "invoke_workflow",
    }  # fmt: skip
    assert dict(root.attributes) == expected
    assert len(paid(spans)) == 5  # the answer is spoken as well; of speech both layers tell
    assert {span.attributes[names.TENANT_ID] for span in paid(spans)} == {"acme"}


def test_a_workflow_around_the_call_is_the_workflow(fake, spans, monkeypatch) -> None:
    """The application's name and trace; nothing is opened beside it."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", spans.provider)

    async def run() -> None:
        async with workflow("support-call", tenant="globex"):
            await answered(services(fake))

    asyncio.run(run())
    assert named(spans, CALL) == []
    (root,) = named(spans, "workflow support-call")
    assert {span.context.trace_id for span in spans.all} == {root.context.trace_id}


def test_calls_at_once_stay_apart_below_one_span(fake, spans) -> None:
    """The first stays in the trace it was started in; the others begin their own, with a link."""

    async def run() -> None:
        with spans.tracer.start_as_current_span("server"):
            await asyncio.gather(*(answered(services(fake), conversation_id=f"call-{each}") for each in range(3)))

    asyncio.run(run())
    roots = named(spans, CALL)
    assert len({root.context.trace_id for root in roots}) == 3
    (server,) = named(spans, "server")
    assert sorted(len(root.links) for root in roots) == [0, 1, 1]
    assert {link.context.span_id for root in roots for link in root.links} == {server.context.span_id}
    for root in roots:
        mine = [span for span in paid(spans) if span.context.trace_id == root.context.trace_id]
        assert {span.attributes[names.WORKFLOW_ID] for span in mine} == {root.attributes[names.WORKFLOW_ID]}
        assert len(mine) == 5


async def cancelled(task: PipelineTask) -> None:
    running = asyncio.ensure_future(PipelineRunner(handle_sigint=False).run(task))
    await asyncio.sleep(0.2)
    await task.cancel()
    await running


def test_a_call_that_is_cancelled_says_so(fake, spans) -> None:
    """As where the caller hangs up and the application cancels the task."""

    async def run() -> None:
        await cancelled(PipelineTask(Pipeline(services(fake)), cancel_on_idle_timeout=False))

    asyncio.run(run())
    (root,) = named(spans, CALL)
    assert root.attributes[names.OUTCOME] == "cancelled"


def test_pipecats_own_tracing_is_in_the_calls_trace(fake, spans, monkeypatch) -> None:
    """Conversation, turns and services below them: no trace of their own, and no bill."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", spans.provider)
    asyncio.run(answered(services(fake), enable_tracing=True, conversation_id="call-7"))
    assert {span.context.trace_id for span in spans.all} == {named(spans, CALL)[0].context.trace_id}
    assert named(spans, "conversation")
    theirs = [span for span in spans.all if span.instrumentation_scope.name == "pipecat"]
    assert {span.attributes[names.USAGE_BILLABLE] for span in theirs} <= {False}


def test_openinference_is_in_the_calls_trace_and_no_bill(fake, spans) -> None:
    """Its turns begin a trace each, by themselves, and it tells of the same calls again."""
    openinference = pytest.importorskip("openinference.instrumentation.pipecat").PipecatInstrumentor()
    openinference.instrument(tracer_provider=spans.provider)
    asyncio.run(answered(services(fake)))
    openinference.uninstrument()
    theirs = [span for span in spans.all if span.instrumentation_scope.name.startswith("openinference")]
    assert "pipecat.llm" in {span.name for span in theirs}
    assert {span.attributes[names.USAGE_BILLABLE] for span in theirs} == {False}
    assert {span.context.trace_id for span in spans.all} == {named(spans, CALL)[0].context.trace_id}


class _Speaker(FrameProcessor):
    """What a transport reports of who speaks: each of it in both directions."""

    async def process_frame(self, frame, direction) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, TTSSpeakFrame):
            for reported in (
                BotStartedSpeakingFrame, UserStartedSpeakingFrame, BotStoppedSpeakingFrame, UserStoppedSpeakingFrame,
            ):  # fmt: skip
                await self.broadcast_frame(reported)
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("has_workflow", [False, True])
def test_a_call_says_how_it_went(fake, spans, monkeypatch, has_workflow) -> None:
    """On its own span, or on that of the workflow around it."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", spans.provider)

    async def run() -> None:
        async with workflow("support-call") if has_workflow else contextlib.nullcontext():
            await answered([_Speaker(), *services(fake)], question(), TTSSpeakFrame("One."), TTSSpeakFrame("Two."))

    asyncio.run(run())
    (root,) = named(spans, "workflow support-call" if has_workflow else CALL)
    assert (root.attributes[names.CALL_TURNS], root.attributes[names.CALL_INTERRUPTIONS]) == (2, 2)
    assert root.attributes[names.CALL_DEAD_AIR_SECONDS] >= 0
    ours = [span for span in spans.all if span.instrumentation_scope.name == "callfare.instrumentation.pipecat"]
    waited = {span.name: span.attributes.get(names.TIME_TO_FIRST_CHUNK) for span in ours if span.name != CALL}
    assert set(waited) == {"chat gpt-4o-mini", "text_to_speech tts-1"}
    assert all(seconds >= 0 for seconds in waited.values())


class _Transport(FrameProcessor):
    """What a websocket transport holds: its parameters, with the serializer of the media stream."""

    def __init__(self, call_sid: str) -> None:
        super().__init__()
        self._params = SimpleNamespace(serializer=TwilioFrameSerializer("MZ1", call_sid, "AC1", "token"))

    async def process_frame(self, frame, direction) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


def test_the_leg_that_brings_the_call_is_told_in_its_trace(fake, spans) -> None:
    """By the call SID of the media stream: what Twilio tells of the leg later joins it."""
    asyncio.run(answered([_Transport("CA123"), *services(fake)]))
    (leg,) = named(spans, "phone_call")
    (root,) = named(spans, CALL)
    assert leg.parent.span_id == root.context.span_id
    assert (leg.attributes[names.CALL_ID], leg.attributes[names.PROVIDER_NAME]) == ("CA123", "twilio")
    assert root.attributes[names.WORKFLOW_ID] == "CA123"


class _SaysNothing:
    """Another instrumentation: of a request that is cancelled it ends no span, or one that tells nothing."""

    def __init__(self, spans, ends, create) -> None:
        self.ends = ends
        self.tracer = trace.get_tracer("opentelemetry.instrumentation.openai.v1", tracer_provider=spans.provider)
        self.create = create

    async def __call__(self, *args, **kwargs):
        span = self.tracer.start_span("openai.chat")
        if self.ends:
            span.end()
        return await self.create(*args, **kwargs)


@pytest.mark.parametrize("ends", [False, True])
def test_a_vendors_span_that_tells_nothing_is_no_bill(fake, spans, ends) -> None:
    """Who saw the start of it but not the end keeps the call."""
    llm, _ = services(fake)
    llm._client.chat.completions.create = _SaysNothing(spans, ends, llm._client.chat.completions.create)
    asyncio.run(answered([llm], question()))
    (ours,) = named(spans, "chat gpt-4o-mini")
    assert names.USAGE_BILLABLE not in ours.attributes
    assert ours.attributes[names.INPUT_TOKENS] == 7


def test_an_interrupted_answer_has_its_lengths(fake, spans) -> None:
    """As numbers, from which the service estimates what nobody told."""

    async def run() -> None:
        llm, _ = services(fake)
        fake.never_chats = True
        task = PipelineTask(Pipeline([llm]), cancel_on_idle_timeout=False)
        running = asyncio.ensure_future(PipelineRunner(handle_sigint=False).run(task))
        parts = [{"type": "text", "text": "y" * 5}, {"type": "image_url", "image_url": {"url": "data:" + "z" * 99}}]
        messages = [{"role": "system", "content": "x" * 30}, {"role": "user", "content": parts}]
        await task.queue_frame(LLMContextFrame(LLMContext(messages=messages)))
        await asyncio.to_thread(wait_until, "the question", lambda: fake.chat_requests)
        await task.queue_frames([InterruptionFrame(), EndFrame()])
        await running

    asyncio.run(run())
    (asked,) = named(spans, "chat gpt-4o-mini")
    assert asked.attributes[names.REQUEST_CHARACTERS] == 35
    assert (asked.attributes[names.USAGE_SOURCE], asked.attributes.get(names.USAGE_BILLABLE)) == ("unknown", None)


def test_an_answer_has_the_length_of_what_came(fake, spans) -> None:
    """Piece by piece, as it is pushed on."""
    llm, _ = services(fake)
    asyncio.run(answered([llm], question()))
    (asked,) = named(spans, "chat gpt-4o-mini")
    assert (asked.attributes[names.REQUEST_CHARACTERS], asked.attributes[names.RESPONSE_CHARACTERS]) == (2, 2)


def audio(seconds: float) -> InputAudioRawFrame:
    return InputAudioRawFrame(audio=bytes(int(seconds * 16_000) * 2), sample_rate=16_000, num_channels=1)


class _Socket(WebsocketSTTService):
    """A recogniser that has a connection for its first seconds only."""

    def __init__(self, seconds: float) -> None:
        super().__init__(sample_rate=16_000)
        self._left = seconds
        self.sent = 0.0
        self._websocket = SimpleNamespace(state=State.OPEN, close=asyncio.Event().set)

    async def run_stt(self, audio):
        if self._websocket.state is State.OPEN:
            self.sent += len(audio) / 32_000
        if self.sent >= self._left:
            self._websocket.state = State.CLOSED
        yield None

    async def _connect_websocket(self): ...
    async def _disconnect_websocket(self): ...
    async def _receive_messages(self): ...
    async def _connect(self): ...
    async def _disconnect(self): ...


class _Refusing(SegmentedSTTService):
    """A recogniser that refuses each second request."""

    def __init__(self) -> None:
        super().__init__(sample_rate=16_000)
        self.taken: list[float] = []
        self._asked = 0

    async def run_stt(self, audio):
        self._asked += 1
        if self._asked % 2 == 0:
            yield ErrorFrame("refused")
            return
        self.taken.append((len(audio) - 44) / 32_000)
        yield None


class _Opaque(STTService):
    """A recogniser whose connection nobody sees."""

    def __init__(self) -> None:
        super().__init__(sample_rate=16_000)

    async def run_stt(self, audio):
        yield None


def test_audio_that_is_not_sent_in_an_outage_is_not_billed(spans) -> None:
    """Pipecat counts what the service is handed: 20 pieces, of which 10 went out."""
    recogniser = _Socket(1.0)
    asyncio.run(answered([recogniser], *[audio(0.1)] * 20))
    recognitions = [found for found in spans.attributes if found.get(names.OPERATION_NAME) == "speech_to_text"]
    assert sum(found.get(names.AUDIO_INPUT_SECONDS, 0) for found in recognitions) == pytest.approx(
        recogniser.sent, abs=0.11
    )
    assert {found[names.USAGE_SOURCE] for found in recognitions} == {"client"}


class _Reconnecting(_Socket):
    """Its connection breaks and is there again before the next piece."""

    async def run_stt(self, audio):
        self.sent += len(audio) / 32_000
        if self.sent >= self._left:
            self._left = 99.0
            self._websocket = SimpleNamespace(state=State.OPEN, close=asyncio.Event().set)
        yield None


def test_a_lost_connection_makes_an_estimate(spans) -> None:
    """What was on its way when it broke may not have arrived, although another one is there at once."""
    asyncio.run(answered([_Reconnecting(1.0)], *[audio(0.1)] * 20))
    recognitions = [found for found in spans.attributes if found.get(names.OPERATION_NAME) == "speech_to_text"]
    assert {found[names.USAGE_SOURCE] for found in recognitions} == {"estimated"}


def test_audio_of_a_hidden_connection_is_estimated(spans) -> None:
    """Whether it went out is not to be seen from here."""
    asyncio.run(answered([_Opaque()], *[audio(0.1)] * 20))
    (recognitions,) = [found for found in spans.attributes if found.get(names.OPERATION_NAME) == "speech_to_text"]
    assert (recognitions[names.AUDIO_INPUT_SECONDS], recognitions[names.USAGE_SOURCE]) == (2.0, "estimated")
