"""On whose account: attribution, `workflow`, `record_usage`, the ASGI middleware."""

import asyncio
from decimal import Decimal

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.propagate import extract, inject

import callfare
from callfare import attributes as names
from callfare import usage
from callfare.asgi import CallfareMiddleware
from callfare.provider import context, hook
from cost_exporter.domain.quantity import QUANTITIES, WHOLE_QUANTITIES

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


def test_record_usage_knows_the_quantities_of_the_service() -> None:
    """The same names, and the same idea of what is counted and what is measured."""
    assert usage._QUANTITIES == QUANTITIES
    assert usage._QUANTITIES - usage._MEASURED == WHOLE_QUANTITIES


def test_record_usage_takes_its_arguments_by_name_as_well(globally) -> None:
    """As the contract spells them."""
    callfare.record_usage(operation="phone_call", provider="telnyx", model="voice", call_seconds=61, calls=1)
    assert globally.only[names.REQUEST_MODEL] == "voice"
    assert globally.only[names.CALL_DURATION_SECONDS] == 61.0
    assert names.BILLED_UNIT not in globally.only, "no vendor meters calls"


@pytest.mark.parametrize(
    "mistake",
    [
        *({"output_tokens": amount} for amount in ("many", -1, float("nan"), float("inf"), True, "1.5", 10**30)),
        {"output_token": 7},
    ],
)
def test_record_usage_with_a_mistake_says_nothing_rather_than_too_little(
    globally, mistake, caplog, monkeypatch
) -> None:
    """The rest alone would look like the whole bill. No exception; the log names the quantity, and not its amount."""
    monkeypatch.setattr(usage, "_warned", set())
    callfare.record_usage("chat", "openai", "gpt-4o", input_tokens=1_000, **mistake)
    assert not [name for name in globally.only if name.startswith(("gen_ai.usage.input", "gen_ai.usage.output"))]
    assert globally.only[names.USAGE_SOURCE] == "unknown"
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "callfare"]
    assert next(iter(mistake)) in warning
    assert "many" not in warning


def test_record_usage_suggests_the_name_that_was_meant(globally, caplog, monkeypatch) -> None:
    """Once: a mistake in a loop is one mistake."""
    monkeypatch.setattr(usage, "_warned", set())
    for _ in range(2):
        callfare.record_usage("chat", "openai", "gpt-4o", output_token=7)
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "callfare"]
    assert "did you mean output_tokens?" in warning


def test_record_usage_repeats_no_name_that_may_be_content(globally, caplog, monkeypatch) -> None:
    """A dictionary with data for keys is a mistake like any other, and stays out of the log."""
    monkeypatch.setattr(usage, "_warned", set())
    callfare.record_usage(
        "chat", "openai", "gpt-4o", **{"my secret words": 7}, **{f"q{number}": 1 for number in range(200)}
    )
    assert "secret" not in caplog.text
    assert len(usage._warned) == usage._WARNINGS_MAX


def test_record_usage_needs_no_tracer() -> None:
    """Without a provider nothing is recorded, and nothing raised."""
    callfare.record_usage("chat", "openai", "gpt-4o", input_tokens=1)


def test_record_usage_states_the_vendors_own_cost_exactly(globally, caplog, monkeypatch) -> None:
    """Money is a decimal string; what is no amount is left out, and said."""
    monkeypatch.setattr(usage, "_warned", set())
    callfare.record_usage("tool", "serpapi", "search", requests=1, vendor_cost_usd=D("0.1") + D("0.2"))
    callfare.record_usage("tool", "serpapi", "search", requests=1, vendor_cost_usd="-1")
    stated, refused = globally.attributes
    assert (stated[names.VENDOR_COST], stated[names.VENDOR_COST_CURRENCY]) == ("0.3", "USD")
    assert names.VENDOR_COST not in refused
    assert "vendor_cost_usd" in caplog.text


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
        ({"state": {"keyId": "sk-abc"}}, {}),
        ({"state": {"keyId": True, "tenant_id": 42}}, {names.TENANT_ID: "42"}),
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


def handled(spans, app, **scope) -> dict[str, dict]:
    """Attributes by the name of the span, after one request through the middleware inside a server's span."""

    async def request() -> None:
        with spans.tracer.start_as_current_span("server"):
            await CallfareMiddleware(app)({"type": "http", "headers": [], **scope}, None, None)

    asyncio.run(request())
    return {span.name: dict(span.attributes) for span in spans.all}


def test_what_is_verified_further_in_holds_from_then_on(attributed) -> None:
    """A dependency of the route finds the key: later calls are on it, and so is the server's span."""

    async def app(scope, _receive, _send) -> None:
        attributed.tracer.start_span("before").end()
        dict(scope)["state"]["keyId"] = "key_1"  # as a framework does that copies the scope
        attributed.tracer.start_span("after").end()
        await asyncio.create_task(later())

    async def later() -> None:
        attributed.tracer.start_span("in a task").end()

    found = handled(attributed, app)
    assert {name: attributes.get(names.API_KEY_ID) for name, attributes in found.items()} == {
        "before": None, "after": "key_1", "in a task": "key_1", "server": "key_1",
    }  # fmt: skip


def test_the_servers_span_is_told_before_it_ends(attributed, caplog) -> None:
    """Its instrumentation ends it with the last message, while the application is still at work."""
    server = attributed.tracer.start_span("server")

    async def app(scope, _receive, send) -> None:
        scope["state"]["keyId"] = "key_1"
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body", "more_body": False})

    async def send(message) -> None:
        if message["type"] == "http.response.body":
            server.end()

    async def request() -> None:
        with trace.use_span(server):
            await CallfareMiddleware(app)({"type": "http", "headers": []}, None, send)

    asyncio.run(request())
    assert attributed.only[names.API_KEY_ID] == "key_1"
    assert caplog.records == []


def test_what_is_verified_goes_before_what_was_sent(attributed) -> None:
    """Headers and baggage are claims."""

    async def app(scope, _receive, _send) -> None:
        scope["state"]["keyId"] = "verified"
        attributed.tracer.start_span("call").end()

    found = handled(attributed, app, headers=[(b"x-callfare-api-key-id", b"claimed")])
    assert found["call"][names.API_KEY_ID] == found["server"][names.API_KEY_ID] == "verified"


def test_a_workflow_goes_before_the_request_it_is_in(globally) -> None:
    """Whoever names an account in the code means it."""

    async def app(scope, _receive, _send) -> None:
        scope["state"].update(keyId="key_1", tenant="acme")
        with callfare.workflow("w", api_key="key_2"):
            globally.tracer.start_span("call").end()

    call = handled(globally, app)["call"]
    assert (call[names.API_KEY_ID], call[names.TENANT_ID]) == ("key_2", "acme")


def test_a_stranger_names_no_account_where_that_is_said(attributed, monkeypatch) -> None:
    """Our names in incoming baggage are dropped, others stay, and what this process says is sent on."""
    incoming = {"baggage": "callfare.tenant.id=victim,callfare.api_key.id=stolen,shop=42"}
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", propagate.get_global_textmap())  # put back afterwards
    assert context.attribution_of(extract(incoming))[names.TENANT_ID] == "victim"
    monkeypatch.setenv("CALLFARE_TRUST_BAGGAGE", "0")
    for _ in range(2):
        hook.install(attributed.provider)
    received = extract(incoming)
    assert context.attribution_of(received) == {}
    assert baggage.get_all(received) == {"shop": "42"}
    own = context.with_attribution({names.TENANT_ID: "acme"}, received)
    assert context.attribution_of(extract(incoming, own)) == {names.TENANT_ID: "acme"}
    carrier: dict[str, str] = {}
    inject(carrier, own)
    assert sorted(carrier["baggage"].split(",")) == ["callfare.tenant.id=acme", "shop=42"]
