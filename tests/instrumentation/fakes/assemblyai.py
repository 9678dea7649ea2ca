"""AssemblyAI's API: transcripts that take two polls, sockets whose time and characters are counted, and speech."""

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
        self.asked: dict[str, Any] = {}
        """What every transcript repeats of its request."""
        self.fails = False
        self.session_seconds = 42
        self.audio_bytes: list[int] = []
        self.breaks_after_bytes: int | None = None
        self.characters: list[int] = []
        self.spoken_characters = 0
        """Over sockets."""
        self.uncounted_characters = 0
        """What the vendor counts beyond what it was sent."""
        self.breaks_speech = False
        self.uploaded_bytes = 0
        self.tokens = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v2/upload", self.upload),
            web.post("/v2/transcript", self.submit),
            web.get("/v2/transcript/{id}", self.poll),
            web.get("/v3/ws", self.listen),
            web.get("/v1/ws", self.speak_on),
            web.post("/v1/transcribe", self.transcribe_upload),  # the synchronous API before 1.5
            web.post("/transcribe", self.transcribe_upload),
            web.post("/v1/transcribe/live", self.transcribe_upload),  # dictation as well
            web.post("/v1/chat/completions", self.complete),
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

    def _transcript(self, name: str, status: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": name, "status": status, "audio_url": "http://example.test/a.wav", "language_code": "en_us",
            "speech_model": "universal", "webhook_auth": False, "auto_highlights": False, **self.asked,
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

    async def speak_on(self, request: web.Request) -> web.WebSocketResponse:
        """A speech session: what is flushed is spoken, what is cancelled was sent."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        configuration = {"model": "assemblyai-tts-1", "voice_id": "aai-jane"}
        await socket.send_json(
            {"type": "Begin", "id": "say-2", "expires_at": 1_900_000_000, "configuration": configuration}
        )
        flush_id = 0
        async for message in socket:
            content = json.loads(message.data)
            if content["type"] == "Generate":
                self.spoken_characters += len(content["text"])
                if self.breaks_speech:
                    cut(request)
                    break
            elif content["type"] == "Flush":
                await socket.send_json({"type": "Audio", "flush_id": flush_id, "audio": "AAAA"})
                await socket.send_json({"type": "FlushDone", "flush_id": flush_id, "audio_duration_ms": 500})
                flush_id += 1
            elif content["type"] == "Cancel":
                await socket.send_json({"type": "Cancelled", "audio_duration_seconds": 0.25})
                flush_id += 1
            elif content["type"] == "Terminate":
                await socket.send_json(
                    {
                        "type": "Termination",
                        "session_duration_seconds": 3,
                        "total_input_char_length": self.spoken_characters + self.uncounted_characters,
                        "audio_duration_seconds": 0.5,
                    }
                )
                await socket.close()
        return socket

    async def transcribe_upload(self, request: web.Request) -> web.Response:
        self.uploaded_bytes += len(await request.read())
        return web.json_response(
            {
                "text": "canary transcript", "words": [], "confidence": 0.9,
                "audio_duration_ms": 2_500, "session_id": "upload-1",
            }
        )  # fmt: skip

    async def complete(self, request: web.Request) -> web.Response:
        content = await request.json()
        usage = {**self.tokens, "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 0}}
        if not content.get("stream"):
            answer = {"role": "assistant", "content": "canary answer"}
            choices = [{"index": 0, "finish_reason": "stop", "message": answer}]
            return web.json_response({"request_id": "chat-1", "choices": choices, "usage": usage})
        chunk = {"id": "chat-2", "object": "chat.completion.chunk", "created": 1, "model": f"{content['model']}-dated"}
        piece = {**chunk, "choices": [{"index": 0, "delta": {"content": "canary"}}]}
        pieces = [piece, piece, {**chunk, "choices": [], "usage": usage}]
        body = "".join(f"data: {json.dumps(each)}\n\n" for each in pieces) + "data: [DONE]\n\n"
        return web.Response(text=body, content_type="text/event-stream")
