"""Name instrumentations that describe the same calls, with the switch that turns one of them off.

Pure: it takes what is installed, or the scopes that were seen in spans, and says what collides. Such pairs are
billed once all the same (semantics 6), but they cost spans, and where one of them lacks ids the decision is
a guess. `callfare doctor` shows what is found, and the receiver logs it once.

The switch must turn off one of them only. Several packages share an entry-point name, and
OTEL_PYTHON_DISABLED_INSTRUMENTATIONS goes by that name: there it would turn off all, and the calls would be lost.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cost_exporter.domain.value import value

__all__ = ["Collision", "installed_collisions", "seen_collisions"]


@value
class _Instrumentation:
    vendor: str
    """Whose calls it describes, or which framework's, whose calls a vendor's instrumentation describes as well."""
    name: str
    distribution: str = ""
    """"" where it cannot be told from what is installed: the program turns it on."""
    scopes: tuple[str, ...]
    """Exact, or a beginning followed by `*`."""
    entry_point: str = ""
    """The name in the group `opentelemetry_instrumentor`, by which it is turned off."""
    switch: str = ""
    """What turns it off where no entry point does."""
    since: tuple[int, ...] = ()
    """First version of the distribution that makes spans by itself."""


@value
class Collision:
    """Instrumentations that get in each other's way."""

    vendor: str
    names: tuple[str, ...]
    mend: str
    """One line that says what to do."""
    is_broken: bool = False
    """True where the pair loses spans, instead of doubling them."""

    @property
    def who(self) -> str:
        """The names in a row, as they are read."""
        return " and ".join([", ".join(self.names[:-1]), self.names[-1]])


_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_NATIVE_OFF: Final = "ANTHROPIC_OPEN_TELEMETRY=false (`off` does not work)"

# In the order in which they are to go: first the one that tells least. Entry points read in the packages, 2026-11-26.
_OF_VENDORS: Final[tuple[_Instrumentation, ...]] = (
    _Instrumentation(
        vendor="openai",
        name="Traceloop's OpenAI instrumentation",
        distribution="opentelemetry-instrumentation-openai",
        scopes=("opentelemetry.instrumentation.openai.v*",),
        entry_point="openai",
    ),
    _Instrumentation(
        vendor="openai",
        name="OpenTelemetry's genai-openai",
        distribution="opentelemetry-instrumentation-genai-openai",
        scopes=("opentelemetry.instrumentation.genai.openai",),
        entry_point="openai",
    ),
    _Instrumentation(
        vendor="openai",
        name="OpenTelemetry's openai-v2",
        distribution="opentelemetry-instrumentation-openai-v2",
        # Embeddings have its own scope, chat that of util-genai (measured 2.4b0 with util-genai 1.1b0).
        scopes=("opentelemetry.instrumentation.openai_v2", "opentelemetry.util.genai.handler"),
        entry_point="openai",
    ),
    _Instrumentation(
        vendor="openai",
        name="OpenInference for OpenAI",
        distribution="openinference-instrumentation-openai",
        scopes=("openinference.instrumentation.openai",),
        entry_point="openai",
    ),
    _Instrumentation(
        vendor="openai",
        name="OpenLIT",
        scopes=("openlit.instrumentation.openai",),
        switch="openlit.init(disabled_instrumentors=['openai'])",
    ),
    _Instrumentation(
        vendor="openai",
        name="Logfire",
        scopes=("logfire.openai",),
        switch="leave out logfire.instrument_openai()",
    ),
    _Instrumentation(
        vendor="anthropic",
        name="Traceloop's Anthropic instrumentation",
        distribution="opentelemetry-instrumentation-anthropic",
        scopes=("opentelemetry.instrumentation.anthropic",),
        entry_point="anthropic",
    ),
    _Instrumentation(
        vendor="anthropic",
        name="OpenTelemetry's genai-anthropic",
        distribution="opentelemetry-instrumentation-genai-anthropic",
        scopes=("opentelemetry.instrumentation.genai.anthropic",),
        entry_point="anthropic",
    ),
    _Instrumentation(
        vendor="anthropic",
        name="OpenInference for Anthropic",
        distribution="openinference-instrumentation-anthropic",
        scopes=("openinference.instrumentation.anthropic",),
        entry_point="anthropic",
    ),
    _Instrumentation(
        vendor="anthropic",
        name="OpenLIT",
        scopes=("openlit.instrumentation.anthropic",),
        switch="openlit.init(disabled_instrumentors=['anthropic'])",
    ),
    _Instrumentation(
        vendor="anthropic",
        name="Logfire",
        scopes=("logfire.anthropic",),
        switch="leave out logfire.instrument_anthropic()",
    ),
    _Instrumentation(
        vendor="anthropic",
        name="the Anthropic SDK's own tracer",
        distribution="anthropic",
        scopes=("com.anthropic.sdk*",),
        switch=_NATIVE_OFF,
        since=(2, 0),
    ),
    _Instrumentation(
        vendor="bedrock",
        name="Traceloop's Bedrock instrumentation",
        distribution="opentelemetry-instrumentation-bedrock",
        scopes=("opentelemetry.instrumentation.bedrock",),
        entry_point="boto3",
    ),
    _Instrumentation(
        vendor="bedrock",
        name="OpenInference for Bedrock",
        distribution="openinference-instrumentation-bedrock",
        scopes=("openinference.instrumentation.bedrock",),
        entry_point="bedrock",
    ),
    _Instrumentation(
        vendor="bedrock",
        name="OpenTelemetry's botocore",
        distribution="opentelemetry-instrumentation-botocore",
        scopes=("opentelemetry.instrumentation.botocore.bedrock-runtime",),
        entry_point="botocore",
    ),
    _Instrumentation(
        vendor="google",
        name="Traceloop's Google instrumentation",
        distribution="opentelemetry-instrumentation-google-generativeai",
        scopes=("opentelemetry.instrumentation.google_generativeai",),
        entry_point="google_generativeai",
    ),
    _Instrumentation(
        vendor="google",
        name="OpenInference for Google",
        distribution="openinference-instrumentation-google-genai",
        scopes=("openinference.instrumentation.google_genai",),
        entry_point="google_genai",
    ),
    _Instrumentation(
        vendor="google",
        name="OpenTelemetry's google-genai",
        distribution="opentelemetry-instrumentation-google-genai",
        scopes=("opentelemetry.instrumentation.google_genai",),
        entry_point="google-genai",
    ),
)

_OF_FRAMEWORKS: Final[tuple[_Instrumentation, ...]] = (
    _Instrumentation(
        vendor="langchain",
        name="Traceloop's LangChain instrumentation",
        distribution="opentelemetry-instrumentation-langchain",
        scopes=("opentelemetry.instrumentation.langchain",),
        entry_point="langchain",
    ),
    _Instrumentation(
        vendor="langchain",
        name="OpenInference for LangChain",
        distribution="openinference-instrumentation-langchain",
        scopes=("openinference.instrumentation.langchain",),
        entry_point="langchain",
    ),
    _Instrumentation(
        vendor="langchain",
        name="OpenTelemetry's genai-langchain",
        distribution="opentelemetry-instrumentation-genai-langchain",
        scopes=("opentelemetry.instrumentation.genai.langchain",),
        entry_point="langchain",
    ),
    _Instrumentation(
        vendor="pipecat",
        name="Pipecat's own tracing",
        scopes=("pipecat",),
        switch="PipelineTask(enable_tracing=False)",
    ),
    _Instrumentation(
        vendor="pipecat",
        name="OpenInference for Pipecat",
        distribution="openinference-instrumentation-pipecat",
        scopes=("openinference.instrumentation.pipecat",),
        entry_point="pipecat",
    ),
    _Instrumentation(
        vendor="pipecat",
        name="callfare's Pipecat observer",
        scopes=("callfare.instrumentation.pipecat",),
        entry_point="callfare_pipecat",
    ),
    _Instrumentation(
        vendor="pydantic-ai",
        name="Pydantic AI's own tracing",
        scopes=("pydantic-ai",),
        switch="leave out logfire.instrument_pydantic_ai() or Agent(instrument=True)",
    ),
    _Instrumentation(
        vendor="litellm",
        name="LiteLLM's own tracing",
        scopes=("litellm",),
        switch="leave 'otel' out of litellm.callbacks",
    ),
    _Instrumentation(
        vendor="livekit",
        name="LiveKit's own tracing",
        scopes=("livekit-agents",),
        switch="leave out livekit.agents.telemetry.set_tracer_provider()",
    ),
)
_GENAI: Final = "OpenTelemetry's genai-"
"""A framework's of this make says nothing of a call that a vendor's of the same make describes below it."""
_OURS: Final = "callfare's "
"""Says that its spans are not billable where a vendor's instrumentation is active."""
_INSTRUMENTED: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "bedrock": "boto3",
    "google": "google-genai",
    "langchain": "langchain-core",
    "pipecat": "pipecat-ai",
}
"""Bundles bring instrumentations of what nobody uses here; they wake up where this distribution is there too."""


@value
class _Breakage:
    """Two distributions that make no span together, and say so at most in a log."""

    vendor: str
    distribution: str
    beside: str
    too_new: tuple[int, ...]
    """First version of the other with which the distribution makes no span."""
    mend: str


_BREAKAGES: Final = (
    # Fails to import, which auto-instrumentation skips at debug level.
    _Breakage(
        vendor="openai",
        distribution="opentelemetry-instrumentation-openai-v2",
        beside="opentelemetry-util-genai",
        too_new=(1, 2),
        mend="pip install 'opentelemetry-util-genai<1.2' or use opentelemetry-instrumentation-genai-openai instead",
    ),
    # Asks for less than 3, and instruments nothing else (1.3b0).
    _Breakage(
        vendor="google",
        distribution="opentelemetry-instrumentation-google-genai",
        beside="google-genai",
        too_new=(3,),
        mend="pip install 'google-genai<3' or use openinference-instrumentation-google-genai instead",
    ),
)
_NOTHING_SET: Final[Mapping[str, str]] = {}


def installed_collisions(versions: Mapping[str, str], environment: Mapping[str, str] = _NOTHING_SET) -> list[Collision]:
    """Return what collides among installed distributions, `versions` being name -> version.

    What the environment variables turn off does not.
    """
    known = {_normalised(name): _numbers(version) for name, version in versions.items()}
    found = [
        each
        for each in (*_OF_VENDORS, *_OF_FRAMEWORKS)
        if each.distribution in known and known[each.distribution] >= each.since and not _is_off(each, environment)
    ]
    awake = [each for each in found if _INSTRUMENTED[each.vendor] in known]
    return [*_broken(known), *_doubles(found), *_layers(awake)]


def seen_collisions(scopes: Iterable[str]) -> list[Collision]:
    """Return what collides among the instrumentation scopes of spans that arrived from one service."""
    names = set(scopes)
    found = [
        each
        for each in (*_OF_VENDORS, *_OF_FRAMEWORKS)
        if any(_is_scope(pattern, name) for pattern in each.scopes for name in names)
    ]
    return [*_doubles(found), *_layers(found)]


def _doubles(found: Sequence[_Instrumentation]) -> list[Collision]:
    """Return those that describe the same layer: the calls of one vendor, or of one framework."""
    by_vendor: dict[str, list[_Instrumentation]] = {}
    for each in found:
        by_vendor.setdefault(each.vendor, []).append(each)
    return [
        Collision(vendor=vendor, names=tuple(each.name for each in several), mend=_mend(several))
        for vendor, several in sorted(by_vendor.items())
        if len(several) > 1
    ]


def _layers(found: Sequence[_Instrumentation]) -> list[Collision]:
    """Return frameworks' instrumentations that stand above those of the vendors they call."""
    collisions: list[Collision] = []
    for framework in found:
        if framework in _OF_FRAMEWORKS and not framework.name.startswith(_OURS):
            is_quiet = framework.name.startswith(_GENAI)
            below = [each for each in found if each in _OF_VENDORS and not (is_quiet and each.name.startswith(_GENAI))]
            names = (framework.name, *[each.name for each in below])
            if below:
                collisions.append(Collision(vendor=framework.vendor, names=names, mend=_off(framework)))
    return collisions


def _mend(several: Sequence[_Instrumentation]) -> str:
    """Return how to turn off all but the one that tells most, or at least one."""
    if several[-1].switch == _NATIVE_OFF:
        off = " and ".join(dict.fromkeys(_off(each) for each in several[:-1]))
        return f"{off} keeps the SDK's own, which alone tells 1-hour cache writes apart; or {_NATIVE_OFF}"
    first = several[0]
    if first.entry_point and any(each.entry_point == first.entry_point for each in several[1:]):
        return (
            f"pip uninstall {first.distribution} (they share the entry-point name {first.entry_point}, so"
            f" {_DISABLED}={first.entry_point} would turn off every one)"
        )
    return _off(first)


def _off(instrumentation: _Instrumentation) -> str:
    return instrumentation.switch or f"{_DISABLED}={instrumentation.entry_point}"


def _broken(known: Mapping[str, tuple[int, ...]]) -> list[Collision]:
    """Return pairs that make no span together, and say so at most in a log."""
    return [
        Collision(vendor=each.vendor, names=(each.distribution, each.beside), mend=each.mend, is_broken=True)
        for each in _BREAKAGES
        if each.distribution in known and known.get(each.beside, ()) >= each.too_new
    ]


def _is_off(instrumentation: _Instrumentation, environment: Mapping[str, str]) -> bool:
    if instrumentation.switch == _NATIVE_OFF:
        return environment.get("ANTHROPIC_OPEN_TELEMETRY", "").lower() == "false"
    disabled = {name.strip() for name in environment.get(_DISABLED, "").split(",")}
    return not disabled.isdisjoint({"*", instrumentation.entry_point} - {""})


def _is_scope(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()
