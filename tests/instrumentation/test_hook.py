"""Where the application sets up tracing by itself, before or after us, or behind a provider of its own kind."""

import os
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import callfare
from callfare import attributes as names
from callfare.account import with_attribution
from callfare.provider import hook
from tests.instrumentation.instrumented_app import ROOT
from tests.support.waiting import RUN_SECONDS_MAX

SET_UP = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""
CALL = """
import callfare
with callfare.workflow('w', tenant='acme'):
    trace.get_tracer('foreign').start_span('chat').end()
trace.get_tracer('foreign').start_span('alone').end()
for span in exporter.get_finished_spans():
    print(span.name, span.attributes.get('callfare.tenant.id'), span.attributes.get('callfare.category'))
"""
LOADED = "from callfare.provider.hook import pre_instrument, post_instrument\npre_instrument()\npost_instrument()\n"


def output_of(script: str, **variables: str) -> list[str]:
    """What a script prints, run by itself: a process has one tracer provider."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "instrumentation"), "CALLFARE_CATEGORY": "bot", **variables}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True,
        timeout=RUN_SECONDS_MAX,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize("script", [LOADED + SET_UP, SET_UP + LOADED, SET_UP], ids=["before", "after", "by hand"])
def test_a_provider_of_the_application_gets_our_parts(script) -> None:
    """Whether we were loaded before it or after it, or `workflow` is all that is used of us."""
    assert output_of(script + CALL) == ["chat acme bot", "workflow w acme bot", "alone None bot"]


def test_disabled_is_disabled_in_the_code_as_well() -> None:
    """No span of a workflow, no account on others, no usage: as if the lines were not there."""
    script = SET_UP + LOADED + "import callfare\ncallfare.record_usage('retrieval', 'pinecone', read_units=1)\n" + CALL
    assert output_of(script, CALLFARE_DISABLED="1") == ["chat None None", "alone None None"]


class Standing(trace.TracerProvider):
    """Stands for a provider of the SDK, as Logfire's does."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider

    def get_tracer(self, *args, **kwargs) -> trace.Tracer:
        return self.provider.get_tracer(*args, **kwargs)


def test_the_sdks_provider_is_found_behind_another(spans) -> None:
    """Our parts are put onto the one that makes the spans."""
    hook.install(Standing(spans.provider))
    spans.provider.get_tracer("t").start_span("s", with_attribution({names.TENANT_ID: "acme"})).end()
    assert spans.only[names.TENANT_ID] == "acme"


def test_a_workflow_says_its_account_without_our_parts(monkeypatch) -> None:
    """On a provider that takes none of them, its span still tells the service who pays for all below it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", lambda name, *_: provider.get_tracer(name))
    monkeypatch.setattr(hook, "install", lambda: None)
    with callfare.workflow("w", tenant="acme", api_key="key_1"):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert (span.attributes[names.TENANT_ID], span.attributes[names.API_KEY_ID]) == ("acme", "key_1")


@pytest.mark.parametrize(
    ("loads", "variables", "is_asking"),
    [(True, {}, "True"), (False, {}, "False"), (True, {"CALLFARE_INCLUDE_USAGE": "0"}, "False")],
)
def test_usage_of_streams_is_asked_for_where_openais_sdk_is_instrumented(
    loads: bool, variables: dict[str, str], is_asking: str
) -> None:
    """After all other instrumentations, so that the extra chunk is taken out outside of them."""
    script = "import callfare.instrumentation.openai_audio\n" * loads + LOADED
    script += "from callfare.instrumentation.openai_audio._stream_usage import StreamUsageInstrumentor\n"
    script += "print(StreamUsageInstrumentor().is_instrumented_by_opentelemetry)\n"
    assert output_of(script, **variables)[-1] == is_asking
