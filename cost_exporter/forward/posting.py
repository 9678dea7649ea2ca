"""What every POST to a backend has in common: no redirect is followed, and an answer is short and ends in time."""

import time
import urllib.request
from email.message import Message
from http.client import HTTPResponse
from typing import IO, Final

from cost_exporter.forward.answers import ANSWER_BYTES_MAX, NotOtlp

__all__ = ["REDIRECTS", "NoRedirects", "content_of"]

REDIRECTS: Final = range(300, 400)
_READ_AT_ONCE_BYTES: Final = 8 * 1024


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the error that it is here."""

    def redirect_request(  # noqa: PLR0917 - as the base class has it
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follow none."""
        del req, fp, code, msg, headers, newurl


def content_of(response: HTTPResponse, deadline_seconds: float) -> bytes:
    """Return the body, at most one byte more than an answer may have, and not for ever."""
    content = b""
    while len(content) <= ANSWER_BYTES_MAX:
        if time.monotonic() > deadline_seconds:
            raise TimeoutError("its answer does not end")
        part = response.read1(min(_READ_AT_ONCE_BYTES, ANSWER_BYTES_MAX + 1 - len(content)))
        if not part:
            break
        content += part
    if response.length:
        raise NotOtlp("its answer is cut off")
    return content
