"""Log once that two instrumentations of a service describe the same calls, and which switch turns one of them off."""

import logging
import threading
from collections.abc import Iterable

from cost_exporter.collisions.collisions import seen_collisions
from cost_exporter.receive.observed import ServiceScope

__all__ = ["CollisionNotice"]

_log = logging.getLogger(__name__)
_SERVICES_MAX = 1000
"""Limit of the services that are watched: the notice is only advice."""


class CollisionNotice:
    """Watches which scopes report calls in each service. Thread-safe.

    One instance gets the reports of all processes.
    """

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._scopes: dict[str, frozenset[str]] = {}
        self._logged: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, seen: Iterable[ServiceScope]) -> None:
        """Note scopes that may be new, all of them before anything is logged: the advice depends on all."""
        changed: dict[str, None] = {}
        with self._lock:
            for service, scope in seen:
                known = self._scopes.get(service, frozenset())
                if scope not in known and (service in self._scopes or len(self._scopes) < _SERVICES_MAX):
                    self._scopes[service] = known | {scope}
                    changed[service] = None
            for service in changed:
                self._say_what_collides(service)

    def _say_what_collides(self, service: str) -> None:
        for collision in seen_collisions(self._scopes[service]):
            text = f"{service or 'an application'}: {collision.who} describe the same {collision.vendor} calls"
            if text not in self._logged:
                self._logged.add(text)
                _log.warning("%s (each is billed once); %s", text, collision.fix)
