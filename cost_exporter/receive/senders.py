"""The sender of a request, looked up off the event loop and remembered for a moment.

Authenticating may read the database, and small requests come by the hundred from one sender. What was found holds for
a tenth of a second; while the database does not answer, for as long as a known token does (`TokenDirectory`).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from cost_exporter.errors import ReceiveError, StoreUnavailable
from cost_exporter.receive.auth import sender_of
from cost_exporter.receive.decoding.decode import SenderIdentity
from cost_exporter.store.token_directory import Authenticate

__all__ = ["Senders"]

_Key = tuple[tuple[str, ...], str | None]
"""The `Authorization` headers, and the tenant that a relay states."""
_FRESH_SECONDS: Final = 0.1
_ANSWER_SECONDS_MAX: Final = 3.0
_STALE_SECONDS_MAX: Final = 3_600.0
_REMEMBERED_MAX: Final = 1_000
_THREADS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    """Who a sender was found to be, and when."""

    sender: SenderIdentity
    at_seconds: float


class Senders:
    """Names the sender of a request. Used on the event loop alone."""

    def __init__(self, authenticate: Authenticate, *, monotonic_seconds: Callable[[], float] = time.monotonic) -> None:
        self._authenticate = authenticate
        self._monotonic_seconds = monotonic_seconds
        self._remembered: OrderedDict[_Key, _Remembered] = OrderedDict()
        self._asking: dict[_Key, asyncio.Future[SenderIdentity]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "authenticate")

    async def sender(self, authorization: Sequence[str], stated_tenant: str | None) -> SenderIdentity:
        """Return who sends with these headers. Raises what `sender_of` raises."""
        key = tuple(authorization), stated_tenant
        known = self._remembered.get(key)
        now_seconds = self._monotonic_seconds()
        if known is not None and now_seconds - known.at_seconds < _FRESH_SECONDS:
            return known.sender
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.ensure_future(self._asked(key))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        try:
            return await asyncio.wait_for(asyncio.shield(asking), _ANSWER_SECONDS_MAX)
        except TimeoutError as error:
            if known is not None and now_seconds - known.at_seconds < _STALE_SECONDS_MAX:
                return known.sender
            raise StoreUnavailable("cannot read the tokens: the database does not answer; try again") from error

    async def _asked(self, key: _Key) -> SenderIdentity:
        """Ask for all that wait for the same sender."""
        began_at_seconds = self._monotonic_seconds()
        try:
            sender = await asyncio.get_running_loop().run_in_executor(
                self._threads, sender_of, self._authenticate, *key
            )
        except ReceiveError:  # no longer let in
            self._remembered.pop(key, None)
            raise
        self._remembered.pop(key, None)
        self._remembered[key] = _Remembered(sender=sender, at_seconds=began_at_seconds)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return sender

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)
