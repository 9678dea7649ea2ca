"""The messages between the service's process and its workers, over the two pipes of each worker.

    to a worker      once the options; then requests: a fixed head, the namespace, the body as it came
    from a worker    once that it is ready, or why not; then replies, in any order, by the request's number

All but the body is JSON or fixed numbers: nothing is unpickled. A pipe that ends in the middle of a frame ends
like one that ends between two: the other process is gone.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from cost_exporter import errors
from cost_exporter.assembly import IngestOptions
from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import CallfareError, Overloaded
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.observed import Observed

__all__ = [
    "OurFault",
    "WorkerReply",
    "WorkerRequest",
    "read_options",
    "read_reply",
    "read_request",
    "write_options",
    "write_reply",
    "write_request",
]

_LENGTH: Final = struct.Struct("!I")
_HEAD: Final = struct.Struct("!QB??II")
"""Number, encoding, whether the tenant is trusted, whether it is abandoned, bytes of the namespace, of the body."""
_ENCODINGS: Final = tuple(Encoding)
_COUNTS: Final = ("received", "accepted", "duplicate", "conflict", "ignored", "dead_letter")
READY: Final = 0
"""The number of the reply that says whether the worker is ready. Requests count from 1."""


class OurFault(Exception):
    """Replaces an unexpected error that stayed in the worker's process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRequest:
    """One request on its way to a worker."""

    number: int
    body: bytes
    encoding: Encoding
    sender: SenderIdentity
    is_given_up: bool = False
    """It ended its workers and becomes a dead letter. Without its body; here are the ids of its trace and its span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReply:
    """The result of a request, with the worker's observations since its last reply."""

    number: int
    receipt: Receipt | None = None
    error: CallfareError | None = None
    """Neither: the worker is ready."""
    observed: tuple[Observed, ...] = ()
    commit_seconds: tuple[float, ...] = ()


# ------------------------------------------------------------------------------------------------------ to a worker


def write_options(pipe: BinaryIO, options: IngestOptions) -> None:
    """Send a worker its options. Through the pipe, because they hold a password: everyone can read a command line."""
    _write_json(
        pipe,
        {
            "database_url": options.database_url,
            "prices": [str(path) for path in options.prices],
            "is_forwarding": options.is_forwarding,
            "forwards_content": options.forwards_content,
            "estimates_usage": options.estimates_usage,
            "trusted_cost_sources": options.trusted_cost_sources,
        },
    )


def read_options(pipe: BinaryIO) -> IngestOptions | None:
    """Return what `write_options` wrote; None at the end of the pipe."""
    options = _read_json(pipe)
    if options is None:
        return None
    options["prices"] = tuple(Path(path) for path in options["prices"])
    options["trusted_cost_sources"] = tuple(options["trusted_cost_sources"])
    return IngestOptions(**options)


def write_request(pipe: BinaryIO, request: WorkerRequest) -> None:
    """Hand a request over. Blocks while the pipe is full."""
    namespace = request.sender.namespace.encode()
    encoding = _ENCODINGS.index(request.encoding)
    flags = request.sender.tenant_is_trusted, request.is_given_up
    pipe.write(_HEAD.pack(request.number, encoding, *flags, len(namespace), len(request.body)) + namespace)
    pipe.write(request.body)
    pipe.flush()


def read_request(pipe: BinaryIO) -> WorkerRequest | None:
    """Return the next request; None at the end of the pipe."""
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    number, encoding, is_trusted, is_given_up, namespace_bytes, body_bytes = _HEAD.unpack(head)
    namespace, body = pipe.read(namespace_bytes), pipe.read(body_bytes)
    if len(namespace) < namespace_bytes or len(body) < body_bytes:
        return None
    sender = SenderIdentity(namespace=namespace.decode(), tenant_is_trusted=is_trusted)
    return WorkerRequest(
        number=number, body=body, encoding=_ENCODINGS[encoding], sender=sender, is_given_up=is_given_up
    )


# ---------------------------------------------------------------------------------------------------- from a worker


def write_reply(pipe: BinaryIO, reply: WorkerReply) -> None:
    """Answer a request."""
    error = None if reply.error is None else _error_json(reply.error)
    _write_json(
        pipe,
        {
            "number": reply.number,
            "receipt": None if reply.receipt is None else _receipt_json(reply.receipt),
            "error": error,
            "observed": [
                (
                    _receipt_json(each.receipt),
                    each.tenant_claims_ignored_count,
                    each.unread_count,
                    each.look_alike_count,
                    each.new_scopes,
                )
                for each in reply.observed
            ],
            "commit_seconds": reply.commit_seconds,
        },
    )


def read_reply(pipe: BinaryIO) -> WorkerReply | None:
    """Return the next reply; None at the end of the pipe."""
    content = _read_json(pipe)
    if content is None:
        return None
    return WorkerReply(
        number=content["number"],
        receipt=None if content["receipt"] is None else _receipt(content["receipt"]),
        error=None if content["error"] is None else _error(*content["error"]),
        observed=tuple(
            Observed(
                receipt=_receipt(receipt),
                tenant_claims_ignored_count=claims,
                unread_count=unread,
                look_alike_count=look_alikes,
                new_scopes=tuple((service, scope) for service, scope in scopes),
            )
            for receipt, claims, unread, look_alikes, scopes in content["observed"]
        ),
        commit_seconds=tuple(content["commit_seconds"]),
    )


def _receipt_json(receipt: Receipt) -> list[int]:
    return [getattr(receipt, name) for name in _COUNTS]


def _receipt(counts: list[int]) -> Receipt:
    return Receipt(**dict(zip(_COUNTS, counts, strict=True)))


def _error_json(error: CallfareError) -> tuple[str, str, bool]:
    """Return kind, text, and whether it is our fault: then it has a cause, and the answer shows it (`answer.py`)."""
    kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    return kind.__name__, str(error), isinstance(error, Overloaded) and error.__cause__ is not None


def _error(kind_name: str, text: str, is_our_fault: bool) -> CallfareError:
    kind = cast("type[CallfareError]", getattr(errors, kind_name))
    # Not by calling the class: a constructor of its own may want other arguments than the text.
    error = kind.__new__(kind, text)
    if is_our_fault:
        error.__cause__ = OurFault(text)
    return error


def _write_json(pipe: BinaryIO, content: dict[str, Any]) -> None:
    encoded = json.dumps(content).encode()
    pipe.write(_LENGTH.pack(len(encoded)) + encoded)
    pipe.flush()


def _read_json(pipe: BinaryIO) -> dict[str, Any] | None:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    encoded = pipe.read(length)
    return json.loads(encoded) if len(encoded) == length else None
