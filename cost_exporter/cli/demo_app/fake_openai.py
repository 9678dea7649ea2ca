"""A local fake of the OpenAI HTTP API: it speaks the wire protocol, so the real SDK talks to it unchanged.

Chat (plain and streamed, with and without usage), embeddings, and the 429 of an account without quota. The
token counts are fixed per model, so that the cost of the demo can be computed by hand.
"""

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self, cast

__all__ = ["NO_QUOTA_MODEL", "FakeOpenAI"]

NO_QUOTA_MODEL: Final = "gpt-4.1"
"""Calls to this model are refused with 429 before any work is done."""

_CREATED_AT_UNIX_SECONDS: Final = 1_735_689_600
_ANSWER: Final = ("Your ", "order ", "leaves ", "today", ".")
_USAGE_BY_MODEL: Final[dict[str, tuple[int, int, int]]] = {
    # model: (input tokens, of these cached, output tokens)
    "gpt-4o-mini": (1_234, 1_024, 87),
    "gpt-4o": (900, 0, 120),
}
_RELEASE_BY_MODEL: Final = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4o": "gpt-4o-2024-08-06",
}
_EMBEDDED_TOKENS: Final = 2_000
_answer_numbers = itertools.count(1)
"""Every answer has an id of its own: two spans of one response id would be one call, billed once."""

Body = dict[str, Any]


class FakeOpenAI:
    """The fake API on a free port of 127.0.0.1. Use it as a context manager."""

    def __init__(self) -> None:
        """Bind the port; calls are answered from `__enter__` on."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="fake-openai", daemon=True)

    @property
    def base_url(self) -> str:
        """What `OPENAI_BASE_URL` is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request of the API."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a call."""
        request = cast("Body", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if request.get("model") == NO_QUOTA_MODEL:
            self._send_json(429, _no_quota())
        elif self.path == "/v1/embeddings":
            self._send_json(200, _embeddings(request))
        elif self.path == "/v1/chat/completions":
            self._chat(request)
        else:
            self._send_json(404, {"error": {"message": f"Unknown path {self.path}", "type": "invalid_request_error"}})

    def _chat(self, request: Body) -> None:
        if request.get("stream"):
            self._send_events(_chunks(request))
        else:
            self._send_json(200, _completion(request))

    def _send_json(self, http_status: int, body: Body) -> None:
        payload = json.dumps(body).encode()
        self.send_response(http_status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _send_events(self, bodies: Iterator[Body]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for body in bodies:
            self._send_chunk(b"data: " + json.dumps(body).encode() + b"\n\n")
        self._send_chunk(b"data: [DONE]\n\n")
        self._send_chunk(b"")

    def _send_chunk(self, payload: bytes) -> None:
        self.wfile.write(f"{len(payload):x}\r\n".encode() + payload + b"\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay silent: the demo's output is the product's."""


def _head(request: Body, kind: str) -> Body:
    model = str(request["model"])
    return {
        "id": f"chatcmpl-{next(_answer_numbers)}",
        "object": kind,
        "created": _CREATED_AT_UNIX_SECONDS,
        "model": _RELEASE_BY_MODEL.get(model, model),
        "service_tier": "default",
    }


def _usage(model: str) -> Body:
    input_tokens, cached_tokens, output_tokens = _USAGE_BY_MODEL[model]
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _completion(request: Body) -> Body:
    message = {"role": "assistant", "content": "".join(_ANSWER), "refusal": None}
    return {
        **_head(request, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(str(request["model"])),
    }


def _chunks(request: Body) -> Iterator[Body]:
    head = _head(request, "chat.completion.chunk")
    for word in _ANSWER:
        delta = {"role": "assistant", "content": word}
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _usage(str(request["model"]))}


def _embeddings(request: Body) -> Body:
    return {
        "object": "list",
        "model": request["model"],
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0, 0.5, -0.5]}],
        "usage": {"prompt_tokens": _EMBEDDED_TOKENS, "total_tokens": _EMBEDDED_TOKENS},
    }


def _no_quota() -> Body:
    message = "You exceeded your current quota, please check your plan and billing details."
    return {"error": {"message": message, "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}
