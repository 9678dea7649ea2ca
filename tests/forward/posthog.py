"""A PostHog of the tests: its batch API over HTTP, gzip or not, and what it makes of the events that it keeps.

It checks a batch as a whole, as PostHog does: one bad event refuses all of it. Of events with the same id, name, day
and person it keeps the last. Where a generation names a model but no cost it guesses one, far too high, so that a
guess shows in any sum.
"""

import gzip
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

KEY = "phc_of_the_tests"
GUESS_USD = Decimal(1_000_000)
Event = dict[str, Any]


class Posthog:
    """The project, and how it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.batches: list[list[Event]] = []
        """As they were taken."""
        self.statuses: list[int] = []
        """What the next requests are answered, before anything is taken."""
        self.is_over_quota = False
        self.poison = ""
        """A batch with this span is refused."""
        self.request_count = 0

    @property
    def events(self) -> list[Event]:
        """What is left after equal ones replaced each other."""
        kept = {
            (each["uuid"], each["event"], each["timestamp"][:10], each["distinct_id"]): each
            for batch in self.batches
            for each in batch
        }
        return list(kept.values())

    @property
    def cost_usd(self) -> Decimal:
        """What its page would add up."""
        return sum((_cost(each) for each in self.events), Decimal(0))

    def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.request_count += 1
        if self.statuses:
            return self.statuses.pop(0), {"type": "server_error"}
        if body.get("api_key") != KEY:
            return 401, {"type": "authentication_error"}
        if not body.get("batch") or not all(map(self._is_sound, body["batch"])):
            return 400, {"type": "validation_error"}
        if self.is_over_quota:
            return 200, {"status": "Ok", "quota_limited": ["events"]}
        self.batches.append(body["batch"])
        return 200, {"status": "Ok"}

    def _is_sound(self, event: Event) -> bool:
        UUID(event["uuid"])
        properties = event["properties"]
        is_poisoned = bool(self.poison) and properties.get("$ai_span_id") == self.poison
        return bool(event["event"]) and bool(event["distinct_id"]) and not is_poisoned


def _cost(event: Event) -> Decimal:
    properties = event["properties"]
    stated = properties.get("$ai_total_cost_usd")
    if stated is None and event["event"] != "$ai_span" and properties.get("$ai_model"):
        return GUESS_USD
    return Decimal(0) if stated is None else Decimal(str(stated))


@contextmanager
def running() -> Generator[Posthog]:
    """Lend a PostHog that listens."""
    posthog = Posthog()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            status, answer = (
                posthog.answer(json.loads(content)) if self.path.rstrip("/") == "/batch" else (404, "no such path")
            )
            body = json.dumps(answer).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "7")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    posthog.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield posthog
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
