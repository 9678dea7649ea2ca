"""Deepgram's SDK 5 to 7 pointed at the fake, and the words in which its versions differ."""

import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import deepgram
import httpx
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.environment import DeepgramClientEnvironment

from tests.instrumentation.fakes.deepgram import FakeDeepgram

MAJOR = int(deepgram.__version__.split(".")[0])
CANARY = "canary naïve 🦜 42"
LIVE = {"model": "nova-3", "encoding": "linear16", "sample_rate": 16_000 if MAJOR > 5 else "16000"}
CHUNK = b"\x00\x00" * 1600  # 0.1 s


def environment_of(fake: FakeDeepgram) -> DeepgramClientEnvironment:
    addresses = {"base": fake.url, "production": fake.ws_url, "agent": fake.ws_url}
    return DeepgramClientEnvironment(**addresses, **({"agent_rest": fake.url} if MAJOR > 6 else {}))


def client_of(fake: FakeDeepgram) -> DeepgramClient:
    return DeepgramClient(api_key="k", environment=environment_of(fake), httpx_client=fake.client)


@asynccontextmanager
async def async_client_of(fake: FakeDeepgram) -> AsyncIterator[AsyncDeepgramClient]:
    async with httpx.AsyncClient(timeout=60) as http:
        yield AsyncDeepgramClient(api_key="k", environment=environment_of(fake), httpx_client=http)


def send(socket: Any, kind: str) -> Any:
    """A control message, in the words of this version; a coroutine for an asynchronous socket."""
    if MAJOR > 5:
        named = {"CloseStream": "close_stream", "KeepAlive": "keep_alive"}.get(kind, kind.lower())
        return getattr(socket, f"send_{named}")()
    return socket._send({"type": kind})


def speak(socket: Any, text: str) -> Any:
    return socket._send({"type": "Speak", "text": text})


def receive_all(socket: Any) -> None:
    while True:
        socket.recv()


def wav(seconds: int, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"\x00\x00" * channels * 8000 * seconds)
    return file.getvalue()
