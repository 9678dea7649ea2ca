"""A voice agent on LiveKit as a team writes one, without a room: ten turns, interruptions, errors, a lost connection.

Nothing in here knows of callfare. FAKE: the vendors' address; TTS=cartesia instead of ElevenLabs; SIGTERM: the process
ends in the middle of an answer.
"""

import asyncio
import logging
import os
import signal
import time

import aiohttp
from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.voice import io
from livekit.plugins import cartesia, deepgram, elevenlabs, openai

FAKE = os.environ["FAKE"]
logging.basicConfig(level="ERROR")


class Microphone(io.AudioInput):
    def __init__(self) -> None:
        super().__init__(label="microphone")
        self.frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self.frames.get()


class Mouth(io.AudioOutput):
    """Plays ten times as fast as sound."""

    def __init__(self) -> None:
        capabilities = io.AudioOutputCapabilities(pause=False)
        super().__init__(label="mouth", capabilities=capabilities, sample_rate=24_000)
        self.seconds = 0.0
        self.timer = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self.seconds == 0:
            self.on_playback_started(created_at=time.time())
        self.seconds += frame.duration

    def flush(self) -> None:
        super().flush()
        if self.seconds:
            self.timer = asyncio.get_event_loop().call_later(self.seconds / 10, self._played)

    def clear_buffer(self) -> None:
        if self.timer:
            self.timer.cancel()
        if self.seconds:
            self._played(interrupted=True)

    def _played(self, *, interrupted: bool = False) -> None:
        seconds, self.seconds, self.timer = self.seconds, 0.0, None
        played = seconds / 3 if interrupted else seconds
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class Clerk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are a helpful phone agent. " * 30)

    @function_tool
    async def get_order(self, id: str) -> str:  # noqa: A002 - as the model calls it
        """Status of an order."""
        return f"{id} left today"


def speaker(http: aiohttp.ClientSession):
    if os.environ.get("TTS") == "cartesia":
        return cartesia.TTS(model="sonic-3", voice="v", api_key="k", base_url=FAKE, http_session=http)
    return elevenlabs.TTS(
        voice_id="v", model="eleven_flash_v2_5", api_key="k", base_url=f"{FAKE}/v1", http_session=http,
        encoding="pcm_24000", auto_mode=True,
    )  # fmt: skip


class Caller:
    """Speaks ten times, and does not always wait for the answer."""

    def __init__(self, microphone: Microphone, http: aiohttp.ClientSession) -> None:
        self.microphone, self.http = microphone, http

    async def steer(self, **controls) -> None:
        await self.http.post(f"{FAKE}/control", json=controls)

    async def sound(self, seconds: float, speed: int = 5) -> None:
        for _ in range(round(seconds * 10)):
            frame = rtc.AudioFrame(data=b"\1\0" * 1600, sample_rate=16_000, num_channels=1, samples_per_channel=1600)
            self.microphone.frames.put_nowait(frame)
            await asyncio.sleep(0.1 / speed)

    async def say(self, words: str, listen_seconds: float = 4.0) -> None:
        await self.sound(1.0)
        await self.steer(say=words)
        await self.sound(0.5)
        await self.sound(listen_seconds)

    async def call(self, session: AgentSession) -> None:
        await session.say("Welcome to the shop, how can I help?")
        await self.say("hello one")
        await self.say("where is my order two")
        await self.say("a long answer please three", 1.2)
        session.interrupt()
        await self.say("stop four")
        await self.steer(**({"cartesia_error": 1} if os.environ.get("TTS") == "cartesia" else {"cut_after_texts": 2}))
        await self.say("five", 8)
        await self.say("six")
        await self.http.post(f"{FAKE}/drop")
        await self.sound(2.0)
        await asyncio.sleep(1)
        await self.say("seven")
        await self.sound(30, 60)
        if os.environ.get("SIGTERM"):
            await self.say("long eight", 1.0)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(30)
        await self.say("long eight", 1.2)
        session.interrupt()
        await asyncio.sleep(0.3)
        await self.say("nine")
        await self.say("ten")
        await session.say("Goodbye.")
        await session.aclose()


async def main() -> None:
    async with aiohttp.ClientSession() as http:
        session = AgentSession(
            stt=deepgram.STT(model="nova-3", api_key="k", base_url=f"{FAKE}/v1/listen", http_session=http),
            llm=openai.LLM(model="gpt-4o-mini", api_key="k", base_url=f"{FAKE}/v1"),
            tts=speaker(http),
            turn_handling={
                "turn_detection": "stt", "endpointing": {"min_delay": 0.1, "max_delay": 0.3},
                "preemptive_generation": {"enabled": False},
            },
            user_away_timeout=None,
        )  # fmt: skip
        microphone = Microphone()
        session.input.audio, session.output.audio = microphone, Mouth()
        await session.start(Clerk())
        await Caller(microphone, http).call(session)


asyncio.run(main())
