"""What a record takes from its span, its trace and the verdict; which content of a span, and which words of a trace."""

from dataclasses import replace
from decimal import Decimal as D
from itertools import pairwise
from typing import Any

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.settling.settle import better_link, greatest_attribution, settle, workflow_of
from cost_exporter.domain.span import Link, Root
from cost_exporter.domain.usage import UsageRecord
from tests.domain.builders import OTHER_TRACE, TRACE, call, facts, key, link, price_by_sum, settled, span_id

BOTH = Attribution(tenant="acme", user="u")


def rooted(ended_at_unix_ns: int, *, has_failed: bool = False, attribution: Attribution = BOTH) -> Link:
    root = Root(started_at_unix_ns=0, ended_at_unix_ns=ended_at_unix_ns, has_failed=has_failed)
    return Link(trace_id=TRACE, span_id=span_id("a"), parent_span_id=None, root=root, attribution=attribution)


def test_the_better_of_two_links_by_each_of_their_fields() -> None:
    """More words, then the greater ones, then the parent; a root beats all, even one that ended at 0."""
    ladder = [
        link("a", parent="o", attribution=Attribution(tenant="zeta")),
        link("a", parent="o", attribution=Attribution(tenant="acme", user="s")),
        link("a", parent="o", attribution=Attribution(tenant="acme", user="t")),
        link("a", parent="o", attribution=BOTH),
        link("a", parent="p", attribution=BOTH),
        rooted(0),
        rooted(9, attribution=Attribution(tenant="acme")),
        rooted(10),
        rooted(10, has_failed=True),
        rooted(11, attribution=Attribution(user="u")),
        rooted(11, attribution=Attribution(tenant="acme")),
        rooted(11),
    ]
    for worse, better in pairwise(ladder):
        assert better_link(worse, better) is better_link(better, worse) is better, (worse, better)


def test_the_greatest_word_of_a_trace_and_of_no_other() -> None:
    """Field by field, of calls and links; what the trace said before counts as well."""
    spans = [
        call("a", attribution=Attribution(workflow_id="w1", task="t")),
        link("b", attribution=Attribution(workflow_id="w2")),
        call("c", trace=OTHER_TRACE, attribution=Attribution(workflow_id="w9")),
    ]
    found = greatest_attribution(TRACE, replace(facts(*spans), words=Attribution(task="s", user="u")))
    assert found == Attribution(workflow_id="w2", task="t", user="u")
    assert workflow_of(TRACE, facts(*spans)).workflow_id == "w2"
    assert workflow_of(TRACE, facts(link("root", parent=None), *spans)).state == "completed"
    assert workflow_of(OTHER_TRACE, facts(*spans)).state == "running"


def test_the_trace_of_the_billed_span_is_named_where_it_is_another() -> None:
    """Also if both spans have the same span id."""
    reported: Any = {"call_id": "response:1"}
    for trace, named in ((TRACE, None), (OTHER_TRACE, OTHER_TRACE)):
        richer = call("b", trace=trace, scope="b", quantities={"input_tokens": 1200, "output_tokens": 346}, **reported)
        record = settled(call("a", **reported), richer)[key("a")]
        other = settled(call("a", **reported), richer)[key("b", trace)]
        duplicate = record if record.status == "duplicate" else other
        expected = named if record is duplicate else (TRACE if trace != TRACE else None)
        assert duplicate.duplicate_trace_id == expected
    twins = settled(call("a", **reported), call("a", trace=OTHER_TRACE, scope="b", **reported))
    (twin,) = [each for each in twins.values() if each.status == "duplicate"]
    assert twin.duplicate_trace_id in {TRACE, OTHER_TRACE}
    assert twin.duplicate_trace_id != twin.call.trace_id


def test_the_price_is_asked_for_on_the_account_of_the_key_and_the_tenant() -> None:
    """With the vendor's own cost where the span has one."""
    asked: list[UsageRecord] = []

    def price(usage: UsageRecord) -> Quote:
        asked.append(usage)
        return price_by_sum(usage)

    attribution = Attribution(tenant="acme", api_key="k1")
    spans = facts(call("a", attribution=attribution, vendor_cost_usd=D("0.5")), call("b", start_ms=5000, end_ms=6000))
    records = settle(spans, price)
    assert {(each.tenant, each.api_key, each.vendor_cost_usd) for each in asked} == {
        ("acme", "k1", D("0.5")),
        ("default", "", None),
    }
    assert records[key("a")].cost_usd == D("0.5")


def test_a_look_alike_is_a_record_where_nothing_is_below_it() -> None:
    """It has no part in what the calls beside it are, and is gone once a call is below it."""
    agent = call("agent", quantities={}, is_look_alike=True, scope="b")
    beside = call("a", start_ms=100, end_ms=900)
    apart = settled(agent, beside)
    assert {each: record.status for each, record in apart.items()} == {
        key("agent"): "no_usage",
        key("a"): "priced",
    }
    below = call("a", parent="agent", start_ms=100, end_ms=900)
    assert set(settled(agent, below)) == {key("a")}
    assert set(settled(agent, link("step", parent="agent"), call("a", parent="step"))) == {key("a")}
    assert set(settle(replace(facts(agent), framing=frozenset({key("agent")})), price_by_sum)) == set()
