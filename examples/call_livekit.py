"""A LiveKit call: one question to an agent, answered by OpenAI's model. Nothing of callfare.

    opentelemetry-instrument python examples/call_livekit.py

The session is a workflow of its own. In a job it has the room's id; here there is no room.
"""

import asyncio

from livekit.agents import Agent, AgentSession
from livekit.plugins import openai


async def main() -> None:
    session = AgentSession(llm=openai.LLM(model="gpt-4o-mini"))
    await session.start(Agent(instructions="You are a helpful voice on the telephone."))
    await session.run(user_input="Where is my order?")
    await session.aclose()


if __name__ == "__main__":
    asyncio.run(main())
