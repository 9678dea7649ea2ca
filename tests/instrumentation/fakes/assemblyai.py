"""AssemblyAI's API: transcripts that take two polls, a socket whose open time is counted, and speech."""

import json
from typing import Any

from aiohttp import WSMsgType, web

from tests.instrumentation.fakes.connections import cut
from tests.instrumentation.fakes.server import FakeServer


class FakeAssemblyAI(FakeServer):
    """Counts what arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[Any] = []
        self.transcripts: dict[str, int] = {}
        """Polls of each transcript."""
        self.fails = False
        self.session_seconds = 42
        self.audio_bytes: list[int] = []
        self.breaks_after_bytes: int | None = None
        self.characters: list[int] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v2/upload", self.upload),
            web.post("/v2/transcript", self.submit),
            web.get("/v2/transcript/{id}", self.poll),
            web.get("/v3/ws", self.listen),
            web.post("/v1/synthesize", self.speak),
            web.post("/{path:.*}", self.speak),
        ]

    async def upload(self, request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"upload_url": f"{self.url}/file"})

    async def submit(self, request: web.Request) -> web.Response:
        name = f"tr-{len(self.transcripts)}"
        self.transcripts[name] = 0
        return web.json_response(self._transcript(name, "queued"))

    async def poll(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        self.transcripts[name] = self.transcripts.get(name, 1) + 1
        done = "error" if self.fails else "completed"
        return web.json_response(self._transcript(name, done if self.transcripts[name] > 1 else "processing"))

    @staticmethod
    def _transcript(name: str, status: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": name, "status": status, "audio_url": "http://example.test/a.wav", "language_code": "en_us",
            "speech_model": "universal", "webhook_auth": False, "auto_highlights": False,
        }  # fmt: skip
        if status == "completed":
            body |= {"audio_duration": 93, "text": "canary transcript", "confidence": 0.9, "words": []}
        if status == "error":
            body |= {"error": "canary error"}
        return body

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.audio_bytes.append(0)
        await socket.send_json({"type": "Begin", "id": "session-1", "expires_at": "2027-01-01T00:00:00Z"})
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                self.audio_bytes[-1] += len(message.data)
                if self.breaks_after_bytes is not None and self.audio_bytes[-1] >= self.breaks_after_bytes:
                    cut(request)
                    break
            elif json.loads(message.data)["type"] == "Terminate":
                await socket.send_json(
                    {
                        "type": "Termination",
                        "audio_duration_seconds": 1,
                        "session_duration_seconds": self.session_seconds,
                    }
                )
                await socket.close()
        return socket

    async def speak(self, request: web.Request) -> web.StreamResponse:
        text = (await request.json())["text"]
        self.characters.append(len(text))
        headers = {
            "x-tts-billed-characters": str(len(text)), "x-tts-audio-duration-ms": "250", "x-request-id": "say-1",
            "x-tts-model": "assemblyai-tts-1", "x-tts-voice-id": "aai-jane", "content-type": "audio/wav",
        }  # fmt: skip
        return web.Response(body=b"RIFF" + b"\x00" * 40, headers=headers)
