"""Price rows: what one unit of one model costs, under which conditions, from when to when, and by which source.

A row is data and is never changed: a new price is a new row with a later start. Rows of several books exist
side by side (`list`, `operator`, `tenant:NAME`, `api_key:ID`); which one applies is decided in `rate_card.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from cost_exporter.domain.money import to_plain
from cost_exporter.domain.value import value

__all__ = [
    "ALWAYS",
    "CONDITIONS",
    "FOREVER",
    "LIST",
    "NO_CONDITIONS",
    "OPERATOR",
    "ContextTier",
    "Factor",
    "Match",
    "ModelAlias",
    "PriceRow",
    "Window",
    "instant_text",
    "required_conditions",
    "stated_conditions",
]

ALWAYS: Final = -(2**63)
"""Start of a price that has no known start, Unix nanoseconds."""
FOREVER: Final = 2**63 - 1
"""End of a price that is still valid, Unix nanoseconds."""
LIST: Final = "list"
OPERATOR: Final = "operator"
CONDITIONS: Final = ("mode", "service_tier", "region", "speed", "plan", "search_context")
NO_CONDITIONS: Final[tuple[tuple[str, str], ...]] = ()

Match = Literal["exact", "prefix", "regex"]
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES: Final = 24 * 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_MINUTE: Final = 60 * 10**9
_THURSDAY: Final = 3  # 1970-01-01

_STANDARD_TIERS: Final = frozenset({"", "standard", "default", "auto", "on_demand", "on-demand", "standard_only"})
_MODES: Final = {"streaming": "stream", "realtime": "stream", "prerecorded": "batch", "pre-recorded": "batch"}


def stated_conditions(conditions: Mapping[str, str]) -> dict[str, str]:
    """Return every condition in its canonical wording, from a usage or a row; "" for one that is not stated.

    Batch is called a service tier by some and a mode by others: here it is a mode. Tiers that mean "as listed"
    are all `standard`.
    """
    stated = {name: conditions.get(name, "").strip().lower() for name in CONDITIONS}
    stated["mode"] = _MODES.get(stated["mode"], stated["mode"])
    if stated["service_tier"] == "batch":
        stated["mode"], stated["service_tier"] = "batch", ""
    if stated["service_tier"] in _STANDARD_TIERS:
        stated["service_tier"] = "standard"
    if stated["speed"] in {"standard", "normal", "default"}:
        stated["speed"] = ""
    return stated


def required_conditions(when: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the conditions of a row as `PriceRow.when` holds them: canonical, sorted."""
    stated = stated_conditions(when)
    if "service_tier" not in when or when["service_tier"].strip().lower() == "batch":
        stated["service_tier"] = ""
    return tuple(sorted((name, wanted) for name, wanted in stated.items() if wanted))


def instant_text(unix_ns: int) -> str:
    """Return an instant as RFC 3339 text, the shortest form that is exact to the second."""
    instant = _EPOCH + timedelta(microseconds=unix_ns // 1000)
    return instant.strftime("%Y-%m-%d" if unix_ns % (_DAY_MINUTES * _NS_PER_MINUTE) == 0 else "%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextTier:
    """A cliff: the row prices the *whole* request once `basis` passes `above`."""

    above: int
    basis: str = "input_tokens"
    is_inclusive: bool = False
    """True: from `above` on (xAI); False: only beyond it (Google, Anthropic, OpenAI)."""

    def is_reached(self, total: Decimal | int) -> bool:
        """Return whether a request with this total is priced by the tier."""
        return total >= self.above if self.is_inclusive else total > self.above

    def __str__(self) -> str:
        return f"{self.basis}{'>=' if self.is_inclusive else '>'}{self.above}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Times of the week at which a row applies, in UTC."""

    weekdays: frozenset[int] = frozenset(range(7))
    """0 is Monday. A range that passes midnight belongs to the day it starts on."""
    minutes: tuple[tuple[int, int], ...] = ((0, _DAY_MINUTES),)
    """Half-open ranges of minutes of the day; one whose end is before its start passes midnight."""

    def is_open(self, unix_ns: int) -> bool:
        """Return whether the window is open at this instant."""
        day, minute = divmod(unix_ns // _NS_PER_MINUTE, _DAY_MINUTES)
        today = (day + _THURSDAY) % 7
        return any(
            (today in self.weekdays and start <= minute < (end if end > start else _DAY_MINUTES))
            or (end <= start and minute < end and (today - 1) % 7 in self.weekdays)
            for start, end in self.minutes
        )

    def __str__(self) -> str:
        days = "" if len(self.weekdays) == len(_DAYS) else ",".join(_DAYS[day] for day in sorted(self.weekdays)) + " "
        times = ",".join(f"{s // 60:02}:{s % 60:02}-{e // 60:02}:{e % 60:02}" for s, e in self.minutes)
        return days + times


@value
class PriceRow:
    """The price of one unit of one model. Units are quantity names; times are Unix nanoseconds, UTC, half-open."""

    provider: str
    """Canonical name."""
    model: str
    """Lower-case name, or the prefix or pattern that `match` names."""
    unit: str
    price_usd: Decimal
    """For `per` units."""
    per: Decimal = Decimal(1)
    match: Match = "exact"
    book: str = LIST
    valid_from_unix_ns: int = ALWAYS
    valid_to_unix_ns: int = FOREVER
    when: tuple[tuple[str, str], ...] = NO_CONDITIONS
    """Conditions that must all hold, sorted by name."""
    context_tier: ContextTier | None = None
    window: Window | None = None
    increment: Decimal | None = None
    """The quantity is rounded up to a multiple of this."""
    minimum: Decimal | None = None
    """Floor on the billed quantity."""
    round_scope: str = "request"
    multiplier: str = ""
    """Another quantity that multiplies, e.g. `channels`."""
    bill_on_error: bool = False
    """A refused request is billed too."""
    inherits_list: bool = False
    """An override whose missing units fall through to the list price; otherwise they stay unpriced."""
    is_imported: bool = False
    """From a public price library: outranked by a curated row."""
    is_secondary: bool = False
    """From the library that is asked last: outranked by every other list row."""
    assumed: str = ""
    """What the price assumes, as `subject: value`; the quote names it: `plan: pay-as-you-go`.

    `meter: ...` means that the vendor bills by another quantity: the price is an estimate for usage without it.
    """
    source: str = ""
    checked: str = ""
    confidence: str = ""
    note: str = ""

    @property
    def conditions_key(self) -> str:
        """The conditions as one text, to compare rows and to name them."""
        parts = [f"{name}={wanted}" for name, wanted in self.when]
        parts += [str(part) for part in (self.context_tier, self.window) if part is not None]
        return "&".join(parts)

    @property
    def _shelf(self) -> str:
        """The book, and which of the lists it came from."""
        if not self.is_imported:
            return self.book
        return f"{self.book}.voice" if self.is_secondary else f"{self.book}.imported"

    @property
    def supersede_key(self) -> tuple[str, str, str, str, str, str, int]:
        """Of two rows with an equal key the one loaded later is in force."""
        start = self.valid_from_unix_ns
        return (self._shelf, self.provider, self.match, self.model, self.unit, self.conditions_key, start)

    @property
    def price_id(self) -> str:
        """The row in one text, enough to find it again."""
        model = self.model if self.match == "exact" else f"{self.match}:{self.model}"
        conditions = f"?{self.conditions_key}" if self.conditions_key else ""
        start = "" if self.valid_from_unix_ns == ALWAYS else f"@{instant_text(self.valid_from_unix_ns)}"
        end = "" if self.valid_to_unix_ns == FOREVER else f"..{instant_text(self.valid_to_unix_ns)}"
        return f"{self._shelf}/{self.provider}/{model}/{self.unit}{conditions}{start}{end}"

    def __str__(self) -> str:
        return f"{self.price_id} = ${to_plain(self.price_usd)} per {to_plain(self.per)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A negotiated factor on the list price: 0.78 is 22 % off."""

    book: str
    factor: Decimal
    provider: str = ""
    """"" for every provider."""
    model: str = ""
    """"" for every model."""
    valid_from_unix_ns: int = ALWAYS
    valid_to_unix_ns: int = FOREVER


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAlias:
    """Another name for a model: a dated snapshot, `-latest`, a deployment. Itself dated, since aliases move."""

    provider: str
    name: str
    """Lower-case name, or the prefix or pattern that `match` names."""
    model: str
    match: Match = "exact"
    valid_from_unix_ns: int = ALWAYS
    valid_to_unix_ns: int = FOREVER
