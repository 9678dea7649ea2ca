"""LiveKit's recogniser and speaker, with OpenAI behind both. Nothing of callfare.

    opentelemetry-instrument python examples/agent_livekit.py

LiveKit reports the usage of each of them, and so do the instrumentations of OpenAI's SDK: each call is billed once.
"""

import asyncio

from livekit import rtc
from livekit.plugins import openai


async def main() -> None:
    recogniser, speaker = openai.STT(model="whisper-1"), openai.TTS(model="tts-1", voice="alloy", response_format="pcm")
    await recogniser.recognize(recording(seconds=3))
    async with speaker.synthesize("Your order leaves today.") as speech:
        async for _ in speech:
            pass
    await recogniser.aclose()
    await speaker.aclose()


def recording(*, seconds: int) -> rtc.AudioFrame:
    """Silence, as a microphone would have recorded it."""
    samples = 16_000 * seconds
    return rtc.AudioFrame(data=b"\0\0" * samples, sample_rate=16_000, num_channels=1, samples_per_channel=samples)


if __name__ == "__main__":
    asyncio.run(main())
