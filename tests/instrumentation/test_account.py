"""On whose account: attribution, `workflow`, `record_usage`, the ASGI middleware."""

import asyncio
from decimal import Decimal

import pytest
from opentelemetry import trace
from opentelemetry.propagate import extract, inject

import callfare
from callfare import attributes as names
from callfare import context, hook
from callfare.asgi import CallfareMiddleware

D = Decimal


def test_the_nearest_attribution_wins(attributed, monkeypatch) -> None:
    """The span itself, then the context, then the parent, then the environment."""
    monkeypatch.setenv("CALLFARE_TENANT", "from-environment")
    monkeypatch.setenv("CALLFARE_CATEGORY", "from-environment")
    tracer = attributed.tracer
    account = context.with_attribution({names.CATEGORY: "from-context"})
    with tracer.start_as_current_span("parent", account, attributes={names.TENANT_ID: "own"}):
        tracer.start_span("child").end()
    tracer.start_span("alone").end()
    found = {span.name: span.attributes for span in attributed.all}
    assert (found["parent"][names.TENANT_ID], found["parent"][names.CATEGORY]) == ("own", "from-context")
    assert (found["child"][names.TENANT_ID], found["child"][names.CATEGORY]) == ("own", "from-context")
    assert found["alone"][names.TENANT_ID] == "from-environment"


def test_baggage_carries_the_account_to_another_process(attributed) -> None:
    """What one process injects, the next one writes on its spans."""
    carrier: dict[str, str] = {}
    inject(carrier, context.with_attribution({names.TENANT_ID: "äcme & co", names.WORKFLOW_ID: "42"}))
    attributed.tracer.start_span("elsewhere", extract(carrier)).end()
    assert attributed.only[names.TENANT_ID] == "äcme & co"
    assert attributed.only[names.WORKFLOW_ID] == "42"


def test_installing_twice_adds_nothing(spans) -> None:
    """One attribution processor, one recording sampler, however often we are called."""
    for _ in range(3):
        hook.install(spans.provider)
    kinds = [type(each).__name__ for each in spans.provider._active_span_processor._span_processors]
    assert kinds.count("AttributionProcessor") == 1
    assert spans.provider.sampler.get_description().count("CallfareRecordEverything") == 1


@pytest.fixture
def globally(attributed, monkeypatch):
    monkeypatch.setattr(trace, "get_tracer", lambda name, *_: attributed.provider.get_tracer(name))
    return attributed


def test_workflow_as_a_decorator_of_every_kind_of_function(globally) -> None:
    """Functions, coroutines and generators of both kinds: each run is a span of its own around its calls."""
    wrapped = callfare.workflow("w", tenant="acme", category="bot")

    def work(label: str) -> None:
        callfare.record_usage("retrieval", "pinecone", label, read_units=1)

    @wrapped
    def plain() -> int:
        work("plain")
        return 1

    @wrapped
    async def coroutine() -> int:
        work("coroutine")
        return 2

    @wrapped
    def generator():
        work("generator")
        received = yield 3
        return received

    @wrapped
    async def async_generator():
        work("async generator")
        yield 4

    async def consume() -> list[int]:
        return [await coroutine()] + [item async for item in async_generator()]

    running = generator()
    assert (plain(), asyncio.run(consume()), next(running)) == (1, [2, 4], 3)
    assert names.TENANT_ID not in context.attribution_of()  # the consumer of a generator is on no account
    assert [*_rest(running, "sent")] == ["sent"]
    runs = {span.context.span_id for span in globally.all if span.name == "workflow w"}
    calls = [span for span in globally.all if span.name.startswith("retrieval")]
    assert len(runs) == len(calls) == 4
    assert {call.parent.span_id for call in calls} == runs
    assert {call.attributes[names.TENANT_ID] for call in calls} == {"acme"}


def _rest(running, sent):
    """What a generator returns for what it is sent."""
    try:
        running.send(sent)
    except StopIteration as stopped:
        yield stopped.value


def test_workflow_passes_errors_on_and_says_so(globally) -> None:
    """The exception is the application's; the span is marked, without its text."""
    with pytest.raises(ValueError, match="secret"), callfare.workflow("w", revenue=D("4.99")) as run:
        raise ValueError("a secret")
    (span,) = globally.all
    assert span.attributes[names.ERROR_TYPE] == "ValueError"
    assert (span.attributes[names.REVENUE_AMOUNT], span.attributes[names.REVENUE_CURRENCY]) == ("4.99", "USD")
    assert span.status.description is None
    assert run.trace_id == format(span.context.trace_id, "032x")


def test_record_usage_maps_every_quantity(globally) -> None:
    """Known quantities get their attribute, one other the vendor's meter; strings and Decimals stay exact."""
    callfare.record_usage("retrieval", "pinecone", "serverless", read_units="6.5")
    callfare.record_usage("chat", "acme", "m", input_tokens=10, output_tokens=D(3), images=2, pages=None)
    callfare.record_usage("hosting", "runpod", requests=2, vectors=3)
    units, tokens, several = globally.attributes
    assert (units[names.BILLED_QUANTITY], units[names.BILLED_UNIT]) == (6.5, "read_units")
    assert units["callfare.usage.read_units"] == 6.5
    assert (tokens[names.INPUT_TOKENS], tokens[names.OUTPUT_TOKENS]) == (10, 3)
    assert tokens["callfare.usage.images"] == 2.0
    assert (several["callfare.usage.requests"], several["callfare.usage.vectors"]) == (2.0, 3.0)
    assert names.BILLED_UNIT not in several


@pytest.mark.expects_internal_errors
@pytest.mark.parametrize("amount", ["many", -1, float("nan"), float("inf")])
def test_record_usage_refuses_nonsense_quietly(globally, amount) -> None:
    """No exception into the application, and no wrong figure on a span."""
    callfare.record_usage("retrieval", "pinecone", read_units=amount)
    assert globally.all == ()


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"headers": [(b"x-callfare-api-key-id", b"key_1")]}, {names.API_KEY_ID: "key_1"}),
        ({"headers": [(b"x-callfare-api-key-id", b"Bearer abc")]}, {}),
        ({"headers": [(b"x-tenant", b"acme")]}, {names.TENANT_ID: "acme"}),
        (
            {"state": {"keyId": "key_2"}, "headers": [(b"x-callfare-api-key-id", b"claimed")]},
            {names.API_KEY_ID: "key_2"},
        ),
        ({"headers": []}, {}),
        ({"type": "lifespan"}, {}),
    ],
)
def test_the_middleware_puts_a_request_on_its_account(attributed, scope, expected) -> None:
    """Verified state before headers, ids only, and nothing left behind after the request."""
    seen: list[dict[str, str]] = []

    async def app(_scope, _receive, _send) -> None:
        seen.append(context.attribution_of())

    async def request() -> None:
        with attributed.tracer.start_as_current_span("server"):
            await CallfareMiddleware(app, tenant_header="X-Tenant")({"type": "http", **scope}, None, None)
            assert context.attribution_of() == {}

    asyncio.run(request())
    assert seen == [expected]
    assert {name: value for name, value in attributed.only.items() if name in context.ATTRIBUTION} == expected
