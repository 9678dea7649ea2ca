"""A local fake of the OpenAI HTTP API: embeddings, chat (plain, streamed with and without usage), and a 429.

The token counts are fixed per model, so that the cost of the demo can be computed by hand.
"""

import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

__all__ = ["FakeOpenAI"]

_NO_QUOTA_MODEL: Final = "gpt-4.1"
"""Calls to this model are refused with 429 before any work is done."""

_CREATED_AT_UNIX_SECONDS: Final = 1_735_689_600
_ANSWERS: Final = {
    "Where is my order?": "Your order left our warehouse this morning and arrives on Thursday before noon.",
    "Can I still change the address?": "Yes, you can. Before I change anything, let me read you our terms of delivery.",
}
_SUMMARY: Final = "The caller asked for an order and wants it delivered to another address."
_USAGE_BY_MODEL: Final[dict[str, tuple[int, int, int]]] = {
    # model: (input tokens, of these cached, output tokens)
    "text-embedding-3-small": (2_000, 0, 0),
    "gpt-4o-mini": (1_234, 1_024, 87),
    "gpt-4o": (900, 0, 120),
}
_RELEASE_BY_MODEL: Final = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4o": "gpt-4o-2024-08-06",
}

Body = dict[str, Any]


class FakeOpenAI:
    """Counts requests, and the tokens that it reported: a client cannot know of others."""

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self.request_count = 0
        self.unreported_count = 0
        """Answers that consumed tokens without saying how many."""
        self.input_tokens = 0
        self.output_tokens = 0
        # Every answer has an id of its own: two spans of one response id would be one call, billed once.
        self._answer_numbers = itertools.count(1)

    def routes(self) -> list[BaseRoute]:
        """The responses of the API."""
        return [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embed, methods=["POST"]),
        ]

    async def _chat(self, request: Request) -> Response:
        asked = cast("Body", await request.json())
        self.request_count += 1
        if asked["model"] == _NO_QUOTA_MODEL:
            return JSONResponse(_no_quota(), status_code=429)
        if not asked.get("stream"):
            return JSONResponse(self._completion(asked))
        return StreamingResponse(_events(self._chunks(asked)), media_type="text/event-stream")

    async def _embed(self, request: Request) -> Response:
        asked = cast("Body", await request.json())
        self.request_count += 1
        tokens = self._tell_usage(str(asked["model"]))["prompt_tokens"]
        vector = {"object": "embedding", "index": 0, "embedding": [0.0, 0.5, -0.5]}
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "model": asked["model"], "data": [vector], "usage": usage})

    def _completion(self, asked: Body) -> Body:
        message = {"role": "assistant", "content": _SUMMARY, "refusal": None}
        return {
            **self._head(asked, "chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": self._tell_usage(str(asked["model"])),
        }

    def _chunks(self, asked: Body) -> Iterator[Body]:
        head = self._head(asked, "chat.completion.chunk")
        for word in _ANSWERS[asked["messages"][-1]["content"]].split(" "):
            delta = {"role": "assistant", "content": f"{word} "}
            yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        if (asked.get("stream_options") or {}).get("include_usage"):
            yield {**head, "choices": [], "usage": self._tell_usage(str(asked["model"]))}
        else:
            self.unreported_count += 1

    def _head(self, asked: Body, kind: str) -> Body:
        model = str(asked["model"])
        return {
            "id": f"chatcmpl-{next(self._answer_numbers)}",
            "object": kind,
            "created": _CREATED_AT_UNIX_SECONDS,
            "model": _RELEASE_BY_MODEL.get(model, model),
            "service_tier": "default",
        }

    def _tell_usage(self, model: str) -> Body:
        input_tokens, cached_tokens, output_tokens = _USAGE_BY_MODEL[model]
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        return {
            "prompt_tokens": input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
            "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


async def _events(bodies: Iterator[Body]) -> AsyncIterator[str]:
    for body in bodies:
        yield f"data: {json.dumps(body)}\n\n"
    yield "data: [DONE]\n\n"


def _no_quota() -> Body:
    message = "You exceeded your current quota, please check your plan and billing details."
    return {"error": {"message": message, "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}
