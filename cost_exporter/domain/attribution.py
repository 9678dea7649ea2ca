"""Attribution: which tenant, task and user a span is attributed to. Set on any span, inherited down the trace.

Each field resolves on its own: from the span, else the nearest ancestor that has it, else the root, else the
resource (rule 16). `None` means "not stated here".
"""

from typing import NamedTuple

__all__ = ["NO_ATTRIBUTION", "Attribution"]


class Attribution(NamedTuple):
    """The attribution that one span, or one resource, states itself."""

    tenant: str | None = None
    category: str | None = None
    task: str | None = None
    tier: str | None = None
    user: str | None = None
    api_key: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    outcome: str | None = None
    revenue_amount: str | None = None
    """Decimal text, kept as stated."""
    revenue_currency: str | None = None

    def with_fallback(self, fallback: "Attribution") -> "Attribution":
        """Return these fields, each one that is missing taken from `fallback`."""
        if fallback is NO_ATTRIBUTION:
            return self
        if self is NO_ATTRIBUTION:
            return fallback
        return Attribution(*[mine if mine is not None else theirs for mine, theirs in zip(self, fallback, strict=True)])


NO_ATTRIBUTION = Attribution()
