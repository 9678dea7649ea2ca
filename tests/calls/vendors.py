"""OpenAI, Deepgram, ElevenLabs and Cartesia as the frameworks speak to them; each counts what it received.

`python vendors.py PORT`. GET /counts; POST /control sets what happens next, such as a caller's words or an error.
"""

import asyncio
import base64
import contextlib
import json
import sys
import time
from typing import Any

from aiohttp import WSMsgType, web

counts: dict[str, list[dict[str, Any]]] = {name: [] for name in ("llm", "deepgram", "elevenlabs", "cartesia")}
control: dict[str, Any] = {"say": None, "cut_after_texts": None, "cartesia_error": None, "chunk_ms": 15}
listening: list[web.WebSocketResponse] = []
open_sockets: set[object] = set()


async def show(_: web.Request) -> web.Response:
    """What was received, once all connections of the agent that has ended are read to their end."""
    while open_sockets:  # noqa: ASYNC110 - their handlers are other tasks
        await asyncio.sleep(0.02)
    return web.json_response(counts)


@web.middleware
async def count_sockets(request: web.Request, handler: Any) -> web.StreamResponse:
    """Know which connections are still read."""
    if request.headers.get("upgrade", "").lower() != "websocket":
        return await handler(request)
    connection = object()  # a request cannot be hashed
    open_sockets.add(connection)
    try:
        return await handler(request)
    finally:
        open_sockets.discard(connection)


async def steer(request: web.Request) -> web.Response:
    control.update(await request.json())
    return web.json_response(control)


async def drop(_: web.Request) -> web.Response:
    """Break every recogniser's connection."""
    for socket in listening:
        socket._req.transport.abort()
    return web.json_response({})


def tokens(text: str) -> int:
    return max(1, len(text) // 4)


async def chat(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    prompt = tokens(json.dumps(asked["messages"])) + (tokens(json.dumps(asked["tools"])) if asked.get("tools") else 0)
    cached = (prompt // 2 // 128) * 128
    call = {"prompt": prompt, "cached": cached, "completion": 0, "finished": False}
    counts["llm"].append(call)
    last = [each for each in asked["messages"] if each.get("role") in {"user", "tool", "system", "developer"}][-1]
    text = last["content"] if isinstance(last["content"], str) else json.dumps(last["content"])
    number = sum(each.get("role") == "user" for each in asked["messages"])
    words = (
        f"Here is answer number {number}. It is quite long, so that it can be interrupted. Thank you, goodbye.".split()
    )
    words *= 4 if "long" in text.lower() else 1
    calls_tool = "order" in text.lower() and last["role"] == "user" and asked.get("tools")
    head = {
        "id": f"chatcmpl-{len(counts['llm'])}-{time.time_ns()}", "object": "chat.completion.chunk", "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
    }  # fmt: skip
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})

    async def put(delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        await answer.write(f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode())

    with contextlib.suppress(ConnectionError):
        await answer.prepare(request)
        await put({"role": "assistant", "content": ""})
        if calls_tool:
            function = {"name": "get_order", "arguments": ""}
            await put({"tool_calls": [{"index": 0, "id": f"c{number}", "type": "function", "function": function}]})
            call["completion"] += 12
            await put({"tool_calls": [{"index": 0, "function": {"arguments": '{"id": "7"}'}}]})
            await put({}, "tool_calls")
        else:
            for index, word in enumerate(words):
                await asyncio.sleep(control["chunk_ms"] / 1000)
                if request.transport is None or request.transport.is_closing():
                    return answer
                call["completion"] += 1
                await put({"content": (" " if index else "") + word})
            await put({}, "stop")
        if (asked.get("stream_options") or {}).get("include_usage"):
            usage = {
                "prompt_tokens": prompt, "completion_tokens": call["completion"],
                "total_tokens": prompt + call["completion"],
                "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            }  # fmt: skip
            await answer.write(f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n".encode())
        await answer.write(b"data: [DONE]\n\n")
        call["finished"] = True
        await answer.write_eof()
    return answer


def results(words: str, start: float, end: float, *, is_final: bool, finalized: bool = False) -> dict[str, Any]:
    spoken = [{"word": word, "start": start, "end": end, "confidence": 0.9} for word in words.split()]
    return {
        "type": "Results", "channel_index": [0, 1], "duration": end - start, "start": start, "is_final": is_final,
        "speech_final": is_final, "from_finalize": finalized,
        "channel": {"alternatives": [{"transcript": words, "confidence": 0.99, "words": spoken}]},
        "metadata": {"request_id": "r", "model_uuid": "m", "model_info": {"name": "n", "version": "v", "arch": "a"}},
    }  # fmt: skip


async def listen(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    received = {"seconds": 0.0}
    counts["deepgram"].append(received)
    listening.append(socket)
    rate, byte_count, answered_until = int(request.query.get("sample_rate", "16000")), 0, 0.0
    try:
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                byte_count += len(message.data)
                received["seconds"] = byte_count / (rate * 2)
                if control["say"]:
                    words, control["say"] = control["say"], None
                    for is_final in (False, True):
                        await socket.send_json(results(words, answered_until, received["seconds"], is_final=is_final))
                    answered_until = received["seconds"]
            elif message.type == WSMsgType.TEXT:
                kind = json.loads(message.data)["type"]
                if kind == "Finalize":
                    done = results("", answered_until, received["seconds"], is_final=True, finalized=True)
                    await socket.send_json(done)
                elif kind == "CloseStream":
                    info = {"m": {"name": "nova-3", "version": "v", "arch": "nova-3"}}
                    await socket.send_json({
                        "type": "Metadata", "transaction_key": "t", "request_id": "r", "sha256": "0", "created": "c",
                        "duration": received["seconds"], "channels": 1, "models": ["m"], "model_info": info,
                    })  # fmt: skip
                    await socket.close()
    finally:
        listening.remove(socket)
    return socket


def sound(text: str, rate_hz: int) -> str:
    return base64.b64encode(b"\1\0" * (rate_hz * 60 * len(text) // 1000)).decode()


def pieces(text: str) -> list[str]:
    return [text[start : start + 15] for start in range(0, len(text), 15)]


async def elevenlabs(request: web.Request) -> web.WebSocketResponse:
    """Multi-context synthesis."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    received = {"characters": 0}
    counts["elevenlabs"].append(received)
    form = request.query.get("output_format", "pcm_24000")
    rate_hz = int(form.split("_")[1]) if form.startswith("pcm") else 24_000
    known: set[str] = set()
    speaking: list[asyncio.Task[None]] = []

    async def speak(context: str, text: str) -> None:
        with contextlib.suppress(ConnectionError):
            for piece in pieces(text):
                await asyncio.sleep(0.01)
                times = {
                    "chars": list(piece), "charStartTimesMs": [place * 60 for place in range(len(piece))],
                    "charDurationsMs": [60] * len(piece),
                }  # fmt: skip
                await socket.send_json({
                    "audio": sound(piece, rate_hz), "contextId": context, "alignment": times,
                    "normalizedAlignment": times,
                })  # fmt: skip

    async def finish(context: str, before: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*before)
        with contextlib.suppress(ConnectionError):
            await socket.send_json({"isFinal": True, "contextId": context})

    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        content = json.loads(message.data)
        context, text = content.get("context_id"), content.get("text")
        if context and context not in known:
            known.add(context)
            text = None if text == " " else text
        if text:
            received["characters"] += len(text)
            if control["cut_after_texts"] is not None:
                control["cut_after_texts"] -= 1
                if control["cut_after_texts"] <= 0:
                    control["cut_after_texts"] = None
                    assert request.transport is not None
                    request.transport.abort()
                    break
            speaking.append(asyncio.create_task(speak(context, text)))
        if content.get("close_context"):
            speaking.append(asyncio.create_task(finish(context, [each for each in speaking if not each.done()])))
        if content.get("close_socket"):
            await asyncio.sleep(0.05)
            await socket.close()
    return socket


async def cartesia(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    received = {"characters": 0}
    counts["cartesia"].append(received)
    cancelled: set[str] = set()
    speaking: list[asyncio.Task[None]] = []

    async def speak(context: str, text: str, rate_hz: int) -> None:
        with contextlib.suppress(ConnectionError):
            for piece in pieces(text):
                await asyncio.sleep(0.01)
                if context in cancelled:
                    return
                part = {"context_id": context, "done": False, "status_code": 206}
                await socket.send_json({"type": "chunk", "data": sound(piece, rate_hz), "step_time": 1.0, **part})
                words = piece.split()
                times = {"words": words, "start": [0.1] * len(words), "end": [0.2] * len(words)}
                await socket.send_json({"type": "timestamps", "word_timestamps": times, **part})

    async def finish(context: str, before: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*before)
        with contextlib.suppress(ConnectionError):
            await socket.send_json({"type": "done", "done": True, "status_code": 200, "context_id": context})

    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        content = json.loads(message.data)
        context, text = content.get("context_id"), content.get("transcript", "")
        if content.get("cancel"):
            cancelled.add(context)
            continue
        if text and control["cartesia_error"]:
            control["cartesia_error"] = None  # which costs nothing
            await socket.send_json({
                "type": "error", "context_id": context, "done": True, "status_code": 500, "error": "internal",
                "title": "x", "message": "internal",
            })  # fmt: skip
            continue
        if text:
            received["characters"] += len(text)
            rate_hz = content["output_format"]["sample_rate"]
            speaking.append(asyncio.create_task(speak(context, text, rate_hz)))
        if not content.get("continue", False):
            speaking.append(asyncio.create_task(finish(context, list(speaking))))
    return socket


def application() -> web.Application:
    made = web.Application(middlewares=[count_sockets])
    made.add_routes([
        web.get("/counts", show), web.post("/control", steer), web.post("/drop", drop),
        web.post("/v1/chat/completions", chat), web.get("/v1/listen", listen),
        web.get("/v1/text-to-speech/{voice}/multi-stream-input", elevenlabs), web.get("/tts/websocket", cartesia),
    ])  # fmt: skip
    return made


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None)
