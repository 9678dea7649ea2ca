"""Import the list prices of genai-prices, and of voice-prices, which is a fork of it with the same schema.

Its data is good and dated, its engine is not used: that one answers 0 where it has no price. Every price
becomes rows of ours. What we have no quantity for is left out by name (`_WITHOUT_QUANTITY`); a price key or
condition that is in neither table is an error, so that a change of the library fails here and not at a user.
The library's own auto-update is never switched on: prices change by `callfare prices import` alone.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from itertools import takewhile
from typing import Any, Final, NamedTuple

from cost_exporter.domain.pricing.rows import (
    ALWAYS,
    FOREVER,
    ContextTier,
    ModelAlias,
    PriceRow,
    Window,
    instant_text,
    required_conditions,
)
from cost_exporter.errors import MissingExtra, PriceFileError

__all__ = ["VOICE_UNITS", "ImportedProvider", "import_genai", "library_version", "provider_rows", "with_changes"]

_MILLION, _THOUSAND, _HOUR = Decimal(1_000_000), Decimal(1_000), Decimal(3_600)
UNITS: Final[dict[str, tuple[str, Decimal]]] = {
    "input_mtok": ("input_tokens", _MILLION),
    "output_mtok": ("output_tokens", _MILLION),
    "cache_read_mtok": ("cache_read_tokens", _MILLION),
    "cache_write_mtok": ("cache_write_tokens", _MILLION),
    "cache_write_5m_mtok": ("cache_write_5m_tokens", _MILLION),
    "cache_write_1h_mtok": ("cache_write_1h_tokens", _MILLION),
    "input_audio_mtok": ("input_audio_tokens", _MILLION),
    "cache_audio_read_mtok": ("cache_audio_read_tokens", _MILLION),
    "output_audio_mtok": ("output_audio_tokens", _MILLION),
    "input_image_mtok": ("input_image_tokens", _MILLION),
    "output_image_mtok": ("output_image_tokens", _MILLION),
    "cache_image_read_mtok": ("cache_image_read_tokens", _MILLION),
    "input_video_mtok": ("input_video_tokens", _MILLION),
    "output_citation_mtok": ("citation_tokens", _MILLION),
    "output_reasoning_mtok": ("reasoning_tokens", _MILLION),
    "input_mchars": ("characters", _MILLION),
    "audio_hours": ("audio_seconds", _HOUR),
    "input_audio_hours": ("audio_seconds", _HOUR),
    "output_audio_hours": ("output_audio_seconds", _HOUR),
    "web_searches_kcount": ("web_searches", _THOUSAND),
    "requests_kcount": ("requests", _THOUSAND),
    "input_text_messages_kcount": ("messages", _THOUSAND),
    "input_document_kpages": ("pages", _THOUSAND),
}
VOICE_UNITS: Final[dict[str, tuple[str, Decimal]]] = {
    "input_kchars": ("characters", _THOUSAND),
    "input_audio_kseconds": ("audio_seconds", _THOUSAND),
    "output_audio_kseconds": ("output_audio_seconds", _THOUSAND),
    "telephony_kminutes": ("call_seconds", 60 * _THOUSAND),
    "agent_kminutes": ("session_seconds", 60 * _THOUSAND),
}
"""Keys of voice-prices that genai-prices does not have."""
_ALL_UNITS: Final = UNITS | VOICE_UNITS
_WITHOUT_QUANTITY: Final = frozenset(
    {
        "output_video_mtok",
        "storage_searches_kcount",
        "input_annotated_document_kpages",
        "voice_multipliers",  # by kind of voice, which calls do not state
    }
)
_CONDITIONS: Final = {"processing": "mode", "service_tier": "service_tier", "speed": "speed"}
_WITHOUT_CONDITION: Final = frozenset({"route", "search_type"})
_WHISPER_AT_GROQ: Final = frozenset({"whisper-large-v3", "whisper-large-v3-turbo"})
_GROQ_MINIMUM_SECONDS: Final = Decimal(10)  # written into the library's engine, not into its data


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedProvider:
    """Everything imported of one provider."""

    provider: str
    source: str
    rows: Sequence[PriceRow]
    aliases: Sequence[ModelAlias]


class _Period(NamedTuple):
    """Prices by key from one instant to another, with the windows in which others apply."""

    start: int
    end: int
    prices: dict[str, Any]
    windows: list[tuple[Window, dict[str, Any]]]


def library_version() -> str:
    """Return the version of the installed library."""
    return version("genai-prices")


def import_genai() -> list[ImportedProvider]:
    """Return every provider of the installed library as rows and aliases of ours."""
    try:
        providers: Sequence[Any] = import_module("genai_prices.data").providers
    except ModuleNotFoundError:
        raise MissingExtra("the importer of list prices", "exporter") from None
    return [provider_rows(provider) for provider in providers]


def provider_rows(provider: Any) -> ImportedProvider:
    """Return one provider of a library, as it has it, as rows and aliases of ours."""
    rows: list[PriceRow] = []
    aliases: dict[tuple[str, str], ModelAlias] = {}
    for model in provider.models:
        rows += _model_rows(provider.id, model)
        for alias in _aliases(provider.id, model.id.lower(), model.match):
            aliases.setdefault((alias.match, alias.name), alias)
    source = provider.pricing_urls[0] if provider.pricing_urls else ""
    return ImportedProvider(provider=provider.id, source=source, rows=rows, aliases=list(aliases.values()))


def _model_rows(provider: str, model: Any) -> list[PriceRow]:
    periods = _periods(model.prices)
    rows: list[PriceRow] = []
    for period in periods:
        rows += _rows(provider, model.id, period.prices, period)
        for window, prices in period.windows:
            rows += [with_changes(row, window=window) for row in _rows(provider, model.id, prices, period)]
    rows += _variant_rows(provider, model.id, getattr(model, "price_variants", None), periods)
    return rows or _free_rows(provider, model.id)


def _free_rows(provider: str, model: str) -> list[PriceRow]:
    """A model without prices is unpriced, unless its very name says that it is free: then 0 is its price."""
    if not model.endswith(":free"):
        return []
    units = ("input_tokens", "output_tokens")
    return [
        PriceRow(provider=provider, model=model.lower(), unit=unit, price_usd=Decimal(0), is_imported=True)
        for unit in units
    ]


def _periods(prices: Any) -> list[_Period]:
    """Return the list prices period by period. The library takes the last entry that is active at an instant.

    An entry for a time of day belongs to the dated entry it follows: peak hours that came with a new price do
    not reach back to the old one. (The library's own engine lets them.)
    """
    entries: list[Any] = prices if isinstance(prices, list) else []
    if not isinstance(prices, list):
        return [_Period(ALWAYS, FOREVER, _by_key(prices), [])]
    starts = sorted({ALWAYS, *[_entry_start(one) for one in entries if _is_dated(one)]})
    periods: list[_Period] = []
    for start, end in zip(starts, [*starts[1:], FOREVER], strict=True):
        active = [one for one in entries if not _is_dated(one) or _entry_start(one) <= start]
        base = max((at for at, one in enumerate(active) if not _is_window(one)), default=0)
        following = takewhile(_is_window, entries[entries.index(active[base]) + 1 :])
        windows = [(_window(one.constraint), _by_key(one.prices)) for one in following]
        periods.append(_Period(start, end, _by_key(active[base].prices), windows))
    return periods


def _is_dated(entry: Any) -> bool:
    return hasattr(entry.constraint, "start_date") or hasattr(entry.constraint, "start_timestamp")


def _entry_start(entry: Any) -> int:
    """Return the start of a dated entry: a day, or an instant."""
    instant: datetime | None = getattr(entry.constraint, "start_timestamp", None)
    return _unix_ns(entry.constraint.start_date) if instant is None else int(instant.timestamp()) * 10**9


def _is_window(entry: Any) -> bool:
    return hasattr(entry.constraint, "start_time")


def _by_key(prices: Any) -> dict[str, Any]:
    """Return the prices by key, without those we have no quantity for; refuse a key we have never seen."""
    found = {key: price for key, price in vars(prices).items() if price is not None}
    unknown = found.keys() - _ALL_UNITS.keys() - _WITHOUT_QUANTITY
    if unknown:
        raise PriceFileError(f"genai-prices has price keys we do not know: {sorted(unknown)}; extend prices/genai.py")
    if "input_audio_hours" in found:
        found.pop("audio_hours", None)
    return {key: price for key, price in found.items() if key in _ALL_UNITS}


def _unix_ns(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp()) * 10**9


def _window(constraint: Any) -> Window:
    start, end = (moment.hour * 60 + moment.minute for moment in (constraint.start_time, constraint.end_time))
    return Window(minutes=((start, end),))


def _rows(provider: str, model: str, prices: dict[str, Any], period: _Period) -> list[PriceRow]:
    """Return the rows of one set of prices: a base row for each key, and one for each context tier above it."""
    rows: list[PriceRow] = []
    for key, price in prices.items():
        unit, per = _ALL_UNITS[key]
        base = PriceRow(
            provider=provider,
            model=model.lower(),
            unit=unit,
            price_usd=getattr(price, "base", price),
            per=per,
            valid_from_unix_ns=period.start,
            valid_to_unix_ns=period.end,
            minimum=_GROQ_MINIMUM_SECONDS if provider == "groq" and model in _WHISPER_AT_GROQ else None,
            is_imported=True,
        )
        rows.append(base)
        rows += [
            with_changes(base, context_tier=_tier(one), price_usd=one.price) for one in getattr(price, "tiers", ())
        ]
    return [*rows, *_same_price_rows(provider, model, rows)]


def _same_price_rows(provider: str, model: str, rows: Sequence[PriceRow]) -> list[PriceRow]:
    """Add parts that the vendor publishes at the price of their total, where the library has only the total.

    Google: "input price (text / image / video)". Speech models: what they put out is audio; image models: images.
    """
    units = {row.unit for row in rows}
    same: list[tuple[str, str]] = []
    if provider == "google" and model.startswith("gemini"):
        same += [("input_tokens", "input_image_tokens"), ("input_tokens", "input_video_tokens")]
        same.append(("cache_read_tokens", "cache_image_read_tokens"))
    if re.search(r"-tts\b", model):
        same.append(("output_tokens", "output_audio_tokens"))
    if re.match(r"gpt-image-", model):
        same.append(("output_tokens", "output_image_tokens"))
    return [
        with_changes(row, unit=part) for total, part in same if part not in units for row in rows if row.unit == total
    ]


def _tier(tier: Any) -> ContextTier:
    """The library only knows "more than": it writes "200,000 and more" (xAI) as more than 199,999."""
    if (tier.start + 1) % 1_000 == 0:
        return ContextTier(above=tier.start + 1, is_inclusive=True)
    return ContextTier(above=tier.start)


def _variant_rows(provider: str, model: str, all_variants: Any, periods: Sequence[_Period]) -> list[PriceRow]:
    """Return the rows of batch, flex, priority and fast prices.

    The first of them has the day on which the library noticed it. If the list price did not change on that day, the
    row starts when the list price does, and its note states the assumption.
    """
    variants: dict[tuple[tuple[str, str], ...], list[Any]] = {}
    for variant in all_variants or ():
        if not variant.when.keys() & _WITHOUT_CONDITION and variant.when != {"service_tier": "default"}:
            variants.setdefault(_conditions(variant.when), []).append(variant)
    rows: list[PriceRow] = []
    for when, alternatives in variants.items():
        for period in _variant_periods(alternatives, periods):
            rows += [with_changes(row, when=when) for row in _rows(provider, model, period.prices, period)]
        noticed = min(_start(one) for one in alternatives)
        rows = [with_changes(row, assumed=_noticed(noticed)) if _is_before(row, when, noticed) else row for row in rows]
    return rows


def _conditions(when: dict[str, str]) -> tuple[tuple[str, str], ...]:
    unknown = when.keys() - _CONDITIONS.keys()
    if unknown:
        raise PriceFileError(f"genai-prices has conditions we do not know: {sorted(unknown)}; extend prices/genai.py")
    return required_conditions({_CONDITIONS[name]: wanted for name, wanted in when.items()})


def _start(variant: Any) -> int:
    return ALWAYS if variant.constraint is None else _unix_ns(variant.constraint.start_date)


def _variant_periods(alternatives: Sequence[Any], periods: Sequence[_Period]) -> Iterable[_Period]:
    """Yield what holds when; of several active alternatives the library takes the first listed, key by key."""
    starts = sorted({_start(one) for one in alternatives})
    listed_since = max(period.start for period in periods if period.start <= starts[0])
    ends = [*starts[1:], FOREVER]
    for start, end in zip(starts, ends, strict=True):
        prices: dict[str, Any] = {}
        for one in reversed([one for one in alternatives if _start(one) <= start]):
            prices |= _by_key(one.prices)
        if start == starts[0] and listed_since < start:
            yield _Period(listed_since, start, prices, [])
        yield _Period(start, end, prices, [])


def _is_before(row: PriceRow, when: tuple[tuple[str, str], ...], noticed: int) -> bool:
    return row.when == when and row.valid_from_unix_ns < noticed


def _noticed(noticed: int) -> str:
    return f"date: known since {instant_text(noticed)}, taken to hold as long as the list price"


def with_changes(row: PriceRow, **changes: Any) -> PriceRow:
    """Return a copy of a row with other values in some fields."""
    fields = {name: getattr(row, name) for name in PriceRow.__dataclass_fields__}
    return PriceRow(**(fields | changes))


def _aliases(provider: str, model: str, clause: Any) -> Iterable[ModelAlias]:
    """Yield the names that lead to a model: equal ones as they are, everything else as an anchored pattern."""
    for part in getattr(clause, "or_", None) or [clause]:
        equals = getattr(part, "equals", None)
        if equals is None:
            yield ModelAlias(provider=provider, name=_pattern(part), match="regex", model=model)
        elif equals.lower() != model:
            yield ModelAlias(provider=provider, name=equals.lower(), model=model)


def _pattern(clause: Any) -> str:
    """Return a clause as a pattern over the whole name.

    "Starts with" and "contains" must meet the borders of a name's parts: `claude-2` is not `claude-20`, and
    `my-gpt-4o-clone` is not `gpt-4o`.
    """
    match clause:
        case object(starts_with=str(text)):
            return re.escape(text.lower()) + _tail(text)
        case object(ends_with=str(text)):
            return f"(?:.*[/.:@])?{re.escape(text.lower().lstrip('/'))}"
        case object(contains=str(text)):
            return f"(?:.*[/.:])?{re.escape(text.lower())}{_tail(text)}"
        case object(regex=str(text)):
            return _anchored(text)
        case object(and_=list(parts)):
            return "".join(f"(?={_pattern(part)}$)" for part in parts[:-1]) + _pattern(parts[-1])
        case _:
            raise PriceFileError(f"genai-prices matches by {type(clause).__name__}; extend prices/genai.py")


def _tail(text: str) -> str:
    """A pattern for the rest after a prefix: nothing, or a separator and more; after a year also month and day."""
    is_open = not text[-1].isalnum() or re.search(r"-(20\d\d|0)$", text)
    return ".*" if is_open else "(?:[^a-z0-9].*)?"


def _anchored(regex: str) -> str:
    """Return a pattern that is searched for as one that covers the whole name."""
    return (regex[1:] if regex.startswith("^") else f".*{regex}") + ("" if regex.endswith("$") else ".*")
