"""ElevenLabs' API as far as its SDK speaks it, counting what arrives."""

import asyncio
import base64
import json

from aiohttp import WSMsgType, web

from tests.instrumentation.fakes.server import FakeServer


class ElevenLabsFake(FakeServer):
    """`characters`: code points of all text that arrived. `audio_bytes`: audio heard by the recogniser."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = 0
        self.audio_bytes = 0
        self.chunk_count = 4
        self.chunk = b"\0" * 32_000
        self.break_after_chunks: int | None = None
        self.texts: list[str] = []
        self.is_slow_to_speak = False
        """Whether the websocket's audio comes only after all text has."""
        self.conversation_count = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/text-to-speech/{voice}", self.speech),
            web.post("/v1/text-to-speech/{voice}/stream", self.speech),
            web.post("/v1/text-to-speech/{voice}/with-timestamps", self.speech_with_timestamps),
            web.post("/v1/text-to-speech/{voice}/stream/with-timestamps", self.stream_with_timestamps),
            web.post("/v1/text-to-dialogue", self.dialogue),
            web.post("/v1/text-to-dialogue/with-timestamps", self.dialogue_with_timestamps),
            web.post("/v1/text-to-dialogue/stream/with-timestamps", self.dialogue_with_timestamps),
            web.post("/v1/sound-generation", self.effect),
            web.post("/v1/voice-changer/{voice}", self.conversion),
            web.post("/v1/speech-to-speech/{voice}", self.conversion),  # its name up to 2.0.0
            web.post("/v1/speech-to-speech/{voice}/stream", self.conversion),
            web.post("/v1/speech-to-text", self.transcription),
            web.get("/v1/text-to-speech/{voice}/stream-input", self.speech_socket),
            web.get("/v1/speech-to-text/realtime", self.recogniser),
            web.get("/v1/convai/conversation", self.conversation),
        ]

    async def speech(self, request: web.Request) -> web.StreamResponse:
        return await self._audio(request, (await request.json())["text"])

    async def dialogue(self, request: web.Request) -> web.StreamResponse:
        return await self._audio(request, await self._lines(request))

    @staticmethod
    async def _lines(request: web.Request) -> str:
        return "".join(line["text"] for line in (await request.json())["inputs"])

    async def dialogue_with_timestamps(self, request: web.Request) -> web.Response:
        headers = self._headers(await self._lines(request))
        body = json.dumps({"audio_base64": "AAAA", "voice_segments": []}) + "\n"
        return web.Response(text=body, headers={**headers, "content-type": "application/json"})

    async def effect(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b"boom", headers={"character-cost": "100", "request-id": "r-9"})
        await request.read()
        return response

    async def conversion(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        upload = form["audio"]
        with upload.file:
            self.audio_bytes += len(upload.file.read())
        return web.Response(body=self.chunk, headers={"character-cost": "33", "request-id": "r-s"})

    async def _audio(self, request: web.Request, text: str) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers(text))
        await response.prepare(request)
        for index in range(self.chunk_count):
            if index == self.break_after_chunks:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(self.chunk)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    def _headers(self, text: str) -> dict[str, str]:
        self.characters += len(text)
        self.texts.append(text)
        return {"character-cost": str(len(text)), "request-id": f"r-{len(self.texts)}", "content-type": "audio/pcm"}

    async def speech_with_timestamps(self, request: web.Request) -> web.Response:
        text = (await request.json())["text"]
        return web.json_response(
            {"audio_base64": "AAAA"}, headers={"character-cost": self._headers(text)["character-cost"]}
        )

    async def stream_with_timestamps(self, request: web.Request) -> web.Response:
        self._headers((await request.json())["text"])
        return web.Response(text=json.dumps({"audio_base64": "AAAA"}) + "\n", headers={"request-id": "r-t"})

    async def transcription(self, request: web.Request) -> web.Response:
        form = await request.post()
        upload = form["file"]
        with upload.file:
            self.audio_bytes += len(upload.file.read())
        words = {"language_code": "en", "language_probability": 1.0, "text": "the secret words", "words": []}
        if form.get("multichannel_output_style") == "combined":
            word = {"text": "secret", "type": "word", "logprob": 0.0, "channel_index": 1}
            return web.json_response({**words, "words": [word], "audio_duration_secs": 5.5})
        if form.get("use_multi_channel") == "true":
            channels = [{**words, "channel_index": index} for index in range(2)]
            return web.json_response({"transcripts": channels, "audio_duration_secs": 5.5})
        return web.json_response({**words, "audio_duration_secs": 7.25})

    async def speech_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        is_first = True
        async for message in socket:
            text = json.loads(message.data)["text"]
            if text == "":
                break
            if not is_first:  # the opening blank is not billed
                self.characters += len(text)
                self.texts.append(text)
                if not self.is_slow_to_speak:
                    await socket.send_json({"audio": base64.b64encode(b"\1" * 100).decode()})
            is_first = False
        await socket.close()
        return socket

    async def recogniser(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"message_type": "session_started", "session_id": "s"})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                content = json.loads(message.data)
                self.audio_bytes += len(base64.b64decode(content["audio_base_64"]))
                if content["commit"]:
                    await socket.send_json({"message_type": "committed_transcript", "text": "the secret words"})
        return socket

    async def conversation(self, request: web.Request) -> web.WebSocketResponse:
        """An agent that greets, and hangs up when told so."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.conversation_count += 1
        name = f"conversation-{self.conversation_count}"
        async for message in socket:
            content = json.loads(message.data)
            if content.get("type") == "conversation_initiation_client_data":
                event = {"conversation_id": name, "agent_output_audio_format": "pcm_16000"}
                greeting = {"type": "conversation_initiation_metadata", "conversation_initiation_metadata_event": event}
                await socket.send_json(greeting)
            elif content.get("user_audio_chunk") == base64.b64encode(b"goodbye").decode():
                await socket.close()
        return socket
