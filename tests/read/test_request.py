"""A request becomes facts: calls, links and dead letters, one for each span."""

from typing import Any

import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.facts import DeadLetter
from cost_exporter.domain.span import Root
from cost_exporter.read import request as reading_of_requests
from cost_exporter.read.layout import ScopeLayouts
from cost_exporter.read.otlp import wire
from tests.fixtures import otlp_json
from tests.read import otlp_spans as spans
from tests.read.otlp_spans import CHAT, RECEIVED_AT_UNIX_NS, STARTED_AT_UNIX_NS, call, document, facts


def test_every_span_is_a_call_a_link_or_a_dead_letter() -> None:
    """Links count as ignored, and the counts add up to the spans of the request."""
    found = facts(document(CHAT), document(), document(spanId="00" * 8))
    assert (len(found.calls), len(found.links), len(found.dead_letters)) == (1, 1, 1)
    assert found.ignored_count == 1
    assert found.span_count == 3


def test_a_span_is_read_for_what_it_is_beside_any_neighbour() -> None:
    """Neighbours with the same attribute names share their plan, others do not: as alone, so in one scope."""
    kinds: list[dict[str, Any]] = [
        {},
        {"http.route": "/"},
        CHAT,
        {**CHAT, "user.id": "u"},
        {"user.id": "u"},
        {**CHAT, "gen_ai.operation.name": "invoke_agent"},
    ]
    order = [each for kind in kinds for other in kinds for each in (kind, other)]
    alone = [document(kind, spanId=f"{number:016x}") for number, kind in enumerate(order, 1)]
    together = document()
    together["resourceSpans"][0]["scopeSpans"][0]["spans"] = [
        each["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for each in alone
    ]
    assert facts(together) == facts(*alone)
    assert facts(together, tenant_is_trusted=False) == facts(*alone, tenant_is_trusted=False)


def test_dead_letters_of_the_receiver_are_passed_on() -> None:
    """What could not be decoded stays part of the request."""
    letter = DeadLetter(reason="undecodable_span")
    assert facts(document(CHAT), dead_letters=[letter]).dead_letters == [letter]


@pytest.mark.parametrize(
    "ids",
    [
        {"traceId": "00" * 16},
        {"traceId": "ab" * 15},
        {"traceId": ""},
        {"spanId": "00" * 8},
        {"spanId": "ab" * 9},
        {"spanId": ""},
    ],
)
def test_a_span_without_proper_ids_is_a_dead_letter(ids: dict[str, str]) -> None:
    """Zero, short, long and missing ids identify nothing; the good span beside is read."""
    found = facts(document({**CHAT, "gen_ai.prompt": "secret"}, **ids), document(CHAT))
    (letter,) = found.dead_letters
    assert letter.reason == "bad_id"
    assert b"secret" not in letter.payload
    assert len(found.calls) == 1


@pytest.mark.parametrize("parent", ["", "00" * 8, "abcd"])
def test_a_link_without_parent_carries_the_root(parent: str) -> None:
    """The root tells when the workflow ran and how it ended."""
    found = facts(document(parentSpanId=parent, status={"code": 2}))
    (link,) = found.links
    assert link.parent_span_id is None
    assert link.root == Root(
        started_at_unix_ns=STARTED_AT_UNIX_NS,
        ended_at_unix_ns=STARTED_AT_UNIX_NS + 2 * 10**9,
        has_failed=True,
        resource_attribution=Attribution(),
    )


def test_a_link_with_a_parent_is_no_root() -> None:
    """A span below another tells only where it stands and what it says of the account."""
    (link,) = facts(document({"callfare.task": "answer"})).links
    assert link.root is None
    assert link.parent_span_id == bytes.fromhex(spans.PARENT_ID)
    assert link.attribution == Attribution(task="answer")


@pytest.mark.parametrize("parent", ["", "00" * 8])
def test_a_call_may_be_the_root(parent: str) -> None:
    """A single call is a whole trace."""
    assert call(CHAT, parentSpanId=parent).parent_span_id is None


def test_attribution_comes_from_span_and_resource() -> None:
    """Both are kept apart: what lies between them in the trace is settled later."""
    found = facts(
        document(
            {**CHAT, "callfare.category": "bot", "callfare.revenue.amount": 4.99, "user.id": "u1"},
            resource={"service.name": "app", "callfare.tenant.id": "acme", "callfare.tier": "gold"},
        )
    )
    (only,) = found.calls
    assert only.attribution == Attribution(category="bot", revenue_amount="4.99", user="u1")
    assert only.resource_attribution == Attribution(tenant="acme", tier="gold")
    assert only.service_name == "app"


def test_our_own_names_come_before_those_of_others() -> None:
    """A workflow id of ours outranks the conversation the vendor keeps."""
    attributes = {**CHAT, "gen_ai.conversation.id": "conv_1", "callfare.workflow.id": "w1", "session.id": "s1"}
    assert call(attributes).attribution.workflow_id == "w1"
    assert call({**attributes, "callfare.workflow.id": ""}).attribution.workflow_id == "conv_1"


@pytest.mark.parametrize(
    ("span_tenant", "resource_tenant", "claims"),
    [("acme", None, 0), ("other", None, 1), (None, "other", 1), (None, None, 0), ("acme", "other", 0)],
)
@pytest.mark.parametrize("attributes", [CHAT, {}])
def test_with_a_credential_the_tenant_attribute_is_ignored(
    attributes: dict[str, Any], span_tenant: str | None, resource_tenant: str | None, claims: int
) -> None:
    """It never reaches the facts; a claim that the credential denies is counted."""
    stated = attributes | ({"callfare.tenant.id": span_tenant} if span_tenant else {})
    resource = {"callfare.tenant.id": resource_tenant} if resource_tenant else {"service.name": "app"}
    found = facts(document(stated, resource=resource), namespace="acme", tenant_is_trusted=False)
    for fact in (*found.calls, *found.links):
        assert fact.attribution.tenant is None
    assert all(each.resource_attribution.tenant is None for each in found.calls)
    assert found.tenant_claims_ignored_count == claims
    assert not found.tenant_is_trusted


def test_without_credentials_the_tenant_attribute_is_believed() -> None:
    """And no claim is counted."""
    found = facts(document({**CHAT, "callfare.tenant.id": "acme"}))
    assert found.calls[0].attribution.tenant == "acme"
    assert found.tenant_claims_ignored_count == 0


@pytest.mark.parametrize(
    "started_at_unix_ns",
    [0, 1_577_836_799 * 10**9, RECEIVED_AT_UNIX_NS + 301 * 10**9, 2**63, 2**64 - 1],
    ids=["1970", "before-2020", "ahead", "2262", "2554"],
)
def test_an_implausible_start_counts_at_receipt(started_at_unix_ns: int) -> None:
    """And says so; the span is neither lost nor priced at a made-up time."""
    found = call(CHAT, startTimeUnixNano=str(started_at_unix_ns), endTimeUnixNano=str(2**64 - 1))
    assert found.started_at_unix_ns == found.usage.at_unix_ns == found.ended_at_unix_ns == RECEIVED_AT_UNIX_NS
    assert "implausible_start" in found.issues


@pytest.mark.parametrize(
    "started_at_unix_ns", [1_577_836_800 * 10**9, RECEIVED_AT_UNIX_NS + 300 * 10**9], ids=["2020", "5-min-ahead"]
)
def test_a_plausible_start_is_kept_to_the_nanosecond(started_at_unix_ns: int) -> None:
    """The bounds themselves are plausible."""
    found = call(CHAT, startTimeUnixNano=str(started_at_unix_ns), endTimeUnixNano=str(started_at_unix_ns))
    assert found.started_at_unix_ns == started_at_unix_ns
    assert found.issues == ()


@pytest.mark.parametrize("ended_at_unix_ns", [0, STARTED_AT_UNIX_NS - 1, 2**64 - 1])
def test_an_absurd_end_becomes_the_start(ended_at_unix_ns: int) -> None:
    """A duration is never negative and never centuries."""
    assert call(CHAT, endTimeUnixNano=str(ended_at_unix_ns)).ended_at_unix_ns == STARTED_AT_UNIX_NS


def test_our_own_fault_costs_one_span_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception makes a dead letter that can be replayed, without the content."""

    def fail(_self: ScopeLayouts, _present: frozenset[str], **_: bool) -> Any:
        raise KeyError("a defect")

    first = document({**CHAT, "gen_ai.response.id": "r1", "gen_ai.prompt.0.content": "secret"}, scope="bad")
    good = ScopeLayouts.layout_for
    monkeypatch.setattr(
        ScopeLayouts,
        "layout_for",
        lambda self, present, **given: (fail if self.scope.name == "bad" else good)(self, present, **given),
    )
    found = facts(first, document(CHAT, spanId="aa" * 8))
    (letter,) = found.dead_letters
    assert (letter.reason, letter.detail) == ("our_fault", "KeyError")
    assert letter.span_id == bytes.fromhex(spans.SPAN_ID)
    assert b"secret" not in letter.payload
    assert len(found.calls) == 1
    monkeypatch.undo()
    replayed = reading_of_requests.read_request(
        wire.parse_request(letter.payload).resource_spans,
        namespace="default",
        received_at_unix_ns=RECEIVED_AT_UNIX_NS,
        tenant_is_trusted=True,
    )
    assert replayed.calls == facts(first).calls


def test_memories_of_scopes_and_kinds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender who makes up names costs time, never memory, and is read right."""
    from cost_exporter.read import layout, origin
    from cost_exporter.read.fields import identity

    for module, name in (
        (layout, "_SCOPES_MAX"),
        (layout, "_LAYOUTS_MAX"),
        (identity, "_IDENTITIES_MAX"),
        (origin, "_ATTRIBUTIONS_MAX"),
    ):
        monkeypatch.setattr(module, name, 2)
    for number in range(5):
        found = call(CHAT, scope=f"scope-{number}")
        assert found.scope == f"scope-{number}"
    for key in ("gen_ai.response.id", "user.id", "server.address", "error.type"):
        assert call({**CHAT, key: "x"}, scope="one").usage.model == "gpt-4o-mini"
    for number in range(5):
        found = call({**CHAT, "gen_ai.request.model": f"m{number}", "user.id": f"u{number}"}, scope="one")
        assert (found.usage.model, found.attribution.user) == (f"m{number}", f"u{number}")
    plans = layout.layouts_of_scope("one", "1.0")._layouts
    assert len(plans) <= 2
    assert all(1 <= len(each.identities) <= 2 for each in plans.values())
    assert len(layout._scopes) <= 2


def test_many_files_in_one_request_are_read_as_apart() -> None:
    """Batching does not matter to what is read."""
    paths = otlp_json.recorded_files("voice")
    options: dict[str, Any] = {
        "namespace": "default",
        "received_at_unix_ns": RECEIVED_AT_UNIX_NS,
        "tenant_is_trusted": True,
    }
    together = reading_of_requests.read_request(otlp_json.resource_spans(paths), **options)
    apart = [reading_of_requests.read_request(otlp_json.resource_spans([path]), **options) for path in paths]
    assert list(together.calls) == [each for one in apart for each in one.calls]
    assert list(together.links) == [each for one in apart for each in one.links]
