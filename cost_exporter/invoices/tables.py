"""CSV files: FOCUS, and Amazon's cost and usage report (CUR)."""

import csv
from collections.abc import Iterator, Mapping
from typing import TextIO

from cost_exporter.errors import StatementError
from cost_exporter.invoices.stated import Stated, day_of_text, figure_of

__all__ = ["read_table"]


def read_table(stream: TextIO, models: Mapping[str, str]) -> Iterator[Stated]:
    """Yield the rows. `models` says which of our models a SKU or usage type is."""
    reader = csv.DictReader(stream)
    columns = set(reader.fieldnames or ())
    if {"ChargePeriodStart", "BilledCost"} <= columns:
        yield from (_focus(row, models) for row in reader if row.get("BilledCost"))
    elif {"lineItem/UsageStartDate", "lineItem/UnblendedCost"} <= columns:
        yield from (_cur(row, models) for row in reader if row.get("lineItem/UnblendedCost"))
    else:
        raise StatementError(
            "the CSV is neither FOCUS (ChargePeriodStart, BilledCost) nor an AWS cost and usage report"
        )


def _focus(row: Mapping[str, str], models: Mapping[str, str]) -> Stated:
    label = row.get("SkuMeter") or row.get("SkuId") or row.get("ServiceName") or "no SKU"
    named = next(
        filter(None, (models.get(text or "") for text in (row.get("SkuId"), row.get("SkuPriceId"), label))), ""
    )
    model = named or row.get("x_Model") or ""
    is_dollars = (row.get("BillingCurrency") or "USD") == "USD"
    return Stated(
        day=day_of_text(row["ChargePeriodStart"], "ChargePeriodStart"),
        label=label,
        model=model,
        cost_usd=figure_of(row["BilledCost"], "BilledCost"),
        is_mapped=bool(model) and is_dollars,
    )


def _cur(row: Mapping[str, str], models: Mapping[str, str]) -> Stated:
    label = row.get("lineItem/UsageType") or "no usage type"
    is_dollars = (row.get("lineItem/CurrencyCode") or "USD") == "USD"
    return Stated(
        day=day_of_text(row["lineItem/UsageStartDate"], "lineItem/UsageStartDate"),
        label=label,
        model=models.get(label, ""),
        cost_usd=figure_of(row["lineItem/UnblendedCost"], "lineItem/UnblendedCost"),
        is_mapped=label in models and is_dollars,
    )
