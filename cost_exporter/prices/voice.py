"""Import speech, telephony and agent prices from voice-prices, a community's catalogue, as a list of last resort.

The library is not a dependency: what ships is a snapshot, made where it is installed, by the importer of
genai-prices, of which it is a fork. Imported is what genai-prices does not have: every price of providers that
are not in it, and of the others the prices by characters, seconds and minutes. OpenRouter's and Hugging Face's
models come from genai-prices. Curated rows and genai-prices outrank all of it.
"""

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from cost_exporter.domain.pricing.rows import ModelAlias, PriceRow
from cost_exporter.errors import CallfareError
from cost_exporter.prices.genai import VOICE_UNITS, ImportedProvider, import_genai, provider_rows, with_changes

__all__ = ["as_quoted", "import_voice", "voice_version"]

_FROM_GENAI: Final = ("openrouter", "huggingface")
_VOICE_QUANTITIES: Final = frozenset(unit for unit, _ in VOICE_UNITS.values())
_BATCH: Final = "-batch"
_BATCH_MODE: Final = (("mode", "batch"),)
_SCALE: Final = "livekit-scale"
_SCALE_PLAN: Final = (("plan", "scale"),)
_MINUTE, _HOUR, _THOUSAND = Decimal(60), Decimal(3_600), Decimal(1_000)
_REPEATING: Final = ("33", "67")
_ROUNDED_PLACES_MIN: Final = 5


def voice_version() -> str:
    """Return the version of the installed library."""
    return version("voice-prices")


def import_voice() -> list[ImportedProvider]:
    """Return what is imported from the installed library as rows and aliases of ours."""
    try:
        providers: Sequence[Any] = import_module("voice_prices.data").providers
    except ModuleNotFoundError:
        raise CallfareError("voice-prices is not installed; pip install voice-prices to import it") from None
    in_genai = {one.provider for one in import_genai()}
    found: dict[str, ImportedProvider] = {}
    for provider in providers:
        if not provider.id.startswith(_FROM_GENAI):
            one = _imported(provider, only_voice=provider.id in in_genai)
            before = found.get(one.provider)
            found[one.provider] = one if before is None else _together(before, one)
    return [one for one in found.values() if one.rows]


def _together(one: ImportedProvider, other: ImportedProvider) -> ImportedProvider:
    aliases = {(alias.match, alias.name): alias for alias in (*other.aliases, *one.aliases)}
    rows = [*one.rows, *other.rows]
    return ImportedProvider(provider=one.provider, source=one.source, rows=rows, aliases=list(aliases.values()))


def _imported(provider: Any, *, only_voice: bool) -> ImportedProvider:
    whole = provider_rows(provider)
    checked = {model.id.lower(): _verified(model) for model in provider.models}
    source = {model.id.lower(): model.pricing_source_url or "" for model in provider.models}
    name = "livekit" if provider.id == _SCALE else provider.id
    rows: list[PriceRow] = []
    for row in whole.rows:
        if only_voice and row.unit not in _VOICE_QUANTITIES:
            continue
        known = with_changes(
            row, provider=name, is_secondary=True, source=source[row.model], checked=checked[row.model]
        )
        rows += _as_billed(known, provider.id, {other.model for other in whole.rows})
    models = {row.model for row in rows}
    aliases = [_of_provider(alias, name) for alias in whole.aliases if alias.model in models]
    return ImportedProvider(provider=name, source=whole.source, rows=rows, aliases=aliases)


def _of_provider(alias: ModelAlias, name: str) -> ModelAlias:
    return ModelAlias(provider=name, name=alias.name, match=alias.match, model=alias.model)


def _verified(model: Any) -> str:
    """Return the day on which somebody last looked at the vendor's page; "" where that is not known."""
    verified = model.provenance and model.provenance.last_verified
    return verified.isoformat() if verified else ""


def _as_billed(row: PriceRow, provider: str, models: set[str]) -> Iterable[PriceRow]:
    """Yield the row as the vendor quotes it, under each name and condition that it is for."""
    if row.unit in {"audio_seconds", "output_audio_seconds"}:
        price_usd, per = as_quoted(row.price_usd)
        row = with_changes(row, price_usd=price_usd, per=per)
    elif row.unit in {"call_seconds", "session_seconds"}:
        price_usd = row.price_usd * _MINUTE / row.per
        row = with_changes(row, price_usd=price_usd.normalize(), per=_MINUTE, assumed="rounding: by the second")
    if provider == "livekit":
        row = with_changes(row, assumed="plan: ship")
    elif provider == _SCALE:
        row = with_changes(row, when=_SCALE_PLAN)
    yield row
    if row.unit == "session_seconds":
        yield with_changes(row, unit="call_seconds")  # an agent's minute is metered as one or the other
    base = row.model.removesuffix(_BATCH)
    if base != row.model and base in models:
        yield with_changes(row, model=base, when=_BATCH_MODE)


def as_quoted(per_thousand_seconds_usd: Decimal) -> tuple[Decimal, Decimal]:
    """Return the price a vendor quotes, by the minute or the hour, where the library rounded it to 1,000 seconds.

    0.041667 for 1,000 seconds is $0.15 an hour: the shortest price that rounds, or is cut, to what is written.
    """
    text = str(per_thousand_seconds_usd)
    places = len(text.partition(".")[2])
    if places < _ROUNDED_PLACES_MIN and not text.endswith(_REPEATING):
        return per_thousand_seconds_usd, _THOUSAND
    slack = Decimal(1).scaleb(-places)
    best = (len(text), per_thousand_seconds_usd, _THOUSAND)
    for per in (_HOUR, _MINUTE):
        exact, slack_usd = per_thousand_seconds_usd * per / _THOUSAND, slack * per / _THOUSAND
        for digits in range(1, places):
            quoted = exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
            if abs(quoted - exact) <= slack_usd and quoted:
                best = min(best, (len(quoted.as_tuple().digits), quoted, per), key=lambda one: one[0])
                break
    return best[1], best[2]
