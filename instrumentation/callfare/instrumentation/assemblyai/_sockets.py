"""AssemblyAI's streaming socket: billed while it is open, until the vendor says `Termination`."""

import json
from decimal import Decimal
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.session import Session
from callfare.span import Request

__all__ = ["Listening"]


class Listening:
    """One open socket. What counts is its time, so its audio is not counted beside it."""

    def __init__(self, tracer: Tracer, request: Request) -> None:
        """Begin to count."""
        self._session = Session.open(tracer, request, is_metered_when_silent=True, meter=names.SESSION_SECONDS)

    def sent(self, message: Any) -> None:
        """Nothing: the clock is the meter."""

    def received(self, message: Any) -> None:
        if '"Termination"' not in message and '"Begin"' not in message:
            return
        said: dict[str, Any] = json.loads(message)
        if said.get("type") == "Begin":
            self._session.set(names.RESPONSE_ID, str(said.get("id") or ""))
        elif said.get("type") == "Termination":
            seconds = said.get("session_duration_seconds")
            self._session.close(vendor_total_seconds=None if seconds is None else Decimal(str(seconds)))

    def broke(self, error: BaseException) -> None:
        self._session.fail(error)

    def ended(self) -> None:
        """Left without a `Termination`: the vendor's clock may run on for three hours, hence `lost`."""
        self._session.lost()
