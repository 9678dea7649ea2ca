"""Why requests are refused, and the interface that counts them."""

from enum import StrEnum
from typing import Protocol

__all__ = ["CountRefused", "Refusal"]


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
