"""Google's streaming recognition: requests are an iterator that gRPC drives, answers an iterator we hand out.

The first request carries the configuration, so the session opens there. gRPC may pull requests in a thread of its
own: the context is that of the call.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from decimal import Decimal
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.failure import is_refusal
from callfare.calls.session import Session
from callfare.calls.span import open_call
from callfare.guard import quietly
from callfare.instrumentation.google_speech import _usage

__all__ = ["Recognition"]


class Recognition:
    """One stream. Finished like a `CallSpan`, so that the watched answers can end it."""

    def __init__(self, tracer: Tracer) -> None:
        """Remember the caller's context."""
        self.has_output = False
        self._tracer = tracer
        self._context = context_api.get_current()
        self._first: Any = None
        self._session: Session | None = None
        self._rate: int | None = None
        self._billed: Decimal | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the session has ended; one that never began has nothing to end."""
        return self._session is None or not self._session.is_open

    def requests(self, source: Iterable[Any]) -> Iterator[Any]:
        """The application's requests, counted as gRPC takes them."""
        for request in source:
            self._sent(request)
            yield request

    async def async_requests(self, source: AsyncIterable[Any]) -> AsyncIterator[Any]:
        """The same for asyncio."""
        async for request in source:
            self._sent(request)
            yield request

    @quietly
    def _sent(self, request: Any) -> None:
        if self._session is None:
            self._first = request
            self._rate = _usage.stream_rate(request)
            self._session = Session.open(self._tracer, _usage.stream_request(request), context=self._context)
        audio = _usage.field(request, "audio_content") or _usage.field(request, "audio") or b""
        if audio and self._rate:
            self._session.add_seconds(Decimal(len(audio)) / self._rate)

    def on_answer(self, _call: Any, answer: Any) -> None:
        """Note the vendor's figure; the last one is the total."""
        self._billed = _usage.billed_seconds(answer) or self._billed

    def end(self) -> None:
        """The answers are complete."""
        if self._session is not None:
            channels = None if self._billed is None else 1
            self._session.close(vendor_total_seconds=self._billed, channels=channels)

    def interrupt(self) -> None:
        """The application stopped listening: what was sent is billed."""
        self.end()

    def fail(self, error: BaseException) -> None:
        """The stream broke, or was refused before any audio was received."""
        if self._session is None:
            return
        if not self.has_output and is_refusal(error):
            self._session.set(names.CALL_REFUSED, value=True)
        self._session.fail(error)

    @quietly
    def refused(self, error: BaseException) -> None:
        """The call itself raised."""
        if self._session is None and isinstance(error, Exception):
            open_call(self._tracer, _usage.stream_request(self._first), context=self._context).fail(error)
        else:
            self.fail(error)
