"""What a service granted to calls of one attribution and model, and its answer to a call that does not fit."""

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from callfare.budget.errors import BudgetExceeded, BudgetUnavailable
from callfare.budget.ledger import Account
from cost_exporter.domain.money import ZERO

__all__ = ["Lease", "ReplacedLease", "Words", "body_of", "canonical", "half_of_free_usd", "refusal", "unavailable"]

Words = tuple[str, str, str, str, str, str]
"""Tenant, API key, user, category, provider and model of a call; "" for what nobody stated."""
DIMENSIONS: Final = ("api_key", "user", "category", "provider", "model")


class Lease:
    """The grant of the service for calls with these words, and what they took of it."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.grant: tuple[Account, str | None] = Account(ZERO), None
        """What may be spent, and by which lease. Replaced as one: an id of another account would hold nothing."""
        self.mode = ""
        """lease, reserve, none; "" until the service answered."""
        self.budgets: Sequence[Mapping[str, Any]] = ()
        self.estimate_usd = ZERO
        self.ends_at_seconds: float | None = None
        self.due_at_seconds = 0.0
        self.was_used = False
        self.rate_usd = ZERO
        self.admitted_before_usd = ZERO
        self.renewed_at_seconds = time.monotonic()
        self.is_asking = False

    @property
    def account(self) -> Account:
        return self.grant[0]

    @property
    def lease_id(self) -> str | None:
        return self.grant[1]

    def is_over(self) -> bool:
        """Whether one of its windows has ended."""
        return self.ends_at_seconds is not None and time.monotonic() >= self.ends_at_seconds


class ReplacedLease:
    """A lease that another one replaced, until its last call has ended."""

    def __init__(self, lease_id: str, account: Account) -> None:
        self.lease_id = lease_id
        self.account = account
        self.reported_usd: Decimal | None = None


def half_of_free_usd(lease: Lease) -> Decimal:
    """Half of what the last renewal left free: once it is used, the lease is renewed."""
    return (lease.account.limit_usd - lease.admitted_before_usd) / 2


def canonical(words: Words, distinguished: Mapping[str, frozenset[str]]) -> Words:
    """Return the words without those that no budget of the tenant distinguishes."""
    kept = [
        word if _matters(word, distinguished.get(name)) else ""
        for name, word in zip(DIMENSIONS, words[1:], strict=True)
    ]
    return (words[0], *kept)  # type: ignore[return-value]  # as many as there are dimensions


def _matters(word: str, known: frozenset[str] | None) -> bool:
    if not word or not known:
        return False
    return word in known or any(word.startswith(each.rstrip("*")) for each in known)


def body_of(words: Words) -> dict[str, Any]:
    """The words as a request states them."""
    names = ("tenant", *DIMENSIONS)
    return {name: word for name, word in zip(names, words, strict=True) if word}


def refusal(budget: Mapping[str, Any], estimate_usd: Decimal | None, reason: str, call: str) -> BudgetExceeded:
    """What a budget of the service has against a call."""
    return BudgetExceeded(
        budget=str(budget.get("budget", "")),
        limit_usd=_money(budget, "limit_usd"),
        spent_usd=_money(budget, "spent_usd"),
        reserved_usd=_money(budget, "reserved_usd"),
        estimate_usd=estimate_usd,
        reason="unpriced" if reason == "unpriced" else "exceeded",
        call=call,
        window=str(budget.get("window", "")),
        resets_at=budget.get("resets_at"),
    )


def unavailable(budget: Mapping[str, Any], call: str) -> BudgetUnavailable:
    """Why a call is refused that nobody can be asked about."""
    return BudgetUnavailable(
        budget=str(budget.get("budget", "")),
        limit_usd=_money(budget, "limit_usd"),
        spent_usd=_money(budget, "spent_usd"),
        reserved_usd=_money(budget, "reserved_usd"),
        estimate_usd=None,
        reason="unreachable",
        call=call,
        window=str(budget.get("window", "")),
        resets_at=budget.get("resets_at"),
    )


def _money(budget: Mapping[str, Any], name: str) -> Decimal:
    return Decimal(str(budget.get(name) or 0))
