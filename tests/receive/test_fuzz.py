"""Mutated requests never get an answer for which clients drop data by our fault: no UNKNOWN, no INTERNAL, no 500.

Seeded and counted, so that every machine tries the same and a failure can be repeated: the seed is in the test.
CALLFARE_FUZZ_FACTOR=100 tries a hundred times as many.
"""

import os
import random
from collections.abc import Callable

import grpc
import httpx
import pytest

from cost_exporter.errors import ReceiveError
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from tests.receive import bodies
from tests.receive.conftest import Service
from tests.receive.test_bad_spans import KINDS
from tests.receive.test_clients import JAVASCRIPT

FACTOR = int(os.environ.get("CALLFARE_FUZZ_FACTOR", "1"))
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SMALL = [span for span in KINDS.values() if len(span) < 10_000]
TOKENS = [
    b"\xff",
    b"\x00",
    b"\x0a\x00",
    b"\x7f" * 9,
    b"\xff" * 10,
    b"null",
    b"{",
    b"[",
    b'"',
    b"1e999",
    b"\\ud800",
    b"-1",
]


def mutate(rng: random.Random, content: bytes) -> bytes:
    """Change a few places: flip, cut, repeat, insert what is known to hurt."""
    mutated = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(mutated) + 1)
        match rng.randrange(5):
            case 0 if place < len(mutated):
                mutated[place] = rng.randrange(256)
            case 1:
                del mutated[place : place + rng.randint(1, 20)]
            case 2:
                mutated[place:place] = mutated[place : place + rng.randint(1, 50)]
            case 3:
                mutated[place:place] = rng.choice(TOKENS)
            case _:
                mutated = mutated[:place] if rng.random() < 0.1 else mutated
    return bytes(mutated)


def protobuf(rng: random.Random) -> bytes:
    return mutate(rng, bodies.body(bodies.span(1), rng.choice(SMALL), bodies.span(2)))


def javascript(rng: random.Random) -> bytes:
    return mutate(rng, JAVASCRIPT.read_bytes())


def repeat(one: Callable[[], None], count: int) -> None:
    for _ in range(count * FACTOR):
        one()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("encoding", "make"), [(Encoding.PROTOBUF, protobuf), (Encoding.JSON, javascript)])
def test_decoding_ends_in_a_request_or_a_refusal(
    seed: int, encoding: Encoding, make: Callable[[random.Random], bytes]
) -> None:
    """Whatever the bytes, decoding raises nothing but a refusal: anything else would count as our fault."""
    rng = random.Random(seed)

    def one() -> None:
        content = make(rng)
        try:
            request = decode(content, encoding, SenderIdentity(), received_at_unix_ns=1)
        except ReceiveError:
            return
        assert all(len(letter.payload) <= 64 * 1024 for letter in request.dead_letters)

    repeat(one, 4_000)


def test_a_good_span_survives_a_mutated_neighbour() -> None:
    """As long as the envelope is whole, one spoilt span never costs the good one beside it."""
    rng = random.Random(3)

    def one() -> None:
        content = bodies.body(bodies.span(1), mutate(rng, rng.choice(SMALL)), bodies.span(2))
        spans = bodies.spans_of(
            decode(content, Encoding.PROTOBUF, SenderIdentity(), received_at_unix_ns=1).resource_spans
        )
        assert {span.span_id for span in spans} >= {bodies.span_id(1), bodies.span_id(2)}

    repeat(one, 4_000)


def test_grpc_never_answers_unknown_or_internal(service: Service) -> None:
    """Over the wire: stored, or INVALID_ARGUMENT."""
    rng = random.Random(4)
    with grpc.insecure_channel(service.grpc_address) as channel:
        export = channel.unary_unary(METHOD)

        def one() -> None:
            try:
                export(protobuf(rng), timeout=60)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error  # type: ignore[attr-defined]  # noqa: PT017

        repeat(one, 600)


def test_http_never_answers_500(service: Service) -> None:
    """Over the wire: 200 or 400."""
    rng = random.Random(5)
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:

        def one() -> None:
            content, kind = (protobuf(rng), "x-protobuf") if rng.random() < 0.5 else (javascript(rng), "json")
            answer = client.post(service.url, content=content, headers={"content-type": f"application/{kind}"})
            assert answer.status_code in (200, 400)

        repeat(one, 600)
