"""A voice agent on Pipecat as a team writes one: ten turns, interruptions, an error of speech, a lost connection.

Nothing in here knows of callfare. FAKE: the vendors' address; TTS=cartesia instead of ElevenLabs; TRACING: Pipecat's
own; SIGTERM: the process ends in the middle of an answer.
"""

import asyncio
import os
import signal

import aiohttp
from loguru import logger
from pipecat.adapters.schemas.function_schema import FunctionSchema
from pipecat.adapters.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

FAKE = os.environ["FAKE"]
SOCKETS = FAKE.replace("http", "ws")
logger.remove()


def speaker():
    if os.environ.get("TTS") == "cartesia":
        settings = CartesiaTTSService.Settings(voice="v", model="sonic-3")
        return CartesiaTTSService(api_key="k", url=f"{SOCKETS}/tts/websocket", settings=settings)
    settings = ElevenLabsTTSService.Settings(voice="v", model="eleven_flash_v2_5")
    return ElevenLabsTTSService(api_key="k", url=SOCKETS, settings=settings)


async def get_order(parameters) -> None:
    await parameters.result_callback({"status": "left today"})


def pipeline_task() -> PipelineTask:
    recogniser = DeepgramSTTService.Settings(model="nova-3")
    stt = DeepgramSTTService(api_key="k", base_url=SOCKETS, sample_rate=16_000, settings=recogniser)
    model = OpenAILLMService.Settings(model="gpt-4o-mini")
    llm = OpenAILLMService(api_key="k", base_url=f"{FAKE}/v1", settings=model, retry_on_timeout=False)
    llm.register_function("get_order", get_order)
    order = FunctionSchema(
        name="get_order", description="status of an order", properties={"id": {"type": "string"}}, required=["id"]
    )
    system = {"role": "system", "content": "You are a helpful phone agent. " * 30}
    context = LLMContext([system], ToolsSchema(standard_tools=[order]))
    stop = SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.1)
    turns = LLMUserAggregatorParams(user_turn_strategies=UserTurnStrategies(stop=[stop]))
    sides = LLMContextAggregatorPair(context, user_params=turns)
    return PipelineTask(
        Pipeline([stt, sides.user(), llm, speaker(), sides.assistant()]),
        params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
        enable_tracing=bool(os.environ.get("TRACING")),
        conversation_id="call-7",
        cancel_on_idle_timeout=False,
    )


class Caller:
    """Speaks ten times, and does not always wait for the answer."""

    def __init__(self, task: PipelineTask, http: aiohttp.ClientSession) -> None:
        self.task, self.http = task, http

    async def steer(self, **controls) -> None:
        await self.http.post(f"{FAKE}/control", json=controls)

    async def sound(self, seconds: float, speed: int = 5) -> None:
        for _ in range(round(seconds * 10)):
            await self.task.queue_frame(InputAudioRawFrame(audio=b"\1\0" * 1600, sample_rate=16_000, num_channels=1))
            await asyncio.sleep(0.1 / speed)

    async def say(self, words: str, listen_seconds: float = 4.0) -> None:
        await self.task.queue_frame(VADUserStartedSpeakingFrame())
        await self.sound(1.0)
        await self.steer(say=words)
        await self.sound(0.5)
        await self.task.queue_frame(VADUserStoppedSpeakingFrame())
        await self.sound(listen_seconds)

    async def call(self) -> None:
        await asyncio.sleep(0.5)
        await self.task.queue_frame(TTSSpeakFrame("Welcome to the shop, how can I help?"))
        await asyncio.sleep(0.6)
        await self.say("hello one")
        await self.say("where is my order two")
        await self.say("a long answer please three", 2.0)
        await self.say("stop four")
        await self.steer(**({"cartesia_error": 1} if os.environ.get("TTS") == "cartesia" else {"cut_after_texts": 2}))
        await self.say("five")
        await self.say("six")
        await self.http.post(f"{FAKE}/drop")
        await self.sound(2.0)
        await asyncio.sleep(1.5)
        await self.say("seven")
        await self.sound(30, 60)
        if os.environ.get("SIGTERM"):
            await self.say("a long answer eight", 2.4)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(30)
        await self.say("long eight", 1.2)
        await self.task.queue_frame(InterruptionFrame())
        await asyncio.sleep(0.3)
        await self.say("nine")
        await self.say("ten")
        await self.task.queue_frame(TTSSpeakFrame("Goodbye."))
        await asyncio.sleep(0.5)
        await self.task.queue_frame(EndFrame())


async def main() -> None:
    async with aiohttp.ClientSession() as http:
        task = pipeline_task()
        calling = asyncio.create_task(Caller(task, http).call())
        await PipelineRunner(handle_sigint=False).run(task)
        calling.cancel()


asyncio.run(main())
