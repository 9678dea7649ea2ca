"""Pipecat's real OpenAI Realtime service: answers, and what the transcription of the caller costs."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from aiohttp import web
from pipecat.frames.frames import EndFrame, LLMContextFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.azure.realtime.llm import AzureRealtimeLLMService
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from callfare import attributes as names
from callfare.instrumentation.pipecat import PipecatInstrumentor
from tests.instrumentation.fakes.server import FakeServer
from tests.support.waiting import wait_until

TOKENS = {
    "type": "tokens", "total_tokens": 22, "input_tokens": 13, "output_tokens": 9,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 13},
}  # fmt: skip


class Realtime(FakeServer):
    """Transcribes what it never heard, with this usage, and answers every request."""

    def __init__(self, usage: dict | None, stated_model: str) -> None:
        super().__init__()
        self.answered = 0
        self._usage = usage
        self._session = {"id": "s", "object": "realtime.session", "type": "realtime"}
        if stated_model:
            self._session["audio"] = {"input": {"transcription": {"model": stated_model}}}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/realtime", self.talk)]

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "session.created", "event_id": "e0", "session": self._session})
        async for message in socket:
            kind = json.loads(message.data)["type"]
            if kind == "session.update":
                await socket.send_json({"type": "session.updated", "event_id": "e1", "session": self._session})
            elif kind == "response.create":
                await self._answer(socket)
        return socket

    async def _answer(self, socket: web.WebSocketResponse) -> None:
        transcript = {"item_id": f"item_{self.answered}", "content_index": 0, "transcript": "the secret words"}
        done = {"type": "conversation.item.input_audio_transcription.completed", "event_id": "e2", **transcript}
        await socket.send_json(done if self._usage is None else done | {"usage": self._usage})
        usage = {"total_tokens": 150, "input_tokens": 100, "output_tokens": 50}
        response = {"id": f"resp_{self.answered}", "object": "realtime.response", "status": "completed", "output": []}
        await socket.send_json({
            "type": "response.done", "event_id": "e3", "response": response | {"status_details": None, "usage": usage},
        })  # fmt: skip
        self.answered += 1


@pytest.fixture(autouse=True)
def instrumented(spans) -> Iterator[None]:
    PipecatInstrumentor().instrument(tracer_provider=spans.provider)
    yield
    PipecatInstrumentor().uninstrument()


def talked(spans, usage: dict | None, *, is_azure: bool = False, stated: str = "", configured: str = "") -> list[dict]:
    """Two answers; the spans of what was transcribed."""
    hearing = events.InputAudioTranscription(model=configured) if configured else None
    properties = events.SessionProperties(
        audio=events.AudioConfiguration(input=events.AudioInput(transcription=hearing))
    )

    async def run(server: Realtime) -> None:
        kind = AzureRealtimeLLMService if is_azure else OpenAIRealtimeLLMService
        settings = kind.Settings(model="gpt-realtime", session_properties=properties)
        url = server.url.replace("http", "ws") + "/v1/realtime"
        llm = kind(api_key="k", base_url=url, settings=settings)
        task = PipelineTask(Pipeline([llm]), cancel_on_idle_timeout=False)
        running = asyncio.ensure_future(PipelineRunner(handle_sigint=False).run(task))
        await task.queue_frame(LLMContextFrame(LLMContext(messages=[{"role": "user", "content": "hi"}])))

        def has_ended() -> bool:
            # Pipecat drops a request that comes before it has seen the end of the answer before.
            return server.answered == 1 and not getattr(llm, "_response_active", False)

        await asyncio.to_thread(wait_until, "the end of an answer", has_ended)
        await llm._create_response()
        await asyncio.to_thread(wait_until, "another", lambda: server.answered == 2)
        await asyncio.sleep(0.1)
        await task.queue_frame(EndFrame())
        await running

    with Realtime(usage, stated) as server:
        asyncio.run(run(server))
    return [found for found in spans.attributes if found.get(names.OPERATION_NAME) == "speech_to_text"]


def test_a_transcription_is_billed_by_its_tokens(spans) -> None:
    """At the price of its own model, as the vendor states it, and beside the tokens of the answers."""
    found = talked(spans, TOKENS, stated="gpt-4o-transcribe", configured="whisper-1")
    assert [
        (each[names.INPUT_TOKENS], each[names.OUTPUT_TOKENS], each[names.INPUT_AUDIO_TOKENS]) for each in found
    ] == [(13, 9, 13)] * 2
    assert {each[names.REQUEST_MODEL] for each in found} == {"gpt-4o-transcribe"}
    assert {each[names.PROVIDER_NAME] for each in found} == {"openai"}
    assert [each[names.RESPONSE_ID] for each in found] == ["item_0", "item_1"]
    answers = [each for each in spans.attributes if each.get(names.OPERATION_NAME) == "chat"]
    assert sum(each.get(names.INPUT_TOKENS, 0) for each in answers) == 200


def test_a_transcription_by_duration(spans) -> None:
    """Whisper is billed by time; the model is the configured one where the vendor names none."""
    found = talked(spans, {"type": "duration", "seconds": 3.5}, configured="whisper-1")
    assert [each[names.AUDIO_INPUT_SECONDS] for each in found] == [3.5] * 2
    assert {each[names.REQUEST_MODEL] for each in found} == {"whisper-1"}


def test_a_transcription_without_usage_is_unknown(spans) -> None:
    """It is on the bill, unpriced, and of Azure's service it is Azure's."""
    found = talked(spans, None, is_azure=True, configured="whisper-1")
    assert {(each[names.USAGE_SOURCE], each[names.PROVIDER_NAME]) for each in found} == {("unknown", "azure")}
