"""Read what hints are made of: calls of a period that may have cost more than they had to."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cost_exporter.store.reading import Period, Reader, Row

__all__ = ["Bounds", "HintRows", "read_hints"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """From where on a call is worth a hint."""

    long_prompt_token_count: int
    cache_lives: timedelta
    small_input_tokens_max: int
    small_output_tokens_max: int
    retry_within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HintRows:
    """The rows of the four hints."""

    without_cache: list[Row]
    plain_answers: list[Row]
    interrupted: list[Row]
    retries: list[Row]


def read_hints(reader: Reader, period: Period, tenant: str | None, bounds: Bounds) -> HintRows:
    """Return the rows of one period, from one snapshot."""
    where: dict[str, Any] = {"since": period.since, "until": period.until, "tenant": tenant}
    with reader.one_snapshot():
        return HintRows(
            without_cache=reader.ask(
                "calls_without_cache",
                {
                    **where,
                    "input_tokens_min": bounds.long_prompt_token_count,
                    "cache_lives": bounds.cache_lives,
                },
                {},
            ),
            plain_answers=reader.ask(
                "plain_answers",
                {
                    **where,
                    "input_tokens_max": bounds.small_input_tokens_max,
                    "output_tokens_max": bounds.small_output_tokens_max,
                },
                {},
            ),
            interrupted=reader.ask("interrupted_speech", where, {}),
            retries=reader.ask("paid_retries", {**where, "retry_within": bounds.retry_within}, {}),
        )
