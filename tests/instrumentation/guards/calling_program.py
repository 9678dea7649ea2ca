"""Calls OpenAI's SDK in every way that makes a span of its own kind; run under `opentelemetry-instrument`."""

import asyncio

from openai import AsyncOpenAI, OpenAI
from opentelemetry import trace

from callfare import BudgetExceeded
from callfare.budget import channel

# A loaded machine takes longer than a quarter of a second: what waits is not what is tested here.
channel.WAIT_SECONDS_MAX = channel._REQUEST_SECONDS_MAX = 30.0

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
RESPONSE = {"model": "gpt-4o-mini", "input": "hello", "max_output_tokens": 20}
USAGE = {"include_usage": True}


async def asynchronous() -> None:
    async with AsyncOpenAI() as client:
        await client.chat.completions.create(**CHAT)
        await client.responses.create(**RESPONSE)
        await client.embeddings.create(model="text-embedding-3-small", input="hello")


def main() -> None:
    with OpenAI(max_retries=0) as client:
        client.chat.completions.create(**CHAT)
        list(client.chat.completions.create(**CHAT, stream=True, stream_options=USAGE))
        client.responses.create(**RESPONSE)
        list(client.responses.create(**RESPONSE, stream=True))
        client.embeddings.create(model="text-embedding-3-small", input="hello")
        asyncio.run(asynchronous())
        try:
            client.chat.completions.create(**CHAT | {"max_tokens": 100_000_000})
        except BudgetExceeded:
            print("refused")
    trace.get_tracer_provider().force_flush()


if __name__ == "__main__":
    main()
