"""Send one message to a receiver, in bounded time: a webhook, Slack or Discord here, others by Apprise.

Redirects are not followed: a POST would become a GET, and the receiver would choose which address is called. No error
holds the URL, because it may be a secret.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from cost_exporter.alerts.apprise_process import send_by_apprise
from cost_exporter.alerts.connecting import connection_for
from cost_exporter.errors import MissingExtra
from cost_exporter.forward.posting import REDIRECTS, wait_of
from cost_exporter.report.alerts import Message
from cost_exporter.settings import AlertRule

__all__ = ["SEND_SECONDS_MAX", "Answer", "Outgoing", "require_extra", "send"]

SEND_SECONDS_MAX: Final = 20.0
"""Less than the minute that a claim holds."""
_CONNECT_SECONDS_MAX: Final = 10.0
_BY_APPRISE: Final = frozenset({"email", "apprise"})
_ACCEPTED: Final = range(200, 300)
_BUSY: Final = frozenset({429, 503})
_FENCE: Final = "```"
_MORE_LENGTH_MAX: Final = 40
_SLACK_LENGTH_MAX: Final = 3000
_DISCORD_LENGTH_MAX: Final = 2000
_SLACK_MARKUP: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_DISCORD_MARKUP: Final = str.maketrans({mark: "\\" + mark for mark in "\\*_~`|>#[]()<"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message and what receivers recognise it by."""

    message_id: str
    """The same at each attempt: by it a receiver drops what comes twice."""
    kind: str
    made_at: datetime
    facts: Mapping[str, Any]
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one attempt."""

    error: str = ""
    """Empty: the receiver has it."""
    retry_after: timedelta | None = None
    """How long the receiver wants to be left alone."""


def send(rule: AlertRule, outgoing: Outgoing, *, timeout_seconds: float = SEND_SECONDS_MAX) -> Answer:
    """Send a message once. Never raises."""
    if rule.kind in _BY_APPRISE:
        text = outgoing.message.text
        return Answer(error=send_by_apprise(rule, outgoing.message.title, text.partition("\n")[2]))
    body, headers = _request(rule, outgoing)
    url = urlsplit(rule.url.get_secret_value())
    assert url.hostname is not None
    connection = connection_for(
        url.scheme,
        url.hostname,
        url.port,
        timeout_seconds=min(_CONNECT_SECONDS_MAX, timeout_seconds),
        allows_private=rule.allow_private,
    )
    deadline = _Deadline(connection, timeout_seconds)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        with deadline:
            connection.request("POST", target, body, headers | _credentials(url.username, url.password))
            response = connection.getresponse()
            answer = _answer(response.status, response.headers.get("Retry-After"))
    except (OSError, HTTPException, UnicodeError, ValueError) as error:
        answer = Answer(error=_reason(error))
    finally:
        connection.close()
    # An answer that was cut off there is none, whatever it began with.
    return Answer(error=f"no answer within {timeout_seconds:g} s") if deadline.is_over else answer


def require_extra(rules: Iterable[AlertRule]) -> None:
    """Raise `MissingExtra` where a receiver needs Apprise and it is not installed."""
    needing = next((rule for rule in rules if rule.kind in _BY_APPRISE), None)
    if needing is not None and find_spec("apprise") is None:
        raise MissingExtra(f"receiver {needing.name!r} of kind {needing.kind}", "alerts")


class _Deadline:
    """Ends an exchange that goes on for too long, however slowly the receiver sends byte after byte."""

    def __init__(self, connection: HTTPConnection, seconds: float) -> None:
        self._connection = connection
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self.is_over = False

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        with suppress(OSError, AttributeError):  # not connected yet: that has a time-out of its own
            self._connection.sock.shutdown(2)


def _answer(status: int, retry_after: str | None) -> Answer:
    if status in _ACCEPTED:
        return Answer()
    if status in REDIRECTS:
        return Answer(error=f"HTTP {status}, a redirect, which is not followed; write the address it leads to")
    return Answer(error=f"HTTP {status}", retry_after=wait_of(retry_after) if status in _BUSY else None)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error.strerror or error}" if isinstance(error, OSError) else type(error).__name__


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    encoded = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


# ---------------------------------------------------------------------------------------------------- what is sent


def _request(rule: AlertRule, outgoing: Outgoing) -> tuple[bytes, dict[str, str]]:
    headers = {"Content-Type": "application/json", "User-Agent": "callfare"}
    if rule.kind == "slack":
        text = _slack_text(outgoing.message)
        return json.dumps({"text": text}).encode(), headers
    if rule.kind == "discord":
        content = {"content": _discord_text(outgoing.message), "allowed_mentions": {"parse": []}}
        return json.dumps(content).encode(), headers
    body = json.dumps(
        {
            "type": f"callfare.{outgoing.kind}",
            "timestamp": outgoing.made_at.astimezone(UTC).isoformat(),
            "data": {**outgoing.facts, "text": outgoing.message.text, "link": outgoing.message.link},
        }
    ).encode()
    return body, headers | _signed(outgoing.message_id, body, rule.key)


def _slack_text(message: Message) -> str:
    if not message.block:
        return message.text.translate(_SLACK_MARKUP)[:_SLACK_LENGTH_MAX]
    head = "\n".join([message.title, *message.lines]).translate(_SLACK_MARKUP)
    link = message.link.translate(_SLACK_MARKUP)
    block = _fenced(message.block.translate(_SLACK_MARKUP), _SLACK_LENGTH_MAX - len(head) - len(link) - 2)
    return f"{head}\n{block}\n{link}"


def _discord_text(message: Message) -> str:
    """Return the text with its markup escaped; the link stays one."""
    text = "\n".join([message.title, *message.lines]).translate(_DISCORD_MARKUP)
    if message.block:
        block = _fenced(message.block, _DISCORD_LENGTH_MAX - len(text) - len(message.link) - 2)
        return f"{text}\n{block}\n{message.link}"
    return f"{text[: _DISCORD_LENGTH_MAX - len(message.link) - 1]}\n{message.link}"


def _fenced(block: str, length_max: int) -> str:
    """Return a table as a block of code that fits: whole lines, and how many are missing. Nothing in it ends it."""
    lines = block.strip("\n").replace("`", "'").split("\n")
    kept, size = list[str](), len(_FENCE) * 2 + _MORE_LENGTH_MAX
    for line in lines:
        size += len(line) + 1
        if size > length_max:
            break
        kept.append(line)
    more = [f"... and {len(lines) - len(kept)} more lines"] if len(kept) < len(lines) else []
    return "\n".join([_FENCE, *kept, *more, _FENCE])


def _signed(message_id: str, body: bytes, key: bytes | None) -> dict[str, str]:
    """Return the headers of Standard Webhooks; without a key there is no signature."""
    timestamp = str(int(time.time()))
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp}
    if key is None:
        return headers
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return headers | {"webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}
