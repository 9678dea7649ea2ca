"""OpenAI's audio and realtime API as far as its SDK speaks it, counting what arrives."""

import asyncio
import base64
import json

from aiohttp import web

from tests.instrumentation.fakes.server import FakeServer

PCM_BYTES_PER_SECOND = 48_000


class OpenAIFake(FakeServer):
    """`characters`: code points of all speech input served. `uploads`: bytes of every file transcribed."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = 0
        self.uploads: list[int] = []
        self.chunk_count = 4
        self.spoken: tuple[str, bytes] | None = None
        """Content type and body of the answer instead of so many chunks of silence."""
        self.compresses = False
        """Whether texts are answered in gzip, as the vendor does."""
        self.break_after_chunks: int | None = None
        self.never_answers = False
        self.realtime_events: list[dict] = []
        self.translated_bytes = 0
        self.chat_requests: list[dict] = []
        self.refuses_stream_options = False
        self.never_chats = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/audio/speech", self.speech),
            web.post("/v1/audio/transcriptions", self.transcription),
            web.post("/v1/audio/translations", self.transcription),
            web.post("/v1/chat/completions", self.chat),
            web.get("/v1/realtime", self.realtime),
            web.get("/v1/live/sessions", self.realtime),
            web.get("/v1/live/sessions/{session}/attach", self.realtime),
            web.get("/v1/realtime/translations", self.translation),
        ]

    async def speech(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.characters += len(asked["input"])
        if self.never_answers:
            await asyncio.Event().wait()
        if asked.get("stream_format") == "sse":
            return await self._speech_events(request, asked)
        if self.spoken is not None:
            return await self._encoded_speech(request, *self.spoken)
        kind = "audio/pcm" if asked.get("response_format") == "pcm" else "audio/mpeg"
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        for index in range(self.chunk_count):
            if index == self.break_after_chunks:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(b"\0" * PCM_BYTES_PER_SECOND)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def _encoded_speech(self, request: web.Request, kind: str, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        for start in range(0, len(body), 1_000):
            await response.write(body[start : start + 1_000])
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def _speech_events(self, request: web.Request, asked: dict) -> web.StreamResponse:
        usage = {"input_tokens": len(asked["input"]), "output_tokens": 101, "total_tokens": len(asked["input"]) + 101}
        sound = self.spoken[1] if self.spoken else bytes(3)
        pieces = [base64.b64encode(sound[start : start + 999]).decode() for start in range(0, len(sound), 999)]
        deltas = [{"type": "speech.audio.delta", "audio": piece} for piece in pieces]
        return await _events(request, [*deltas, {"type": "speech.audio.done", "usage": usage}])

    async def transcription(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        upload = form["file"]
        with upload.file:
            self.uploads.append(len(upload.file.read()))
        form_kind = form.get("response_format", "json")
        tokens = {
            "type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59,
            "input_token_details": {"audio_tokens": 12, "text_tokens": 2},
        }  # fmt: skip
        if form.get("stream") == "true":
            return await _events(
                request,
                [
                    {"type": "transcript.text.delta", "delta": "the secret"},
                    {"type": "transcript.text.done", "text": "the secret words", "usage": tokens},
                ],
            )
        if form_kind in {"text", "srt", "vtt"}:
            return web.Response(text="the secret words")
        usage = {"type": "duration", "seconds": 13} if form["model"] == "whisper-1" else tokens
        answer = web.json_response({"text": "the secret words", "usage": usage})
        if self.compresses:
            answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.chat_requests.append(asked)
        if self.never_chats:
            await asyncio.Event().wait()
        if self.refuses_stream_options and asked.get("stream_options") is not None:
            message = "Unrecognized request argument supplied: stream_options"
            return web.json_response({"error": {"message": message}}, status=400)
        chunks = [_chat_chunk([{"index": 0, "delta": {"content": word}, "finish_reason": None}]) for word in ("a", "b")]
        if (asked.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
            chunks.append({**_chat_chunk([]), "usage": usage})
        return await _events(request, chunks, done=True)

    async def realtime(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for event in self.realtime_events:
            await socket.send_json(event)
        await socket.close()
        return socket

    async def translation(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        session = {"id": "sess_t", "type": "translation", "model": request.query["model"], "audio": {}, "expires_at": 1}
        await socket.send_json({"type": "session.created", "event_id": "1", "session": session})
        async for message in socket:
            content = json.loads(message.data)
            if content["type"] == "session.input_audio_buffer.append":
                self.translated_bytes += len(base64.b64decode(content["audio"]))
            elif content["type"] == "session.close":
                await socket.send_json({"type": "session.closed", "event_id": "2"})
        return socket


def _chat_chunk(choices: list[dict]) -> dict:
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini", "choices": choices,
    }  # fmt: skip


async def _events(request: web.Request, events: list[dict], *, done: bool = False) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
    if done:
        await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response
