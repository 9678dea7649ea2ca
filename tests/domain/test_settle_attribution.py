"""On whose account calls go, and what a trace says as a workflow: inherited from the set of facts."""

from decimal import Decimal as D

import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.settling.settle import settle, workflow_of
from tests.domain.builders import ACME, OTHER_TRACE, TRACE, call, facts, key, link, price_by_sum, settled

# Attribution


def test_tenant_comes_from_the_nearest_ancestor() -> None:
    """A call without a tenant goes on the account of its nearest ancestor that has one."""
    records = settled(
        link("root", parent=None, attribution=Attribution(tenant="far", category="bot")),
        link("agent", attribution=Attribution(tenant="near")),
        link("plain", parent="agent"),
        call("chat", parent="plain"),
    )
    assert (records[key("chat")].tenant, records[key("chat")].category) == ("near", "bot")


def test_a_broken_chain_falls_back_to_the_root() -> None:
    """Where a span between call and root never arrived, the root's word still applies."""
    records = settled(link("root", parent=None, attribution=ACME), call("chat", parent="lost"))
    assert records[key("chat")].tenant == "acme"


def test_the_resource_speaks_last() -> None:
    """The resource applies where no span of the trace says anything."""
    resource = Attribution(tenant="resource", category="resource")
    chat = call("chat", resource_attribution=resource)
    records = settled(link("root", parent=None, attribution=ACME), chat)
    assert (records[key("chat")].tenant, records[key("chat")].category) == ("acme", "resource")
    assert settled(chat)[key("chat")].tenant == "resource"


def test_a_root_call_attributes_itself_and_its_children() -> None:
    """A provider call may be the root of its trace."""
    records = settled(
        call("first", parent=None, attribution=ACME, model="a"), call("second", parent="first", model="b")
    )
    assert {record.tenant for record in records.values()} == {"acme"}


def test_without_any_word_a_call_is_of_the_namespace_and_uncategorised() -> None:
    """Nothing said: the namespace is the tenant, and the category says that there is none."""
    record = settled(call("chat"))[key("chat")]
    assert (record.tenant, record.category) == ("default", "uncategorised")


def test_a_credential_beats_every_attribute() -> None:
    """With an untrusted tenant attribute the namespace of the credential is the tenant."""
    records = settled(call("chat", attribution=ACME), namespace="globex", tenant_is_trusted=False)
    assert records[key("chat")].tenant == "globex"


def test_what_a_cycle_inherits_does_not_depend_on_where_it_begins() -> None:
    """Three spans, each the parent of the next, of which one names the tenant: all three are on its account."""
    ring = [call("a", parent="b"), call("b", parent="c"), call("c", parent="a", attribution=Attribution(tenant="acme"))]
    for start in range(3):
        records = settle(facts(*ring[start:], *ring[:start]), price_by_sum)
        assert [record.tenant for record in records.values()] == ["acme"] * 3


def test_a_cycle_of_parents_ends() -> None:
    """Forged parents that form a circle neither hang nor lose the call."""
    records = settled(link("a", parent="b", attribution=ACME), link("b", parent="a"), call("chat", parent="b"))
    assert records[key("chat")].tenant == "acme"


def test_of_two_roots_the_earlier_is_the_root() -> None:
    """Two spans without a parent: the one that started first speaks for the trace."""
    late = call("late", parent=None, start_ms=50, attribution=Attribution(tenant="late"), model="x")
    records = settled(late, link("root", parent=None, attribution=ACME), call("chat", parent="lost"))
    assert records[key("chat")].tenant == "acme"


# The workflow as a whole


def test_a_workflow_runs_until_its_root_ends() -> None:
    """Without a root a workflow is running; with one it is completed."""
    assert workflow_of(TRACE, facts(call("chat"))).state == "running"
    assert workflow_of(TRACE, facts(call("chat"), link("root", parent=None))).state == "completed"


def test_a_failed_root_or_outcome_fails_the_workflow() -> None:
    """The outcome said beats the root's status."""
    assert workflow_of(TRACE, facts(call("chat", parent=None, has_failed=True))).state == "failed"
    states = {"failed": "failed", "completed": "completed", "abandoned": "completed"}
    for outcome, state in states.items():
        root = call("chat", parent=None, has_failed=True, attribution=Attribution(outcome=outcome))
        assert workflow_of(TRACE, facts(root)).state == state


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("4.99", None, D("4.99")),
        ("4.99", "usd", D("4.99")),
        ("4.99", "EUR", None),
        ("four", None, None),
        ("-1", None, None),
        (None, None, None),
    ],
)
def test_revenue_is_taken_in_dollars_only(amount: str | None, currency: str | None, expected: D | None) -> None:
    """Other currencies are not converted and nonsense is not guessed at."""
    attribution = Attribution(revenue_amount=amount, revenue_currency=currency, workflow_name="call", workflow_id="7")
    workflow = workflow_of(TRACE, facts(call("chat", attribution=attribution)))
    assert (workflow.revenue_usd, workflow.workflow_name, workflow.workflow_id) == (expected, "call", "7")


def test_the_root_speaks_for_the_workflow_before_any_other_span() -> None:
    """What the root says of the workflow is not overruled by a span below it."""
    root = link("root", parent=None, attribution=Attribution(workflow_name="a"))
    chat = call("chat", attribution=Attribution(workflow_name="z", workflow_id="7"))
    workflow = workflow_of(TRACE, facts(root, chat, call("elsewhere", trace=OTHER_TRACE)))
    assert (workflow.workflow_name, workflow.workflow_id) == ("a", "7")


def test_the_calls_own_resource_speaks_before_the_roots() -> None:
    """A call made in another service than the root's: what its own resource says is nearer."""
    own, roots = Attribution(category="own"), Attribution(category="root", tenant="root")
    chat = call("chat", resource_attribution=own)
    root = call("root", parent=None, resource_attribution=roots, is_billable=False)
    record = settled(chat, root)[key("chat")]
    assert (record.category, record.tenant) == ("own", "root")
