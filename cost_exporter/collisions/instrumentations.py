"""The instrumentations known to describe the same calls as others: what they are called, seen and turned off by.

Data for `collisions.py`. To add one, add a row. The one that reports least comes first: it is turned off first.
Scopes and entry points were read in the packages themselves, 2026-11-26.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["BREAKAGES", "INSTRUMENTED", "NATIVE_OFF", "OF_FRAMEWORKS", "OF_VENDORS", "Breakage", "Instrumentation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrumentation:
    """One that describes calls of a vendor, or of a framework."""

    vendor: str
    """Whose calls it describes, or which framework's, whose calls a vendor's instrumentation describes as well."""
    name: str
    distribution: str = ""
    """"" if what is installed does not show it: the program turns it on."""
    scopes: tuple[str, ...]
    """Exact, or a beginning followed by `*`."""
    entry_point: str = ""
    """The name in the group `opentelemetry_instrumentor`, by which it is turned off."""
    switch: str = ""
    """The switch that turns it off, where it has no entry point."""
    since: tuple[int, ...] = ()
    """First version of the distribution that makes spans by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakage:
    """Two distributions that make no span if both are installed, with at most a line in a log."""

    vendor: str
    distribution: str
    beside: str
    too_new: tuple[int, ...]
    """First version of the other with which the distribution makes no span."""
    fix: str


NATIVE_OFF: Final = "ANTHROPIC_OPEN_TELEMETRY=false (`off` does not work)"

OF_VENDORS: Final[tuple[Instrumentation, ...]] = (
    Instrumentation(
        vendor="openai",
        name="Traceloop's OpenAI instrumentation",
        distribution="opentelemetry-instrumentation-openai",
        scopes=("opentelemetry.instrumentation.openai.v*",),
        entry_point="openai",
    ),
    Instrumentation(
        vendor="openai",
        name="OpenTelemetry's genai-openai",
        distribution="opentelemetry-instrumentation-genai-openai",
        scopes=("opentelemetry.instrumentation.genai.openai",),
        entry_point="openai",
    ),
    Instrumentation(
        vendor="openai",
        name="OpenTelemetry's openai-v2",
        distribution="opentelemetry-instrumentation-openai-v2",
        # Embeddings have its own scope, chat that of util-genai (measured 2.4b0 with util-genai 1.1b0).
        scopes=("opentelemetry.instrumentation.openai_v2", "opentelemetry.util.genai.handler"),
        entry_point="openai",
    ),
    Instrumentation(
        vendor="openai",
        name="OpenInference for OpenAI",
        distribution="openinference-instrumentation-openai",
        scopes=("openinference.instrumentation.openai",),
        entry_point="openai",
    ),
    Instrumentation(
        vendor="openai",
        name="OpenLIT",
        scopes=("openlit.instrumentation.openai",),
        switch="openlit.init(disabled_instrumentors=['openai'])",
    ),
    Instrumentation(
        vendor="openai",
        name="Logfire",
        scopes=("logfire.openai",),
        switch="leave out logfire.instrument_openai()",
    ),
    Instrumentation(
        vendor="anthropic",
        name="Traceloop's Anthropic instrumentation",
        distribution="opentelemetry-instrumentation-anthropic",
        scopes=("opentelemetry.instrumentation.anthropic",),
        entry_point="anthropic",
    ),
    Instrumentation(
        vendor="anthropic",
        name="OpenTelemetry's genai-anthropic",
        distribution="opentelemetry-instrumentation-genai-anthropic",
        scopes=("opentelemetry.instrumentation.genai.anthropic",),
        entry_point="anthropic",
    ),
    Instrumentation(
        vendor="anthropic",
        name="OpenInference for Anthropic",
        distribution="openinference-instrumentation-anthropic",
        scopes=("openinference.instrumentation.anthropic",),
        entry_point="anthropic",
    ),
    Instrumentation(
        vendor="anthropic",
        name="OpenLIT",
        scopes=("openlit.instrumentation.anthropic",),
        switch="openlit.init(disabled_instrumentors=['anthropic'])",
    ),
    Instrumentation(
        vendor="anthropic",
        name="Logfire",
        scopes=("logfire.anthropic",),
        switch="leave out logfire.instrument_anthropic()",
    ),
    Instrumentation(
        vendor="anthropic",
        name="the Anthropic SDK's own tracer",
        distribution="anthropic",
        scopes=("com.anthropic.sdk*",),
        switch=NATIVE_OFF,
        since=(2, 0),
    ),
    Instrumentation(
        vendor="bedrock",
        name="Traceloop's Bedrock instrumentation",
        distribution="opentelemetry-instrumentation-bedrock",
        scopes=("opentelemetry.instrumentation.bedrock",),
        entry_point="boto3",
    ),
    Instrumentation(
        vendor="bedrock",
        name="OpenInference for Bedrock",
        distribution="openinference-instrumentation-bedrock",
        scopes=("openinference.instrumentation.bedrock",),
        entry_point="bedrock",
    ),
    Instrumentation(
        vendor="bedrock",
        name="OpenTelemetry's botocore",
        distribution="opentelemetry-instrumentation-botocore",
        scopes=("opentelemetry.instrumentation.botocore.bedrock-runtime",),
        entry_point="botocore",
    ),
    Instrumentation(
        vendor="google",
        name="Traceloop's Google instrumentation",
        distribution="opentelemetry-instrumentation-google-generativeai",
        scopes=("opentelemetry.instrumentation.google_generativeai",),
        entry_point="google_generativeai",
    ),
    Instrumentation(
        vendor="google",
        name="OpenInference for Google",
        distribution="openinference-instrumentation-google-genai",
        scopes=("openinference.instrumentation.google_genai",),
        entry_point="google_genai",
    ),
    Instrumentation(
        vendor="google",
        name="OpenTelemetry's google-genai",
        distribution="opentelemetry-instrumentation-google-genai",
        scopes=("opentelemetry.instrumentation.google_genai",),
        entry_point="google-genai",
    ),
)

OF_FRAMEWORKS: Final[tuple[Instrumentation, ...]] = (
    Instrumentation(
        vendor="langchain",
        name="Traceloop's LangChain instrumentation",
        distribution="opentelemetry-instrumentation-langchain",
        scopes=("opentelemetry.instrumentation.langchain",),
        entry_point="langchain",
    ),
    Instrumentation(
        vendor="langchain",
        name="OpenInference for LangChain",
        distribution="openinference-instrumentation-langchain",
        scopes=("openinference.instrumentation.langchain",),
        entry_point="langchain",
    ),
    Instrumentation(
        vendor="langchain",
        name="OpenTelemetry's genai-langchain",
        distribution="opentelemetry-instrumentation-genai-langchain",
        scopes=("opentelemetry.instrumentation.genai.langchain",),
        entry_point="langchain",
    ),
    Instrumentation(
        vendor="pipecat",
        name="Pipecat's own tracing",
        scopes=("pipecat",),
        switch="PipelineTask(enable_tracing=False)",
    ),
    Instrumentation(
        vendor="pipecat",
        name="OpenInference for Pipecat",
        distribution="openinference-instrumentation-pipecat",
        scopes=("openinference.instrumentation.pipecat",),
        entry_point="pipecat",
        switch=("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=pipecat, or leave OpenInference's PipecatInstrumentor out"),
    ),
    Instrumentation(
        vendor="pipecat",
        name="callfare's Pipecat observer",
        scopes=("callfare.instrumentation.pipecat",),
        entry_point="callfare_pipecat",
    ),
    Instrumentation(
        vendor="pydantic-ai",
        name="Pydantic AI's own tracing",
        scopes=("pydantic-ai",),
        switch="leave out logfire.instrument_pydantic_ai() or Agent(instrument=True)",
    ),
    Instrumentation(
        vendor="litellm",
        name="LiteLLM's own tracing",
        scopes=("litellm",),
        switch="leave 'otel' out of litellm.callbacks",
    ),
    Instrumentation(
        vendor="livekit",
        name="LiveKit's own tracing",
        scopes=("livekit-agents",),
        switch="leave out livekit.agents.telemetry.set_tracer_provider()",
    ),
)

INSTRUMENTED: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "bedrock": "boto3",
    "google": "google-genai",
    "langchain": "langchain-core",
    "pipecat": "pipecat-ai",
}
"""Bundles bring instrumentations of what nobody uses here; they wake up where this distribution is there too."""

BREAKAGES: Final = (
    # Fails to import, which auto-instrumentation skips at debug level.
    Breakage(
        vendor="openai",
        distribution="opentelemetry-instrumentation-openai-v2",
        beside="opentelemetry-util-genai",
        too_new=(1, 2),
        fix="pip install 'opentelemetry-util-genai<1.2' or use opentelemetry-instrumentation-genai-openai instead",
    ),
    # Asks for less than 3, and instruments nothing else (1.3b0).
    Breakage(
        vendor="google",
        distribution="opentelemetry-instrumentation-google-genai",
        beside="google-genai",
        too_new=(3,),
        fix="pip install 'google-genai<3' or use openinference-instrumentation-google-genai instead",
    ),
)
