"""Budgets that processes share: leased from a service, decided here, in a few microseconds a call.

CALLFARE_BUDGET_URL names the service. A lease is an account of this process's ledger whose limit is what the service
granted. While it lasts no call waits; it is renewed in the background. Near the end of a budget each call reserves at
the service instead. What a lease lets pass is held by the service until the spans arrive, which carry its id.

Where the service does not answer, soft budgets let calls pass. Hard ones go on with what was granted and then refuse.
A process that never reached it knows of no budgets: it lets calls pass, logs that once and counts them.
CALLFARE_BUDGET_FAIL_OPEN=0 refuses them too; =1 lets all of them pass, also after a lease.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

from opentelemetry.context import Context

from callfare import environment
from callfare.budget.channel import Answer, Channel
from callfare.budget.errors import BudgetExceeded
from callfare.budget.lease import (
    Lease,
    ReplacedLease,
    Words,
    body_of,
    canonical,
    half_of_free_usd,
    refusal,
    unavailable,
)
from callfare.budget.ledger import Account, ledger
from callfare.budget.limits import Limits
from callfare.budget.notices import notice
from callfare.budget.shared_hold import OnReserved, SharedHold
from callfare.forking import reset_after_fork
from cost_exporter.domain.money import CONTEXT, ZERO, to_plain

__all__ = ["SharedBudgets", "SharedHold", "Words", "shared_budgets", "unchecked_count"]

_LEASE: Final = "/v1/budgets/lease"
_RESERVE: Final = "/v1/budgets/reserve"
_IDLE_SECONDS: Final = 60.0
_ASK_AGAIN_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0
_LEASES_MAX: Final = 10_000
_ABSENT: Final = object()
_log = logging.getLogger("callfare")
_unchecked_count = 0


def unchecked_count() -> int:
    """How many calls passed without a budget being asked, because its service could not be reached."""
    return _unchecked_count


class SharedBudgets:
    """The budgets of a service, as this process sees them."""

    def __init__(self, url: str, token: str = "", *, fails_open: bool | None = None) -> None:
        """Nothing is asked yet."""
        self._fails_open = fails_open
        self._channel = Channel(url, token, tick=self._renew_what_is_due)
        self.reset_after_fork()
        reset_after_fork(self)

    def reset_after_fork(self) -> None:
        """Leases are the parent's."""
        self._lock = threading.Lock()
        self._process_id = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._leases: dict[Words, Lease] = {}
        self._distinguished: dict[str, dict[str, frozenset[str]]] = {}
        self._old: list[ReplacedLease] = []
        self._in_flight: dict[str, None] = {}
        self._soft: dict[str, Limits] = {}
        self._has_reached = False
        self._has_warned = False
        self._channel.farewell = self._return_all

    def greet(self, tenant: str) -> None:
        """Ask for the budgets of a tenant before its first call has to wait for them. Waits for nothing."""
        lease = self._lease((tenant, "", "", "", "", ""))
        self._channel.send(
            _LEASE, lambda: self._lease_body(lease, keeps=True), lambda answer, _: self._learn(lease, answer)
        )

    # -------------------------------------------------------------------------------------------------- a call

    def admit(
        self,
        words: Words,
        estimate_usd: Decimal | None,
        *,
        call: str = "",
        context: Context | None = None,
        goes_on: bool = False,
    ) -> SharedHold | None:
        """Let a call pass, or raise `BudgetExceeded`. None: no budget holds anything for it.

        `goes_on` where it will extend what it holds.
        """
        lease = self._lease(words)
        if not lease.mode or lease.is_over():
            self._ask(lease, estimate_usd)
            lease = self._lease(words)  # by now it is known which words matter
            if not lease.mode:
                self._ask(lease, estimate_usd)
            if not lease.mode:
                return self._unreachable(lease, call)
        if lease.mode == "none":
            return None
        taken_usd = self._priced(lease, estimate_usd, call)
        lease.was_used = True
        if not lease.is_over():
            hold = self._from_lease(lease, words, taken_usd, call)
            if hold is None and lease.mode == "lease" and self._ask(lease, taken_usd):
                hold = self._from_lease(lease, words, taken_usd, call)
            if hold is not None:
                self._notice_soft(lease, taken_usd, context)
                return hold
        if lease.mode == "none":
            return None
        return self._reserve(
            lease, words, estimate_usd, taken_usd=taken_usd, call=call, context=context, goes_on=goes_on
        )

    def settled(self, reservation_id: str, actual_usd: Decimal | None) -> None:
        """Say what a reserved call has cost; None where that is not known: then its estimate stays held."""
        if self._has_ended(reservation_id) and actual_usd is not None:
            body = {"reservation_id": reservation_id, "actual_usd": to_plain(actual_usd)}
            self._channel.send("/v1/budgets/settle", body)

    def released(self, reservation_id: str) -> None:
        """Say that a reserved call never went out."""
        if self._has_ended(reservation_id):
            self._give_back(reservation_id)

    def _has_ended(self, reservation_id: str) -> bool:
        """Whether the reservation was this process's until now. One that a forked child knows of is its parent's."""
        return self._in_flight.pop(reservation_id, _ABSENT) is not _ABSENT

    def _give_back(self, reservation_id: str) -> None:
        self._channel.send("/v1/budgets/release", {"reservation_id": reservation_id})

    def reserve_later(self, words: Words, held_usd: Decimal, call: str, on_reserved: OnReserved) -> None:
        """Ask for a reservation for a call that goes on. Waits for nothing."""

        def reserved(reservation_id: str | None, error: BudgetExceeded | None) -> None:
            if reservation_id is not None:
                self._in_flight[reservation_id] = None
            on_reserved(reservation_id, error)

        answered = partial(self._answered, words, held_usd, call, reserved)
        self._channel.send(_RESERVE, self._reserve_body(words, held_usd, goes_on=True), answered)

    def extend_later(
        self, reservation_id: str, words: Words, total_usd: Decimal, call: str, on_reserved: OnReserved
    ) -> None:
        """Let a reservation hold this in all, what has arrived of it included. Waits for nothing."""
        body = self._reserve_body(words, total_usd, goes_on=True) | {"reservation_id": reservation_id}
        answered = partial(self._answered, words, total_usd, call, on_reserved)
        self._channel.send(_RESERVE, body, answered)

    def _answered(
        self,
        words: Words,
        estimate_usd: Decimal,
        call: str,
        on_reserved: OnReserved,
        answer: Answer | None,
        _is_late: bool,
    ) -> None:
        if answer is not None and answer.status == 429:  # noqa: PLR2004 - HTTP's
            on_reserved(None, refusal(answer.data, estimate_usd, str(answer.data.get("reason", "exceeded")), call))
            return
        reservation_id = None if answer is None else answer.data.get("reservation_id")
        if isinstance(reservation_id, str):
            on_reserved(reservation_id, None)
            return
        on_reserved(None, self._unavailable(self._lease(words), call) if answer is None else None)

    def _from_lease(self, lease: Lease, words: Words, estimate_usd: Decimal, call: str) -> SharedHold | None:
        account, lease_id = lease.grant
        if lease_id is None:
            return None
        claim, _ = ledger().claim([account], estimate_usd, _never)
        if claim is None:
            return None
        lease.estimate_usd = max(lease.estimate_usd, estimate_usd)
        if account.reserved_usd + account.spent_usd > lease.admitted_before_usd + half_of_free_usd(lease):
            lease.due_at_seconds = 0.0
            self._channel.wake()
        return SharedHold(self, lease_id, claim, lease=lease, words=words, call=call)

    def _priced(self, lease: Lease, estimate_usd: Decimal | None, call: str) -> Decimal:
        """Return what the call takes: its estimate, or what its budgets assume where it has no price."""
        if estimate_usd is not None:
            return estimate_usd
        assumed_usd = ZERO
        for budget in lease.budgets:
            unpriced = str(budget.get("unpriced", "allow"))
            if unpriced == "refuse" and budget.get("enforcement") == "hard":
                raise refusal(budget, None, "unpriced", call)
            if unpriced not in {"refuse", "allow"}:
                assumed_usd = max(assumed_usd, Decimal(unpriced))
        return assumed_usd

    def _reserve(
        self,
        lease: Lease,
        words: Words,
        estimate_usd: Decimal | None,
        *,
        taken_usd: Decimal,
        call: str,
        context: Context | None,
        goes_on: bool,
    ) -> SharedHold | None:
        """Ask the service for this call alone."""
        body = self._reserve_body(words, estimate_usd, goes_on=goes_on)
        answer = self._channel.ask(_RESERVE, body, self._release_if_late)
        if answer is None:
            return self._unreachable(lease, call)
        if answer.status == 429:  # noqa: PLR2004 - HTTP's
            raise refusal(answer.data, estimate_usd, str(answer.data.get("reason", "exceeded")), call)
        reservation_id = answer.data.get("reservation_id")
        if not isinstance(reservation_id, str):
            return self._unreachable(lease, call)
        self._in_flight[reservation_id] = None
        self._notice_soft(lease, taken_usd, context)
        return SharedHold(self, reservation_id, None, lease=lease, words=words, call=call)

    def _reserve_body(self, words: Words, estimate_usd: Decimal | None, *, goes_on: bool) -> dict[str, Any]:
        return body_of(words) | {
            "process_id": self._process_id,
            "estimate_usd": None if estimate_usd is None else to_plain(estimate_usd),
            "goes_on": goes_on,
        }

    def _release_if_late(self, answer: Answer | None, is_late: bool) -> None:
        if is_late and answer is not None and isinstance(answer.data.get("reservation_id"), str):
            self._give_back(answer.data["reservation_id"])

    def _unreachable(self, lease: Lease, call: str) -> None:
        """Let a call pass that nobody can be asked about, or refuse it."""
        error = self._unavailable(lease, call)
        if error is not None:
            raise error
        global _unchecked_count  # noqa: PLW0603 - one counter a process
        _unchecked_count += 1
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "the budgets' service at CALLFARE_BUDGET_URL does not answer: calls pass unchecked (logged once);"
                " CALLFARE_BUDGET_FAIL_OPEN=0 refuses them"
            )

    def _unavailable(self, lease: Lease, call: str) -> BudgetExceeded | None:
        """Return why what nobody can be asked about is refused; None where it is not."""
        known = [lease, *(each for each in self._leases.values() if each.words[0] == lease.words[0])]
        hard = [budget for each in known for budget in each.budgets if budget.get("enforcement") == "hard"]
        refuses = bool(hard) and self._fails_open is not True if self._has_reached else self._fails_open is False
        return unavailable(hard[0] if hard else {}, call) if refuses else None

    def _notice_soft(self, lease: Lease, taken_usd: Decimal, context: Context | None) -> None:
        """Report budgets that do not refuse what no longer fits."""
        for budget in lease.budgets:
            if budget.get("enforcement") == "hard":
                continue
            since_usd = lease.account.spent_usd + lease.account.reserved_usd - lease.admitted_before_usd
            if taken_usd and Decimal(str(budget["remaining_usd"])) < since_usd:
                limits = self._soft_limits(budget)
                notice(limits, refusal(budget, taken_usd, "exceeded", ""), context)

    def _soft_limits(self, budget: Mapping[str, Any]) -> Limits:
        name = str(budget["budget"])
        if name not in self._soft:
            hard = "shadow" if budget.get("enforcement") == "shadow" else False
            self._soft[name] = Limits(name, Decimal(str(budget["limit_usd"])), {}, hard=hard, on_exceeded=None)
        return self._soft[name]

    # ------------------------------------------------------------------------------------------------- leases

    def _lease(self, words: Words) -> Lease:
        distinguished = self._distinguished.get(words[0])
        if distinguished is not None:
            words = canonical(words, distinguished)
        lease = self._leases.get(words)
        if lease is None:
            with self._lock:
                if len(self._leases) >= _LEASES_MAX:
                    self._leases.clear()  # their money is held until their windows end; this many words are a fault
                lease = self._leases.setdefault(words, Lease(words))
        return lease

    def _ask(self, lease: Lease, estimate_usd: Decimal | None) -> bool:
        """Ask for a lease or for more of it, and wait for a moment. Returns whether there was an answer."""
        lease.estimate_usd = max(lease.estimate_usd, estimate_usd or ZERO)
        answer = self._channel.ask(
            _LEASE, lambda: self._lease_body(lease, keeps=False), lambda answer, _: self._learn(lease, answer)
        )
        return answer is not None

    def _renew_what_is_due(self) -> float:
        """Renew leases, from the thread of the channel. Returns how long it may sleep."""
        now = time.monotonic()
        for lease in list(self._leases.values()):
            if lease.mode and lease.due_at_seconds <= now and (lease.was_used or lease.lease_id is not None):
                body = self._lease_body(lease, keeps=lease.was_used)
                self._learn(lease, self._channel.perform(_LEASE, body))
        due = [lease.due_at_seconds for lease in self._leases.values() if lease.mode]
        return min(1.0, max(0.05, min(due, default=now + 1.0) - time.monotonic()))

    def _lease_body(self, lease: Lease, *, keeps: bool) -> dict[str, Any]:
        """Return what is asked, made at the moment it is sent.

        The service may give less than before. So either all that was granted is kept, or the account is closed to
        calls until the answer is there: one that passed meanwhile would be held nowhere.
        """
        balance = ledger().limit(lease.account, lease.account.limit_usd if keeps else None)
        admitted_usd = CONTEXT.add(balance.spent_usd, balance.reserved_usd)
        kept_usd = max(admitted_usd, balance.limit_usd)
        elapsed = max(0.001, time.monotonic() - lease.renewed_at_seconds)
        rate_usd = (admitted_usd - lease.admitted_before_usd) / Decimal(str(elapsed))
        return body_of(lease.words) | {
            "process_id": self._process_id,
            "lease_id": lease.lease_id,
            "estimate_usd": to_plain(lease.estimate_usd),
            "admitted_usd": to_plain(kept_usd if lease.lease_id else ZERO),
            "rate_usd": to_plain(max(ZERO, rate_usd, lease.rate_usd / 2).quantize(Decimal("1e-12"))),
            "in_flight": list(self._in_flight),
            "returns": self._returns(),
        }

    def _returns(self) -> list[dict[str, str]]:
        """Return what leases that were replaced took, where that has changed since it was reported."""
        found: list[dict[str, str]] = []
        for old in list(self._old):
            balance = ledger().balance(old.account)
            admitted_usd = CONTEXT.add(balance.spent_usd, balance.reserved_usd)
            if admitted_usd != old.reported_usd:
                found.append({"lease_id": old.lease_id, "admitted_usd": to_plain(admitted_usd)})
                old.reported_usd = admitted_usd
            elif not balance.reserved_usd:
                self._old.remove(old)
        return found

    def _learn(self, lease: Lease, answer: Answer | None) -> None:
        """Take over what the service granted."""
        now = time.monotonic()
        if answer is None or answer.status >= 400:  # noqa: PLR2004 - HTTP's
            lease.due_at_seconds = now + _RETRY_SECONDS
            if answer is not None:
                _say_refused(answer)
            return
        data = answer.data
        self._has_reached = True
        self._distinguished[lease.words[0]] = {
            name: frozenset(words) for name, words in data.get("dimensions", {}).items()
        }
        granted_usd, lease_id = Decimal(str(data["granted_usd"])), data.get("lease_id")
        if lease_id != lease.lease_id:
            self._replace(lease, lease_id)
        if not self._is_where_it_belongs(lease):
            self._replace(lease, None)
            lease.mode = ""
            return
        balance = ledger().limit(lease.account, granted_usd)
        admitted_usd = CONTEXT.add(balance.spent_usd, balance.reserved_usd)
        elapsed = max(0.001, now - lease.renewed_at_seconds)
        lease.rate_usd = max(ZERO, admitted_usd - lease.admitted_before_usd) / Decimal(str(elapsed))
        lease.admitted_before_usd, lease.renewed_at_seconds = admitted_usd, now
        lease.budgets = list(data.get("budgets", ()))
        valid_seconds = data.get("valid_seconds")
        lease.ends_at_seconds = None if valid_seconds is None else now + float(valid_seconds)
        wait_seconds = float(data.get("renew_after_seconds", _ASK_AGAIN_SECONDS))
        if not lease.was_used:
            wait_seconds = _IDLE_SECONDS
        lease.due_at_seconds = now + wait_seconds
        lease.was_used = False
        lease.mode = str(data.get("mode", "none"))

    def _replace(self, lease: Lease, lease_id: str | None) -> None:
        """Let calls go out by another lease, or by none."""
        account, old_id = lease.grant
        lease.grant, lease.admitted_before_usd = (Account(ZERO), lease_id), ZERO
        if old_id is not None:
            ledger().limit(account, None)  # who has just looked at it finds it closed
            self._old.append(ReplacedLease(old_id, account))

    def _is_where_it_belongs(self, lease: Lease) -> bool:
        """Put a lease where the calls that share it look, as which words matter is known with the first answer only.

        False where there is another one.
        """
        words = canonical(lease.words, self._distinguished[lease.words[0]])
        if words == lease.words:
            return True
        with self._lock:
            self._leases.pop(lease.words, None)
            lease.words = words
            return self._leases.setdefault(words, lease) is lease

    def _return_all(self) -> None:
        """The process ends: give back what no call used."""
        for lease in list(self._leases.values()):
            self._replace(lease, None)
        returns = self._returns()
        if returns:
            self._channel.send("/v1/budgets/return", {"returns": returns})


_shared: SharedBudgets | None = None
_is_read = False


def shared_budgets() -> SharedBudgets | None:
    """The budgets of the service that CALLFARE_BUDGET_URL names; None where it names none."""
    global _shared, _is_read  # noqa: PLW0603 - one a process
    if not _is_read:
        url = environment.budget_url()
        if url:
            _shared = SharedBudgets(url, environment.budget_token(), fails_open=environment.budget_fails_open())
        _is_read = True
    return _shared


def _never(_: Account) -> bool:
    return False


_refusals_logged: set[int] = set()


def _say_refused(answer: Answer) -> None:
    if answer.status not in _refusals_logged:
        _refusals_logged.add(answer.status)
        _log.warning(
            "the budgets' service refuses to grant leases (%s): %s", answer.status, answer.data.get("message", "")
        )
