"""A report in the configuration file: what is sent of each day, week or month, and to whom."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from cost_exporter.settings.config_values import Part, PartName

__all__ = ["FOREIGN_REPORT_NAMES", "ReportRule"]

FOREIGN_REPORT_NAMES: Final = {"schedule": "every", "receivers": "to", "groups": "group_by", "id": "name"}
"""How others call a field, and its name here."""

# fmt: off
Dimension = Literal[
    "day", "tenant", "category", "provider", "model", "operation", "user", "api_key", "task", "tier", "hour", "week",
    "month",
]
# fmt: on


def _several(given: Any) -> Any:
    """Read a list; one word is as good as a list of one, and none is a mistake."""
    words = (given,) if isinstance(given, str) else given
    if isinstance(words, list | tuple) and not words:
        raise ValueError("is empty; name at least one")
    return words


class ReportRule(Part):
    """What was spent in each day, week or month that is over, sent to receivers of alerts."""

    name: PartName
    """Name of the report, unique."""
    every: Literal["day", "week", "month"]
    """Its period, UTC: `day`, `week` (from Monday) or `month`."""
    to: Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_several)]
    """Names of receivers in `alerts`."""
    group_by: Annotated[tuple[Dimension, ...], Field(strict=False), BeforeValidator(_several)] = ("tenant", "model")
    """Dimensions as for `callfare report --group-by`."""
    format: Literal["markdown", "csv"] = "markdown"
    """`markdown` or `csv`."""
    tenant: str | None = None
    """Only this tenant. Unset: all of them."""
