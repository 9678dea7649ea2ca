"""Let in only as much as memory allows, and share it out: slots, bytes, and turns between credentials (rule 24).

A request counts from when its body has arrived: a slow sender holds nothing that others need. What has arrived waits
for its turn, at most two seconds, and is then refused with "try again" (`Overloaded`). A turn goes to the credential
with the least at work. While several send, each has a bounded share at work, so that who floods waits for itself.
"""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from cost_exporter.errors import Overloaded

__all__ = ["Admission", "AdmissionLimits", "Permit"]

_MIB: Final = 1024 * 1024
_QUIET_SECONDS: Final = 5.0
"""Who has not sent for so long does not count as sending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """How much is let in at a time, and how long one waits for it."""

    slots: int = 128
    """Requests at work: being decoded, settled or committed."""
    working_bytes_max: int = 6 * _MIB
    """Bytes at work. More would only wait for the database, and nobody could overtake them there."""
    share_bytes_max: int = _MIB
    """Bytes at work of one credential while others send as well."""
    bytes_max: int = 128 * _MIB
    """Bytes that have arrived, waiting ones included."""
    waiting_max: int = 1_024
    """Requests that wait."""
    wait_seconds_max: float = 2.0


@dataclass(eq=False, slots=True)
class _Account:
    """Requests and bytes of one credential."""

    last_seen_seconds: float
    working_count: int = 0
    working_bytes: int = 0
    held_bytes: int = 0
    waiting: deque["_Waiting"] = field(default_factory=deque["_Waiting"])

    @property
    def is_idle(self) -> bool:
        return not self.working_count and not self.waiting


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request whose body has arrived."""

    size_bytes: int
    turn: "asyncio.Future[None]"
    is_at_work: bool = False


class Admission:
    """The room that all receivers share. Used on their event loop, but for `Permit.hold`, which any thread may call."""

    def __init__(
        self, limits: AdmissionLimits | None = None, *, monotonic_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits or AdmissionLimits()
        self._monotonic_seconds = monotonic_seconds
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        """The one that sent last comes last."""
        self._waiting_count = 0
        self._working_count = 0
        self._working_bytes = 0
        self._held_bytes = 0
        self._lock = threading.Lock()
        """Around the counts of bytes."""

    async def enter(self, credential: str, size_bytes: int) -> "Permit":
        """Return a permit for a request that has arrived, when it is its turn. Raises `Overloaded`."""
        account = self._account(credential)
        self._hold(account, size_bytes)
        try:
            if account.waiting or not self._may_work(account, size_bytes):
                await self._turn(account, size_bytes)
            else:
                self._begin_work(account, size_bytes)
        except BaseException:
            self._release(account, size_bytes)
            raise
        return Permit(self, account, size_bytes)

    def hold_more(self, account: _Account, size_bytes: int) -> None:
        """Count bytes that an admitted request became. Raises `Overloaded`."""
        self._hold(account, size_bytes)
        with self._lock:
            account.working_bytes += size_bytes
            self._working_bytes += size_bytes

    def leave(self, account: _Account, size_bytes: int) -> None:
        """Give the room of a request back, and let in whose turn it is."""
        with self._lock:
            account.working_bytes -= size_bytes
            self._working_bytes -= size_bytes
        account.working_count -= 1
        self._working_count -= 1
        assert self._working_count >= 0 <= self._working_bytes
        self._release(account, size_bytes)
        self._let_in()

    # --------------------------------------------------------------------------------------------------- turns

    async def _turn(self, account: _Account, size_bytes: int) -> None:
        """Return when the request is at work."""
        if self._waiting_count >= self.limits.waiting_max:
            raise Overloaded("too busy (too many requests wait); try again")
        waiting = _Waiting(size_bytes, asyncio.get_running_loop().create_future())
        account.waiting.append(waiting)
        self._waiting_count += 1
        try:
            async with asyncio.timeout(self.limits.wait_seconds_max):
                await waiting.turn
        except BaseException as error:
            if waiting.is_at_work:  # its turn came too late to be used
                self._end_work(account, size_bytes)
            elif waiting in account.waiting:
                account.waiting.remove(waiting)
                self._waiting_count -= 1
            self._let_in()
            if isinstance(error, TimeoutError):
                raise Overloaded("too busy (no free slot); try again") from None
            raise

    def _let_in(self) -> None:
        """Begin the work of those whose turn it is, for as long as there is room."""
        while self._waiting_count:
            ready = [each for each in self._accounts.values() if each.waiting and self._may_work_next(each)]
            if not ready:
                return
            account = min(ready, key=lambda each: each.working_bytes)
            waiting = account.waiting.popleft()
            self._waiting_count -= 1
            if not waiting.turn.done():  # else its sender has gone
                waiting.is_at_work = True
                self._begin_work(account, waiting.size_bytes)
                waiting.turn.set_result(None)

    def _may_work_next(self, account: _Account) -> bool:
        return self._may_work(account, account.waiting[0].size_bytes)

    def _may_work(self, account: _Account, size_bytes: int) -> bool:
        """Whether there is room. Whatever its size, a request is let in where nothing else is at work."""
        if self._working_count >= self.limits.slots:
            return False
        if self._working_bytes and self._working_bytes + size_bytes > self.limits.working_bytes_max:
            return False
        has_share = account.working_bytes + size_bytes <= self.limits.share_bytes_max
        return has_share or not account.working_count or self._is_alone(account)

    def _begin_work(self, account: _Account, size_bytes: int) -> None:
        with self._lock:
            account.working_bytes += size_bytes
            self._working_bytes += size_bytes
        account.working_count += 1
        self._working_count += 1

    def _end_work(self, account: _Account, size_bytes: int) -> None:
        with self._lock:
            account.working_bytes -= size_bytes
            self._working_bytes -= size_bytes
        account.working_count -= 1
        self._working_count -= 1

    # -------------------------------------------------------------------------------------------- accounts, bytes

    def _account(self, credential: str) -> _Account:
        """Return the account of a credential, and forget those that have been quiet."""
        now_seconds = self._monotonic_seconds()
        account = self._accounts.pop(credential, None) or _Account(now_seconds)
        account.last_seen_seconds = now_seconds
        self._accounts[credential] = account
        while self._accounts:
            name, oldest = next(iter(self._accounts.items()))
            if not oldest.is_idle or now_seconds - oldest.last_seen_seconds < _QUIET_SECONDS:
                break
            del self._accounts[name]
        return account

    def _is_alone(self, account: _Account) -> bool:
        """Whether nobody else sends."""
        quiet_since_seconds = self._monotonic_seconds() - _QUIET_SECONDS
        return not any(
            other is not account and (not other.is_idle or other.last_seen_seconds >= quiet_since_seconds)
            for other in reversed(self._accounts.values())
        )

    def _hold(self, account: _Account, size_bytes: int) -> None:
        """Take bytes of the budget: all of it where nobody else sends, else half. Raises `Overloaded`."""
        is_alone = self._is_alone(account)
        with self._lock:
            mine, all_bytes = account.held_bytes + size_bytes, self._held_bytes + size_bytes
            # A request larger than the whole budget is let in when it is alone, or it never would be.
            is_over = self._held_bytes and all_bytes > self.limits.bytes_max
            if is_over or (account.held_bytes and not is_alone and 2 * mine > self.limits.bytes_max):
                raise Overloaded("too busy (no room for its bytes); try again")
            account.held_bytes, self._held_bytes = mine, all_bytes

    def _release(self, account: _Account, size_bytes: int) -> None:
        with self._lock:
            account.held_bytes -= size_bytes
            self._held_bytes -= size_bytes
            assert account.held_bytes >= 0 <= self._held_bytes


class Permit:
    """One request at work, and the bytes it holds; given back at the end of the `with` block, or by `leave`."""

    def __init__(self, admission: Admission, account: _Account, size_bytes: int) -> None:
        self._admission = admission
        self._account = account
        self._size_bytes = size_bytes

    def hold(self, size_bytes: int) -> None:
        """Take more bytes of the budget. Raises `Overloaded`. Any thread may call it."""
        self._admission.hold_more(self._account, size_bytes)
        self._size_bytes += size_bytes

    def leave(self) -> None:
        """Give the room back; once."""
        self._admission.leave(self._account, self._size_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
