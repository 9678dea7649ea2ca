"""Say once, in the log, that two instrumentations of a service describe the same calls, and which switch helps."""

import logging
from collections.abc import Callable

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.read.collisions import seen_collisions

__all__ = ["CollisionNotice"]

_log = logging.getLogger(__name__)
_SERVICES_MAX = 1000
"""More services than these are not watched: the notice is a help, not a ledger."""

Observe = Callable[[Facts, Receipt], None]


class CollisionNotice:
    """Watches which scopes tell of calls in each service; hands everything on to the next observer."""

    def __init__(self, observe: Observe) -> None:
        """Take the observer to hand on to."""
        self._observe = observe
        self._scopes: dict[str, frozenset[str]] = {}
        self._said: set[str] = set()

    def __call__(self, facts: Facts, receipt: Receipt) -> None:
        """Look at what one request told."""
        self._observe(facts, receipt)
        for service, scope in {(call.service_name, call.scope) for call in facts.calls}:
            known = self._scopes.get(service, frozenset())
            if scope not in known and (service in self._scopes or len(self._scopes) < _SERVICES_MAX):
                self._scopes[service] = known | {scope}
                self._say_what_collides(service)

    def _say_what_collides(self, service: str) -> None:
        for collision in seen_collisions(self._scopes[service]):
            names = " and ".join(collision.names)
            text = f"{service or 'an application'}: {names} describe the same {collision.vendor} calls"
            if text not in self._said:
                self._said.add(text)
                _log.warning("%s (each is billed once); %s", text, collision.mend)
