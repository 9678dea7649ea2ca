"""The model APIs of four vendors as far as their SDKs speak them: every call costs 100 tokens in and 20 out.

OpenAI: chat, responses, embeddings. Anthropic: messages. Gemini: contents. Bedrock: Converse and InvokeModel.
"""

import asyncio
import base64
import json
import struct
from binascii import crc32
from typing import Any

from aiohttp import web

from tests.instrumentation.fakes.server import FakeServer

INPUT, OUTPUT = 100, 20
WORDS = ["one ", "two ", "three"]
CHAT_USAGE = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
RESPONSE_USAGE = {
    "input_tokens": INPUT,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": OUTPUT,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": INPUT + OUTPUT,
}
MESSAGE_USAGE = {"input_tokens": 60, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0}
GEMINI_USAGE = {"promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT}
CONVERSE_USAGE = {"inputTokens": INPUT, "outputTokens": OUTPUT, "totalTokens": INPUT + OUTPUT}


class ModelsFake(FakeServer):
    """`request_count` is what the vendors would bill."""

    def __init__(self) -> None:
        super().__init__()
        self.never_answers = False

    def __exit__(self, *error: object) -> None:
        self.never_answers = False
        super().__exit__(*error)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self.chat),
            web.post("/openai/deployments/{model}/chat/completions", self.chat),
            web.post("/v1/responses", self.response),
            web.post("/v1/embeddings", self.embeddings),
            web.post("/v1/messages", self.messages),
            web.post("/{version:v1|v1beta}/models/{model}:generateContent", self.contents),
            web.post("/{version:v1|v1beta}/models/{model}:streamGenerateContent", self.contents_stream),
            web.post("/model/{model}/converse", self.converse),
            web.post("/model/{model}/converse-stream", self.converse_stream),
            web.post("/model/{model}/invoke", self.invoke),
            web.post("/model/{model}/invoke-with-response-stream", self.invoke_stream),
        ]

    async def _asked(self, request: web.Request) -> dict[str, Any]:
        asked = await request.json()
        while self.never_answers:  # noqa: ASYNC110 - another thread ends it
            await asyncio.sleep(0.05)
        return asked

    async def _events(self, request: web.Request, events: list[dict[str, Any]], *, named: bool = False) -> Any:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            name = f"event: {event['type']}\n" if named else ""
            await response.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        return response

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = await self._asked(request)
        common = {"id": f"chatcmpl-{self.request_count:029x}", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(WORDS)}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            return web.json_response({**common, "object": "chat.completion", "choices": [choice], "usage": CHAT_USAGE})
        chunk = {**common, "object": "chat.completion.chunk"}
        events = [{**chunk, "choices": [{"index": 0, "delta": {"content": word}}]} for word in WORDS]
        if (asked.get("stream_options") or {}).get("include_usage"):
            events.append({**chunk, "choices": [], "usage": CHAT_USAGE})
        return await self._events(request, events)

    async def response(self, request: web.Request) -> web.StreamResponse:
        asked = await self._asked(request)
        text = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
        message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [text]}
        whole = {
            "id": f"resp_{self.request_count:032x}", "object": "response", "created_at": 1, "status": "completed",
            "model": asked["model"],
            "output": [message], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "usage": RESPONSE_USAGE,
        }  # fmt: skip
        if not asked.get("stream"):
            return web.json_response(whole)
        item = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0}
        events = [{**item, "delta": word, "sequence_number": n, "logprobs": []} for n, word in enumerate(WORDS)]
        events.append({"type": "response.completed", "sequence_number": 9, "response": whole})
        return await self._events(request, events, named=True)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        asked = await self._asked(request)
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        usage = {"prompt_tokens": INPUT, "total_tokens": INPUT}
        return web.json_response({"object": "list", "model": asked["model"], "data": data, "usage": usage})

    async def messages(self, request: web.Request) -> web.StreamResponse:
        asked = await self._asked(request)
        message = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": "".join(WORDS)}],
        }  # fmt: skip
        if not asked.get("stream"):
            return web.json_response({**message, "usage": MESSAGE_USAGE | {"output_tokens": OUTPUT}})
        begun = {**message, "content": [], "stop_reason": None, "usage": MESSAGE_USAGE | {"output_tokens": 1}}
        block = {"type": "content_block_delta", "index": 0}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({**block, "delta": {"type": "text_delta", "text": word}} for word in WORDS),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": OUTPUT}},
            {"type": "message_stop"},
        ]
        return await self._events(request, events, named=True)

    async def contents(self, request: web.Request) -> web.StreamResponse:
        await self._asked(request)
        return web.json_response(_contents("".join(WORDS)) | {"usageMetadata": GEMINI_USAGE})

    async def contents_stream(self, request: web.Request) -> web.StreamResponse:
        await self._asked(request)
        events = [_contents(word) for word in WORDS]
        events[-1]["usageMetadata"] = GEMINI_USAGE
        return await self._events(request, events)

    async def converse(self, request: web.Request) -> web.StreamResponse:
        await self._asked(request)
        message = {"role": "assistant", "content": [{"text": "".join(WORDS)}]}
        answer = {"output": {"message": message}, "stopReason": "end_turn", "metrics": {"latencyMs": 1}}
        return web.json_response({**answer, "usage": CONVERSE_USAGE})

    async def converse_stream(self, request: web.Request) -> web.StreamResponse:
        await self._asked(request)
        deltas = [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in WORDS]
        end = ("metadata", {"usage": CONVERSE_USAGE, "metrics": {"latencyMs": 1}})
        return await self._aws_events(request, [*deltas, ("messageStop", {"stopReason": "end_turn"}), end])

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        await self._asked(request)
        counts = {"x-amzn-bedrock-input-token-count": str(INPUT), "x-amzn-bedrock-output-token-count": str(OUTPUT)}
        return web.json_response({"content": [{"type": "text", "text": "".join(WORDS)}]}, headers=counts)

    async def invoke_stream(self, request: web.Request) -> web.StreamResponse:
        await self._asked(request)
        metrics = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": INPUT, "outputTokenCount": OUTPUT}}
        pieces: list[dict[str, Any]] = [{"delta": {"text": word}} for word in WORDS]
        pieces[-1] |= metrics
        encoded = [base64.b64encode(json.dumps(piece).encode()).decode() for piece in pieces]
        return await self._aws_events(request, [("chunk", {"bytes": piece}) for piece in encoded])

    async def _aws_events(self, request: web.Request, events: list[tuple[str, dict[str, Any]]]) -> Any:
        response = web.StreamResponse(headers={"content-type": "application/vnd.amazon.eventstream"})
        await response.prepare(request)
        for name, event in events:
            await response.write(_aws_event(name, event))
        return response


def _contents(text: str) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    return {"candidates": [candidate], "modelVersion": "gemini-2.5-flash"}


def _aws_event(name: str, event: dict[str, Any]) -> bytes:
    """One message of AWS's event stream: lengths, checksums and typed headers around JSON."""
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in ((":event-type", name), (":content-type", "application/json"), (":message-type", "event"))
    )
    payload = json.dumps(event).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return message + struct.pack(">I", crc32(message))
