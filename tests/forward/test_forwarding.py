"""The hop from end to end: a request comes in, is stored, and its spans leave with their cost."""

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from psycopg_pool import ConnectionPool

from cost_exporter.assembly import IngestOptions, ingest_options
from cost_exporter.forward.answers import Taken
from cost_exporter.forward.sender import Sender
from cost_exporter.receive.decoding.decode import Encoding
from cost_exporter.receive.decoding.decode import SenderIdentity as Account
from cost_exporter.receive.intake import LocalIntake
from cost_exporter.receive.observed import Observed
from cost_exporter.receive.workers import frames
from cost_exporter.settings import load_config, load_settings
from cost_exporter.store.outbox import PostgresOutbox
from tests.domain.builders import key, price_by_sum
from tests.forward.test_enrich import attributes_of, request_with

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 1545}
CANARY = "said by a person"


class Nobody:
    def stored(self, observed: Observed) -> None:
        pass

    def committed(self, duration_seconds: float) -> None:
        pass


class Backend:
    """Takes everything, and keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def send(self, request: bytes) -> Taken:
        for each in ExportTraceServiceRequest.FromString(request).resource_spans:
            for group in each.scope_spans:
                self.spans += group.spans
        return Taken()

    def close(self) -> None:
        pass


def options_for(database_url: str, **settings: Any) -> IngestOptions:
    loaded = load_settings(forward_endpoint="http://127.0.0.1:4317", **settings)
    return ingest_options(loaded, load_config(None), database_url)


@contextmanager
def intake(options: IngestOptions) -> Iterator[LocalIntake]:
    with closing(LocalIntake(options, price_by_sum, Nobody(), writers=1)) as way_in:
        yield way_in


def sent(database_url: str) -> list[Span]:
    """What leaves the outbox now."""
    backend = Backend()
    with ConnectionPool[Any](database_url, min_size=1, max_size=1, open=True) as pool:
        Sender(PostgresOutbox(pool), backend).drain_once()
        assert PostgresOutbox(pool).state() == (0, 0)
    return backend.spans


@pytest.mark.parametrize("is_kept", [False, True])
def test_content_goes_on_only_if_the_operator_says_so(database_url: str, is_kept: bool) -> None:
    """CALLFARE_FORWARD_CONTENT is the explicit word; the cost is on the span either way, and nothing leaves twice."""
    body = request_with({**CHAT, "gen_ai.input.messages": CANARY}, has_event=True).SerializeToString()
    with intake(options_for(database_url, forward_content=is_kept)) as way_in:
        for _ in range(2):
            way_in.take(body, Encoding.PROTOBUF, Account())
    (span,) = sent(database_url)
    attributes = attributes_of(span)
    assert (span.trace_id, span.span_id) == key("chat")
    assert attributes["callfare.cost.status"] == "priced"
    assert attributes.get("gen_ai.input.messages") == (CANARY if is_kept else None)
    assert len(span.events) == (1 if is_kept else 0)


def test_a_worker_is_told_everything(database_url: str) -> None:
    """What ingest needs to know crosses to another process whole, the word about content with it."""
    options = options_for(database_url, forward_content=True)
    pipe = io.BytesIO()
    frames.write_options(pipe, options)
    pipe.seek(0)
    read = frames.read_options(pipe)
    assert read is not None
    assert asdict(read) == asdict(options)
    assert read.forwards_content
