"""What every POST to a backend has in common: no redirect is followed, and an answer is short and ends in time."""

import math
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from typing import IO, Final

from cost_exporter.forward.answers import ANSWER_BYTES_MAX, NotOtlp

__all__ = ["PERMANENT_STATUSES", "REDIRECTS", "NoRedirects", "content_of", "wait_of"]

REDIRECTS: Final = range(300, 400)
PERMANENT_STATUSES: Final = frozenset({400, 413, 422})
"""Refusals of this very content. A wrong token or a wrong path may be put right: those are tried again."""
_RETRY_AFTER_MAX: Final = timedelta(hours=1)
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


def wait_of(retry_after: str | None) -> timedelta | None:
    """Read Retry-After: seconds, also with a fraction as Discord sends them, or a date. At most an hour."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            until = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(_RETRY_AFTER_MAX, timedelta(seconds=min(seconds, 1e6)))
