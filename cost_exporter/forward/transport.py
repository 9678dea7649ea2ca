"""OTLP out: raw bytes over gRPC or HTTP. The port or path of the endpoint says which.

Spans count as taken only if an OTLP receiver confirms it (`answers.py`). No redirect is followed: it would turn the
POST into a GET, whose answer says nothing about the spans, and let the endpoint choose which address is called.
"""

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit

import grpc

from cost_exporter.forward.answers import NotOtlp, Taken, read_answer
from cost_exporter.forward.posting import PERMANENT_STATUSES, REDIRECTS, NoRedirects, content_of
from cost_exporter.forward.sender import RefusedForGood, Transport

__all__ = ["GrpcTransport", "HttpTransport", "transport_for"]

SEND_SECONDS = 30.0
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_PERMANENT_CODES: Final = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DATA_LOSS,
}
"""Refusals of this very batch. A wrong token, a wrong path or an internal error may pass: those are retried."""
_HTTP_PORT: Final = 4318
_GRPC_CONTENT_TYPE: Final = "application/x-protobuf"


def transport_for(endpoint: str) -> Transport:
    """Return how to reach `http(s)://host:port[/v1/traces]`: HTTP by its path or port 4318, else gRPC."""
    parts = urlsplit(endpoint)
    if parts.path.rstrip("/").endswith("/v1/traces"):
        return HttpTransport(endpoint)
    if parts.port == _HTTP_PORT:
        return HttpTransport(endpoint.rstrip("/") + "/v1/traces")
    return GrpcTransport(parts.netloc, is_secure=parts.scheme == "https")


class GrpcTransport:
    """OTLP/gRPC."""

    def __init__(self, target: str, *, is_secure: bool) -> None:
        options = [("grpc.max_send_message_length", -1)]
        if is_secure:
            self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(), options)
        else:
            self._channel = grpc.insecure_channel(target, options)
        self._export = self._channel.unary_unary(_EXPORT, request_serializer=None, response_deserializer=None)

    def send(self, request: bytes) -> Taken:
        """Return what was taken."""
        try:
            answer = self._export(request, timeout=SEND_SECONDS)
        except grpc.RpcError as error:
            code = error.code()  # pyright: ignore[reportAttributeAccessIssue] - grpc's stubs lack Call on RpcError
            if code in _PERMANENT_CODES:
                raise RefusedForGood(str(code)) from error
            raise ConnectionError(str(code)) from error
        return read_answer(answer, _GRPC_CONTENT_TYPE)

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()


class HttpTransport:
    """OTLP/HTTP with protobuf bodies."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(NoRedirects)

    def send(self, request: bytes) -> Taken:
        """Return what was taken."""
        headers = {"Content-Type": "application/x-protobuf"}
        prepared = urllib.request.Request(self._url, data=request, headers=headers, method="POST")  # noqa: S310 - settings allow http(s) only
        deadline_seconds = time.monotonic() + SEND_SECONDS
        try:
            with self._opener.open(prepared, timeout=SEND_SECONDS) as response:
                return read_answer(content_of(response, deadline_seconds), response.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from error
        except HTTPException as error:
            raise NotOtlp(f"its answer is not HTTP ({type(error).__name__})") from error

    def close(self) -> None:
        """Nothing is kept open."""


def _refusal(error: urllib.error.HTTPError) -> Exception:
    if error.code in PERMANENT_STATUSES:
        return RefusedForGood(f"HTTP {error.code}")
    if error.code in REDIRECTS:
        return NotOtlp(
            f"HTTP {error.code}, a redirect, which is not followed; set CALLFARE_FORWARD_ENDPOINT to the address"
            " that takes spans itself"
        )
    return ConnectionError(f"HTTP {error.code}")
