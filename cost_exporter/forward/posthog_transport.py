"""Events to PostHog's batch API: one JSON document, gzipped.

Events count as taken only if PostHog confirms it; beyond its quota it answers 200 and drops them. The time of sending
is left out on purpose: PostHog would shift the time of each event by how far the two clocks are apart, and an event
that is sent again would be another one.
"""

import gzip
import json
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Final

from cost_exporter.forward.answers import Taken
from cost_exporter.forward.posting import PERMANENT_STATUSES, REDIRECTS, NoRedirects, content_of, wait_of
from cost_exporter.forward.sender import Busy, RefusedForGood

__all__ = ["PosthogTransport"]

_SEND_SECONDS: Final = 30.0
_BUSY_STATUSES: Final = frozenset({429, 503})
_UNAUTHORISED: Final = 401
_QUOTA_WAIT_SECONDS: Final = 3600.0


class PosthogTransport:
    """The batch API of one project."""

    def __init__(self, host: str, project_key: str) -> None:
        self._url = f"{host}/batch/"
        self._project_key = project_key
        self._opener = urllib.request.build_opener(NoRedirects)

    def send(self, request: bytes) -> Taken:
        """Send events, a line of JSON each. Raises `RefusedForGood`, or `ConnectionError` where it may work later."""
        body = b'{"api_key":%b,"batch":[%b]}' % (
            json.dumps(self._project_key).encode(),
            b",".join(request.splitlines()),
        )
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "User-Agent": "callfare"}
        prepared = urllib.request.Request(self._url, gzip.compress(body), headers, method="POST")  # noqa: S310 - settings allow http(s) only
        deadline_seconds = time.monotonic() + _SEND_SECONDS
        try:
            with self._opener.open(prepared, timeout=_SEND_SECONDS) as response:
                _require_taken(content_of(response, deadline_seconds))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from error
        except HTTPException as error:
            raise ConnectionError(f"its answer is not HTTP ({type(error).__name__})") from error
        return Taken()

    def close(self) -> None:
        """Nothing is kept open."""


def _require_taken(content: bytes) -> None:
    try:
        answer: Any = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("status") not in {1, "Ok"}:
        raise ConnectionError("its answer is not PostHog's; is CALLFARE_POSTHOG_HOST right?")
    if answer.get("quota_limited"):
        raise Busy("the quota of the project is used up", wait_seconds=_QUOTA_WAIT_SECONDS)


def _refusal(error: urllib.error.HTTPError) -> Exception:
    if error.code in PERMANENT_STATUSES:
        return RefusedForGood(f"HTTP {error.code}")
    if error.code in REDIRECTS:
        return ConnectionError(
            f"HTTP {error.code}, a redirect, which is not followed; set CALLFARE_POSTHOG_HOST to where it leads"
        )
    if error.code == _UNAUTHORISED:
        return ConnectionError("HTTP 401; is CALLFARE_POSTHOG_API_KEY the project's key?")
    wait = wait_of(error.headers.get("Retry-After"))
    if error.code in _BUSY_STATUSES and wait is not None:
        return Busy(f"HTTP {error.code}", wait_seconds=wait.total_seconds())
    return ConnectionError(f"HTTP {error.code}")
