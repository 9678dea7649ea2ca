"""Which spans that only look like calls are kept: those with no call, and no other such span, below them."""

from dataclasses import replace

from cost_exporter.domain.settling.framing import framing_spans
from tests.domain.builders import call, key, settled


def test_without_look_alikes_nothing_frames() -> None:
    """An ordinary trace costs one look at its calls."""
    assert framing_spans({key("a"): call("a")}, {}) == frozenset()


def test_a_look_alike_above_a_call_frames_it() -> None:
    """The one below it is the call; a leaf stays."""
    above = replace(call("a"), is_look_alike=True)
    leaf = replace(call("c"), is_look_alike=True)
    calls = {key("a"): above, key("b"): call("b", parent="a"), key("c"): leaf}
    assert framing_spans(calls, {}) == {key("a")}


def test_a_look_alike_that_frames_a_call_has_no_record() -> None:
    """It only surrounds what is billed; a leaf that looks like a call is one of which nothing is known."""
    above = replace(call("a", quantities={}), is_look_alike=True)
    leaf = replace(call("c", quantities={}), is_look_alike=True)
    records = settled(above, call("b", parent="a"), leaf)
    assert {span: record.status for span, record in records.items()} == {key("b"): "priced", key("c"): "no_usage"}
