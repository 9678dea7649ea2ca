"""Whether a call that raised is billed, judged by its exception. Pure: the exception is not changed.

Vendors raise their own classes over httpx, requests, aiohttp or websockets; what matters is common to all:
an HTTP status, and whether a connection ever came about.
"""

import socket
from collections.abc import Iterator
from typing import Any

from callfare import attributes as names

__all__ = ["describe_error", "http_status_of", "is_refusal"]

_NO_CONNECTION = frozenset(
    {
        "ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorCertificateError",  # aiohttp
        "ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "InvalidURL",  # httpx
        "NewConnectionError", "NameResolutionError",  # urllib3
        "InvalidHandshake", "InvalidStatus", "InvalidURI",  # websockets
    }
)  # fmt: skip
_CHAIN_MAX = 8
_GRPC_CODE = {"google.api_core": ("code",)}
"""Google's clients translate gRPC's answers into HTTP's numbers. Elsewhere `code` means many things."""
_CLIENT_GAVE_UP = frozenset({"DeadlineExceeded", "Cancelled"})  # Google: in HTTP's numbers, but nobody answered


def describe_error(error: BaseException) -> dict[str, str | int]:
    """Attributes of a failed call: the kind of error and the HTTP status. Never its text, which may quote input."""
    described: dict[str, str | int] = {names.ERROR_TYPE: _kind(error)}
    status = http_status_of(error)
    if status is not None:
        described[names.HTTP_STATUS_CODE] = status
    return described


def is_refusal(error: BaseException) -> bool:
    """Whether the vendor did no work: it answered 4xx/5xx, or the request never left.

    Ask only for a failure before any output. A time-out or a dropped connection is no refusal.
    """
    if type(error).__name__ in _CLIENT_GAVE_UP:
        return False
    status = http_status_of(error)
    if status is not None:
        return status >= 400  # noqa: PLR2004 - HTTP's own border
    if isinstance(error, TypeError):
        return True  # wrong arguments: raised by the SDK before anything was sent
    return any(_is_no_connection(cause) for cause in _chain(error))


def http_status_of(error: BaseException) -> int | None:
    """The HTTP status an SDK's exception carries, under any of its usual names."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        for holder in (cause, response):
            for name in ("status_code", "status", *_GRPC_CODE.get(_origin(cause), ())):
                status = getattr(holder, name, None)
                if isinstance(status, int) and 100 <= status <= 599:  # noqa: PLR2004 - HTTP's range
                    return status
        status = _botocore_status(response)
        if status is not None:
            return status
    return None


def _botocore_status(response: Any) -> int | None:
    """Return the status in `{"ResponseMetadata": {"HTTPStatusCode": 400}}`."""
    metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
    return status if isinstance(status, int) else None


def _origin(error: BaseException) -> str:
    return ".".join(type(error).__module__.split(".")[:2])


def _is_no_connection(error: BaseException) -> bool:
    if isinstance(error, (ConnectionRefusedError, socket.gaierror)):
        return True
    return any(kind.__name__ in _NO_CONNECTION for kind in type(error).__mro__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from.

    Not `__context__`: that may be any error the application was just handling. requests and urllib3 pass the
    error below as an argument or as `reason` instead.
    """
    current: object = error
    for _ in range(_CHAIN_MAX):
        if not isinstance(current, BaseException):
            return
        yield current
        below = current.__cause__ or getattr(current, "reason", None)
        current = below if below is not None else next(iter(current.args), None)


def _kind(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
