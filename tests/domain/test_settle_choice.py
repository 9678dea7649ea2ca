"""Which of several spans is chosen, where more than one could be: always the same, however they come."""

from decimal import Decimal as D
from itertools import permutations

import pytest

from cost_exporter.domain.span import Call, EmitterRank
from tests.domain.builders import call, key, settled, span_id

WHOLE = {"input_tokens": 1350, "output_tokens": 120, "cache_read_tokens": 1000}
REST = {"input_tokens": 350, "output_tokens": 120}


def test_of_several_whole_inputs_the_best_teller_is_billed() -> None:
    """Bedrock's call told three times, the best emitter without the cache: the better of the two others is billed."""
    fields = {"provider": "aws", "model": "claude-opus-5", "call_id": "response:1"}
    spans = [
        call("best", scope="one", emitter_rank=EmitterRank.NATIVE, quantities=REST, **fields),  # pyright: ignore[reportArgumentType]
        call("good", scope="two", emitter_rank=EmitterRank.GENAI, quantities=WHOLE, **fields),  # pyright: ignore[reportArgumentType]
        call("poor", scope="three", emitter_rank=EmitterRank.PLAIN, quantities=WHOLE, **fields),  # pyright: ignore[reportArgumentType]
    ]
    for order in permutations(spans):
        records = settled(*order)
        assert records[key("good")].status == "priced"
        assert {records[key(name)].duplicate_of for name in ("best", "poor")} == {span_id("good")}


@pytest.mark.parametrize(("better", "worse"), [("x", "y"), ("y", "x")])
def test_of_several_that_report_a_part_the_best_is_believed(better: str, worse: str) -> None:
    """Whatever their ids and their order."""

    def report(name: str, cached: int, emitter_rank: EmitterRank) -> Call:
        quantities = {"input_tokens": 1350, "output_tokens": 120, "cache_read_tokens": cached}
        return call(name, scope=name, emitter_rank=emitter_rank, quantities=quantities, call_id="response:1")  # pyright: ignore[reportArgumentType]

    total = {"input_tokens": 1350, "output_tokens": 120}
    billed = call("b", scope="b", emitter_rank=EmitterRank.NATIVE, quantities=total, call_id="response:1")  # pyright: ignore[reportArgumentType]
    spans = [billed, report(better, 1000, EmitterRank.GENAI), report(worse, 900, EmitterRank.PLAIN)]
    for order in permutations(spans):
        record = settled(*order)[key("b")]
        assert record.quantities == total | {"cache_read_tokens": 1000}
        assert record.issues == (f"completed_by:{span_id(better).hex()}",)


def test_the_deltas_of_a_session_follow_their_numbers() -> None:
    """Not their ids, nor the order in which they came."""
    deltas = [
        call(
            name,
            operation="speech_to_text",
            quantities={"audio_seconds": D(seconds)},
            session_id="s",
            session_sequence=number,
        )
        for number, (name, seconds) in enumerate([("z", 60), ("m", 30), ("a", 10)])
    ]
    for order in permutations(deltas):
        records = settled(*order)
        assert [records[key(name)].session_before for name in "zma"] == [
            None,
            {"audio_seconds": D(60)},
            {"audio_seconds": D(90)},
        ]
