"""A local fake of Deepgram's streaming recogniser: it counts audio bytes and says its own duration at the close."""

import json
from decimal import Decimal
from typing import Any, Final

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

__all__ = ["FakeDeepgram"]

_BYTES_PER_SAMPLE: Final = 2  # linear16
_UTTERANCES: Final = ("Where is my order?", "Can I still change the address?")
_REQUEST_ID: Final = "deepgram-1"


class FakeDeepgram:
    """Counts seconds of audio, by the bytes that arrived."""

    def __init__(self) -> None:
        """Begin without any audio."""
        self.audio_seconds = Decimal(0)

    def routes(self) -> list[BaseRoute]:
        """The responses of the API."""
        return [WebSocketRoute("/v1/listen", self._listen)]

    async def _listen(self, socket: WebSocket) -> None:
        """Hear audio; answer each `Finalize` with the words of an utterance and `CloseStream` with the bill."""
        await socket.accept()
        bytes_per_second = int(socket.query_params["sample_rate"]) * _BYTES_PER_SAMPLE
        audio_bytes, utterances = 0, iter(_UTTERANCES)
        while (message := await socket.receive())["type"] == "websocket.receive":
            audio_bytes += len(message.get("bytes") or b"")
            match json.loads(message.get("text") or "{}").get("type"):
                case "Finalize":
                    await socket.send_json(_results(next(utterances, ""), audio_bytes / bytes_per_second))
                case "CloseStream":
                    await socket.send_json(_metadata(audio_bytes / bytes_per_second))
                    await socket.close()
                    break
                case _:
                    pass
        self.audio_seconds += Decimal(audio_bytes) / bytes_per_second


def _results(words: str, until_seconds: float) -> dict[str, Any]:
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "start": 0.0,
        "duration": until_seconds,
        "is_final": True,
        "speech_final": True,
        "from_finalize": True,
        "channel": {"alternatives": [{"transcript": words, "confidence": 0.99, "words": []}]},
        "metadata": {
            "request_id": _REQUEST_ID,
            "model_uuid": "1",
            "model_info": {"name": "general-nova-3", "version": "1", "arch": "nova-3"},
        },
    }


def _metadata(duration_seconds: float) -> dict[str, Any]:
    return {
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": _REQUEST_ID,
        "sha256": "0",
        "created": "2026-11-22T00:00:00Z",
        "duration": duration_seconds,
        "channels": 1,
    }
