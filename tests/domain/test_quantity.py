"""Splitting inclusive totals into disjoint parts, and refusing counts that cannot be."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain.quantity import MAX_QUANTITY, InconsistentUsage, disjoint_parts


def test_plain_totals_stay_as_they_are() -> None:
    """Without subsets there is nothing to take out."""
    assert disjoint_parts({"input_tokens": 10, "output_tokens": 5}) == {"input_tokens": 10, "output_tokens": 5}


def test_the_given_quantities_are_not_changed() -> None:
    """The result is a new mapping."""
    given_quantities = {"input_tokens": 10, "cache_read_tokens": 4}
    disjoint_parts(given_quantities)
    assert given_quantities == {"input_tokens": 10, "cache_read_tokens": 4}


@pytest.mark.parametrize(
    ("quantities", "parts"),
    [
        ({"input_tokens": 10, "cache_read_tokens": 4}, {"input_tokens": 6, "cache_read_tokens": 4}),
        ({"input_tokens": 10, "cache_write_tokens": 4}, {"input_tokens": 6, "cache_write_tokens": 4}),
        (  # the total of the writes is given too, and all of it is known to be one or the other
            {"input_tokens": 9, "cache_write_tokens": 5, "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 2},
            {"input_tokens": 4, "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 2},
        ),
        (  # part of the writes is of unknown length
            {"input_tokens": 9, "cache_write_tokens": 5, "cache_write_1h_tokens": 2},
            {"input_tokens": 4, "cache_write_tokens": 3, "cache_write_1h_tokens": 2},
        ),
        (  # only the parts are given: their sum is the total
            {"input_tokens": 9, "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 2},
            {"input_tokens": 4, "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 2},
        ),
        (  # cached audio is cached and audio
            {"input_tokens": 9, "cache_read_tokens": 5, "input_audio_tokens": 4, "cache_audio_read_tokens": 3},
            {"input_tokens": 3, "cache_read_tokens": 2, "input_audio_tokens": 1, "cache_audio_read_tokens": 3},
        ),
        (
            {"output_tokens": 9, "output_audio_tokens": 5, "output_image_tokens": 1, "reasoning_tokens": 2},
            {"output_tokens": 3, "output_audio_tokens": 5, "output_image_tokens": 1, "reasoning_tokens": 2},
        ),
        ({"cache_read_tokens": 4}, {"cache_read_tokens": 4}),  # an unknown total stays unknown
        ({"cache_audio_read_tokens": 4}, {"cache_audio_read_tokens": 4}),
        ({"reasoning_tokens": 4}, {"reasoning_tokens": 4}),
        ({"input_tokens": D("12.0")}, {"input_tokens": 12}),
        ({"audio_seconds": D("8.4"), "characters": 3}, {"audio_seconds": D("8.4"), "characters": 3}),
        ({"input_tokens": 0, "cache_read_tokens": 0}, {"input_tokens": 0, "cache_read_tokens": 0}),
        ({}, {}),
    ],
)
def test_parts(quantities: dict[str, int | D], parts: dict[str, int | D]) -> None:
    """Each part is taken out of its total once."""
    assert disjoint_parts(quantities) == parts


@pytest.mark.parametrize(
    ("quantities", "reason"),
    [
        ({"input_tokens": -1}, "input_tokens is negative"),
        ({"audio_seconds": D("-0.1")}, "audio_seconds is negative"),
        ({"output_tokens": D("1.5")}, "output_tokens is a fraction"),
        ({"characters": D("0.5")}, "characters is a fraction"),
        ({"input_tokens": MAX_QUANTITY + 1}, "input_tokens is more than 1,000,000,000,000"),
        ({"audio_seconds": D("1e13")}, "audio_seconds is more than"),
        ({"audio_seconds": D("NaN")}, "audio_seconds is not a number"),
        ({"credits": D("Infinity")}, "credits is not a number"),
        ({"input_tokens": 10, "cache_read_tokens": 11}, "the parts of input_tokens exceed it"),
        ({"input_tokens": 10, "cache_read_tokens": 6, "cache_write_tokens": 5}, "the parts of input_tokens exceed it"),
        ({"output_tokens": 10, "output_audio_tokens": 11}, "the parts of output_tokens exceed it"),
        ({"output_tokens": 10, "reasoning_tokens": 11}, "reasoning_tokens exceeds output_tokens"),
        ({"cache_write_tokens": 3, "cache_write_5m_tokens": 4}, "the 5-minute and 1-hour parts exceed"),
        ({"cache_read_tokens": 3, "cache_audio_read_tokens": 4}, "cache_audio_read_tokens exceeds cache_read_tokens"),
        ({"input_audio_tokens": 3, "cache_audio_read_tokens": 4}, "cache_audio_read_tokens exceeds input_audio_tokens"),
    ],
)
def test_impossible_counts_are_refused(quantities: dict[str, int | D], reason: str) -> None:
    """What no meter can show is refused, with the reason."""
    with pytest.raises(InconsistentUsage, match=reason):
        disjoint_parts(quantities)


def test_the_largest_count_is_taken() -> None:
    """A million million is still a count."""
    assert disjoint_parts({"input_tokens": MAX_QUANTITY}) == {"input_tokens": MAX_QUANTITY}


COUNTS = st.integers(min_value=0, max_value=10**9)


@given(fresh=COUNTS, read=COUNTS, read_audio=COUNTS, audio=COUNTS, image=COUNTS, five=COUNTS, hour=COUNTS, rest=COUNTS)
def test_parts_are_disjoint_and_add_up(
    *, fresh: int, read: int, read_audio: int, audio: int, image: int, five: int, hour: int, rest: int
) -> None:
    """Whatever the parts, building totals from them and splitting those again gives the parts back."""
    quantities = {
        "input_tokens": fresh + read + read_audio + audio + image + five + hour + rest,
        "cache_read_tokens": read + read_audio,
        "input_audio_tokens": audio + read_audio,
        "cache_audio_read_tokens": read_audio,
        "input_image_tokens": image,
        "cache_write_tokens": five + hour + rest,
        "cache_write_5m_tokens": five,
        "cache_write_1h_tokens": hour,
    }
    parts = disjoint_parts(quantities)
    assert sum(parts.values()) == quantities["input_tokens"]
    assert parts["input_tokens"] == fresh
    assert (parts["cache_read_tokens"], parts["cache_audio_read_tokens"]) == (read, read_audio)
    assert parts.get("cache_write_tokens", 0) == rest


@given(
    st.dictionaries(st.sampled_from(["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"]), COUNTS)
)
def test_no_part_is_ever_negative(quantities: dict[str, int]) -> None:
    """Either the counts are refused, or every part is at least 0."""
    try:
        parts = disjoint_parts(quantities)
    except InconsistentUsage:
        return
    assert all(quantity >= 0 for quantity in parts.values())
