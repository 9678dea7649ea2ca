"""The domain: money, quantities, usage, prices, cost records, rollups. Pure; standard library only.

`span.py` is what is known of a span, `usage.py` what a call used, `quantity.py` the names of what is metered,
`quote.py` what it costs and how sure that is, `cost.py` the record of a call; `pricing/` and `settling/` make the last
two. `rollup.py` and `spend.py` are what the stored sums add up.

No IO, no clock, no logging, no threads: what is needed from outside is passed in.
"""

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.rows import Factor, ModelAlias, PriceRow
from cost_exporter.domain.quote import Line, Quote
from cost_exporter.domain.usage import UsageRecord

__all__ = ["Factor", "Line", "ModelAlias", "PriceBook", "PriceRow", "Quote", "UsageRecord"]
