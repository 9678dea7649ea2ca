"""Cached tokens and tokens by kind are both parts of the input, and may be the same tokens."""

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain import PriceBook
from cost_exporter.domain.quantity import disjoint_parts
from tests.domain.small_book import rows, usage

BOOK = PriceBook.of(
    rows(
        {
            "input_tokens": "1",
            "output_tokens": "2",
            "cache_read_tokens": "0.1",
            "input_image_tokens": "3",
            "input_video_tokens": "4",
            "cache_image_read_tokens": "0.3",
            "cache_write_tokens": "1.25",
        }
    )
)


def test_cached_images_are_stated() -> None:
    """Then each token has its own price, and the figure is exact."""
    counts = {
        "input_tokens": 1_000,
        "cache_read_tokens": 800,
        "input_image_tokens": 600,
        "cache_image_read_tokens": 500,
    }
    assert disjoint_parts(counts) == {
        "input_tokens": 100,
        "cache_read_tokens": 300,
        "input_image_tokens": 100,
        "cache_image_read_tokens": 500,
    }
    assert BOOK.price(usage(counts)).status == "priced"


@pytest.mark.parametrize(
    ("counts", "billed"),
    [
        (
            {"input_tokens": 1_000, "cache_read_tokens": 800, "input_image_tokens": 600},
            {"input_tokens": 0, "cache_read_tokens": 800, "input_image_tokens": 200},
        ),
        (
            {"input_tokens": 1_000, "cache_read_tokens": 900, "input_image_tokens": 50, "input_video_tokens": 400},
            {"input_tokens": 0, "cache_read_tokens": 900, "input_image_tokens": 0, "input_video_tokens": 100},
        ),
        (
            {"input_tokens": 2_168, "cache_read_tokens": 2_161, "cache_write_tokens": 2_161},
            {"input_tokens": 7, "cache_read_tokens": 2_161, "cache_write_tokens": 2_161},
        ),
        (
            {"input_tokens": 1_000, "cache_read_tokens": 500, "cache_write_tokens": 400, "input_image_tokens": 300},
            {"input_tokens": 0, "cache_read_tokens": 500, "cache_write_tokens": 400, "input_image_tokens": 100},
        ),
    ],
)
def test_what_must_overlap_is_billed_once_as_cached(counts: dict[str, int], billed: dict[str, int]) -> None:
    """The parts then add up to the total; the figure is an estimate and says why."""
    quote = BOOK.price(usage(counts))
    assert quote.status == "estimated"
    assert {line.unit: line.quantity for line in quote.lines} == billed
    beside = 0 if billed["input_tokens"] == 0 else counts["cache_write_tokens"]  # storage, billed beside the input
    assert sum(billed.values()) == counts["input_tokens"] + beside
    assert any(issue.startswith("assumed_overlap: ") for issue in quote.issues)


@pytest.mark.parametrize(
    "counts",
    [
        {"input_tokens": 1_000, "cache_read_tokens": 1_001},
        {"input_tokens": 1_000, "cache_read_tokens": 100, "input_image_tokens": 1_001},
        {"input_tokens": 1_000, "input_image_tokens": 1_001},
        {"input_tokens": 1_000, "cache_read_tokens": 800, "input_audio_tokens": 600},
        {"input_tokens": 1_000, "cache_read_tokens": 900, "cache_write_tokens": 1_001},
        {"input_tokens": 1_000, "cache_read_tokens": 900, "cache_write_tokens": 900, "input_audio_tokens": 900},
        {"input_tokens": 1_000, "cache_read_tokens": 1, "input_image_tokens": 1, "cache_image_read_tokens": 2},
    ],
)
def test_what_no_overlap_explains_is_invalid(counts: dict[str, int]) -> None:
    """A part that exceeds its whole by itself is a mistake of the meter."""
    quote = BOOK.price(usage(counts))
    assert (quote.status, quote.amount_usd) == ("invalid", None)


PARTS = (
    *("cache_read_tokens", "input_image_tokens", "input_video_tokens", "cache_image_read_tokens"),
    "cache_write_tokens",
)


def test_an_unknown_model_stays_unpriced() -> None:
    """No overlap makes a price."""
    counts = {"input_tokens": 1_000, "cache_read_tokens": 800, "input_image_tokens": 600}
    assert BOOK.price(usage(counts, model="unknown")).status == "unpriced"


COUNTS = st.integers(min_value=0, max_value=2_000)


@given(st.fixed_dictionaries({"input_tokens": COUNTS}, optional=dict.fromkeys(PARTS, COUNTS)))
def test_no_token_is_billed_twice(counts: dict[str, Any]) -> None:
    """Whatever is priced adds up to the input exactly, and to what was written beside it."""
    quote = BOOK.price(usage(counts))
    if quote.status == "invalid":
        return
    assert quote.status in {"priced", "estimated"}
    read, written = counts.get("cache_read_tokens", 0), counts.get("cache_write_tokens", 0)
    beside = min(read, written) if read + written > counts["input_tokens"] else 0
    assert sum((line.quantity for line in quote.lines), D(0)) == counts["input_tokens"] + beside
