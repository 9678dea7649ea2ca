"""A local fake of ElevenLabs' streamed speech: it counts the characters it was sent, spoken to the end or not."""

from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import BaseRoute, Route

__all__ = ["FakeElevenLabs"]

_SECOND_OF_AUDIO: Final = b"\0" * 32_000  # pcm_16000
_CHARACTERS_SPOKEN_PER_SECOND: Final = 15
_CREDITS_PER_CHARACTER: Final = 0.5  # flash models


class FakeElevenLabs:
    """Counts characters, which are code points of the text as it was sent."""

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self.characters = 0
        self.request_count = 0

    def routes(self) -> list[BaseRoute]:
        """The responses of the API."""
        return [Route("/v1/text-to-speech/{voice}/stream", self._speak, methods=["POST"])]

    async def _speak(self, request: Request) -> StreamingResponse:
        text = str((await request.json())["text"])
        self.characters += len(text)
        self.request_count += 1
        credits_charged = -(-len(text) * _CREDITS_PER_CHARACTER // 1)
        headers = {"character-cost": f"{credits_charged:.0f}", "request-id": f"elevenlabs-{self.request_count}"}
        seconds = 1 + len(text) // _CHARACTERS_SPOKEN_PER_SECOND
        return StreamingResponse(_audio(seconds), media_type="audio/pcm", headers=headers)


async def _audio(seconds: int) -> AsyncIterator[bytes]:
    for _ in range(seconds):
        yield _SECOND_OF_AUDIO
