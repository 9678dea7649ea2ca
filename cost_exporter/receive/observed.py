"""Observations about stored requests, for metrics and notices.

It is a small value of its own, and not the request's facts, because it may have to cross from one process to
another.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.domain.span import Call

__all__ = ["Observed", "Observer", "ServiceScope", "Unobserved", "Watch"]

ServiceScope = tuple[str, str]
"""A service's name, and a scope that reports calls in it."""
_SCOPES_MAX: Final = 10_000
"""Limit of the scopes that are reported: senders choose their names, and the notices about them are only advice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The observations about one request."""

    receipt: Receipt
    tenant_claims_ignored_count: int = 0
    unread_count: int = 0
    """Calls that spoke of usage that was not understood."""
    look_alike_count: int = 0
    """Spans that look like calls and are none."""
    new_scopes: tuple[ServiceScope, ...] = ()
    """Those that this process had not seen before."""


class Observer(Protocol):
    """The metrics. Must neither raise nor block."""

    def stored(self, observed: Observed) -> None:
        """Count a stored request."""
        ...

    def committed(self, duration_seconds: float) -> None:
        """Count a commit."""
        ...


class Unobserved:
    """An `Observer` where nobody counts: the metrics, if any, are another process's."""

    def stored(self, observed: Observed) -> None:
        """Count nothing."""
        del observed

    def committed(self, duration_seconds: float) -> None:
        """Count nothing."""
        del duration_seconds


def _is_unread(call: Call) -> bool:
    return any(issue.startswith("unread_usage") for issue in call.issues)


class Watch:
    """The pipeline's `Observe`: passes on a summary of each stored request. Thread-safe."""

    def __init__(self, report: Callable[[Observed], None]) -> None:
        """`report` is called once a request."""
        self._report = report
        self._seen: set[ServiceScope] = set()
        self._lock = threading.Lock()

    def __call__(self, facts: Facts, receipt: Receipt) -> None:
        """Look at what became of one request."""
        self._report(
            Observed(
                receipt=receipt,
                tenant_claims_ignored_count=facts.tenant_claims_ignored_count,
                unread_count=sum(_is_unread(call) for call in facts.calls if call.issues),
                look_alike_count=len(facts.look_alikes),
                new_scopes=self._new_scopes(facts),
            )
        )

    def _new_scopes(self, facts: Facts) -> tuple[ServiceScope, ...]:
        scopes = {(call.service_name, call.scope) for call in facts.calls}
        if scopes <= self._seen:
            return ()
        with self._lock:
            new = sorted(scopes - self._seen)[: max(0, _SCOPES_MAX - len(self._seen))]
            self._seen.update(new)
        return tuple(new)
