"""The interfaces that the receivers depend on: one stores a request durably, one counts it."""

from enum import StrEnum
from typing import Protocol

from cost_exporter.domain.facts import Receipt
from cost_exporter.read.otlp.decoded import DecodedRequest

__all__ = ["CountRefused", "Ingest", "Refusal"]


class Ingest(Protocol):
    """The pipeline as receivers see it."""

    def __call__(self, request: DecodedRequest) -> Receipt:
        """Store the request and return after COMMIT.

        Raises `StoreUnavailable` or `Overloaded` where the sender should try again. Anything else it raises is
        our own fault: the sender tries again for a while, then the batch becomes dead letters.
        """
        ...


class Refusal(StrEnum):
    """Why a request was refused: the values of `callfare_refused_total{reason}`."""

    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    TOO_LARGE = "too_large"
    UNDECODABLE = "undecodable"
    UNSUPPORTED_MEDIA = "unsupported_media"
    OVERLOADED = "overloaded"
    STORE_UNAVAILABLE = "store_unavailable"
    SLOW_SENDER = "slow_sender"
    OUR_FAULT = "our_fault"


class CountRefused(Protocol):
    """The metrics sink of the receivers."""

    def __call__(self, reason: Refusal) -> None:
        """Count one refused request. Must not raise and must not block."""
        ...
