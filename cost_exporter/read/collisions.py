"""Name instrumentations that describe the same calls, with the switch that turns one of them off.

Pure: it takes what is installed, or the scopes that were seen in spans, and says what collides. Such pairs are
billed once all the same (semantics 6), but they cost spans, and where one of them lacks ids the decision is
a guess. `callfare doctor` shows what is found, and the receiver logs it once.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from cost_exporter.domain.value import value

__all__ = ["Collision", "installed_collisions", "seen_collisions"]

_UNINSTALL: Final = "pip uninstall {distribution}"


@value
class _Instrumentation:
    vendor: str
    """Whose calls it describes; `frameworks` describe calls that a vendor's instrumentation describes too."""
    name: str
    distribution: str
    scope: str
    """Exact, or a beginning followed by `*`."""
    switch: str = _UNINSTALL
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


_OFF: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={name}"
_SAME_NAME: Final = (
    _UNINSTALL + " (all OpenAI instrumentations share one entry-point name, so"
    " OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=openai would turn off every one)"
)
_NATIVE_OFF: Final = "ANTHROPIC_OPEN_TELEMETRY=false (`off` does not work)"

_INSTRUMENTATIONS: Final[tuple[_Instrumentation, ...]] = tuple(
    _Instrumentation(vendor=vendor, name=name, distribution=distribution, scope=scope, switch=switch, since=since)
    for vendor, name, distribution, scope, switch, since in (
        (
            "openai",
            "Traceloop's OpenAI instrumentation",
            "opentelemetry-instrumentation-openai",
            "opentelemetry.instrumentation.openai.v*",
            _SAME_NAME,
            (),
        ),
        (
            "openai",
            "OpenTelemetry's genai-openai",
            "opentelemetry-instrumentation-genai-openai",
            "opentelemetry.instrumentation.genai.openai",
            _SAME_NAME,
            (),
        ),
        (
            "openai",
            "OpenTelemetry's openai-v2",
            "opentelemetry-instrumentation-openai-v2",
            "opentelemetry.instrumentation.openai_v2",
            _SAME_NAME,
            (),
        ),
        (
            "openai",
            "OpenInference for OpenAI",
            "openinference-instrumentation-openai",
            "openinference.instrumentation.openai",
            _SAME_NAME,
            (),
        ),
        (
            "openai",
            "OpenLIT",
            "openlit",
            "openlit.instrumentation.openai",
            "openlit.init(disabled_instrumentors=['openai'])",
            (),
        ),
        ("openai", "Logfire", "logfire", "logfire.openai", "leave out logfire.instrument_openai()", ()),
        ("anthropic", "the Anthropic SDK's own tracer", "anthropic", "com.anthropic.sdk*", _NATIVE_OFF, (2, 0)),
        (
            "anthropic",
            "Traceloop's Anthropic instrumentation",
            "opentelemetry-instrumentation-anthropic",
            "opentelemetry.instrumentation.anthropic",
            _OFF.format(name="anthropic"),
            (),
        ),
        (
            "anthropic",
            "OpenTelemetry's genai-anthropic",
            "opentelemetry-instrumentation-genai-anthropic",
            "opentelemetry.instrumentation.genai.anthropic",
            _OFF.format(name="anthropic"),
            (),
        ),
        (
            "anthropic",
            "OpenInference for Anthropic",
            "openinference-instrumentation-anthropic",
            "openinference.instrumentation.anthropic",
            _OFF.format(name="anthropic"),
            (),
        ),
        (
            "anthropic",
            "OpenLIT",
            "openlit",
            "openlit.instrumentation.anthropic",
            "openlit.init(disabled_instrumentors=['anthropic'])",
            (),
        ),
        ("anthropic", "Logfire", "logfire", "logfire.anthropic", "leave out logfire.instrument_anthropic()", ()),
        (
            "langchain",
            "Traceloop's LangChain instrumentation",
            "opentelemetry-instrumentation-langchain",
            "opentelemetry.instrumentation.langchain",
            _OFF.format(name="langchain"),
            (),
        ),
        (
            "langchain",
            "OpenInference for LangChain",
            "openinference-instrumentation-langchain",
            "openinference.instrumentation.langchain",
            _OFF.format(name="langchain"),
            (),
        ),
        (
            "langchain",
            "OpenTelemetry's genai-langchain",
            "opentelemetry-instrumentation-genai-langchain",
            "opentelemetry.instrumentation.genai.langchain",
            _OFF.format(name="langchain"),
            (),
        ),
        (
            "pipecat",
            "Pipecat's own tracing",
            "",
            "pipecat",
            "PipelineTask(enable_tracing=False)",
            (),
        ),
        (
            "pipecat",
            "OpenInference for Pipecat",
            "openinference-instrumentation-pipecat",
            "openinference.instrumentation.pipecat",
            _UNINSTALL,
            (),
        ),
        (
            "pipecat",
            "callfare's Pipecat observer",
            "",
            "callfare.instrumentation.pipecat",
            _OFF.format(name="pipecat"),
            (),
        ),
    )
)

_OPENAI_V2: Final = "opentelemetry-instrumentation-openai-v2"
_UTIL_GENAI: Final = "opentelemetry-util-genai"
_UTIL_GENAI_TOO_NEW: Final = (1, 2)


def installed_collisions(versions: Mapping[str, str]) -> list[Collision]:
    """Return what collides among installed distributions, `versions` being name -> version."""
    known = {_normalised(name): _numbers(version) for name, version in versions.items()}
    found = [
        each
        for each in _INSTRUMENTATIONS
        if each.distribution in known and known[each.distribution] >= each.since and each.distribution not in _BY_CODE
    ]
    return [*_broken(known), *_doubles(found)]


def seen_collisions(scopes: Iterable[str]) -> list[Collision]:
    """Return what collides among the instrumentation scopes of spans that arrived from one service."""
    names = set(scopes)
    return _doubles([each for each in _INSTRUMENTATIONS if any(_is_scope(each.scope, name) for name in names)])


_BY_CODE: Final = frozenset({"openlit", "logfire"})
"""Installed means nothing here: they trace only what the program turns on."""


def _doubles(found: Iterable[_Instrumentation]) -> list[Collision]:
    by_vendor: dict[str, list[_Instrumentation]] = {}
    for each in found:
        by_vendor.setdefault(each.vendor, []).append(each)
    return [
        Collision(
            vendor=vendor,
            names=tuple(each.name for each in several),
            mend=several[0].switch.format(distribution=several[0].distribution),
        )
        for vendor, several in sorted(by_vendor.items())
        if len(several) > 1
    ]


def _broken(known: Mapping[str, tuple[int, ...]]) -> list[Collision]:
    """Return pairs that fail to import: auto-instrumentation skips them at debug level, and no span is made."""
    if _OPENAI_V2 not in known or known.get(_UTIL_GENAI, ()) < _UTIL_GENAI_TOO_NEW:
        return []
    return [
        Collision(
            vendor="openai",
            names=(_OPENAI_V2, _UTIL_GENAI),
            mend=f"pip install '{_UTIL_GENAI}<1.2' or use opentelemetry-instrumentation-genai-openai instead",
            is_broken=True,
        )
    ]


def _is_scope(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()
