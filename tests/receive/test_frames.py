"""What goes through the pipes of a worker comes out as it went in."""

import io
import json
import os
from pathlib import Path

import pytest

from cost_exporter import errors
from cost_exporter.assembly import IngestOptions
from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import CallfareError, MissingExtra, Overloaded
from cost_exporter.receive.answer import answer_to
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.observed import Observed
from cost_exporter.receive.refusal import Refusal
from cost_exporter.receive.workers.frames import (
    WorkerReply,
    WorkerRequest,
    read_options,
    read_reply,
    read_request,
    write_options,
    write_reply,
    write_request,
)

ERRORS = [getattr(errors, name) for name in errors.__all__]
RECEIPT = Receipt(received=21, accepted=1, duplicate=2, conflict=3, ignored=4, dead_letter=11)


def through_a_pipe(reply: WorkerReply) -> WorkerReply | None:
    pipe = io.BytesIO()
    write_reply(pipe, reply)
    return read_reply(io.BytesIO(pipe.getvalue()))


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_keeps_its_class_and_text(kind: type[CallfareError]) -> None:
    """Whatever this package raises on purpose is raised as the same on the other side."""
    error = MissingExtra("the part", "extra") if kind is MissingExtra else kind('a "text"\nö\udc80')
    reply = through_a_pipe(WorkerReply(number=7, error=error))
    assert reply is not None
    assert (reply.number, reply.receipt) == (7, None)
    assert type(reply.error) is kind
    assert str(reply.error) == str(error)
    assert reply.error.__cause__ is None


def test_an_error_of_a_class_below_ours_is_the_one_we_know() -> None:
    """A class from elsewhere is told as the nearest one of `errors.py`."""

    class Special(Overloaded):
        pass

    reply = through_a_pipe(WorkerReply(number=1, error=Special("x")))
    assert reply is not None
    assert type(reply.error) is Overloaded


@pytest.mark.parametrize("is_our_fault", [True, False])
def test_what_is_our_fault_is_counted_as_that(is_our_fault: bool) -> None:
    """Overload and a bug of ours are the same class, and differ by their cause: the metrics tell them apart."""
    error = Overloaded("try again")
    error.__cause__ = ZeroDivisionError() if is_our_fault else None
    reply = through_a_pipe(WorkerReply(number=1, error=error))
    assert reply is not None
    assert reply.error is not None
    assert answer_to(reply.error).reason is (Refusal.OUR_FAULT if is_our_fault else Refusal.OVERLOADED)


def test_a_reply_keeps_what_was_observed() -> None:
    """Receipt, counts, scopes and commits arrive as they were."""
    observed = Observed(
        receipt=RECEIPT,
        tenant_claims_ignored_count=5,
        unread_count=2,
        look_alike_count=1,
        new_scopes=(("agent", "a.scope"), ("", "ö")),
    )
    reply = WorkerReply(number=2**40, receipt=RECEIPT, observed=(observed, observed), commit_seconds=(0.25, 1e-9))
    assert through_a_pipe(reply) == reply


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("body", [b"", b"x", os.urandom(300_000)])
@pytest.mark.parametrize("sender", [SenderIdentity(), SenderIdentity(namespace="ä" * 300, tenant_is_trusted=False)])
def test_a_request_arrives_as_it_was(body: bytes, encoding: Encoding, sender: SenderIdentity) -> None:
    """Also an empty body, and one after the other."""
    pipe = io.BytesIO()
    requests = [
        WorkerRequest(number=number, body=body, encoding=encoding, sender=sender, is_given_up=number == 2)
        for number in (1, 2)
    ]
    for request in requests:
        write_request(pipe, request)
    pipe.seek(0)
    assert [read_request(pipe), read_request(pipe), read_request(pipe)] == [*requests, None]


def test_options_arrive_as_they_were() -> None:
    """All of them, none at its default."""
    options = IngestOptions(
        database_url="postgresql://me:geheim@db/x",
        prices=(Path("/a b.yaml"), Path("c.yaml")),
        is_forwarding=True,
        estimates_usage=True,
        trusted_cost_sources=("litellm",),
    )
    pipe = io.BytesIO()
    write_options(pipe, options)
    assert read_options(io.BytesIO(pipe.getvalue())) == options
    assert "geheim" not in repr(options)


def test_a_pipe_that_ends_in_the_middle_has_ended() -> None:
    """Wherever a process is killed, the other side sees the end and not half a frame."""
    request, reply, options = io.BytesIO(), io.BytesIO(), io.BytesIO()
    write_request(request, WorkerRequest(number=1, body=b"body", encoding=Encoding.JSON, sender=SenderIdentity()))
    write_reply(reply, WorkerReply(number=1, receipt=RECEIPT))
    write_options(options, IngestOptions(database_url="postgresql:///x"))
    for pipe, read in ((request, read_request), (reply, read_reply), (options, read_options)):
        whole = pipe.getvalue()
        assert read(io.BytesIO(whole)) is not None
        for length in range(len(whole)):
            assert read(io.BytesIO(whole[:length])) is None


def test_nothing_is_unpickled() -> None:
    """What a worker says is JSON behind its length."""
    pipe = io.BytesIO()
    write_reply(pipe, WorkerReply(number=1, receipt=RECEIPT))
    assert json.loads(pipe.getvalue()[4:])["number"] == 1
