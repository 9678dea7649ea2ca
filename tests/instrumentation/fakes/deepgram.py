"""Deepgram's API as far as the SDK uses it: it counts audio bytes and characters, and answers in its shapes."""

import json
from typing import Any

from aiohttp import WSMsgType, web

from tests.instrumentation.fakes.connections import cut
from tests.instrumentation.fakes.server import FakeServer

SPOKEN = b"\x00\x01" * 1200  # 0.05 s of linear16 at 24 kHz


class FakeDeepgram(FakeServer):
    """Counts what arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.client: Any = None
        self.audio_bytes: list[int] = []
        """Per recogniser socket."""
        self.file_bytes = 0
        self.characters: list[int] = []
        """Per utterance that was flushed, cleared or left."""
        self.queries: list[dict[str, str]] = []
        self.says_goodbye = True
        self.breaks_after_bytes: int | None = None
        self.breaks_speech_after_chunks: int | None = None
        self.clock_factor = 1.0
        """The vendor's own duration, relative to the audio that was sent."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/listen", self.transcribe),
            web.get("/v1/listen", self.listen),
            web.get("/v2/listen", self.listen_flux),
            web.post("/v1/speak", self.speak),
            web.get("/v1/speak", self.speak_socket),
            web.get("/v2/speak", self.speak_flux),
            web.get("/v1/agent/converse", self.agent),
        ]

    async def transcribe(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.file_bytes += len(body)
        query = dict(request.query)
        self.queries.append(query)
        if "callback" in query:
            return web.json_response({"request_id": "dg-callback"})
        channels = 2 if query.get("multichannel", "").lower() == "true" else 1
        alternative = {"transcript": "canary transcript", "confidence": 0.9, "words": []}
        return web.json_response(
            {
                "metadata": {
                    "transaction_key": "deprecated", "request_id": "dg-file", "sha256": "00", "created": "2026-11-22",
                    "duration": 12.34, "channels": 2, "models": ["m"],
                    "model_info": {"m": {"name": "2-general-nova", "version": "v", "arch": "nova-2"}},
                },
                "results": {"channels": [{"alternatives": [alternative]}] * channels},
            }
        )  # fmt: skip

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.queries.append(dict(request.query))
        connection, answered_seconds = len(self.audio_bytes), 0.0
        self.audio_bytes.append(0)
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                self.audio_bytes[connection] += len(message.data)
                if self.breaks_after_bytes is not None and self.audio_bytes[connection] >= self.breaks_after_bytes:
                    cut(request)
                    break
                answered_seconds = await self._result(socket, request, connection, answered_seconds)
            elif json.loads(message.data)["type"] == "CloseStream":
                if self.says_goodbye:
                    await socket.send_json(self._goodbye(request, connection))
                await socket.close()
        return socket

    async def _result(self, socket: Any, request: web.Request, connection: int, start: float) -> float:
        end = self._seconds(request, connection)
        words = {"transcript": "canary Metadata", "confidence": 0.9, "words": []}
        await socket.send_json(
            {"type": "Results", "channel_index": [0, 1], "duration": end - start, "start": start, "is_final": True,
             "speech_final": False, "channel": {"alternatives": [words]},
             "metadata": {"request_id": "dg-live", "model_uuid": "m", "model_info": {"name": "n", "version": "v",
                                                                                  "arch": "a"}}}
        )  # fmt: skip
        return end

    def _seconds(self, request: web.Request, connection: int) -> float:
        rate = int(request.query.get("sample_rate", "16000")) * 2 * int(request.query.get("channels", "1"))
        return self.audio_bytes[connection] / rate

    def _goodbye(self, request: web.Request, connection: int) -> dict[str, Any]:
        return {
            "type": "Metadata", "transaction_key": "deprecated", "request_id": "dg-live", "sha256": "00",
            "created": "2026-11-22", "duration": self._seconds(request, connection) * self.clock_factor,
            "channels": int(request.query.get("channels", "1")),
        }  # fmt: skip

    async def listen_flux(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.audio_bytes.append(0)
        await socket.send_json({"type": "Connected", "request_id": "dg-flux", "sequence_id": 0})
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                self.audio_bytes[-1] += len(message.data)
                await socket.send_json(
                    {"type": "TurnInfo", "request_id": "dg-flux", "sequence_id": 1, "event": "Update",
                     "turn_index": 0, "audio_window_start": 0.0, "audio_window_end": self.audio_bytes[-1] / 32_000,
                     "transcript": "canary", "words": [], "end_of_turn_confidence": 0.1}
                )  # fmt: skip
            elif json.loads(message.data)["type"] == "CloseStream":
                await socket.close()
        return socket

    async def speak(self, request: web.Request) -> web.StreamResponse:
        text = (await request.json())["text"]
        self.characters.append(len(text))
        answer = web.StreamResponse(
            headers={"dg-char-count": str(len(text)), "dg-request-id": "dg-say", "dg-model-name": "aura-2-thalia-en",
                     "dg-model-uuid": "m", "content-type": "audio/l16", "request-id": "dg-say"}
        )  # fmt: skip
        await answer.prepare(request)
        for number in range(8):
            if number == self.breaks_speech_after_chunks:
                cut(request)
                return answer
            await answer.write(SPOKEN)
        await answer.write_eof()
        return answer

    async def speak_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "Metadata", "request_id": "dg-say", "model_name": "aura", "model_version": "v",
                                "model_uuid": "m"})  # fmt: skip
        pending, sequence = 0, 0
        async for message in socket:
            content = json.loads(message.data)
            if content["type"] == "Speak":
                pending += len(content["text"])
            elif content["type"] == "Flush":
                self.characters.append(pending)
                pending, sequence = 0, sequence + 1
                if self.breaks_speech_after_chunks is not None:
                    cut(request)
                    break
                await socket.send_bytes(SPOKEN)
                await socket.send_json({"type": "Flushed", "sequence_id": sequence})
            elif content["type"] == "Clear":
                self.characters.append(pending)
                pending = 0
                await socket.send_json({"type": "Cleared", "sequence_id": sequence})
            elif content["type"] == "Close":
                await socket.close()
        if pending:
            self.characters.append(pending)
        return socket

    async def speak_flux(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "Connected", "request_id": "dg-flux", "session_id": "s"})
        pending, turn = 0, 0
        async for message in socket:
            content = json.loads(message.data)
            bill = {
                "speech_id": f"turn-{turn}", "audio_duration_ms": 50, "input_character_count": pending,
                "billable_character_count": max(0, pending - 1),
                "controls_applied": {"pronunciations_applied": 0, "pauses_applied": 0, "pronunciation_warnings": 0},
            }  # fmt: skip
            if content["type"] == "Speak":
                pending += len(content["text"])
            elif content["type"] == "Flush":
                await socket.send_json({"type": "Flushed", "speech_id": f"turn-{turn}"})
                await socket.send_bytes(SPOKEN)
                await socket.send_json({"type": "SpeechMetadata", **bill})
                self.characters.append(pending)
                pending, turn = 0, turn + 1
            elif content["type"] == "Interrupt":
                await socket.send_json({"type": "SpeechInterrupted", "audio_played_ms": 10, "metadata": bill})
                self.characters.append(pending)
                pending, turn = 0, turn + 1
            elif content["type"] == "Close":
                await socket.close()
        return socket

    async def agent(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "Welcome", "request_id": "dg-agent"})
        async for _ in socket:
            pass
        return socket
