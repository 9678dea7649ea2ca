"""Recorded spans, sent to the real service in any order and batching: what is billed is what the provider counted.

Each recorded file goes over gRPC, HTTP with protobuf and HTTP with JSON in turn, its spans shuffled, cut into
random requests, some of them sent twice. Truth is what the recorded provider itself reported, case by case.
"""

import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from cost_exporter.settings import Address
from cost_exporter.store import tokens
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.tokens import TokenScope
from tests.fixtures import otlp_json
from tests.read.test_corpus import (
    EMITTERS,
    ESTIMATED,
    GUESSED,
    MISCOUNTED,
    NAMELESS,
    OUTPUT_OFF_BY_ONE,
    PARTS_LOST_BY_EMITTER,
    TRUTH,
    cases,
    traces_of_emitter,
    truth_of,
)
from tests.support.otlp import METHOD
from tests.support.stored import new_database, running_service

PROCESSES = (1, 2)
BILLED = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
}
BILLED_RECORDS = "select * from callfare.cost_record where tenant_id = %s and status <> 'duplicate'"
CALLS_PER_CASE = TRUTH["calls_per_case"]
CALLS_OF_EMITTER = {
    ("openinference-dspy", "chat_predict"): 2,  # the answer fits no field, so DSPy asks again with its JSON adapter
    ("openinference-smolagents", "chat_agent"): 2,  # after its last step the agent asks for a final answer
}


def spans_of(path: Path) -> Iterator[dict[str, Any]]:
    """Each span of a file as a request of its own."""
    for document in otlp_json.documents(path):
        for resource_spans in document["resourceSpans"]:
            for scope_spans in resource_spans["scopeSpans"]:
                for span in scope_spans["spans"]:
                    yield {
                        "resource": resource_spans.get("resource", {}),
                        "scopeSpans": [{"scope": scope_spans.get("scope", {}), "spans": [span]}],
                    }


def requests_of(path: Path, chance: random.Random) -> list[dict[str, Any]]:
    """The spans of a file, shuffled, in requests of random sizes; a fifth of the requests comes twice."""
    spans = list(spans_of(path))
    chance.shuffle(spans)
    requests = []
    while spans:
        size = chance.randint(1, 9)
        requests.append({"resourceSpans": spans[:size]})
        spans = spans[size:]
    requests += chance.sample(requests, len(requests) // 5)
    chance.shuffle(requests)
    return requests


@pytest.fixture(scope="module", params=PROCESSES)
def service(request: pytest.FixtureRequest, postgres_url: str) -> Iterator["SharedService"]:
    """One service, on as many processes as the parameter has it: every file is of a tenant of its own."""
    processes: int = request.param
    with new_database(postgres_url, f"callfare_corpus_{os.getpid()}_{processes}") as url:
        migrate(url)
        with psycopg.connect(url, autocommit=True) as database:
            token_of = {path.stem: tokens.create(database, [path.stem], [TokenScope.INGEST]) for path in EMITTERS}
        with running_service(url, processes=processes) as addresses:
            yield SharedService(addresses, token_of, url, processes)


class SharedService(NamedTuple):
    addresses: dict[str, Address]
    token_of: dict[str, str]
    database_url: str
    processes: int

    def send(self, tenant: str, requests: list[dict[str, Any]]) -> None:
        """Send each request by the next of three ways; every one is acknowledged."""
        url = f"http://{self.addresses['http']}/v1/traces"
        credential = f"Bearer {self.token_of[tenant]}"
        headers = {"authorization": credential}
        with grpc.insecure_channel(str(self.addresses["grpc"])) as channel, httpx.Client(timeout=60) as client:
            export = channel.unary_unary(METHOD)
            for number, request in enumerate(requests):
                if number % 3 == 0:
                    export(otlp_json.body(request), timeout=60, metadata=tuple(headers.items()))
                elif number % 3 == 1:
                    protobuf = {"content-type": "application/x-protobuf", **headers}
                    client.post(url, content=otlp_json.body(request), headers=protobuf).raise_for_status()
                else:
                    as_json = {"content-type": "application/json", **headers}
                    client.post(url, content=json.dumps(request), headers=as_json).raise_for_status()

    def billed_by_trace(self, tenant: str) -> dict[bytes, list[dict[str, Any]]]:
        """The tenant's records that are not duplicates."""
        found: defaultdict[bytes, list[dict[str, Any]]] = defaultdict(list)
        with psycopg.connect(self.database_url, row_factory=dict_row) as connection:
            for row in connection.execute(BILLED_RECORDS, (tenant,)):
                found[row["trace_id"].bytes].append(row)
        return found


@pytest.mark.parametrize("path", EMITTERS, ids=lambda path: path.stem)
def test_what_is_billed_is_what_the_provider_counted(path: Path, service: SharedService) -> None:
    """Whatever the order, the batching, the repetition, and where it is worked on: each call once, with its figures."""
    service.send(path.stem, requests_of(path, random.Random(service.processes)))
    lost = PARTS_LOST_BY_EMITTER.get(path.stem, set())
    billed = service.billed_by_trace(path.stem)
    traced = traces_of_emitter(path)
    for trace_id, case in cases(path).items():
        records = billed.get(trace_id, [])
        if trace_id not in traced or case in NAMELESS.get(path.stem, set()):
            assert not records
            continue  # the emitter makes no span at all of this call: docs/emitters.md says so
        calls = CALLS_OF_EMITTER.get((path.stem, case), CALLS_PER_CASE.get(case, CALLS_PER_CASE["default"]))
        assert len(records) == calls, case
        for record in records:
            check(record, case, lost, path.stem)


def check(record: dict[str, Any], case: str, lost: set[str], emitter: str) -> None:
    """One billed record against the truth of its case."""
    is_estimated = record["status"] == "estimated"
    assert not is_estimated or (emitter, case) in ESTIMATED
    if case in TRUTH["unpriced_by_provider"] and not is_estimated:
        assert record["cost_usd"] is None, case
        assert record["status"] == "no_usage", case
        return
    if record["status"] in {"no_usage", "unpriced"}:
        assert record["cost_usd"] is None, case
    truth = truth_of(case)
    usage = record["usage"]
    # The SDK's own span of an abandoned stream tells what went in, and nothing of what came out.
    lacks_output = case == "messages_stream_abandoned" and "output_tokens" not in usage
    assert ("not_stated: output_tokens" in record["issues"]) == lacks_output, case
    assert record["status"] == "partial" or not lacks_output, case
    if not usage or not truth or case == "messages_stream_abandoned" or (emitter, case) in GUESSED:
        return
    for name, quantity in BILLED.items():
        expected = MISCOUNTED.get((emitter, case, name), truth.get(name))
        if expected is None or (name in lost and not usage.get(quantity)):
            continue
        slack = 1 if name == "output" and case in OUTPUT_OFF_BY_ONE else 0
        assert 0 <= Decimal(usage.get(quantity, 0)) - expected <= slack, (case, quantity)
