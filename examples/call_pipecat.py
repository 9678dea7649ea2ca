"""A Pipecat call: one question, answered by OpenAI's model and spoken by its voice. Nothing of callfare.

    opentelemetry-instrument python examples/call_pipecat.py

The call is a workflow of its own. Its tenant comes from the environment, or from the arguments of the task below.
"""

import asyncio
import os

from pipecat.frames.frames import EndFrame, LLMContextFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.tts import OpenAITTSService


async def main() -> None:
    key, url = os.environ["OPENAI_API_KEY"], os.environ.get("OPENAI_BASE_URL")
    model = OpenAILLMService(api_key=key, base_url=url, settings=OpenAILLMService.Settings(model="gpt-4o-mini"))
    voice = OpenAITTSService(
        api_key=key, base_url=url, settings=OpenAITTSService.Settings(model="tts-1", voice="alloy")
    )
    task = PipelineTask(
        Pipeline([model, voice]),
        conversation_id="call-7",
        additional_span_attributes={"callfare.tenant.id": "acme"},
    )
    context = LLMContext(messages=[{"role": "user", "content": "Where is my order?"}])
    await task.queue_frames([LLMContextFrame(context), EndFrame()])
    await PipelineRunner(handle_sigint=False).run(task)


if __name__ == "__main__":
    asyncio.run(main())
