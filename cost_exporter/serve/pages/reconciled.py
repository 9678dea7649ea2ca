"""Comparisons with providers that were kept, and what one of them found."""

from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request

from cost_exporter.serve.access import Access
from cost_exporter.serve.answers import NotFound
from cost_exporter.serve.pages.figures import at_least
from cost_exporter.serve.web import Web
from cost_exporter.store.comparisons import findings_of, latest_comparisons

__all__ = ["reconciled_page"]

_COUNT: Final = 50
_LARGEST_ID: Final = 2**63 - 1


def reconciled_page(web: Web, access: Access, request: Request) -> dict[str, Any]:
    """Return what fills the page: the last comparisons, and the findings of the one asked for, or of the newest."""
    asked = request.query_params.get("comparison", "")
    with web.lend(access.tenants) as reader:
        comparisons = latest_comparisons(reader, access.tenant, count=_COUNT)
        shown_id = _id_of(asked) if asked else (comparisons[0]["comparison_id"] if comparisons else None)
        findings = None if shown_id is None else findings_of(reader, shown_id, access.tenant)
    if asked and findings is None:
        raise NotFound
    return {
        "comparisons": [
            {**row, "outcomes": ", ".join(f"{count} {name}" for name, count in sorted(row["outcomes"].items()))}
            for row in comparisons
        ],
        "shown_id": shown_id,
        "findings": [_finding(each) for each in findings or ()],
    }


def _id_of(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _LARGEST_ID:
        raise NotFound
    return int(text)


def _finding(each: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: each[name] for name in ("day", "name", "outcome", "cause")},
        **{name: at_least(_money(each[f"{name}_cost_usd"]), 0) for name in ("our", "their")},
        "usage": [
            f"{unit.replace('_', ' ')}: {figures['ours']} / {figures['theirs']}"
            for unit, figures in each["quantities"].items()
        ],
        "is_wrong": each["outcome"] != "matched",
    }


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
