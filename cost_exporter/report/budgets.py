"""Budgets as they are shown: by the command line, the API and the page, from rows of `budget_status`."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import to_plain
from cost_exporter.report.amounts import jsonable, short_time_text
from cost_exporter.report.sheet import Fold, Sheet

__all__ = ["budget_json", "budget_lines", "budget_sheet", "calls_of", "reached_percent"]

Row = dict[str, Any]
_DIMENSIONS: Final = ("api_key_id", "user_id", "category", "provider", "model")
_LABELS: Final = {"api_key_id": "key", "user_id": "user"}


def budget_json(row: Row) -> dict[str, Any]:
    """Return one budget with money as strings, under the SQL names, and under those of the configuration file."""
    status = {name: jsonable(value) for name, value in row.items() if name not in {"thresholds", "utilisation"}}
    return {
        **status,
        "tenant": row["tenant_id"],
        "hard": {"hard": True, "soft": False}.get(row["enforcement"], "shadow"),
        "utilisation": None if row["utilisation"] is None else to_plain(row["utilisation"]),
        "thresholds": [to_plain(each) for each in row["thresholds"]],
        "reached_percent": reached_percent(row),
        "spent_is_lower_bound": row["unpriced_count"] > 0,
    }


def reached_percent(row: Row) -> str | None:
    """Return the highest of the budget's percentages that was reached, None before the first."""
    spent_usd, limit_usd = row["spent_usd"], row["limit_usd"]
    reached = [each for each in row["thresholds"] if spent_usd and spent_usd * 100 >= limit_usd * each]
    return to_plain(max(reached)) if reached else None


def budget_lines(rows: Sequence[Row]) -> list[str]:
    """Return one line for each budget: how much of it is used in the window that runs."""
    return [
        f"budget {row['name']} of {row['tenant_id']}: {_used(row, '≥ ' if row['unpriced_count'] else '')} of"
        f" {to_plain(row['limit_usd'])} USD this {row['window']}".replace("this total", "in all")
        for row in rows
    ]


def calls_of(row: Row) -> str:
    """Return which calls of its tenant a budget counts."""
    words = [f"{_LABELS.get(name, name)} {row[name]}" for name in _DIMENSIONS if row[name] is not None]
    return ", ".join(words) or "all"


def budget_sheet(rows: Sequence[Row]) -> Sheet:
    """Return budgets as a table: the figures of the window that runs."""
    return Sheet(
        title="Budgets (windows are UTC, by the start of the call)",
        columns=(
            *("budget", "tenant", "calls", "window", "limit_usd", "spent_usd", "reserved_usd", "remaining_usd", "used"),
            *("hard", "resets_at"),
        ),
        rows=tuple(_cells(row) for row in rows),
        right_aligned=frozenset({"limit_usd", "spent_usd", "reserved_usd", "remaining_usd", "used"}),
        unbroken=frozenset({"budget", "resets_at"}),
        folds=(
            Fold(columns=("window", "resets_at"), into="window", separator="\n", words=("", " reset")),
            Fold(columns=("tenant", "calls"), into="tenant / calls", separator="\n"),
            Fold(columns=("used", "hard"), into="used", separator="\n", words=("", " (hard)")),
            Fold(
                columns=("limit_usd", "spent_usd", "reserved_usd", "remaining_usd"),
                into="usd",
                separator="\n",
                words=(" limit", " spent", " reserved", " remaining"),
            ),
            Fold(columns=("budget", "tenant / calls", "window"), into="budget", separator="\n"),
        ),
        total=_total(rows),
    )


def _cells(row: Row) -> tuple[str, ...]:
    bound = "≥ " if row["unpriced_count"] else ""
    return (
        row["name"],
        row["tenant_id"],
        calls_of(row),
        row["window"],
        _usd(row["limit_usd"]),
        bound + _usd(row["spent_usd"]),
        _usd(row["reserved_usd"]),
        _usd(row["remaining_usd"]),
        _used(row, bound),
        {"hard": "yes", "soft": "no"}.get(row["enforcement"], "shadow"),
        "never" if row["resets_at"] is None else short_time_text(row["resets_at"]),
    )


def _used(row: Row, bound: str) -> str:
    reached = reached_percent(row)
    used = "-" if row["utilisation"] is None else f"{bound}{to_plain(row['utilisation'])} %"
    return used if reached is None else f"{used} (over {reached} %)"


def _total(rows: Iterable[Row]) -> str:
    """Say what silent processes hold: somebody has to decide on it."""
    held = [row for row in rows if row["expired_usd"]]
    if not held:
        return ""
    total = sum((row["expired_usd"] for row in held), Decimal(0))
    return (
        f"{to_plain(total)} USD of what is reserved belongs to processes that fell silent; it stays held until the"
        " window ends, or until `callfare budget release ID`"
    )


def _usd(amount: Decimal) -> str:
    return to_plain(amount)
