"""Cartesia's SDK 3 and 4 pointed at the fake, and what the tests send by it."""

from importlib import metadata
from typing import Any

import pytest
from cartesia import AsyncCartesia, Cartesia

from tests.instrumentation.fakes.cartesia import FakeCartesia

VERSION = tuple(int(part) for part in metadata.version("cartesia").split(".")[:2])
CANARY = "canary naïve 🦜 42"
SPEECH: dict[str, Any] = {
    "model_id": "sonic-3",
    "voice": {"mode": "id", "id": "voice-1"},
    "output_format": {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 44100},
}
needs_recognition = pytest.mark.skipif(VERSION < (3, 1), reason="recognition sockets came with 3.1 or later")


def client_of(fake: FakeCartesia) -> Cartesia:
    return Cartesia(api_key="k", base_url=fake.url, websocket_base_url=fake.ws_url)


def async_client_of(fake: FakeCartesia) -> AsyncCartesia:
    return AsyncCartesia(api_key="k", base_url=fake.url, websocket_base_url=fake.ws_url)


def message(context: str, text: str, *, more: bool = False) -> dict[str, Any]:
    return {"context_id": context, "transcript": text, "continue": more, **SPEECH}
