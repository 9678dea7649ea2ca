"""Bytes -> `DecodedRequest`: bounded before decoding, fast for good requests, saving what can be saved of bad ones.

A request is refused as a whole only where it is too large (`TooLarge`) or nothing of it can be understood
(`Undecodable`). One bad span never costs its batch.
"""

from dataclasses import dataclass
from enum import StrEnum

from cost_exporter.errors import Undecodable
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_order import streamed_spans
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.bounds import Limits, require_spans
from cost_exporter.receive.decoding.otlp_json import parse_json
from cost_exporter.receive.decoding.salvage import salvage

__all__ = ["Encoding", "SenderIdentity", "decode"]

DEFAULT_LIMITS = Limits()


class Encoding(StrEnum):
    """How a request is written."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderIdentity:
    """Which tenant a request belongs to: from the credential, never from the request."""

    namespace: str = "default"
    tenant_is_trusted: bool = True
    credential: str = ""
    """Whose share of the service the request is taken from."""


def decode(
    body: bytes,
    encoding: Encoding,
    sender: SenderIdentity,
    *,
    received_at_unix_ns: int,
    limits: Limits = DEFAULT_LIMITS,
    is_salvaging: bool = True,
) -> DecodedRequest:
    """Return the request. Raises `TooLarge` before spending memory on it, or `Undecodable`.

    Without `is_salvaging`, a request in protobuf of which only parts can be decoded is refused as well.
    """
    if encoding is Encoding.JSON:
        request, dead_letters, streamed = parse_json(body, limits)
    else:
        require_spans(body, limits)
        try:
            request, dead_letters = wire.parse_request(body), []
        except wire.DecodeError as error:
            if not is_salvaging:
                raise Undecodable("not an ExportTraceServiceRequest, or not in all of its parts") from error
            request, dead_letters = salvage(body)
        streamed = streamed_spans(body)
    return DecodedRequest(
        namespace=sender.namespace,
        tenant_is_trusted=sender.tenant_is_trusted,
        received_at_unix_ns=received_at_unix_ns,
        resource_spans=request.resource_spans,
        dead_letters=dead_letters,
        streamed_spans=streamed,
    )
