"""A trace whose calls are on the account of two tenants is one workflow in each: no answer leaves one of them out."""

import re
import time
from collections.abc import Iterator
from decimal import Decimal as D

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.testclient import TestClient

from cost_exporter.serve.metrics import ServiceMetrics
from tests.serve.conftest import client
from tests.support.stored import as_url, chat, running_service, send

TRACE_ID = b"split over two!!"
ACME_USD = D("0.15") * 1_000 / 1_000_000
GLOBEX_USD = D("0.60") * 1_000 / 1_000_000


@pytest.fixture
def split(database_url: str, metrics: ServiceMetrics) -> Iterator[TestClient]:
    """The web application, with one such trace behind it."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    now_unix_ns = time.time_ns()
    for number, (tenant, counts) in enumerate({"acme": (1_000, 0), "globex": (0, 1_000)}.items(), start=1):
        span = scope.spans.add(name="openai.chat", trace_id=TRACE_ID, span_id=number.to_bytes(8, "big"))
        span.start_time_unix_nano = span.end_time_unix_nano = now_unix_ns
        for key, content in {**chat("gpt-4o-mini", *counts), "callfare.tenant.id": tenant}.items():
            attribute = span.attributes.add(key=key)
            if isinstance(content, int):
                attribute.value.int_value = content
            else:
                attribute.value.string_value = content
    with running_service(as_url(database_url)) as addresses:
        send(addresses["grpc"], request.SerializeToString())
    yield from client(as_url(database_url), metrics)


@pytest.mark.parametrize("path", [f"/v1/workflows/{TRACE_ID.hex()}/cost", f"/v1/costs?workflow_id={TRACE_ID.hex()}"])
def test_the_cost_is_that_of_both(split: TestClient, path: str) -> None:
    """Their sum, and the workflow of each: the same answer that `callfare trace --json` gives."""
    body = split.get(path).json()["data"]
    assert D(body["total_cost_usd"]) == ACME_USD + GLOBEX_USD
    assert {each["tenant_id"]: D(each["total_cost_usd"]) for each in body["workflows"]} == {
        "acme": ACME_USD,
        "globex": GLOBEX_USD,
    }


def test_the_statistics_are_those_of_both(split: TestClient) -> None:
    """Each tenant's, beside the other's."""
    body = split.get(f"/v1/usage-stats/{TRACE_ID.hex()}").json()["data"]
    found = {each["tenant_id"]: D(each["usage_stats"]["total_cost_usd"]) for each in body["workflows"]}
    assert found == {"acme": ACME_USD, "globex": GLOBEX_USD}


def test_the_pages_show_both(split: TestClient) -> None:
    """A line each among the latest, and both on the page of the trace."""
    for path, before in (("/", "· "), (f"/workflows/{TRACE_ID.hex()}", "tenant ")):
        page = split.get(path).text
        for tenant in ("acme", "globex"):
            assert re.search(rf"{before}{tenant}\b", page), (path, tenant)
