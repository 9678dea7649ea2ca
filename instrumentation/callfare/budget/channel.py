"""The way to the service that keeps budgets: one thread, one connection, requests in turn.

Who has to know an answer waits for it a quarter of a second at most; what only has to arrive is sent when its turn
comes. Nothing here decides anything: an answer that did not come in time is None.
"""

import atexit
import http.client
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import context as context_api

from callfare.forking import reset_after_fork
from callfare.guard import note_internal_error

__all__ = ["Answer", "Body", "Channel", "OnAnswer"]

WAIT_SECONDS_MAX: Final = 0.25
"""No call is delayed by more."""
_REQUEST_SECONDS_MAX: Final = 2.0
_QUEUE_MAX: Final = 10_000
_FAREWELL_SECONDS_MAX: Final = 1.0
_log = logging.getLogger("callfare")


class Answer:
    """What the service answered."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.body = body

    @property
    def data(self) -> Mapping[str, Any]:
        """The answer inside its envelope; of a refusal, the error."""
        found = self.body.get("data") if self.status < 400 else self.body.get("error")  # noqa: PLR2004 - HTTP's
        return found if isinstance(found, dict) else {}


Body = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""What is sent, or what makes it at that moment."""
OnAnswer = Callable[[Answer | None, bool], None]
"""Gets the answer, and whether nobody waits for it any more."""


class _Job:
    """One request, and who waits for its answer."""

    __slots__ = ("answer", "body", "done", "is_abandoned", "on_answer", "path")

    def __init__(self, path: str, body: Body, on_answer: OnAnswer | None) -> None:
        self.path = path
        self.body = body
        self.on_answer = on_answer
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.is_abandoned = False


class Channel:
    """Requests to one service. Thread-safe; a forked child begins with a connection of its own."""

    def __init__(self, url: str, token: str = "", *, tick: Callable[[], float] | None = None) -> None:
        """Nothing is sent yet. `tick` is what the thread does between requests; it returns how long it may sleep."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if self._is_tls else 4319)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._tick = tick
        self.reset_after_fork()
        reset_after_fork(self)
        atexit.register(self._say_farewell)

    def reset_after_fork(self) -> None:
        """Thread, connection and what waited are the parent's."""
        self._jobs: deque[_Job] = deque()
        self._woken = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: http.client.HTTPConnection | None = None
        self.farewell: Callable[[], None] | None = None

    def ask(self, path: str, body: Body, on_answer: OnAnswer | None = None) -> Answer | None:
        """Return the answer, None where there is none in time. `on_answer` gets it in any case, and if it is late."""
        job = self._enqueue(path, body, on_answer, is_urgent=True)
        if job is None or not job.done.wait(WAIT_SECONDS_MAX):
            if job is not None:
                job.is_abandoned = True
            return None
        return job.answer

    def send(self, path: str, body: Body, on_answer: OnAnswer | None = None) -> None:
        """Send it when its turn comes. Waits for nothing; may be called in a finaliser."""
        self._enqueue(path, body, on_answer, is_urgent=False)

    def wake(self) -> None:
        """Let the thread look at what there is to do."""
        self._start()
        self._woken.set()

    def _enqueue(
        self,
        path: str,
        body: Body,
        on_answer: OnAnswer | None,
        *,
        is_urgent: bool,
    ) -> _Job | None:
        if len(self._jobs) >= _QUEUE_MAX:
            if on_answer is not None:
                on_answer(None, True)  # noqa: FBT003 - nobody will ever wait for it
            return None
        job = _Job(path, body, on_answer)
        if is_urgent:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)
        self.wake()
        return job

    def _start(self) -> None:
        if self._thread is not None or not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="callfare-budgets", daemon=True)
                self._thread.start()
        finally:
            self._starting.release()

    def _run(self) -> None:
        # An instrumented HTTP client would make spans of these, and ask the budgets for them.
        context_api.attach(context_api.set_value("suppress_instrumentation", True))  # noqa: FBT003 - the API's way
        while True:
            self._work_off()
            sleep_seconds = 1.0
            if self._tick is not None:
                try:
                    sleep_seconds = self._tick()
                except Exception:  # noqa: BLE001 - the thread must live
                    _log.debug("renewing leases failed", exc_info=True)
            self._woken.wait(sleep_seconds)
            self._woken.clear()

    def _work_off(self) -> None:
        while self._jobs:
            try:
                job = self._jobs.popleft()
            except IndexError:
                return
            self.perform(job.path, job.body, job)

    def perform(self, path: str, body: Body, job: _Job | None = None) -> Answer | None:
        """Send one request from the thread of the channel, and return the answer."""
        try:
            answer = self._exchange(path, body() if callable(body) else body)
        except (OSError, http.client.HTTPException, ValueError):
            self._drop_connection()
            answer = None
        if answer is not None and answer.status >= 500:  # noqa: PLR2004 - HTTP's: it cannot say now
            answer = None
        if job is not None:
            job.answer = answer
            job.done.set()
            if job.on_answer is not None:
                try:
                    job.on_answer(answer, job.is_abandoned)
                except Exception as error:  # noqa: BLE001 - the thread must live
                    note_internal_error("taking an answer of the budgets' service", error)
        return answer

    def _exchange(self, path: str, body: Mapping[str, Any]) -> Answer:
        for is_last in (False, True):
            is_fresh = self._connection is None
            if self._connection is None:
                kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
                self._connection = kind(self._host, self._port, timeout=_REQUEST_SECONDS_MAX)
            try:
                self._connection.request("POST", self._prefix + path, json.dumps(body), self._headers)
                response = self._connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):
                self._drop_connection()
                if is_fresh or is_last:
                    raise
                continue  # the service closed a connection that was idle
            found = json.loads(content or b"{}")
            return Answer(response.status, found if isinstance(found, dict) else {})
        raise http.client.HTTPException("no answer")

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _say_farewell(self) -> None:
        """Let what waits go out before the process ends, for a moment."""
        farewell = self.farewell
        if farewell is not None and self._thread is not None:
            farewell()
            last = _Job("", {}, None)
            self._jobs.append(_Last(last))
            self._woken.set()
            last.done.wait(_FAREWELL_SECONDS_MAX)


class _Last(_Job):
    """Marks the end of what has to go out."""

    def __init__(self, job: _Job) -> None:
        super().__init__(job.path, job.body, None)
        self.done = job.done
