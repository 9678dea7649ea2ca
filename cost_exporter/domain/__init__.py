"""The domain: money, quantities, usage, prices, cost records, rollups. Pure; standard library only.

No IO, no clock, no logging, no threads: what is needed from outside is passed in.
"""

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.rows import Factor, ModelAlias, PriceRow
from cost_exporter.domain.quote import Line, Quote
from cost_exporter.domain.usage import UsageRecord

__all__ = ["Factor", "Line", "ModelAlias", "PriceBook", "PriceRow", "Quote", "UsageRecord"]
