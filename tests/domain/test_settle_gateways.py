"""A gateway between an instrumented client and the vendor: one call, billed under the name of the model it asked."""

import random
from itertools import permutations
from typing import Any

import pytest

from cost_exporter.domain.settling.gateway_ids import gateway_ids
from cost_exporter.domain.settling.identity import Identities
from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.span import Call, EmitterRank, Link
from tests.domain.builders import OTHER_TRACE, billed, call, key, link, settled, span_id

OWN, VENDORS = "response:chatcmpl-own", "response:msg_1"
USAGE = {"input_tokens": 1200, "output_tokens": 345}


def client(name: str = "client", call_id: str = OWN, **fields: Any) -> Call:
    defaults: dict[str, Any] = {
        "model": "fast",
        "provider": "openai",
        "scope": "sdk",
        "emitter_rank": EmitterRank.TRACELOOP,
    }
    return call(name, call_id=call_id, start_ms=0, end_ms=1000, **(defaults | fields))


def request(name: str = "request", call_id: str = OWN, parent: str = "server", **fields: Any) -> Call:
    defaults: dict[str, Any] = {"model": "claude-haiku-4-5", "provider": "anthropic", "scope": "litellm"}
    defaults |= {"emitter_rank": EmitterRank.GATEWAY, "is_gateway": True, "has_gateway_id": bool(call_id)}
    return call(name, parent=parent, call_id=call_id, start_ms=100, end_ms=900, **(defaults | fields))


def raw(name: str = "raw", call_id: str = VENDORS, parent: str = "request", **fields: Any) -> Call:
    defaults: dict[str, Any] = {"model": "claude-haiku-4-5", "provider": "anthropic", "scope": "litellm"}
    defaults |= {"emitter_rank": EmitterRank.FRAMEWORK, "is_gateway": True}
    return call(name, parent=parent, call_id=call_id, start_ms=200, end_ms=800, **(defaults | fields))


SERVER = link("server", parent="client")
ALIASES: list[dict[str, Any]] = [{}, {"model": "gpt-4o"}, {"model": ""}, {"model": "claude-haiku-4-5"}]


@pytest.mark.parametrize("client_fields", ALIASES)
def test_a_call_with_two_ids_is_billed_once_in_any_order(client_fields: dict[str, Any]) -> None:
    """The client has the gateway's id, the raw request has the vendor's, and the request between them joins the two."""
    spans = [client(**client_fields), request(), raw(), SERVER]
    for order in permutations(spans):
        assert billed(*order) == {span_id("request")}


@pytest.mark.parametrize("client_fields", ALIASES)
@pytest.mark.parametrize("call_id", [OWN, ""])
def test_a_raw_request_below_its_client_is_the_call(client_fields: dict[str, Any], call_id: str) -> None:
    """In the gateway's default set-up nothing is between them; ids of two issuers contradict nothing."""
    assert billed(client(call_id=call_id, **client_fields), raw(parent="server"), SERVER) == {span_id("raw")}


@pytest.mark.parametrize("quantities", [USAGE, {}])
def test_a_client_without_an_id_is_known_by_its_place(quantities: dict[str, int]) -> None:
    """A framework, or a stream, states none, and not always the usage."""
    spans = client(call_id="", quantities=dict(quantities)), request(), raw(), SERVER
    assert billed(*spans) == {span_id("request")}


def test_a_framework_and_its_sdk_above_a_gateway_are_the_same_call() -> None:
    """Also where the framework's span is beside that of the SDK."""
    framework = client("framework", scope="langchain", emitter_rank=EmitterRank.FRAMEWORK)
    assert billed(framework, client(), request(), raw(), SERVER) == {span_id("request")}


@pytest.mark.parametrize("ids", [(OWN, "response:chatcmpl-other"), ("", "")])
def test_parallel_calls_of_one_prompt_stay_two(ids: tuple[str, str]) -> None:
    """Each is joined with what is below it."""
    spans: list[Call | Link] = []
    for number, own in enumerate(ids):
        spans += [
            client(f"c{number}", call_id=own),
            link(f"s{number}", parent=f"c{number}"),
            request(f"q{number}", call_id=own, parent=f"s{number}"),
            raw(f"r{number}", call_id=f"{VENDORS}{number}", parent=f"q{number}"),
        ]
    for seed in range(10):
        random.Random(seed).shuffle(spans)
        assert billed(*spans) == {span_id("q0"), span_id("q1")}


def test_retries_behind_a_gateway_are_calls_of_their_own() -> None:
    """One client, two requests of the gateway with usage: the vendor billed both."""
    first = raw("r1", call_id="response:msg_0", parent="server", quantities={"input_tokens": 1200, "output_tokens": 9})
    assert billed(client(), first, raw("r2", parent="server"), SERVER) == {span_id("r1"), span_id("r2")}


def test_the_client_in_another_trace_is_joined_by_the_gateways_id() -> None:
    """A proxy that begins a trace of its own."""
    spans = client(parent=None), request(trace=OTHER_TRACE), raw(trace=OTHER_TRACE)
    assert billed(*spans) == {span_id("request")}


def test_an_id_that_the_gateway_passes_on_tells_calls_apart() -> None:
    """Where its request states the vendor's id, the client's is that one too: then unequal ones are two calls."""
    same = raw("r1", call_id=OWN, parent="server")
    other = raw("r2", call_id=VENDORS, parent="server")
    assert billed(client(), same, other, SERVER) == {span_id("r1"), span_id("r2")}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"quantities": {}}, "request"),
        ({"quantities": {}, "has_failed": True}, "client"),
        ({"quantities": {}, "model": ""}, "client"),
    ],
)
def test_the_gateways_model_is_billed_with_the_clients_usage(fields: dict[str, Any], expected: str) -> None:
    """Of a stream the client may know the usage alone; a request that failed says nothing of the one that did not."""
    records = settled(client(), request(**fields), SERVER)
    assert {span.span_id for span in (r.call for r in records.values() if r.status != "duplicate")} == {
        span_id(expected)
    }
    assert records[key(expected)].quantities == USAGE


def test_an_estimate_of_the_client_is_not_taken_for_the_gateways_usage() -> None:
    """It would make the figure look exact."""
    records = settled(client(is_estimated=True), request(quantities={}), SERVER)
    assert records[key("request")].status == "no_usage"


def test_another_usage_below_is_another_call() -> None:
    """Only the name of the model may differ."""
    other = request(call_id="", quantities={"input_tokens": 7, "output_tokens": 345})
    assert billed(client(), other, SERVER) == {span_id("client"), span_id("request")}


def test_a_framework_yields_to_the_gateway_below_it_whoever_was_asked() -> None:
    """Its sum over two calls is nobody's bill."""
    framework = client(
        call_id="", scope="langchain", emitter_rank=EmitterRank.FRAMEWORK, quantities={"input_tokens": 9999}
    )
    assert billed(framework, request(), SERVER) == {span_id("request")}


def test_which_ids_are_a_gateways() -> None:
    """Those it says are its own, and those of its clients that the vendor does not state."""
    calls = {(each.trace_id, each.span_id): each for each in (client(), request(call_id=""), raw())}
    lineage = Lineage(calls, {key("server"): SERVER})
    assert gateway_ids(calls, lineage) == {OWN}
    own = {key("request"): request()}
    assert gateway_ids(own, Lineage(own, {})) == {OWN}
    identities = Identities((), {OWN})
    assert not identities.are_comparable(OWN, VENDORS)
    assert identities.are_comparable(VENDORS, "response:msg_2")
    assert identities.are_comparable(OWN, OWN)
