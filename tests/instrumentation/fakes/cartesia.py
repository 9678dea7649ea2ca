"""Cartesia's API: counts characters per context and audio bytes per socket, and answers in its shapes."""

import base64
import json

from aiohttp import WSMsgType, web

from tests.instrumentation.fakes.connections import cut
from tests.instrumentation.fakes.server import FakeServer

SPOKEN = b"\x00\x01" * 600


class FakeCartesia(FakeServer):
    """Counts what arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.characters: list[int] = []
        """Per HTTP request."""
        self.contexts: dict[str, int] = {}
        """Characters per speech context."""
        self.audio_bytes: list[int] = []
        """Per recognition socket."""
        self.clip_bytes: list[int] = []
        """Per request of the voice changer."""
        self.errors_on: set[str] = set()
        """Contexts that are answered by an error."""
        self.error_status: int | None = 400
        self.breaks_after_bytes: int | None = None
        self.breaks_speech = False
        self.never_finishes = False
        self.states_duration = True

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/tts/bytes", self.speak),
            web.post("/tts/sse", self.speak_sse),
            web.post("/infill/bytes", self.infill),
            web.post("/voice-changer/bytes", self.change_voice),
            web.post("/voice-changer/sse", self.change_voice),
            web.get("/tts/websocket", self.speech_socket),
            web.post("/stt", self.transcribe),
            web.get("/stt/websocket", self.listen),
            web.get("/stt/turns/websocket", self.listen),
        ]

    async def speak(self, request: web.Request) -> web.Response:
        self.characters.append(len((await request.json())["transcript"]))
        return web.Response(body=SPOKEN * 4, content_type="audio/wav")

    async def speak_sse(self, request: web.Request) -> web.StreamResponse:
        self.characters.append(len((await request.json())["transcript"]))
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for _ in range(3):
            await answer.write(self._event(_chunk("c")))
        if self.breaks_speech:
            cut(request)
            return answer
        await answer.write(self._event({"type": "done", "done": True, "status_code": 200, "context_id": "c"}))
        await answer.write_eof()
        return answer

    @staticmethod
    def _event(body: dict[str, object]) -> bytes:
        return f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()

    async def infill(self, request: web.Request) -> web.Response:
        self.characters.append(len(str((await request.post())["transcript"])))
        return web.Response(body=SPOKEN, content_type="audio/wav")

    async def change_voice(self, request: web.Request) -> web.Response:
        upload = (await request.post())["clip"]
        assert isinstance(upload, web.FileField)
        with upload.file:
            self.clip_bytes.append(len(upload.file.read()))
        if request.path.endswith("/sse"):
            done = {"type": "done", "done": True, "status_code": 200, "context_id": "c"}
            body = self._event(_chunk("c")) + self._event(done)
            return web.Response(body=body, content_type="text/event-stream")
        return web.Response(body=SPOKEN, content_type="audio/wav")

    async def speech_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            content = json.loads(message.data)
            context = content["context_id"]
            if content.get("cancel"):
                continue
            self.contexts[context] = self.contexts.get(context, 0) + len(content["transcript"])
            if self.breaks_speech:
                cut(request)
                break
            if context in self.errors_on or self.refuses(content):
                error = {"type": "error", "context_id": context, "done": True, "error": "canary"}
                stated = {} if self.error_status is None else {"status_code": self.error_status}
                await socket.send_json(error | stated)
                continue
            await socket.send_json(_chunk(context))
            if not content.get("continue") and not self.never_finishes:
                await socket.send_json({"type": "done", "context_id": context, "status_code": 200, "done": True})
        return socket

    def refuses(self, content: dict[str, object]) -> bool:
        """Whether this message, of any context, is answered by an error."""
        del content
        return False

    async def transcribe(self, request: web.Request) -> web.Response:
        await request.post()
        body: dict[str, object] = {"text": "canary transcript", "type": "transcript", "is_final": True}
        return web.json_response(body | ({"duration": 7.5} if self.states_duration else {}))

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.audio_bytes.append(0)
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                self.audio_bytes[-1] += len(message.data)
                if self.breaks_after_bytes is not None and self.audio_bytes[-1] >= self.breaks_after_bytes:
                    self.breaks_after_bytes = None
                    cut(request)
                    break
            else:
                await socket.send_json({"type": "done", "request_id": "r"})
        return socket


def _chunk(context: str) -> dict[str, object]:
    return {
        "type": "chunk", "data": base64.b64encode(SPOKEN).decode(), "done": False, "status_code": 206,
        "step_time": 1.0, "context_id": context,
    }  # fmt: skip
