"""Name instrumentations that describe the same calls, with the switch that turns one of them off.

Pure: it takes what is installed, or the scopes that were seen in spans, and returns what collides. Such pairs are
billed once all the same (rule 6), but they cost spans, and where one of them lacks ids the decision is
a guess. `callfare doctor` shows what is found, and the receiver logs it once.

The switch must turn off one of them only. Several packages share an entry-point name, and
OTEL_PYTHON_DISABLED_INSTRUMENTATIONS goes by that name: there it would turn off all, and the calls would be lost.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cost_exporter.collisions.instrumentations import (
    BREAKAGES,
    INSTRUMENTED,
    NATIVE_OFF,
    OF_FRAMEWORKS,
    OF_VENDORS,
    Instrumentation,
)

__all__ = ["Collision", "installed_collisions", "seen_collisions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """Instrumentations that get in each other's way."""

    vendor: str
    names: tuple[str, ...]
    fix: str
    """One line that says what to do."""
    is_broken: bool = False
    """True where the pair loses spans, instead of doubling them."""

    @property
    def who(self) -> str:
        """The names in a row, as they are read."""
        return " and ".join([", ".join(self.names[:-1]), self.names[-1]])


_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"

_GENAI: Final = "OpenTelemetry's genai-"
"""A framework's of this make says nothing of a call that a vendor's of the same make describes below it."""
_OURS: Final = "callfare's "
"""Sets its own spans to not billable where a vendor's instrumentation is active."""
_NOTHING_SET: Final[Mapping[str, str]] = {}


def installed_collisions(versions: Mapping[str, str], environment: Mapping[str, str] = _NOTHING_SET) -> list[Collision]:
    """Return what collides among installed distributions, `versions` being name -> version.

    What the environment variables turn off does not.
    """
    known = {_normalised(name): _numbers(version) for name, version in versions.items()}
    found = [
        each
        for each in (*OF_VENDORS, *OF_FRAMEWORKS)
        if each.distribution in known and known[each.distribution] >= each.since and not _is_off(each, environment)
    ]
    awake = [each for each in found if INSTRUMENTED[each.vendor] in known]
    return [*_broken(known), *_doubles(found), *_layers(awake)]


def seen_collisions(scopes: Iterable[str]) -> list[Collision]:
    """Return what collides among the instrumentation scopes of spans that arrived from one service."""
    names = set(scopes)
    found = [
        each
        for each in (*OF_VENDORS, *OF_FRAMEWORKS)
        if any(_is_scope(pattern, name) for pattern in each.scopes for name in names)
    ]
    return [*_doubles(found), *_layers(found)]


def _doubles(found: Sequence[Instrumentation]) -> list[Collision]:
    """Return those that describe the same layer: the calls of one vendor, or of one framework."""
    by_vendor: dict[str, list[Instrumentation]] = {}
    for each in found:
        by_vendor.setdefault(each.vendor, []).append(each)
    return [
        Collision(vendor=vendor, names=tuple(each.name for each in several), fix=_fix(several))
        for vendor, several in sorted(by_vendor.items())
        if len(several) > 1
    ]


def _layers(found: Sequence[Instrumentation]) -> list[Collision]:
    """Return frameworks' instrumentations that stand above those of the vendors they call."""
    collisions: list[Collision] = []
    for framework in found:
        if framework in OF_FRAMEWORKS and not framework.name.startswith(_OURS):
            is_quiet = framework.name.startswith(_GENAI)
            below = [each for each in found if each in OF_VENDORS and not (is_quiet and each.name.startswith(_GENAI))]
            names = (framework.name, *[each.name for each in below])
            if below:
                collisions.append(Collision(vendor=framework.vendor, names=names, fix=_off(framework)))
    return collisions


def _fix(several: Sequence[Instrumentation]) -> str:
    """Return how to turn off all but the one that reports most, or at least one."""
    if several[-1].switch == NATIVE_OFF:
        off = " and ".join(dict.fromkeys(_off(each) for each in several[:-1]))
        return f"{off} keeps the SDK's own, the only one with 1-hour cache writes; or {NATIVE_OFF}"
    first = several[0]
    if first.entry_point and any(each.entry_point == first.entry_point for each in several[1:]):
        return (
            f"pip uninstall {first.distribution} (they share the entry-point name {first.entry_point}, so"
            f" {_DISABLED}={first.entry_point} would turn off every one)"
        )
    return _off(first)


def _off(instrumentation: Instrumentation) -> str:
    return instrumentation.switch or f"{_DISABLED}={instrumentation.entry_point}"


def _broken(known: Mapping[str, tuple[int, ...]]) -> list[Collision]:
    """Return the pairs that make no span if both are installed, with at most a line in a log."""
    return [
        Collision(vendor=each.vendor, names=(each.distribution, each.beside), fix=each.fix, is_broken=True)
        for each in BREAKAGES
        if each.distribution in known and known.get(each.beside, ()) >= each.too_new
    ]


def _is_off(instrumentation: Instrumentation, environment: Mapping[str, str]) -> bool:
    if instrumentation.switch == NATIVE_OFF:
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
