"""Rows of FOCUS 1.2: one per price, hour, tenant and set of labels. Pure.

`BilledCost` is what the ledger has, to the last digit. Quantities of pricing are rounded to 12 places, half-even, and
times the unit price they are the cost within 1e-9. We issue no invoice, so there is no `InvoiceId`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import CONTEXT, LINE_PLACES, quantise_line
from cost_exporter.report.focus.units import meter_of, pricing_unit, service_of, unit_name

__all__ = ["COLUMNS", "DECIMAL_COLUMNS", "TIME_COLUMNS", "FocusMonth", "ListPrice", "focus_row"]

COLUMNS: Final = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd"),
    *("ChargePeriodStart", "CommitmentDiscountStatus", "ConsumedQuantity", "ConsumedUnit", "ContractedCost"),
    *("ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice"),
    *("PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost"),
    *("PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName"),
    *("ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId"),
    *("SubAccountId", "SubAccountName", "Tags", "x_BookVersion", "x_CostCategory", "x_CostStatus"),
    *("x_HostProviderName", "x_LineCount", "x_Model", "x_Operation", "x_ServiceProviderName"),
)
DECIMAL_COLUMNS: Final = frozenset(
    {
        *("BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost"),
        *("ListUnitPrice", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost"),
        *("PricingCurrencyListUnitPrice", "PricingQuantity", "x_LineCount"),
    }
)
TIME_COLUMNS: Final = frozenset({"BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"})
_UNIT_PLACES: Final = Decimal(1).scaleb(-18)
_TOLERANCE: Final = Decimal("1e-9")
_TAGS: Final = {"category": "category", "task": "task", "tier": "tier", "workflow": "workflow_name"}
_TAGS_WITH_IDS: Final = {"user": "user_id", "api_key": "api_key_id"}

ListPrice = Callable[[Mapping[str, Any]], Decimal | None]
"""Returns the list price for as many units as a charge's own price is for; None where no list has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusMonth:
    """The billing period of a file, and whose it is."""

    month: date
    billing_account: str
    list_price: ListPrice

    @property
    def starts_at(self) -> datetime:
        """The inclusive start."""
        return datetime.combine(self.month, datetime.min.time(), UTC)

    @property
    def ends_at(self) -> datetime:
        """The exclusive end."""
        return (self.starts_at + timedelta(days=31)).replace(day=1)


def focus_row(charge: Mapping[str, Any], period: FocusMonth) -> dict[str, Any]:
    """Return a charge by the columns of FOCUS; None is null."""
    unit, per, price_usd, cost_usd = charge["unit"], charge["per"], charge["unit_price_usd"], charge["cost_usd"]
    list_price_usd = period.list_price(charge)
    if per != per.to_integral_value():  # a unit of FOCUS is a whole number of something
        list_price_usd = None if list_price_usd is None else _for_one(list_price_usd, per)
        price_usd, per = _for_one(price_usd, per), Decimal(1)
    quantity = _pricing_quantity(charge["billed_quantity"], per, price_usd, cost_usd)
    list_cost_usd = cost_usd
    if list_price_usd is not None and list_price_usd != price_usd:
        list_cost_usd = quantise_line(CONTEXT.multiply(list_price_usd, quantity))
    category, subcategory = service_of(charge["leg"])
    provider = charge["provider"] or "unknown"
    starts_at = charge["hour"].replace(tzinfo=UTC)
    sku = _sku(charge)
    return {
        "BilledCost": cost_usd,
        "BillingAccountId": period.billing_account,
        "BillingAccountName": period.billing_account,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": period.ends_at,
        "BillingPeriodStart": period.starts_at,
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if charge["is_correction"] else None,
        "ChargeDescription": f"{charge['model'] or 'unknown model'}, {charge['operation']}: {meter_of(unit)}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": starts_at + timedelta(hours=1),
        "ChargePeriodStart": starts_at,
        "CommitmentDiscountStatus": None,
        "ConsumedQuantity": charge["quantity"],
        "ConsumedUnit": unit_name(unit),
        "ContractedCost": cost_usd,
        "ContractedUnitPrice": price_usd,
        "EffectiveCost": cost_usd,
        "InvoiceId": None,
        "InvoiceIssuerName": provider,
        "ListCost": list_cost_usd,
        "ListUnitPrice": list_price_usd,
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingCurrencyContractedUnitPrice": price_usd,
        "PricingCurrencyEffectiveCost": cost_usd,
        "PricingCurrencyListUnitPrice": list_price_usd,
        "PricingQuantity": quantity,
        "PricingUnit": pricing_unit(unit, per),
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceCategory": category,
        "ServiceName": f"{provider} {charge['operation']}".strip(),
        "ServiceSubcategory": subcategory,
        "SkuId": sku,
        "SkuMeter": meter_of(unit),
        "SkuPriceDetails": json.dumps({"x_PriceRow": charge["price_id"] or "reported"}, ensure_ascii=False),
        "SkuPriceId": f"{sku}#{charge['price_id'] or 'reported'}",
        "SubAccountId": charge["tenant_id"],
        "SubAccountName": charge["tenant_id"],
        "Tags": _tags(charge),
        "x_BookVersion": charge["book_version"],
        "x_CostCategory": charge["category"],
        "x_CostStatus": charge["status"],
        "x_HostProviderName": provider,
        "x_LineCount": Decimal(charge["line_count"]),
        "x_Model": charge["model"],
        "x_Operation": charge["operation"],
        "x_ServiceProviderName": provider,
    }


def _pricing_quantity(billed: Decimal, per: Decimal, price_usd: Decimal, cost_usd: Decimal) -> Decimal:
    """Return how many pricing units cost that much.

    Each call's line was rounded once. Where many of them add up to more than the tolerance, the quantity is the
    one that the cost stands for.
    """
    quantity = _to_places(CONTEXT.divide(billed, per))
    off_usd = abs(CONTEXT.subtract(CONTEXT.multiply(quantity, price_usd), cost_usd))
    if price_usd and off_usd > CONTEXT.divide(_TOLERANCE, Decimal(2)):
        return _to_places(CONTEXT.divide(cost_usd, price_usd))
    return quantity


def _for_one(price_usd: Decimal, per: Decimal) -> Decimal:
    return CONTEXT.divide(price_usd, per).quantize(_UNIT_PLACES, context=CONTEXT)


def _to_places(number: Decimal) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-LINE_PLACES), context=CONTEXT)


def _sku(charge: Mapping[str, Any]) -> str:
    served = "".join(f"?{name}={charge[name]}" for name in ("service_tier", "mode") if charge[name])
    return (
        "/".join((charge["provider"] or "unknown", charge["model"] or "unknown", charge["operation"], charge["unit"]))
        + served
    )


def _tags(charge: Mapping[str, Any]) -> str:
    tags = {name: charge[column] for name, column in (_TAGS | _TAGS_WITH_IDS).items() if charge[column]}
    return json.dumps(tags, ensure_ascii=False)
