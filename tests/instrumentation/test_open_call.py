"""What an open call writes on its span, and when: its account as it starts, all it learns as it ends."""

import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace.sampling import Decision, StaticSampler

from callfare import attributes as names
from callfare.account import ATTRIBUTION, with_attribution
from callfare.calls.span import CallRequest, open_call
from callfare.provider import hook


class Unprintable:
    """What a vendor, or a header, might hand us."""

    def __str__(self) -> str:
        raise ValueError


def open_chat(spans, **more):
    return open_call(spans.tracer, CallRequest(operation="chat", provider="acme", **more))


def test_a_paid_call_goes_on_the_account_that_any_span_would(attributed, monkeypatch) -> None:
    """It is written as the call starts, by the same rule: itself, the context, the parent, the environment."""
    monkeypatch.setenv("CALLFARE_CATEGORY", "from-environment")
    account = with_attribution({names.TENANT_ID: "from-context", names.TASK: "from-context"})
    tracer, within = attributed.tracer, {names.TENANT_ID: "from-parent", names.TIER: "from-parent"}
    with tracer.start_as_current_span("parent", attributes=within) as parent:
        request = CallRequest(operation="chat", provider="acme", attributes={names.TASK: "own"})
        call = open_call(tracer, request, context=trace.set_span_in_context(parent, account))
        tracer.start_span("inside", call.context()).end()
        call.end()
    inside, paid, _ = attributed.attributes
    assert {name: text for name, text in paid.items() if name in ATTRIBUTION} == {
        names.TENANT_ID: "from-context",
        names.TASK: "own",
        names.TIER: "from-parent",
        names.CATEGORY: "from-environment",
    }
    assert (inside[names.TASK], inside[names.TIER]) == ("from-context", "from-parent")


@pytest.mark.expects_internal_errors
def test_a_call_whose_account_cannot_be_read_is_recorded(attributed) -> None:
    """A baggage entry that fails costs the account, never the usage."""
    broken = baggage.set_baggage(names.TENANT_ID, Unprintable())
    open_call(attributed.tracer, CallRequest(operation="chat", provider="acme"), context=broken).end()
    assert attributed.only[names.PROVIDER_NAME] == "acme"


@pytest.mark.parametrize("decision", [Decision.DROP, Decision.RECORD_ONLY])
def test_what_is_not_sampled_says_so_whoever_kept_it(spans, decision) -> None:
    """Dropped by the application's sampler and kept by ours, or kept by the application's own."""
    spans.provider.sampler = StaticSampler(decision)
    hook.install(spans.provider)
    paid = open_chat(spans).span
    other = spans.tracer.start_span("any", attributes={"colour": "red"})
    assert (paid.attributes[names.SAMPLED], paid.attributes[names.PROVIDER_NAME]) == (False, "acme")
    assert (other.attributes[names.SAMPLED], other.attributes["colour"]) == (False, "red")


def test_what_is_stated_of_a_call_stands_on_its_span(spans, caplog) -> None:
    """Nothing is left out but what is empty; the last word counts, and none after the end."""
    call = open_chat(spans)
    call.set(names.RESPONSE_ID, "first")
    call.set(names.RESPONSE_ID, "last")
    call.set(names.RESPONSE_MODEL, "")
    call.set(names.SPEECH_VOICE, None)
    call.set(names.USAGE_BILLABLE, value=False)
    call.set(names.FINISH_REASONS, ("stop",))
    call.end()
    call.set(names.RESPONSE_ID, "too late")
    assert spans.only[names.RESPONSE_ID] == "last"
    assert spans.only[names.USAGE_BILLABLE] is False
    assert spans.only[names.FINISH_REASONS] == ("stop",)
    assert not {names.RESPONSE_MODEL, names.SPEECH_VOICE} & set(spans.only)
    assert caplog.records == []


def test_a_statement_is_no_quantity(spans) -> None:
    """A call that states attributes and counts nothing has usage from nowhere, whatever it says of it."""
    call = open_chat(spans)
    call.set(names.RESPONSE_ID, "42")
    call.set(names.USAGE_SOURCE, "vendor_body")
    call.end()
    assert spans.only[names.USAGE_SOURCE] == "unknown"


@pytest.mark.expects_internal_errors
def test_a_value_that_cannot_be_written_costs_no_usage(spans) -> None:
    """A vendor's answer may hold anything where a text should be."""
    call = open_chat(spans, quantities={names.INPUT_TOKENS: 7})
    call.set(names.RESPONSE_ID, Unprintable())
    call.end()
    assert spans.only[names.INPUT_TOKENS] == 7
