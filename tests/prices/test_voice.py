"""The import of voice-prices: what is taken over, as the vendors quote it, and that it never outranks anything."""

from decimal import Decimal as D
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cost_exporter.domain import PriceBook, PriceRow, Quote, UsageRecord
from cost_exporter.domain.pricing.book import PriceRows
from cost_exporter.errors import CallfareError
from cost_exporter.prices import voice
from cost_exporter.prices.loader import curated_files, shipped_snapshot, shipped_voice
from cost_exporter.prices.snapshot import Snapshot, dump_snapshot
from tests.prices.cases import NOON, shipped_book, unix_ns


def quoted(provider: str, model: str, *, mode: str = "", plan: str = "", **quantities: int) -> Quote:
    at_unix_ns = unix_ns(NOON)
    return shipped_book().price(
        UsageRecord(provider=provider, model=model, mode=mode, plan=plan, quantities=quantities, at_unix_ns=at_unix_ns)
    )


@pytest.mark.parametrize(
    ("provider", "model", "used", "amount"),
    [
        ("livekit", "deepgram/nova-3", {"audio_seconds": 1_000}, "0.08"),
        ("livekit", "cartesia/sonic-3", {"characters": 1_000}, "0.05"),
        ("livekit", "us-local-inbound", {"call_seconds": 60}, "0.01"),
        ("rime", "mistv2", {"characters": 1_000}, "0.03"),
        ("inworld", "inworld-tts-2", {"characters": 1_000}, "0.025"),
        ("speechmatics", "enhanced", {"audio_seconds": 3_600}, "0.43"),
        ("gladia", "solaria-1", {"audio_seconds": 3_600}, "0.75"),
        ("hume", "octave-2", {"characters": 1_000}, "0.15"),
        ("lmnt", "aurora", {"characters": 1_000}, "0.05"),
        ("x_ai", "grok-stt", {"audio_seconds": 3_600}, "0.2"),
        ("x-ai", "grok-voice-think-fast-2.0", {"session_seconds": 60}, "0.08"),
        ("vapi", "vapi-platform", {"call_seconds": 60}, "0.05"),
        ("ultravox", "fixie-ai/ultravox-70b", {"session_seconds": 60}, "0.05"),
        ("recall", "recall-transcription", {"audio_seconds": 3_600}, "0.15"),
        ("telnyx", "telnyx.naturalhd.astra", {"characters": 1_000}, "0.048"),
        ("twilio", "us-local-inbound", {"call_seconds": 61}, "0.017"),
        ("twilio", "us-client-outbound", {"call_seconds": 60}, "0.004"),
        ("google", "stt-standard", {"audio_seconds": 60}, "0.016"),
        ("openai", "gpt-realtime-whisper", {"audio_seconds": 60}, "0.017"),
    ],
)
def test_what_only_that_list_has_is_priced(provider: str, model: str, used: dict[str, int], amount: str) -> None:
    """By the character, the second and the minute, to the digit that the vendor quotes."""
    quote = quoted(provider, model, **used)
    assert (quote.status, quote.amount_usd) == ("priced", D(amount))


def test_batch_and_plan_are_conditions() -> None:
    """Not models of their own: a call states its model, its mode and perhaps its plan."""
    assert quoted("gladia", "solaria-1", mode="batch", audio_seconds=3_600).amount_usd == D("0.61")
    assert quoted("livekit", "deepgram/nova-3", plan="scale", audio_seconds=1_000).amount_usd == D("0.07")
    assert "assumed_plan: ship" in quoted("livekit", "deepgram/nova-3", audio_seconds=1_000).issues


def test_it_outranks_nothing() -> None:
    """A curated row and one of genai-prices win over it, whatever the order of loading."""
    rows = [
        PriceRow(provider="acme", model="nova", unit="characters", price_usd=D(price), **flags)
        for price, flags in (
            ("3", {"is_imported": True, "is_secondary": True}),
            ("2", {"is_imported": True}),
            ("1", {}),
        )
    ]

    def amount(*given: PriceRow) -> D | None:
        book = PriceBook([PriceRows(given)])
        at_unix_ns = unix_ns(NOON)
        usage = UsageRecord(provider="acme", model="nova", quantities={"characters": 1}, at_unix_ns=at_unix_ns)
        return book.price(usage).amount_usd

    assert (amount(*rows), amount(*reversed(rows))) == (D(1), D(1))
    assert (amount(*rows[:2]), amount(*reversed(rows[:2]))) == (D(2), D(2))
    assert amount(rows[0]) == D(3)
    assert len({row.supersede_key for row in rows}) == 3


def test_every_shipped_row_is_a_row_of_last_resort() -> None:
    """With its source, the day somebody looked at the page where that is known, and a license to ship it."""
    snapshot = shipped_voice()
    rows = [row for provider in snapshot.providers for row in snapshot.rows(provider)]
    assert snapshot.origin.startswith("voice-prices ")
    assert len(rows) > 300
    assert all(row.is_secondary and row.is_imported and row.source.startswith("https://") for row in rows)
    assert not {"openrouter"} & set(snapshot.providers)
    genai = set(shipped_snapshot().providers)
    assert {row.unit for row in rows if row.provider in genai} <= {
        "characters",
        "audio_seconds",
        "session_seconds",
        "call_seconds",
    }
    assert {"livekit", "rime", "gladia"} <= set(snapshot.providers)
    assert curated_files()


@pytest.mark.parametrize(
    ("written", "price", "per"),
    [
        ("0.041667", "0.15", 3_600),
        ("0.097222", "0.35", 3_600),
        ("0.096667", "0.0058", 60),
        ("0.09667", "0.0058", 60),
        ("0.05555", "0.2", 3_600),
        ("0.030833", "0.111", 3_600),
        ("0.283333", "0.017", 60),
        ("0.1667", "0.6", 3_600),
        ("0.08", "0.08", 1_000),
        ("0.0125", "0.0125", 1_000),
        ("0.7", "0.7", 1_000),
    ],
)
def test_prices_are_as_the_vendor_quotes_them(written: str, price: str, per: int) -> None:
    """Rounded to 1,000 seconds they would be off by a few millionths, on every call."""
    assert voice.as_quoted(D(written)) == (D(price), D(per))


def model(model_id: str, **prices: D) -> Any:
    return SimpleNamespace(
        id=model_id,
        match=SimpleNamespace(equals=model_id),
        prices=SimpleNamespace(**prices),
        pricing_source_url="https://acme.test/prices",
        provenance=None,
    )


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The providers of a library of this shape, which a test fills."""
    providers: list[Any] = []
    module = ModuleType("voice_prices.data")
    module.providers = providers  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(voice, "import_module", lambda _: module)
    return providers


def test_only_what_the_other_list_lacks_is_taken_over(library: list[Any]) -> None:
    """Tokens of a provider that genai-prices has come from there; gateways of models come from there whole."""
    priced = model("tts-x", input_kchars=D("0.1"), input_mtok=D(3))
    library += [
        SimpleNamespace(id=name, models=[priced], pricing_urls=["https://acme.test"])
        for name in ("openai", "acme", "openrouter", "huggingface_x")
    ]
    found = {one.provider: [row.unit for row in one.rows] for one in voice.import_voice()}
    assert found == {"openai": ["characters"], "acme": ["characters", "input_tokens"]}
    text = dump_snapshot(voice.import_voice(), origin="voice-prices 9", imported_on="2026-11-30")
    assert [row.source for row in Snapshot(text).rows("openai")] == ["https://acme.test/prices"]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not a dependency: the error says what to install."""

    def missing(_: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(voice, "import_module", missing)
    with pytest.raises(CallfareError, match="pip install voice-prices"):
        voice.import_voice()
