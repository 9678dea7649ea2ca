"""The envelope around every JSON answer, and the errors that a handler raises instead of answering.

The envelope is `{"success": true, "data": …, "meta": {"currency": "USD"}}`; an error has a code for programs and
a message for people.
"""

from typing import Any

from starlette.responses import JSONResponse, Response

from cost_exporter.safe_text import for_terminal

__all__ = ["BadRequest", "NotFound", "answer", "failure", "quoted", "success"]

_QUOTED_LENGTH_MAX = 40


class NotFound(Exception):
    """Unknown, or another tenant's: the answer does not show which."""


class BadRequest(Exception):
    """A parameter that cannot be read; its text says how to fix it."""


def success(body: Any) -> dict[str, Any]:
    """Return the envelope around an answer."""
    return {"success": True, "data": body, "meta": {"currency": "USD"}}


def failure(code: str, message: str) -> dict[str, Any]:
    """Return the envelope around an error."""
    return {"success": False, "error": {"code": code, "message": message}}


def answer(body: Any) -> Response:
    """Return the response with an answer in its envelope."""
    return JSONResponse(success(body))


def quoted(text: str) -> str:
    """Return the beginning of what was sent, for a message: in one line, whatever is in it."""
    shown = for_terminal(text[:_QUOTED_LENGTH_MAX])
    return f"'{shown}…'" if len(text) > _QUOTED_LENGTH_MAX else f"'{shown}'"
