"""Real exporters against real receivers: what they send is stored, and what they are told they obey."""

import gzip
import math
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from cost_exporter.errors import StoreUnavailable
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from tests.receive.conftest import Service
from tests.support.attribute_values import plain

JAVASCRIPT = Path(__file__).parents[1] / "fixtures" / "otlp" / "javascript_0.223.1.json"


def send(exporter: SpanExporter, span_count: int) -> None:
    provider = TracerProvider(resource=Resource({"service.name": "app"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    for _ in range(span_count):
        with provider.get_tracer("scope").start_as_current_span("chat gpt-4o") as span:
            span.set_attribute("gen_ai.usage.input_tokens", 12)
    provider.shutdown()


def exporters(service: Service) -> dict[str, SpanExporter]:
    return {
        "grpc": GrpcExporter(endpoint=f"http://{service.grpc_address}", insecure=True, timeout=60),
        "http": HttpExporter(endpoint=service.url, timeout=60),
        "http gzip": HttpExporter(endpoint=service.url, compression=Compression.Gzip, timeout=60),
        "http deflate": HttpExporter(endpoint=service.url, compression=Compression.Deflate, timeout=60),
    }


@pytest.mark.parametrize("kind", ["grpc", "http", "http gzip", "http deflate"])
def test_the_python_exporters_store_every_span(service: Service, kind: str) -> None:
    """600 spans, more than a batch, arrive once each."""
    send(exporters(service)[kind], 600)
    assert len(service.store.spans) == 600 == len(set(service.store.span_ids))
    assert plain(service.store.spans[0].attributes["gen_ai.usage.input_tokens"]) == 12


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_the_python_exporters_try_again_when_told_to(service: Service, kind: str) -> None:
    """A batch that is refused for the moment is sent again after the hint, and stored once."""
    refusals = [StoreUnavailable("the database is away")]
    lock = threading.Lock()

    def away_once(request: DecodedRequest) -> None:
        with lock:
            if refusals:
                raise refusals.pop()

    service.store.before = away_once
    send(exporters(service)[kind], 3)
    assert len(service.refused) == 1
    assert len(service.store.spans) == 3


def javascript_span() -> Any:
    request = decode(JAVASCRIPT.read_bytes(), Encoding.JSON, SenderIdentity(), received_at_unix_ns=1)
    assert plain(request.resource_spans[0].resource.attributes["service.name"]) == "js-app"
    assert request.resource_spans[0].scope_spans[0].scope.name == "js-scope"
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_a_recorded_javascript_request_is_read_whole() -> None:
    """Integers as JSON numbers, NaN and infinity as null, a half surrogate pair: as the exporter really wrote them."""
    span = javascript_span()
    assert span.trace_id.hex() == "dd7cd59de7064f3ae441b9bc0025e206"
    assert (span.kind, span.status.code, span.end_time_unix_nano) == (3, 2, 1795326716090835777)
    found = {name: plain(value) for name, value in span.attributes.items()}
    assert math.isnan(found.pop("nan"))
    assert math.isnan(found.pop("infinite"))
    assert found == {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 12,
        "big": 2**53,
        "negative": -5,
        "fraction": 0.5,
        "half": "a\ufffdb",
        "nul": "a\0b",
        "emoji": "\U0001f600",
        "yes": True,
        "list": ["a", "b"],
        "numbers": [1, 2.5],
    }


def test_a_recorded_javascript_request_is_taken_as_it_was_sent(service: Service) -> None:
    """In chunks, without a length, also compressed."""
    import httpx

    headers = {"content-type": "application/json"}
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
        plain = client.post(service.url, content=iter([JAVASCRIPT.read_bytes()]), headers=headers)
        headers["content-encoding"] = "gzip"
        compressed = client.post(service.url, content=iter([gzip.compress(JAVASCRIPT.read_bytes())]), headers=headers)
    assert (plain.json(), compressed.json()) == ({}, {})
    assert len(service.store.spans) == 2
