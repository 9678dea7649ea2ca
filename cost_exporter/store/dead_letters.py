"""Replay dead letters: send their spans through the pipeline again, after the cause of the failure was fixed.

Idempotent: spans are recognised by their keys, and a dead letter that fails again stays, with its error.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.errors import CallfareError, StoreError, StoreFault, StoreUnavailable
from cost_exporter.store.codec.call_json import call_from_payload
from cost_exporter.store.database.locks import Lock, try_lock_session, unlock_session
from cost_exporter.store.database.statements import statement

__all__ = ["Replayed", "WaitingLetter", "replay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The result of replaying one dead letter."""

    dead_letter_id: int
    error: str
    """"" if its spans are stored now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLetter:
    """A letter with an OTLP payload, as the pipeline needs it to read it again."""

    namespace: str
    received_at_unix_ns: int
    tenant_is_trusted: bool
    payload: bytes
    """An ExportTraceServiceRequest."""


def replay(
    connection: psycopg.Connection[Any],
    submit_request: Callable[[WaitingLetter], Receipt],
    submit_facts: Callable[[Facts], Receipt],
    ids: Sequence[int] | None = None,
) -> Iterator[Replayed]:
    """Replay the waiting dead letters, or those of `ids`, and yield the result of each.

    Takes an autocommit connection; `submit_*` store through one of their own. One replay runs at a time.
    """
    if not try_lock_session(connection, Lock.REPLAY):
        raise StoreError("another `deadletter replay` is running; wait for it to end")
    try:
        for letter in _waiting(connection, ids):
            error = _replay_one(letter, submit_request, submit_facts)
            parameters = {"dead_letter_id": letter["dead_letter_id"], "error": error}
            connection.execute(statement("letter_replayed"), parameters)
            yield Replayed(dead_letter_id=letter["dead_letter_id"], error=error)
    finally:
        unlock_session(connection, Lock.REPLAY)


def _waiting(connection: psycopg.Connection[Any], ids: Sequence[int] | None) -> Iterator[dict[str, Any]]:
    after = 0
    with connection.cursor(row_factory=dict_row) as cursor:
        while True:
            parameters = {"after": after, "ids": None if ids is None else list(ids)}
            letters = cursor.execute(statement("letters_to_replay"), parameters).fetchall()
            if not letters:
                return
            yield from letters
            after = letters[-1]["dead_letter_id"]


def _replay_one(
    letter: dict[str, Any],
    submit_request: Callable[[WaitingLetter], Receipt],
    submit_facts: Callable[[Facts], Receipt],
) -> str:
    """Return why the letter could still not be stored; "" if it was. A database that is away ends the replay."""
    waiting = WaitingLetter(
        namespace=letter["namespace"],
        received_at_unix_ns=letter["received_at_us"] * 1000,
        tenant_is_trusted=letter["is_tenant_trusted"],
        payload=letter["payload"],
    )
    try:
        is_call = letter["payload_kind"] == "call"
        receipt = submit_facts(_facts_of(waiting)) if is_call else submit_request(waiting)
    except StoreFault as error:
        return str(error)
    except StoreUnavailable:
        raise
    except (CallfareError, ValueError, LookupError, TypeError) as error:
        return f"{type(error).__name__} while reading it"
    return "refused again" if receipt.dead_letter else ""


def _facts_of(letter: WaitingLetter) -> Facts:
    call, outgoing = call_from_payload(letter.payload)
    return Facts(
        namespace=letter.namespace,
        received_at_unix_ns=letter.received_at_unix_ns,
        tenant_is_trusted=letter.tenant_is_trusted,
        calls=[call],
        outgoing={} if outgoing is None else {(call.trace_id, call.span_id): outgoing},
    )
