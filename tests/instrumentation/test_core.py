"""The parts every instrumentor builds on: wrappers, base class, workflow, usage, middleware, audio, errors."""

import asyncio
import io
import logging
import os
import sys
import types
import wave
from collections.abc import Iterator
from decimal import Decimal

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.propagate import extract, inject

import callfare
from callfare import attributes as names
from callfare import audio, context, guard, hook
from callfare.asgi import CallfareMiddleware
from callfare.failure import http_status_of, is_refusal
from callfare.instrumentor import CallfareInstrumentor, Wrap
from callfare.span import Request, open_call
from callfare.wrapping import around_async_generator, around_call, around_context, around_generator

D = Decimal


class Speaker:
    """A vendor in a few lines, one method a shape."""

    def speak(self, text):
        if text == "refuse":
            raise ConnectionRefusedError
        return text.upper()

    def lines(self, text):
        try:
            yield from text
        finally:
            self.is_closed = True

    async def lines_async(self, text):
        for letter in text:
            yield letter

    def outer(self, text):
        return self.speak(text)


def _read(_instance, args, _kwargs) -> Request:
    return Request(operation="text_to_speech", provider="acme", quantities={names.INPUT_CHARACTERS: len(args[0])})


class AcmeInstrumentor(CallfareInstrumentor):
    name = "acme"
    instruments = ("pytest >= 8",)
    wraps = (
        Wrap("acme_sdk", "Speaker.speak", around_call(_read)),
        Wrap("acme_sdk", "Speaker.lines", around_generator(_read)),
        Wrap("acme_sdk", "Speaker.lines_async", around_async_generator(_read)),
        Wrap("acme_sdk", "Speaker.outer", around_call(_read)),
        Wrap("acme_sdk", "Speaker.not_yet", around_call(_read), since="999"),
        Wrap("acme_sdk", "Speaker.gone", around_call(_read), before="1"),
    )


@pytest.fixture
def acme(monkeypatch) -> type[Speaker]:
    """The vendor's module as an import finds it, with a class of its own for every test."""
    fresh = type("Speaker", (), {name: value for name, value in vars(Speaker).items() if callable(value)})
    module = types.ModuleType("acme_sdk")
    module.Speaker = fresh
    monkeypatch.setitem(sys.modules, "acme_sdk", module)
    return fresh


@pytest.fixture
def instrumented(acme, spans) -> Iterator[None]:
    instrumentor = AcmeInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield
    instrumentor.uninstrument()


def test_uninstrument_restores_the_class_exactly(acme, spans) -> None:
    """Twice over: every attribute is the very object it was."""
    before = dict(vars(acme))
    instrumentor = AcmeInstrumentor()
    for _ in range(2):
        instrumentor.instrument(tracer_provider=spans.provider)
        assert vars(acme)["speak"] is not before["speak"]
        instrumentor.uninstrument()
        assert dict(vars(acme)) == before


def test_a_layer_of_the_same_vendor_is_not_counted_again(acme, spans, instrumented) -> None:
    """`outer` calls `speak`: one call, one span."""
    assert acme().outer("abc") == "ABC"
    assert spans.only[names.INPUT_CHARACTERS] == 3


def test_a_generator_closed_early_closes_the_vendors(acme, spans, instrumented) -> None:
    """The vendor's own clean-up runs when it would have run without us."""
    speaker = acme()
    lines = speaker.lines("abc")
    assert next(lines) == "a"
    lines.close()
    assert speaker.is_closed
    assert spans.only[names.FINISH_REASONS] == ("interrupted",)


def test_two_concurrent_streams_do_not_mix(acme, spans, instrumented) -> None:
    """Two tasks, two contexts: each span has its own text and the parent of its own task."""
    tracer = spans.provider.get_tracer("app")

    async def use(text: str) -> None:
        with tracer.start_as_current_span(text):
            async for _ in acme().lines_async(text):
                await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(use("aaa"), use("bbbbb"))

    asyncio.run(both())
    parents = {span.context.span_id: span.name for span in spans.all if span.instrumentation_scope.name == "app"}
    found = {parents[s.parent.span_id]: s.attributes[names.INPUT_CHARACTERS] for s in spans.all if s.parent}
    assert found == {"aaa": 3, "bbbbb": 5}


@pytest.mark.expects_internal_errors
def test_our_own_error_never_reaches_the_application(acme, spans, caplog) -> None:
    """A reader that fails costs its usage, not the call; it is logged once and counted every time."""

    def broken(*_) -> Request:
        raise KeyError("ours")

    class Broken(CallfareInstrumentor):
        name = "broken"
        wraps = (Wrap("acme_sdk", "Speaker.speak", around_call(broken)),)

    before = guard.internal_error_count()
    Broken().instrument(tracer_provider=spans.provider)
    with caplog.at_level(logging.WARNING, "callfare"):
        assert [acme().speak("a"), acme().speak("b")] == ["A", "B"]
    Broken().uninstrument()
    assert spans.all == ()
    assert guard.internal_error_count() == before + 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("requirement", "line"),
    [("pytest < 1", "pytest"), ("a-package-that-is-not-there >= 1", None)],
)
def test_an_untested_version_is_one_warning_and_an_absent_one_none(acme, spans, caplog, requirement, line) -> None:
    """The vendor's class stays as it is."""

    class Other(AcmeInstrumentor):
        instruments = (requirement,)

    before = dict(vars(acme))
    with caplog.at_level(logging.INFO):
        Other().instrument(tracer_provider=spans.provider, skip_dep_check=True)
    assert dict(vars(acme)) == before
    assert len(caplog.records) == (1 if line else 0)
    assert all("is not instrumented: callfare supports" in record.message for record in caplog.records)


def test_a_missing_method_is_one_warning_and_the_rest_is_wrapped(acme, spans, caplog) -> None:
    """Neither a method of a later release nor one of an earlier is missed."""
    del acme.outer
    instrumentor = AcmeInstrumentor()
    with caplog.at_level(logging.WARNING, "callfare"):
        instrumentor.instrument(tracer_provider=spans.provider)
    acme().speak("abc")
    instrumentor.uninstrument()
    assert len(spans.all) == 1
    assert [record.message for record in caplog.records] == [
        "acme_sdk.Speaker.outer is not there in this version of acme: its usage will not be recorded"
    ]


def test_a_context_manager_left_with_an_error_keeps_the_error(spans) -> None:
    """The application's own exception passes through `__exit__` unchanged."""
    import contextlib

    @contextlib.contextmanager
    def session():
        yield "answer"

    make = around_context(lambda *_: Request(operation="text_to_speech", provider="acme"))
    wrapper = make(spans.provider.get_tracer("t"))
    with pytest.raises(ZeroDivisionError), wrapper(session, None, (), {}) as answer:  # noqa: PT012 - the body is the point
        assert answer == "answer"
        _ = 1 / 0
    assert spans.only[names.ERROR_TYPE] == "ZeroDivisionError"


class Answered(Exception):
    def __init__(self, status: object) -> None:
        super().__init__()
        self.status_code = status


def test_what_is_a_refusal() -> None:
    """An HTTP error or no connection; not a time-out, not a websocket's close code."""
    unreachable = RuntimeError("request failed")
    unreachable.__cause__ = ConnectionRefusedError()
    assert is_refusal(Answered(429))
    assert is_refusal(unreachable)
    assert is_refusal(TypeError())
    assert not is_refusal(TimeoutError())
    assert not is_refusal(ConnectionResetError())
    assert http_status_of(Answered(1008)) is None
    assert not is_refusal(Answered(1008))


def test_an_error_being_handled_elsewhere_is_not_the_cause() -> None:
    """A time-out while the application deals with some 404 is no refusal."""
    late = TimeoutError()
    late.__context__ = Answered(404)
    assert not is_refusal(late)


# Attribution


@pytest.fixture
def attributed(spans):
    hook.install(spans.provider)
    return spans


def tracer_of(spans):
    return spans.provider.get_tracer("app")


def test_the_nearest_attribution_wins(attributed, monkeypatch) -> None:
    """The span itself, then the context, then the parent, then the environment."""
    monkeypatch.setenv("CALLFARE_TENANT", "from-environment")
    monkeypatch.setenv("CALLFARE_CATEGORY", "from-environment")
    tracer = tracer_of(attributed)
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
    tracer_of(attributed).start_span("elsewhere", extract(carrier)).end()
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
        with tracer_of(attributed).start_as_current_span("server"):
            await CallfareMiddleware(app, tenant_header="X-Tenant")({"type": "http", **scope}, None, None)
            assert context.attribution_of() == {}

    asyncio.run(request())
    assert seen == [expected]
    assert {name: value for name, value in attributed.only.items() if name in context.ATTRIBUTION} == expected


# Audio


@pytest.mark.parametrize(
    ("encoding", "rate", "channels", "bytes_per_second"),
    [
        ("linear16", 16_000, 1, 32_000),
        ("linear16", 48_000, 2, 192_000),
        ("mulaw", 8_000, 1, 8_000),
        ("pcm_f32le", 44_100, 1, 176_400),
        ("opus", 48_000, 1, None),
        ("linear16", 0, 1, None),
    ],
)
def test_bytes_of_a_second(encoding, rate, channels, bytes_per_second) -> None:
    """Raw encodings have a rate; compressed ones have none we could state."""
    assert audio.bytes_per_second(encoding, rate, channels) == bytes_per_second


@pytest.mark.parametrize(
    ("name", "bytes_per_second"),
    [("pcm_16000", 32_000), ("ulaw_8000", 8_000), ("mp3_44100_128", 16_000), ("opus_48000_32", None), ("", None)],
)
def test_bytes_of_a_second_of_a_format_in_one_word(name, bytes_per_second) -> None:
    """As ElevenLabs names them."""
    assert audio.format_bytes_per_second(name) == bytes_per_second


def test_a_wav_file_lasts_as_long_as_its_bytes(wav) -> None:
    """Exact seconds, also with other chunks before the data, a size left open, or a file cut off."""
    file = wav(1.5, channels=2)
    assert audio.wav_seconds(file[:100], len(file)) == D("1.5")
    assert audio.wav_seconds(file[:100], len(file) - 32_000) == D(1)
    listed = file[:12] + b"LIST\x04\0\0\0abcd" + file[12:]
    assert audio.wav_seconds(listed, len(listed)) == D("1.5")
    data = file.index(b"data")
    streamed = file[: data + 4] + b"\xff\xff\xff\xff" + file[data + 8 :]
    assert audio.wav_seconds(streamed, len(streamed)) == D("1.5")
    assert audio.wav_seconds(b"ID3", 3) is None
    assert audio.wav_seconds(b"RIFF\0\0\0\0WAVEfmt ", 1000) is None
    with wave.open(io.BytesIO(file)) as read:
        assert audio.wav_seconds(file, len(file)) == D(read.getnframes()) / read.getframerate()


def test_seconds_are_the_shortest_decimal(spans) -> None:
    """A double that reads back as the number that was counted."""
    call = open_call(tracer_of(spans), Request(operation="speech_to_text", provider="acme"))
    call.add(names.AUDIO_INPUT_SECONDS, 0.1)
    call.add(names.AUDIO_INPUT_SECONDS, 0.2)
    call.end()
    assert str(spans.only[names.AUDIO_INPUT_SECONDS]) == "0.3"


def test_a_call_is_finished_once(spans, caplog) -> None:
    """Whatever comes later changes nothing and says nothing."""
    call = open_call(tracer_of(spans), Request(operation="speech_to_text", provider="acme"))
    call.end()
    call.fail(ValueError())
    call.interrupt()
    assert names.ERROR_TYPE not in spans.only
    assert caplog.records == []


def test_content_needs_the_operators_word(spans, monkeypatch) -> None:
    """CALLFARE_CAPTURE_CONTENT is off unless it is on."""
    for value in ("", "0", "true"):
        monkeypatch.setenv("CALLFARE_CAPTURE_CONTENT", value)
        call = open_call(tracer_of(spans), Request(operation="speech_to_text", provider="acme"))
        call.content("transcript", "the secret words")
        call.end()
    assert ["the secret words" in str(found) for found in spans.attributes] == [False, False, True]


def test_the_vendors_own_suppression_is_respected(acme, spans, instrumented) -> None:
    """OpenTelemetry's suppress_instrumentation silences us too."""
    token = context_api.attach(context_api.set_value("suppress_instrumentation", value=True))
    acme().speak("abc")
    context_api.detach(token)
    assert spans.all == ()


def test_importing_callfare_imports_no_opentelemetry() -> None:
    """The import is next to free; the rest comes with the first name used."""
    import subprocess

    program = "import sys, callfare; print(any(name.startswith('opentelemetry') for name in sys.modules))"
    path = os.pathsep.join(entry for entry in sys.path if entry.endswith("instrumentation"))
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
