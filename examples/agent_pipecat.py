"""A Pipecat agent that speaks twice: through OpenAI's SDK, and to ElevenLabs over plain HTTP. Nothing of callfare.

    opentelemetry-instrument python examples/agent_pipecat.py

Pipecat reports both. The first is billed by the span of the SDK's instrumentor, once; only Pipecat reports the second.
"""

import asyncio
import os

import aiohttp
from pipecat.frames.frames import EndFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.services.elevenlabs.tts import ElevenLabsHttpTTSService
from pipecat.services.openai.tts import OpenAITTSService


async def main() -> None:
    async with aiohttp.ClientSession() as session:
        await say("Your order leaves today.", OpenAITTSService(api_key=os.environ["OPENAI_API_KEY"], voice="alloy"))
        await say("Goodbye.", elevenlabs(session))


def elevenlabs(session: aiohttp.ClientSession) -> ElevenLabsHttpTTSService:
    return ElevenLabsHttpTTSService(
        api_key=os.environ["ELEVENLABS_API_KEY"],
        voice_id="JBFqnCBsd6RMkjVDRZzb",
        aiohttp_session=session,
        base_url=os.environ.get("ELEVENLABS_BASE_URL", "https://api.elevenlabs.io"),
    )


async def say(text: str, speaker: OpenAITTSService | ElevenLabsHttpTTSService) -> None:
    task = PipelineTask(Pipeline([speaker]), params=PipelineParams(enable_metrics=True, enable_usage_metrics=True))
    await task.queue_frames([TTSSpeakFrame(text), EndFrame()])
    await PipelineRunner(handle_sigint=False).run(task)


if __name__ == "__main__":
    asyncio.run(main())
