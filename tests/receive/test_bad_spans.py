"""Twenty kinds of bad span: each is cleaned or kept as a dead letter, and costs none of the 511 others (R6)."""

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.receive import bodies
from tests.receive.conftest import Service

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
NAN = b"\x21\x00\x00\x00\x00\x00\x00\xf8\x7f"
INFINITE = b"\x21\x00\x00\x00\x00\x00\x00\xf0\x7f"
NEGATIVE = b"\x18" + b"\xff" * 9 + b"\x01"


def with_attribute(value: bytes, key: bytes = b"gen_ai.usage.input_tokens") -> bytes:
    return bodies.span(999) + bodies.attribute(key, value)


def fixed64(number: int, nanos: int) -> bytes:
    return bytes([number << 3 | 1]) + nanos.to_bytes(8, "little")


KINDS = {
    "invalid utf-8 in a value": with_attribute(bodies.field(1, b"a\xffb"), b"text"),
    "invalid utf-8 in a key": with_attribute(b"\x18\x01", b"\xff"),
    "invalid utf-8 in the name": bodies.span(999) + bodies.field(5, b"\xff"),
    "a surrogate in utf-8": with_attribute(bodies.field(1, b"\xed\xa0\x80"), b"text"),
    "nul in a value": with_attribute(bodies.field(1, b"a\0b"), b"text"),
    "48 levels": with_attribute(bodies.nested(48), b"deep"),
    "5,000 levels": with_attribute(bodies.nested(5_000), b"deep"),
    "5,000 levels of lists": with_attribute(b"\x32\x00" * 5_000, b"deep"),
    "nan": with_attribute(NAN),
    "infinity": with_attribute(INFINITE),
    "negative count": with_attribute(NEGATIVE),
    "count of 2^63-1": with_attribute(b"\x18" + b"\xff" * 8 + b"\x7f"),
    "count as text": with_attribute(bodies.field(1, b"12")),
    "no ids": bodies.field(5, b"chat"),
    "short trace id": bodies.span(999) + bodies.field(1, b"abc"),
    "ids of zeros": bodies.span(999) + bodies.field(1, bytes(16)) + bodies.field(2, bytes(8)),
    "ends before it starts, 1970": bodies.span(999) + fixed64(7, 5) + fixed64(8, 1),
    "year 2554": bodies.span(999) + fixed64(7, 2**64 - 1) + fixed64(8, 2**64 - 1),
    "cut off": bodies.span(999)[:-3],
    "wrong wire types": bodies.span(999) + b"\x4a\x02\x08\x01" + b"\x08\x05",
    "a broken attribute": bodies.span(999) + bodies.field(9, b"\x0a\x7f"),
    "no span at all": b"\xff\xff\xff",
    "10,000 attributes": bodies.span(999) + b"".join(bodies.attribute(b"%d" % n, b"\x18\x01") for n in range(10_000)),
    "a value of 4 MiB": with_attribute(bodies.field(1, b"x" * 4 * 1024 * 1024), b"text"),
}
GOOD = [bodies.span(number) for number in range(511)]
GOOD_IDS = {bodies.span_id(number) for number in range(511)}


def batch(kind: str) -> bytes:
    return bodies.body(*GOOD[:200], KINDS[kind], *GOOD[200:])


def check(service: Service, answer: ExportTraceServiceResponse) -> None:
    """All good spans are stored; the bad one is stored or a dead letter, and the sender is warned of a dead letter."""
    assert set(service.store.span_ids) >= GOOD_IDS
    assert len(service.store.spans) + len(service.store.dead_letters) == 512
    assert answer.partial_success.rejected_spans == 0
    assert bool(answer.partial_success.error_message) is bool(service.store.dead_letters)
    assert service.refused == []


@pytest.mark.parametrize("kind", KINDS)
def test_over_grpc_the_511_others_are_stored(service: Service, kind: str) -> None:
    """Whatever is wrong with one span, the call succeeds and the others are there."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(service.grpc_address, options=options) as channel:
        answer = channel.unary_unary(METHOD)(batch(kind), timeout=60)
    check(service, ExportTraceServiceResponse.FromString(answer))


@pytest.mark.parametrize("kind", KINDS)
def test_over_http_the_511_others_are_stored(service: Service, kind: str) -> None:
    """The same over HTTP."""
    headers = {"content-type": "application/x-protobuf"}
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
        answer = client.post(service.url, content=batch(kind), headers=headers)
    assert answer.status_code == 200
    check(service, ExportTraceServiceResponse.FromString(answer.content))


def test_all_kinds_at_once_cost_nothing_either(service: Service) -> None:
    """A batch with every kind of bad span in it keeps every good one."""
    with grpc.insecure_channel(service.grpc_address, options=[("grpc.max_send_message_length", -1)]) as channel:
        answer = channel.unary_unary(METHOD)(bodies.body(*GOOD[:200], *KINDS.values(), *GOOD[200:]), timeout=60)
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 0
    assert set(service.store.span_ids) >= GOOD_IDS
    assert len(service.store.spans) + len(service.store.dead_letters) == 511 + len(KINDS)
