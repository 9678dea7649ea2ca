"""Azure's continuous recognition: the native library sends the audio, so it is counted where it is handed over.

A push stream counts what is written to it. It may be written to before recognition starts, and is read by one
recogniser. For files and microphones the ends of recognised utterances are what can be known.
"""

import threading
from decimal import Decimal
from typing import Any

from callfare.calls.session import Session
from callfare.guard import quietly
from callfare.instrumentation.azure_speech import _usage

__all__ = ["Listening", "Tally"]


class Tally:
    """Seconds written to one push stream."""

    def __init__(self, rate_bytes_per_second: int | None) -> None:
        """`rate_bytes_per_second` is None for compressed audio, whose duration does not follow from its bytes."""
        self.is_measured = rate_bytes_per_second is not None
        self._rate = rate_bytes_per_second
        self._lock = threading.Lock()
        self._waiting_seconds = Decimal(0)
        self._session: Session | None = None

    def wrote(self, byte_count: int) -> None:
        """Count `byte_count` bytes that were handed over."""
        if self._rate is None:
            return
        with self._lock:
            self._waiting_seconds += Decimal(byte_count) / self._rate
            if self._session is not None:
                self._session.add_seconds(self._waiting_seconds)
                self._waiting_seconds = Decimal(0)

    def begin(self, session: Session) -> None:
        """From here on the audio goes into this session, and what waited with it."""
        with self._lock:
            self._session = session
            session.add_seconds(self._waiting_seconds)
            self._waiting_seconds = Decimal(0)

    def end(self) -> None:
        """Recognition stopped; what is written now waits for the next."""
        with self._lock:
            self._session = None


class Listening:
    """One continuous recognition."""

    def __init__(self, session: Session, tally: Tally | None) -> None:
        """`tally` of the push stream, if that is where the audio comes from."""
        self._session = session
        self._tally = tally
        self._counted_seconds = Decimal(0)
        if tally is not None:
            tally.begin(session)

    @property
    def needs_results(self) -> bool:
        """Whether only results show how much audio was processed."""
        return self._tally is None or not self._tally.is_measured

    @quietly
    def on_recognised(self, event: Any) -> None:
        """The SDK's event."""
        self.recognised(event.result)

    def recognised(self, result: Any) -> None:
        """Utterances come in order; count up to the end of the latest."""
        until = _usage.seconds_until_end(result)
        if until > self._counted_seconds:
            self._session.add_seconds(until - self._counted_seconds)
            self._counted_seconds = until

    def stop(self) -> None:
        """The application stopped it."""
        if self._tally is not None:
            self._tally.end()
        self._session.close()
