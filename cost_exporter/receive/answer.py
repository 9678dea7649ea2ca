"""The answers to senders, as OTLP clients understand them: one table for gRPC and HTTP.

    too large                     RESOURCE_EXHAUSTED   413   permanent
    undecodable                   INVALID_ARGUMENT     400   permanent
    unsupported media             INVALID_ARGUMENT     415   permanent
    no token or an unknown one    UNAUTHENTICATED      401   permanent
    the token may not             PERMISSION_DENIED    403   permanent
    everything else               UNAVAILABLE          503   try again after the hint

UNKNOWN, INTERNAL and 500 never occur: clients drop a batch for them. The hint stays at or below two seconds:
Python's exporter drops a batch whose hint exceeds its budget of ten. It is sent in two trailers, because Go,
Rust and .NET read `grpc-status-details-bin` and Python only a trailer named `google.rpc.retryinfo-bin`.
"""

import random
from dataclasses import dataclass
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import (
    Overloaded,
    PermissionDenied,
    StoreUnavailable,
    TooLarge,
    Unauthenticated,
    Undecodable,
    UnsupportedMedia,
)
from cost_exporter.read.otlp.wire_shape import varint
from cost_exporter.receive.admission.arrivals import SlowSender
from cost_exporter.receive.refusal import Refusal

__all__ = ["Answer", "answer_to", "success"]

_RETRY_DELAY_MS: Final = (500, 2_000)
_INVALID_ARGUMENT, _PERMISSION_DENIED, _RESOURCE_EXHAUSTED, _UNAVAILABLE, _UNAUTHENTICATED = 3, 7, 8, 14, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A refusal in the words of both transports."""

    reason: Refusal
    grpc_code: int
    http_status: int
    message: str
    retry_delay_ms: int | None = None
    """None where sending again cannot help."""

    @property
    def retry_after_seconds(self) -> int | None:
        """The hint for HTTP, in whole seconds."""
        return None if self.retry_delay_ms is None else -(-self.retry_delay_ms // 1_000)

    def retry_info(self) -> bytes:
        """Return google.rpc.RetryInfo; b"" where there is no hint."""
        if self.retry_delay_ms is None:
            return b""
        seconds, rest_ms = divmod(self.retry_delay_ms, 1_000)
        return RetryInfo(retry_delay=Duration(seconds=seconds, nanos=rest_ms * 1_000_000)).SerializeToString()

    def status(self) -> bytes:
        """Return google.rpc.Status, with the hint as a detail where there is one."""
        details: list[AnyMessage] = []
        if self.retry_delay_ms is not None:
            type_url = "type.googleapis.com/google.rpc.RetryInfo"
            details.append(AnyMessage(type_url=type_url, value=self.retry_info()))
        return Status(code=self.grpc_code, message=self.message, details=details).SerializeToString()


_PERMANENT: Final = (
    (TooLarge, Refusal.TOO_LARGE, _RESOURCE_EXHAUSTED, 413),
    (Undecodable, Refusal.UNDECODABLE, _INVALID_ARGUMENT, 400),
    (UnsupportedMedia, Refusal.UNSUPPORTED_MEDIA, _INVALID_ARGUMENT, 415),
    (Unauthenticated, Refusal.UNAUTHENTICATED, _UNAUTHENTICATED, 401),
    (PermissionDenied, Refusal.PERMISSION_DENIED, _PERMISSION_DENIED, 403),
)
_PASSING: Final = (
    (StoreUnavailable, Refusal.STORE_UNAVAILABLE, "the database cannot take it at the moment; try again"),
    (SlowSender, Refusal.SLOW_SENDER, ""),
)


def answer_to(error: BaseException) -> Answer:
    """Return the answer to a request that ended with this error."""
    for kind, reason, grpc_code, http_status in _PERMANENT:
        if isinstance(error, kind):
            return Answer(reason=reason, grpc_code=grpc_code, http_status=http_status, message=str(error))
    for kind, reason, message in _PASSING:
        if isinstance(error, kind):
            return _try_again(reason, message or str(error))
    if isinstance(error, Overloaded):
        return _try_again(Refusal.OUR_FAULT if error.__cause__ is not None else Refusal.OVERLOADED, str(error))
    return _try_again(Refusal.OUR_FAULT, "something went wrong on our side; try again")


def _try_again(reason: Refusal, message: str) -> Answer:
    # Jitter, so that a crowd of senders does not come back as one.
    delay_ms = random.randint(*_RETRY_DELAY_MS)  # noqa: S311 - no secret
    return Answer(reason=reason, grpc_code=_UNAVAILABLE, http_status=503, message=message, retry_delay_ms=delay_ms)


def success(receipt: Receipt) -> bytes:
    """Return an ExportTraceServiceResponse: empty, or with a warning where dead letters were kept.

    A warning is a partial success that rejected nothing. A span kept as a dead letter must not count as rejected: for
    the sender that would mean it is lost.
    """
    if not receipt.warning:
        return b""
    message = receipt.warning.encode()
    partial_success = b"\x12" + varint(len(message)) + message
    return b"\x0a" + varint(len(partial_success)) + partial_success
