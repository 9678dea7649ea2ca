"""The recipes of docs/how-to, run as they are written: the cost record arrives with the right figures."""

from decimal import Decimal as D

import pytest

from tests.end_to_end.otlp_sink import OtlpSink
from tests.examples.documents import blocks, check_output
from tests.instrumentation.fakes.otlp import attributes_of

pytestmark = pytest.mark.slow

# gpt-4o-mini as the stand-in counts it: 1,234 tokens in, 1,024 of them from the cache, 87 out.
CHAT_USD = D("0.15") * (1_234 - 1_024) / 1_000_000 + D("0.075") * 1_024 / 1_000_000 + D("0.60") * 87 / 1_000_000
# gpt-4o with the same counts.
GPT_4O_USD = (D("2.50") * (1_234 - 1_024) + D("1.25") * 1_024 + D(10) * 87) / 1_000_000
ANSWER = "Your order leaves today.\n"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_direct(service, operator, application, books, protocol) -> None:
    """docs/how-to/direct.md: one call, one record, and the report as shown."""
    recipe = blocks("direct")
    service(recipe["service"])
    assert application.run(recipe[f"app {protocol}"]) == ANSWER
    assert application.errors == ""
    assert books.costs() == [("acme", "priced", CHAT_USD)]
    check_output("direct", operator.run(recipe["verify"]))
    if protocol == "grpc":  # and with CALLFARE_DISABLED the application runs as before, and nothing of ours acts
        assert application.run(recipe["app grpc"], CALLFARE_DISABLED="1") == ANSWER
        without_our_account = ("default", "priced", CHAT_USD)  # another's instrumentation
        assert books.costs(2) == [("acme", "priced", CHAT_USD), without_our_account]


def test_any_language(service, operator, application, books) -> None:
    """docs/how-to/any-language.md: one request of HTTP is one record, on the account of its resource."""
    recipe = blocks("any-language")
    service(blocks("direct")["service"])
    application.run(recipe["app curl"])
    assert books.costs() == [("acme", "priced", CHAT_USD)]
    check_output("any-language", operator.run(recipe["verify"]))


def test_in_process(operator, application, books) -> None:
    """docs/how-to/in-process.md: stored from the application itself; no service runs."""
    recipe = blocks("in-process")
    application.moved["postgresql://callfare@127.0.0.1:5432/callfare"] = f"'{books.url}'"
    assert application.run(recipe["app store"]) == ANSWER
    assert application.errors == ""
    assert books.costs() == [("acme", "priced", CHAT_USD)]
    check_output("in-process", operator.run(recipe["verify"]))


def test_cost_on_the_spans(application, ports) -> None:
    """docs/how-to/in-process.md: what reaches the trace store over OTLP says what it costs."""
    with OtlpSink() as jaeger:
        application.moved["127.0.0.1:4317"] = f"127.0.0.1:{jaeger.port}"
        assert application.run(blocks("in-process")["app otlp"]) == ANSWER
        (span,) = jaeger.spans
    found = attributes_of(span)
    assert (span.name, found["callfare.cost.amount"], found["callfare.cost.status"]) == (
        "openai.chat",
        str(CHAT_USD.normalize()),
        "priced",
    )
    assert found["gen_ai.usage.cost.amount"] == float(CHAT_USD)
    assert found["gen_ai.usage.cost.currency"] == "USD"
    assert found["callfare.tenant.id"] == "acme"


def test_workflow(service, operator, application, books) -> None:
    """docs/how-to/workflow.md: each call on its account, and what only the application knows."""
    recipe = blocks("workflow")
    service(blocks("direct")["service"])
    trace_id = application.run(recipe["app workflow"]).strip()
    found = books.costs(3, columns="replace(trace_id::text, '-', ''), tenant_id, category, operation, status, cost_usd")
    assert found == [
        (trace_id, "acme", "bot", "chat", "priced", GPT_4O_USD),
        (trace_id, "acme", "bot", "retrieval", "priced", D(16) * 6 / 1_000_000),
        (trace_id, "acme", "insights", "chat", "priced", CHAT_USD),
    ]
    check_output("workflow", operator.run(recipe["verify"]))


def test_disabled_in_process(application, books) -> None:
    """CALLFARE_DISABLED: the application runs as before, and nothing of ours acts."""
    application.moved["postgresql://callfare@127.0.0.1:5432/callfare"] = f"'{books.url}'"
    assert application.run(blocks("in-process")["app store"], CALLFARE_DISABLED="1") == ANSWER
    assert books.rows("select * from callfare.cost_record") == []


def test_no_prompt_leaves_the_application(application) -> None:
    """docs/explain/privacy.md: the prompt is on the wire without the variable, and not with it; the model always is."""
    commands = blocks("../explain/privacy")["app quiet"]
    direct = blocks("direct")["app grpc"].rpartition("opentelemetry-instrument")[0]
    on_the_wire: list[bool] = []
    for variables in ("", commands.splitlines()[0]):
        with OtlpSink() as sink:
            application.moved["127.0.0.1:4317"] = f"127.0.0.1:{sink.port}"
            application.run(f"{direct}\n{variables}\n{commands.splitlines()[1]}")
            (span,) = sink.spans
        assert attributes_of(span)["gen_ai.request.model"] == "gpt-4o-mini"
        on_the_wire.append("Where is my order" in str(span))
    assert on_the_wire == [True, False]
