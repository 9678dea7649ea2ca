"""The columns of exported files: one row a call, FOCUS names where FOCUS has one, `x_` before ours.

Money and what is measured are decimals of 18 places, what is counted are whole numbers. Unlike in FOCUS, a cost that is
not known is null: these rows are calls, not charges. A row that takes something back has the opposite sign.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.quantity import QUANTITIES, WHOLE_QUANTITIES
from cost_exporter.domain.quote import is_unpriced
from cost_exporter.errors import ExportError, MissingExtra
from cost_exporter.report.focus.units import service_of

__all__ = ["QUANTITY_COLUMNS", "SCHEMA_VERSION", "require_pyarrow", "schema", "table_of"]

SCHEMA_VERSION: Final = 1
"""Of the columns. A column may be added; one that is there keeps its name, type and meaning."""
QUANTITY_COLUMNS: Final = {
    name: f"x_{''.join(part.capitalize() for part in name.split('_'))}" for name in sorted(QUANTITIES)
}
"""The column of each quantity."""
_DIGITS, _PLACES = 38, 18
_MONEY: Final = ("BilledCost", "EffectiveCost", "ContractedCost")
_TIMES: Final = (
    *("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd", "x_ReceivedAt", "x_PostedAt"),
)
_WHOLE: Final = ("x_Sign", "x_RequestCount", "x_UnpricedCount", "x_DurationNs", "x_PostingId")
_COLUMNS: Final = (
    *("SubAccountId", "SubAccountName", "ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart"),
    *("BillingPeriodEnd", "BillingAccountId", "BillingAccountName", "BillingCurrency", *_MONEY),
    *("ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "InvoiceIssuerName", "ProviderName"),
    *("PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory"),
    *("x_Sign", "x_RequestCount", "x_UnpricedCount", "x_CostStatus", "x_Leg", "x_Model", "x_Operation"),
    *("x_CostCategory", "x_Task", "x_Tier", "x_WorkflowName", "x_UserId", "x_ApiKeyId", "x_ServiceTier", "x_Mode"),
    *("x_ServiceName", "x_ErrorType", "x_Namespace", "x_TraceId", "x_SpanId", "x_ParentSpanId", "x_DurationNs"),
    *("x_ReceivedAt", "x_BookVersion", "x_Lines", "x_Usage", "x_CorrectionReason", "x_PostingId", "x_PostedAt"),
    *QUANTITY_COLUMNS.values(),
)


def require_pyarrow() -> Any:
    """Return pyarrow. Raises `MissingExtra` where it is not installed."""
    try:
        import pyarrow  # noqa: ICN001, PLC0415 - only where Parquet is read or written
    except ImportError as error:
        raise MissingExtra("Parquet", "lake") from error
    return pyarrow


def schema() -> Any:
    """Return the columns with their types."""
    arrow = require_pyarrow()
    whole = {*_WHOLE, *(QUANTITY_COLUMNS[name] for name in WHOLE_QUANTITIES)}
    measured = {*_MONEY, *(QUANTITY_COLUMNS[name] for name in QUANTITIES - WHOLE_QUANTITIES)}

    def type_of(name: str) -> Any:
        if name in _TIMES:
            return arrow.timestamp("us", tz="UTC")
        if name in whole:
            return arrow.int64()
        return arrow.decimal128(_DIGITS, _PLACES) if name in measured else arrow.string()

    return arrow.schema([(name, type_of(name)) for name in _COLUMNS])


def table_of(day: date, columns: Mapping[str, Sequence[Any]], billing_account: str) -> Any:
    """Return rows of one day as a table. `columns` are those of the statement `export_rows`."""
    arrow, types = require_pyarrow(), schema()
    values = {**columns, **_derived(day, columns, billing_account), **_quantities(columns)}
    count = len(columns["sign"])
    try:
        arrays = [_array(arrow, values.get(field.name), field.type, count) for field in types]
    except (arrow.ArrowInvalid, OverflowError) as error:
        raise ExportError(f"a figure of {day} does not fit into Parquet ({error}); correct its record first") from error
    return arrow.Table.from_arrays(arrays, schema=types)


def _array(arrow: Any, values: Any, kind: Any, count: int) -> Any:
    if values is None:
        return arrow.nulls(count, kind)
    if isinstance(values, _Same):
        return arrow.repeat(arrow.scalar(values.value, type=kind), count)
    return arrow.array(values, type=kind)


class _Same:
    """One value in every row."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _derived(day: date, columns: Mapping[str, Sequence[Any]], billing_account: str) -> dict[str, Any]:
    """Return the columns that follow from others."""
    month_starts_at = datetime.combine(day.replace(day=1), time(0), UTC)
    services = [service_of(leg) for leg in columns["leg"]]
    signs, reasons = columns["sign"], columns["x_CorrectionReason"]
    named = list(zip(columns["ProviderName"], columns["x_Model"], columns["x_Operation"], strict=True))
    return {
        "SubAccountName": columns["SubAccountId"],
        "BillingPeriodStart": _Same(month_starts_at),
        "BillingPeriodEnd": _Same((month_starts_at + timedelta(days=31)).replace(day=1)),
        "BillingAccountId": _Same(billing_account),
        "BillingAccountName": _Same(billing_account),
        "BillingCurrency": _Same("USD"),
        "EffectiveCost": columns["BilledCost"],
        "ContractedCost": columns["BilledCost"],
        "ChargeCategory": _Same("Usage"),
        "ChargeClass": [None if reason is None else "Correction" for reason in reasons],
        "ChargeDescription": [f"{model or 'unknown model'}, {operation}" for _, model, operation in named],
        "ChargeFrequency": _Same("Usage-Based"),
        "InvoiceIssuerName": columns["ProviderName"],
        "PublisherName": columns["ProviderName"],
        "ServiceCategory": [category for category, _ in services],
        "ServiceName": [f"{provider} {operation}".strip() for provider, _, operation in named],
        "ServiceSubcategory": [subcategory for _, subcategory in services],
        "x_Sign": signs,
        "x_RequestCount": signs,
        "x_UnpricedCount": [
            sign if is_unpriced(status) else 0 for sign, status in zip(signs, columns["status"], strict=True)
        ],
        "x_CostStatus": columns["status"],
        "x_Leg": columns["leg"],
        "x_Usage": columns["usage"],
    }


def _quantities(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Return a column for each quantity that occurs, with the sign of its row; null where it is not stated."""
    found: dict[str, list[Any]] = {}
    count = len(columns["sign"])
    for index, (usage, sign) in enumerate(zip(columns["usage"], columns["sign"], strict=True)):
        if usage is None:
            continue
        for name, quantity in json.loads(usage, parse_float=Decimal).items():
            if quantity is None:
                continue
            column = found.get(name)
            if column is None:
                column = found[name] = [None] * count
            # Whole where it counts things, as in the ledger's own sums.
            column[index] = (int(quantity) if name in WHOLE_QUANTITIES else Decimal(quantity)) * sign
    return {QUANTITY_COLUMNS[name]: column for name, column in found.items() if name in QUANTITY_COLUMNS}
