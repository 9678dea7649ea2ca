"""Google's streaming recognition: requests are an iterator that gRPC drives, answers an iterator we hand out.

The first request carries the configuration, so the budgets are asked for it and the session opens there. gRPC may pull
requests in a thread of its own: the context is that of the call. What is refused ends the requests before the first one
goes out, and the application gets `BudgetExceeded` where it would get gRPC's complaint about that.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.admission import Offer, gate_in
from callfare.calls.failure import is_refusal
from callfare.calls.running import first_part, offer_of
from callfare.calls.session import Session
from callfare.calls.span import CallRequest, open_call
from callfare.calls.stream import AsyncStream, SyncStream
from callfare.guard import quietly
from callfare.instrumentation.google_speech import _usage

__all__ = ["AsyncAnswers", "Recognition", "SyncAnswers"]


class Recognition:
    """One stream. Finished like a `CallSpan`, so that the watched answers can end it."""

    def __init__(self, tracer: Tracer) -> None:
        """Remember the caller's context."""
        self.has_output = False
        self._refusal: Exception | None = None
        """Why nothing was sent, where a budget refused it."""
        self._has_refused: asyncio.Event | None = None
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
            self._sent(request, self._asked(request))
            yield request

    async def async_requests(self, source: AsyncIterable[Any]) -> AsyncIterator[Any]:
        """The same for asyncio."""
        async for request in source:
            self._sent(request, self._asked(request))
            yield request

    def _asked(self, request: Any) -> Offer | None:
        """Reserve for the stream that begins with this request. Raises `BudgetExceeded`."""
        opens = None if self._first is not None else self._read(request)
        if opens is None:
            return None
        try:
            return offer_of(first_part(opens), self._context)
        except Exception as error:
            self._refusal = error
            if self._has_refused is not None:
                self._has_refused.set()
            raise

    async def answers(self, calling: Awaitable[Any]) -> Any:
        """Return what the call returns, or raise why it was refused: gRPC would wait for a call that it cancelled."""
        if gate_in(self._context) is None:
            return await calling
        self._has_refused = asyncio.Event()
        called, refused = asyncio.ensure_future(calling), asyncio.ensure_future(self._has_refused.wait())
        try:
            await asyncio.wait((called, refused), return_when=asyncio.FIRST_COMPLETED)
            self.raise_refusal()
            return await called
        finally:
            refused.cancel()
            if not called.done():
                called.cancel()

    def raise_refusal(self) -> None:
        """Raise why nothing was sent, where a budget refused it: gRPC only says that there were no requests."""
        if self._refusal is not None:
            raise self._refusal from None

    @quietly
    def _read(self, request: Any) -> CallRequest:
        self._first = request
        return _usage.stream_request(request)

    @quietly
    def _sent(self, request: Any, offer: Offer | None) -> None:
        if self._session is None:
            self._rate = _usage.stream_rate(request)
            opens = _usage.stream_request(self._first)
            self._session = Session.open(self._tracer, opens, context=self._context, offer=offer)
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


class SyncAnswers(SyncStream):
    """The answers of a stream."""

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except Exception:
            recognition: Any = self._self_call
            recognition.raise_refusal()
            raise


class AsyncAnswers(AsyncStream):
    """The same for asyncio."""

    async def __anext__(self) -> Any:
        try:
            return await super().__anext__()
        except (Exception, asyncio.CancelledError):  # gRPC cancels a call whose requests fail
            recognition: Any = self._self_call
            recognition.raise_refusal()
            raise
