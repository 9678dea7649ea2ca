"""The parts every instrumentor builds on: wrappers, base class, open calls, errors."""

import asyncio
import logging
import os
import sys
import types
from collections.abc import Iterator
from decimal import Decimal

import pytest
from opentelemetry import context as context_api

from callfare import attributes as names
from callfare import guard
from callfare.calls.failure import http_status_of, is_refusal
from callfare.calls.span import CallRequest, open_call
from callfare.calls.wrapping import around_async_generator, around_call, around_context, around_generator
from callfare.instrumentor import CallfareInstrumentor, Wrap

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


def _read(_instance, args, _kwargs) -> CallRequest:
    return CallRequest(operation="text_to_speech", provider="acme", quantities={names.INPUT_CHARACTERS: len(args[0])})


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


def test_a_generator_complains_of_wrong_arguments_when_it_is_called(acme, spans, instrumented) -> None:
    """As it does without us, and not at the first `next`, in another place of the application; nothing is recorded."""
    for method in (acme().lines, acme().lines_async):
        with pytest.raises(TypeError, match="text"):
            method()
    assert spans.all == ()


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

    def broken(*_) -> CallRequest:
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

    make = around_context(lambda *_: CallRequest(operation="text_to_speech", provider="acme"))
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


def test_a_call_is_finished_once(spans, caplog) -> None:
    """Whatever comes later changes nothing and says nothing."""
    call = open_call(spans.tracer, CallRequest(operation="speech_to_text", provider="acme"))
    call.end()
    call.fail(ValueError())
    call.interrupt()
    assert names.ERROR_TYPE not in spans.only
    assert caplog.records == []


def test_content_needs_the_operators_word(spans, monkeypatch) -> None:
    """CALLFARE_CAPTURE_CONTENT is off unless it is on."""
    for value in ("", "0", "true"):
        monkeypatch.setenv("CALLFARE_CAPTURE_CONTENT", value)
        call = open_call(spans.tracer, CallRequest(operation="speech_to_text", provider="acme"))
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
