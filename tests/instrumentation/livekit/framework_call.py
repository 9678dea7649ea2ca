"""The call as the unit, through LiveKit's real AgentSession. Run by test_older_sdks.py."""

import asyncio
import contextlib
import time
from types import SimpleNamespace

import pytest
from aiohttp import web
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt, telemetry
from livekit.agents.metrics import STTMetrics
from livekit.agents.metrics.base import Metadata
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN
from livekit.plugins import openai as plugin
from opentelemetry import trace

from callfare import attributes as names
from callfare import workflow
from callfare.calls.voice_call import VoiceCall
from callfare.instrumentation.livekit import LiveKitInstrumentor, _call
from callfare.provider import shutdown
from tests.instrumentation.fakes.openai import OpenAIFake
from tests.support.waiting import wait_until

CALL = "voice call"


@pytest.fixture(autouse=True)
def instrumented(spans, monkeypatch):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", spans.provider)
    telemetry.set_tracer_provider(spans.provider)
    LiveKitInstrumentor().instrument(tracer_provider=spans.provider)
    yield
    LiveKitInstrumentor().uninstrument()


@pytest.fixture
def fake():
    with OpenAIFake() as server:
        yield server


async def answered(fake: OpenAIFake) -> None:
    """A session that is asked once, and closed by the application."""
    model = plugin.LLM(model="gpt-4o-mini", api_key="k", base_url=f"{fake.url}/v1")
    session = AgentSession(llm=model, vad=None)
    await session.start(Agent(instructions="Be brief."), record=False)
    await session.run(user_input="hi")
    await session.aclose()


def named(spans, name: str) -> list:
    return [span for span in spans.all if span.name == name]


def test_a_session_is_one_trace_with_a_name(fake, spans) -> None:
    """LiveKit's own spans are below the call."""
    asyncio.run(answered(fake))
    (root,) = named(spans, CALL)
    assert root.parent is None
    assert {span.context.trace_id for span in spans.all} == {root.context.trace_id}
    assert (root.attributes[names.WORKFLOW_NAME], root.attributes[names.OUTCOME]) == (CALL, "completed")
    assert root.attributes[names.CATEGORY] == "voice"
    (asked,) = named(spans, "llm_request")
    assert asked.attributes[names.WORKFLOW_NAME] == CALL


@pytest.mark.parametrize("has_workflow", [False, True])
def test_a_session_says_how_it_went(fake, spans, has_workflow) -> None:
    """On the call's span, or on that of the workflow around it: LiveKit reports turns, and what was interrupted."""

    async def run() -> None:
        async with workflow("support-call") if has_workflow else contextlib.nullcontext():
            model = plugin.LLM(model="gpt-4o-mini", api_key="k", base_url=f"{fake.url}/v1")
            session = AgentSession(llm=model, vad=None)
            await session.start(Agent(instructions="Be brief."), record=False)
            await session.run(user_input="hi")
            for user, agent in (("speaking", "listening"), ("listening", "speaking"), ("speaking", "listening")):
                session.emit("user_state_changed", SimpleNamespace(new_state=user))
                session.emit("agent_state_changed", SimpleNamespace(new_state=agent))
            item = SimpleNamespace(role="assistant", interrupted=True)
            session.emit("conversation_item_added", SimpleNamespace(item=item))
            await session.aclose()

    asyncio.run(run())
    (root,) = named(spans, "workflow support-call" if has_workflow else CALL)
    assert (root.attributes[names.CALL_TURNS], root.attributes[names.CALL_INTERRUPTIONS]) == (1, 1)
    assert root.attributes[names.CALL_DEAD_AIR_SECONDS] >= 0


def test_a_workflow_around_the_session_is_the_workflow(fake, spans) -> None:
    """Nothing is opened beside it."""

    async def run() -> None:
        async with workflow("support-call"):
            await answered(fake)

    asyncio.run(run())
    assert named(spans, CALL) == []
    assert len({span.context.trace_id for span in spans.all}) == 1


def test_a_session_after_another_is_a_call_of_its_own(fake, spans) -> None:
    """Although LiveKit leaves the first one's context to the task that started it."""

    async def run() -> None:
        for _ in range(2):
            await answered(fake)

    asyncio.run(run())
    roots = named(spans, CALL)
    assert len({root.context.trace_id for root in roots}) == 2
    assert [root.parent for root in roots] == [None, None]
    for root in roots:
        mine = [span.name for span in spans.all if span.context.trace_id == root.context.trace_id]
        assert mine.count("llm_request") == 1


def test_sessions_at_once_stay_apart(fake, spans) -> None:
    """Three of one process, each with its own model call."""

    async def run() -> None:
        await asyncio.gather(*(answered(fake) for _ in range(3)))

    asyncio.run(run())
    traces = [span.context.trace_id for span in named(spans, "llm_request")]
    assert len(set(traces)) == 3
    assert set(traces) == {root.context.trace_id for root in named(spans, CALL)}


class _Recogniser(stt.STT):
    """One with a socket, whose vendor is this file."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))

    model = "nova-3"
    provider = "Deepgram"

    async def _recognize_impl(self, *_args, **_options):
        raise NotImplementedError

    def stream(self, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return _Stream(stt=self, conn_options=conn_options)


class _Stream(stt.RecognizeStream):
    async def _run(self) -> None:
        async for _ in self._input_ch:
            pass


def reported(recogniser: _Recogniser, seconds: float) -> None:
    metrics = STTMetrics(
        label="l", request_id="r", timestamp=time.time(), duration=0.0, audio_duration=seconds, streamed=True,
        metadata=Metadata(model_name="nova-3", model_provider="Deepgram"),
    )  # fmt: skip
    recogniser.emit("metrics_collected", metrics)


def pushed(stream: _Stream, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        samples = 1_600
        stream.push_frame(rtc.AudioFrame(bytes(samples * 2), 16_000, 1, samples))


def recognitions(spans) -> list[dict]:
    return [found for found in spans.attributes if found.get(names.OPERATION_NAME) == "speech_to_text"]


def test_the_life_of_an_idle_socket_is_no_audio(spans) -> None:
    """5 s of audio on a socket that lived 11 s: the plugin reports 15, of which 10 when it closes."""

    async def run() -> None:
        recogniser = _Recogniser()
        stream = recogniser.stream()
        pushed(stream, 5.0)
        reported(recogniser, 5.0)
        reported(recogniser, 10.0)
        await stream.aclose()
        await recogniser.aclose()

    asyncio.run(run())
    assert sum(found[names.AUDIO_INPUT_SECONDS] for found in recognitions(spans)) == 5.0


def test_a_broken_connection_makes_an_estimate(spans) -> None:
    """What was on its way then may not have arrived."""

    async def run() -> None:
        recogniser = _Recogniser()
        stream = recogniser.stream()
        pushed(stream, 1.0)
        reported(recogniser, 1.0)
        stream._emit_error(ConnectionError(), recoverable=True)
        await stream.aclose()
        await recogniser.aclose()

    asyncio.run(run())
    assert {found[names.USAGE_SOURCE] for found in recognitions(spans)} == {"estimated"}


@pytest.mark.parametrize("reports", [True, False])
def test_the_end_of_the_process_tells_the_last_interval(spans, reports) -> None:
    """A recogniser reports every 5 seconds; what it was given since then is known all the same."""

    async def run() -> None:
        recogniser = _Recogniser()
        stream = recogniser.stream()
        if reports:
            pushed(stream, 5.0)
            reported(recogniser, 5.0)
        pushed(stream, 2.0)
        shutdown._end_what_is_open()
        await stream.aclose()

    asyncio.run(run())
    (found,) = recognitions(spans)
    assert found[names.AUDIO_INPUT_SECONDS] == (7.0 if reports else 2.0)
    assert (found[names.USAGE_SOURCE], found[names.SESSION_STATE]) == ("estimated", "lost")


def test_the_end_of_the_process_ends_the_answer_in_flight(fake, spans) -> None:
    """Its span goes out with the length of what was asked; the call ends as interrupted."""

    async def run() -> None:
        model = plugin.LLM(model="gpt-4o-mini", api_key="k", base_url=f"{fake.url}/v1")
        session = AgentSession(llm=model, vad=None)
        await session.start(Agent(instructions="Be brief."), record=False)
        session.generate_reply(user_input="hi")
        await asyncio.to_thread(wait_until, "the question", lambda: fake.chat_requests)
        shutdown._end_what_is_open()

    fake.never_chats = True
    asyncio.run(run())
    (asked,) = named(spans, "llm_request")
    assert asked.attributes[names.REQUEST_CHARACTERS] == len("Be brief.") + len("hi")
    (root,) = named(spans, CALL)
    assert root.attributes[names.OUTCOME] == "interrupted"


def test_a_caller_by_telephone_says_by_which_leg(spans) -> None:
    """LiveKit's telephony states the call SID on the participant, also of one who joins later."""
    tracer = spans.provider.get_tracer("test")
    room = rtc.EventEmitter()
    room.remote_participants = {"a": SimpleNamespace(attributes={"sip.twilio.callSid": "CA1"})}
    call = VoiceCall.open(tracer, call_id="RM_1")
    _call._watch_room(call, room)
    late = SimpleNamespace(attributes={})
    room.emit("participant_connected", late)
    late.attributes["sip.twilio.callSid"] = "CA2"
    for _ in range(2):
        room.emit("participant_attributes_changed", {}, late)
    call.end("completed")
    legs = named(spans, "phone_call")
    assert [leg.attributes[names.CALL_ID] for leg in legs] == ["CA1", "CA2"]
    assert {leg.parent.span_id for leg in legs} == {named(spans, CALL)[0].context.span_id}


class _Breaking(OpenAIFake):
    """Breaks off, or refuses, the first request of each kind."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self._status = status
        self._failed: set[str] = set()

    async def first(self, request: web.Request, answer) -> web.StreamResponse:
        if request.path in self._failed:
            return await answer(request)
        self._failed.add(request.path)
        if self._status:
            return web.json_response({"error": {"message": "no"}}, status=self._status)
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self.first(request, super().chat)

    async def speech(self, request: web.Request) -> web.StreamResponse:
        return await self.first(request, super().speech)


@pytest.mark.parametrize(("status", "source"), [(0, "estimated"), (503, None)])
def test_an_attempt_that_broke_off_makes_an_estimate(spans, status, source) -> None:
    """LiveKit tries again, and reports the second attempt; whether the first is charged, nobody says."""

    async def run(server: OpenAIFake) -> None:
        connection = {"api_key": "k", "base_url": f"{server.url}/v1"}
        context = llm.ChatContext.empty()
        context.add_message(role="user", content="hi")
        async with plugin.LLM(model="gpt-4o-mini", **connection).chat(chat_ctx=context) as answer:
            assert [chunk async for chunk in answer]
        async with plugin.TTS(model="tts-1", response_format="pcm", **connection).synthesize("Good morning.") as speech:
            assert [frame async for frame in speech]

    with _Breaking(status) as server:
        asyncio.run(run(server))
    for name in ("llm_request", "tts_request"):
        (asked,) = named(spans, name)
        assert asked.attributes.get(names.USAGE_SOURCE) == source, name


def test_a_realtime_models_transcription_is_billed_by_its_tokens(spans) -> None:
    """LiveKit reports it like a recogniser that heard nothing: its seconds are no quantity then."""
    session = rtc.EventEmitter()
    metrics = STTMetrics(
        label="l", request_id="e", timestamp=time.time(), duration=0.0, audio_duration=0.0, streamed=True,
        input_tokens=13, output_tokens=9, total_tokens=22, input_audio_tokens=13,
        metadata=Metadata(model_name="gpt-4o-transcribe", model_provider="api.openai.com"),
    )  # fmt: skip
    session.emit("metrics_collected", metrics)
    shutdown._end_what_is_open()
    (found,) = recognitions(spans)
    assert (found[names.INPUT_TOKENS], found[names.INPUT_AUDIO_TOKENS], found[names.OUTPUT_TOKENS]) == (13, 13, 9)
    assert names.AUDIO_INPUT_SECONDS not in found
    assert found[names.PROVIDER_NAME] == "openai"
