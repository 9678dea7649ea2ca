"""A tier in the configuration file: the budget of one request, by the name that `callfare.budget(tier=...)` uses."""

from pydantic import Field

from cost_exporter.settings.config_values import DecimalString, Part

__all__ = ["STANDARD", "TierRule"]

STANDARD = "standard"
"""The tier that applies where a request names one that the file does not have."""


class TierRule(Part):
    """A budget of one request: what its calls may cost together, and those of a task."""

    total_usd: DecimalString
    """Limit in US dollars of all calls together."""
    per_task_usd: dict[str, DecimalString] = Field(default_factory=dict)
    """Limits of tasks, by their names."""
