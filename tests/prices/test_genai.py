"""The import of genai-prices: the fields that are read, and the same answers as the library's own engine."""

from dataclasses import fields
from datetime import UTC, date, datetime, time
from decimal import Decimal as D
from typing import Any

import pytest
from genai_prices import data, types
from genai_prices.data_units import unit_data

from cost_exporter.domain import PriceBook, UsageRecord
from cost_exporter.domain.pricing.rows import ALWAYS, ContextTier, PriceRow, Window
from cost_exporter.domain.provider import RESALE
from cost_exporter.errors import PriceFileError
from cost_exporter.prices.diff import diff_rows
from cost_exporter.prices.genai import UNITS, _aliases, _model_rows, _pattern, import_genai, library_version
from cost_exporter.prices.loader import shipped_snapshot
from cost_exporter.prices.snapshot import Snapshot, dump_snapshot
from tests.prices.cases import unix_ns

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_fields_that_are_read_exist() -> None:
    """The library may change its insides; not the fields read here."""
    read = {
        types.Provider: {"id", "models", "pricing_urls", "fallback_model_providers"},
        types.ModelInfo: {"id", "match", "prices", "price_variants"},
        types.ConditionalPrice: {"constraint", "prices"},
        types.PriceVariant: {"when", "prices", "constraint"},
        types.StartDateConstraint: {"start_date"},
        types.TimeOfDateConstraint: {"start_time", "end_time"},
        types.TieredPrices: {"base", "tiers"},
        types.Tier: {"start", "price"},
        types.ClauseEquals: {"equals"},
        types.ClauseStartsWith: {"starts_with"},
        types.ClauseEndsWith: {"ends_with"},
        types.ClauseContains: {"contains"},
        types.ClauseRegex: {"regex"},
        types.ClauseOr: {"or_"},
        types.ClauseAnd: {"and_"},
    }
    for kind, names in read.items():
        assert names <= {field.name for field in fields(kind)}, kind


def test_units_are_per_what_the_library_says() -> None:
    """A price per hour is not taken for one per second: `per` of each key is the library's."""
    per_by_key = {unit["price_key"]: D(unit["per"]) for unit in unit_data.values()}
    assert {key: per for key, (_, per) in UNITS.items()} == {key: per_by_key[key] for key in UNITS}


def test_resale_is_what_the_library_declares() -> None:
    """Who resells whose models is declared by the library."""
    declared = {p.id: tuple(p.fallback_model_providers) for p in data.providers if p.fallback_model_providers}
    assert declared == RESALE


def test_shipped_snapshot_is_the_import_of_the_pinned_library() -> None:
    """What ships is what the library says, row by row, at the version the snapshot names."""
    shipped = shipped_snapshot()
    if shipped.origin != f"genai-prices {library_version()}":
        pytest.skip(f"snapshot of {shipped.origin}, installed is {library_version()}")
    imported = Snapshot(dump_snapshot(import_genai(), origin=shipped.origin, imported_on=shipped.imported_on))
    assert diff_rows(rows_of(shipped), rows_of(imported)) == []
    assert shipped.version == imported.version


def rows_of(snapshot: Snapshot) -> list[PriceRow]:
    return [row for provider in snapshot.providers for row in snapshot.rows(provider)]


def names(clause: Any) -> set[str]:
    if hasattr(clause, "equals"):
        return {clause.equals}
    return {name for part in (getattr(clause, "or_", None) or []) for name in names(part)}


def test_same_answers_as_the_library() -> None:
    """Every exact name of every model costs what the library says, or is unpriced where that says 0 for no price."""
    book = PriceBook([shipped_snapshot()], override_books=(), snapshots_until="20261122")
    quantities = {"input_tokens": 1_000, "output_tokens": 500}
    compared = 0
    for provider in data.providers:
        for model in provider.models:
            for name in names(model.match):
                found = provider.find_model(name, all_providers=data.providers)
                theirs = found and found.calc_price(types.Usage(**quantities), provider, genai_request_timestamp=NOON)
                at_unix_ns = unix_ns(NOON.isoformat())
                ours = book.price(
                    UsageRecord(provider=provider.id, model=name, quantities=quantities, at_unix_ns=at_unix_ns)
                )
                if ours.status == "unpriced":
                    assert theirs is None or theirs.total_price == 0, (provider.id, name)
                elif ours.status == "priced":
                    assert theirs is not None
                    assert ours.amount_usd == theirs.total_price.quantize(D("1e-12")), (provider.id, name)
                    compared += 1
    assert compared > 2_500


def model(prices: Any, variants: Any = None, model_id: str = "nova") -> types.ModelInfo:
    return types.ModelInfo(
        id=model_id, match=types.ClauseEquals(equals=model_id), prices=prices, price_variants=variants
    )


def brief(rows: list[PriceRow]) -> list[tuple[str, str, str]]:
    return [(row.price_id.partition("/")[2], str(row.price_usd), row.assumed) for row in rows]


def test_dated_prices_and_hours() -> None:
    """Hours belong to the dated price they follow, and do not reach back to an older one."""
    hours = types.TimeOfDateConstraint(start_time=time(1, tzinfo=UTC), end_time=time(4, tzinfo=UTC))
    prices = [
        types.ConditionalPrice(prices=types.ModelPrice(input_mtok=D(1))),
        types.ConditionalPrice(types.StartDateConstraint(date(2026, 3, 1)), prices=types.ModelPrice(input_mtok=D(2))),
        types.ConditionalPrice(hours, prices=types.ModelPrice(input_mtok=D(4))),
    ]
    assert brief(_model_rows("acme", model(prices))) == [
        ("acme/nova/input_tokens..2026-03-01", "1", ""),
        ("acme/nova/input_tokens@2026-03-01", "2", ""),
        ("acme/nova/input_tokens?01:00-04:00@2026-03-01", "4", ""),
    ]


def test_a_variant_is_taken_back_to_the_start_of_its_list_price() -> None:
    """A batch price carries the day it was noticed; before that it holds as long as the list price, and says so."""
    prices = [
        types.ConditionalPrice(prices=types.ModelPrice(input_mtok=D(1))),
        types.ConditionalPrice(types.StartDateConstraint(date(2026, 3, 1)), prices=types.ModelPrice(input_mtok=D(2))),
    ]
    noticed = types.StartDateConstraint(date(2026, 10, 14))
    later = types.StartDateConstraint(date(2026, 12, 1))
    variants = [
        types.PriceVariant(
            when={"processing": "batch"}, prices=types.ModelPrice(input_mtok=D("0.8")), constraint=later
        ),
        types.PriceVariant(when={"processing": "batch"}, prices=types.ModelPrice(input_mtok=D(1)), constraint=noticed),
        types.PriceVariant(when={"service_tier": "default"}, prices=types.ModelPrice()),
        types.PriceVariant(when={"route": "eu"}, prices=types.ModelPrice(input_mtok=D(9))),
    ]
    assert brief(_model_rows("acme", model(prices, variants)))[2:] == [
        (
            "acme/nova/input_tokens?mode=batch@2026-03-01..2026-10-14",
            "1",
            "date: known since 2026-10-14, taken to hold as long as the list price",
        ),
        ("acme/nova/input_tokens?mode=batch@2026-10-14..2026-12-01", "1", ""),
        ("acme/nova/input_tokens?mode=batch@2026-12-01", "0.8", ""),
    ]


def test_tiers() -> None:
    """199,999 is how the library writes "from 200,000 on"."""
    tiered = types.TieredPrices(base=D(1), tiers=[types.Tier(start=199_999, price=D(2)), types.Tier(300_000, D(3))])
    rows = _model_rows("x-ai", model(types.ModelPrice(input_mtok=tiered)))
    assert [row.context_tier for row in rows] == [
        None,
        ContextTier(above=200_000, is_inclusive=True),
        ContextTier(above=300_000),
    ]


def test_what_the_library_has_in_its_engine_or_leaves_unsaid() -> None:
    """Groq's ten seconds, Google's image tokens, speech models' audio tokens, and models called free."""
    whisper = _model_rows("groq", model(types.ModelPrice(audio_hours=D(1)), model_id="whisper-large-v3"))
    assert [(row.unit, row.minimum) for row in whisper] == [("audio_seconds", D(10))]
    gemini = _model_rows("google", model(types.ModelPrice(input_mtok=D(1)), model_id="gemini-x"))
    assert [row.unit for row in gemini] == ["input_tokens", "input_image_tokens", "input_video_tokens"]
    speech = _model_rows("openai", model(types.ModelPrice(output_mtok=D(1)), model_id="x-tts"))
    assert [row.unit for row in speech] == ["output_tokens", "output_audio_tokens"]
    free = _model_rows("openrouter", model(types.ModelPrice(), model_id="x:free"))
    assert [(row.unit, row.price_usd) for row in free] == [("input_tokens", D(0)), ("output_tokens", D(0))]
    assert _model_rows("openrouter", model(types.ModelPrice())) == []


def test_new_keys_conditions_and_clauses_are_errors() -> None:
    """What we do not know is not passed over in silence."""
    with pytest.raises(PriceFileError, match="price keys we do not know: \\['moon_mtok'\\]"):
        _model_rows("a", model(types.ModelPrice(moon_mtok=D(1))))
    variant = types.PriceVariant(when={"phase": "full"}, prices=types.ModelPrice(input_mtok=D(1)))
    with pytest.raises(PriceFileError, match="conditions we do not know"):
        _model_rows("a", model(types.ModelPrice(input_mtok=D(1)), [variant]))
    with pytest.raises(PriceFileError, match="matches by object"):
        _pattern(object())


@pytest.mark.parametrize(
    ("clause", "matching", "not_matching"),
    [
        (types.ClauseStartsWith("claude-2"), ["claude-2", "claude-2.1"], ["claude-20", "x-claude-2"]),
        (types.ClauseStartsWith("claude-sonnet-4-2025"), ["claude-sonnet-4-20250514"], ["claude-sonnet-4-0"]),
        (types.ClauseStartsWith("ft:gpt-4o-2024-"), ["ft:gpt-4o-2024-08-06:org::x"], ["ft:gpt-4o"]),
        (types.ClauseContains("nova-lite"), ["nova-lite", "us.nova-lite-v1:0"], ["my-nova-lite", "nova-lite2"]),
        (types.ClauseEndsWith("/kimi"), ["kimi", "x/kimi"], ["my-kimi", "kimi-2"]),
        (types.ClauseRegex(r"^gpt-5-\d+$"), ["gpt-5-1"], ["gpt-5-1-x", "x-gpt-5-1"]),
        (types.ClauseRegex(r"kimi"), ["a-kimi-b"], ["kim"]),
        (
            types.ClauseAnd([types.ClauseStartsWith("gemini"), types.ClauseRegex("^(?!.*-tts)")]),
            ["gemini", "gemini-exp"],
            ["gemini-tts", "x-gemini"],
        ),
    ],
)
def test_clauses_become_anchored_patterns(clause: Any, matching: list[str], not_matching: list[str]) -> None:
    """A pattern covers the whole name and stops at the borders of its parts."""
    (alias,) = _aliases("acme", "model", clause)
    rows = [PriceRow(provider="acme", model="model", unit="input_tokens", price_usd=D(1))]
    book = PriceBook([_Source(rows, alias)])
    for name in matching + not_matching:
        usage = UsageRecord(provider="acme", model=name, quantities={"input_tokens": 1}, at_unix_ns=0)
        assert (book.price(usage).status == "priced") is (name in matching), (name, alias.name)


class _Source:
    def __init__(self, rows: list[PriceRow], alias: Any) -> None:
        self.providers = ["acme"]
        self._rows, self._alias = rows, alias

    def rows(self, provider: str) -> list[PriceRow]:
        return self._rows

    def aliases(self, provider: str) -> list[Any]:
        return [self._alias]


def test_snapshot_keeps_everything() -> None:
    """A snapshot read back is what was written."""
    row = PriceRow(
        provider="acme",
        model="nova",
        unit="input_tokens",
        price_usd=D("0.10"),
        per=D(1_000),
        valid_from_unix_ns=unix_ns("2026-01-01T00:00:00+00:00"),
        valid_to_unix_ns=unix_ns("2027-01-01T00:00:00+00:00"),
        when=(("mode", "batch"),),
        context_tier=ContextTier(above=5),
        window=Window(minutes=((0, 60),)),
        minimum=D(10),
        is_imported=True,
        assumed="date: x",
        source="https://example.com",
        checked="2026-11-22",
        confidence="medium",
    )
    provider = import_genai()[0]
    kept = type(provider)(provider="acme", source="https://example.com", rows=[row], aliases=[])
    snapshot = Snapshot(dump_snapshot([kept], origin="test", imported_on="2026-11-22"))
    assert snapshot.rows("acme") == [row]
    assert (snapshot.rows("other"), snapshot.aliases("other")) == ((), ())
    assert row.valid_from_unix_ns != ALWAYS


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}'])
def test_damaged_snapshot(text: str) -> None:
    """A snapshot that cannot be read is an error with the mend."""
    with pytest.raises(PriceFileError, match="callfare prices import"):
        Snapshot(text)
