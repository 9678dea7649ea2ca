"""The spans above a call: chains, gaps, forged cycles, and the bound on depth."""

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.settling.lineage import CALLS_ABOVE_MAX, Lineage
from cost_exporter.domain.span import Call, Link
from tests.domain.builders import call, facts, key, link


def lineage(*spans: Call | Link) -> Lineage:
    """The lineage of these spans."""
    found = facts(*spans)
    return Lineage(found.calls, found.links)


def test_ancestors_are_named_as_far_as_they_are_known() -> None:
    """The last one is the parent that has not arrived, or the root."""
    above = lineage(link("root", parent=None), link("mid"), call("leaf", parent="mid"), call("lost", parent="gone"))
    assert list(above.ancestors(key("leaf"))) == [key("mid"), key("root")]
    assert list(above.ancestors(key("lost"))) == [key("gone")]
    assert list(above.ancestors(key("root"))) == list(above.ancestors(key("never seen"[:8]))) == []


def test_only_calls_are_above_a_call_nearest_first() -> None:
    """Whichever is asked for first, and a root has none."""
    spans = (call("a", parent=None), link("b", parent="a"), call("c", parent="b"), call("d", parent="c"))
    expected = {"d": (key("c"), key("a")), "c": (key("a"),), "a": ()}
    for names in ("dca", "acd", "cda"):
        above = lineage(*spans)
        assert {name: above.calls_above(key(name)) for name in names} == expected


def test_two_calls_are_related_where_either_is_above() -> None:
    """In both directions, and siblings are not."""
    above = lineage(call("a", parent=None), call("b", parent="a"), call("c", parent="a"))
    assert above.are_related(key("a"), key("b"))
    assert above.are_related(key("b"), key("a"))
    assert not above.are_related(key("b"), key("c"))


def test_a_forged_cycle_ends_at_the_span_itself() -> None:
    """Each span of it has the others above, whichever is asked for first."""
    spans = (call("a", parent="c"), call("b", parent="a"), call("c", parent="b"))
    expected = {"a": (key("c"), key("b")), "b": (key("a"), key("c")), "c": (key("b"), key("a"))}
    for names in ("abc", "cba", "bca"):
        above = lineage(*spans)
        assert {name: above.calls_above(key(name)) for name in names} == expected
        assert list(above.ancestors(key("a"))) == [key("c"), key("b")]


def test_a_span_below_a_forged_cycle_has_all_of_it_above() -> None:
    """From where it hangs."""
    spans = (call("a", parent="b"), call("b", parent="a"), call("leaf", parent="a"), call("low", parent="leaf"))
    above = lineage(*spans)
    assert above.calls_above(key("low")) == (key("leaf"), key("a"), key("b"))
    assert above.calls_above(key("leaf")) == (key("a"), key("b"))


def test_the_calls_above_are_bounded() -> None:
    """The nearest ones are kept, in a chain and around a cycle."""
    chain = [call(str(depth), parent=str(depth - 1)) for depth in range(1, CALLS_ABOVE_MAX + 4)]
    deepest = CALLS_ABOVE_MAX + 3
    nearest = tuple(key(str(depth)) for depth in range(deepest - 1, deepest - 1 - CALLS_ABOVE_MAX, -1))
    assert lineage(*chain).calls_above(key(str(deepest))) == nearest
    ring = lineage(*chain, call("0", parent=str(deepest)), call("leaf", parent=str(deepest)))
    assert len(ring.calls_above(key("leaf"))) == CALLS_ABOVE_MAX


def test_the_root_that_started_first_is_the_trace_s() -> None:
    """Of two that claim to be; a call may be the root too."""
    second = call("b", parent=None, start_ms=-20, attribution=Attribution(category="call"))
    found = lineage(link("a", parent=None, attribution=Attribution(category="link")), second).root(second.trace_id)
    assert found is not None
    assert found[1].category == "call"
    assert lineage(call("c")).root(second.trace_id) is None


def test_attribution_comes_from_the_nearest_above() -> None:
    """Each field from the nearest span that has it, whichever call is asked for first."""
    spans = (
        link("root", parent=None, attribution=Attribution(tenant="acme", category="root")),
        link("mid", attribution=Attribution(category="mid")),
        call("a", parent="mid"),
        call("b", parent="a", attribution=Attribution(user="u")),
    )
    for names in ("ab", "ba"):
        above = lineage(*spans)
        found = {name: above.attribution(key(name)) for name in names}
        assert found["a"] == Attribution(tenant="acme", category="mid")
        assert found["b"] == Attribution(tenant="acme", category="mid", user="u")


def test_attribution_around_a_forged_cycle_is_the_same_from_each_start() -> None:
    """And below it."""
    spans = (
        call("a", parent="b", attribution=Attribution(category="a")),
        call("b", parent="a", attribution=Attribution(user="b")),
        call("leaf", parent="a"),
    )
    answers = []
    for names in (["a", "b", "leaf"], ["leaf", "b", "a"], ["b", "leaf", "a"]):
        above = lineage(*spans)
        answers.append({name: above.attribution(key(name)) for name in names})
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["leaf"] == Attribution(category="a", user="b")
