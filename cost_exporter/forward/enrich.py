"""The cost of a record as span attributes, ready to be appended to the span's own bytes.

A span is enriched without decoding it again (`read/otlp/otlp_bytes.py`), and of its attributes only the amount is its
own: the rest recurs and is remembered. The double is for display only; the exact figure is the decimal string
beside it. `callfare.cost.bucket` is for backends that search by equality.
"""

import struct
from bisect import bisect_right
from decimal import Decimal
from functools import lru_cache

from callfare import attributes
from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import to_plain
from cost_exporter.read.otlp.otlp_bytes import field

__all__ = ["ENRICHED_KEYS", "cost_attributes", "cost_bucket", "describe_cost"]

ENRICHED_KEYS = (
    attributes.COST_AMOUNT,
    attributes.COST_CURRENCY,
    attributes.COST_SOURCE,
    attributes.EXACT_COST,
    attributes.COST_STATUS,
    attributes.COST_BUCKET,
    attributes.COST_BOOK_VERSION,
    attributes.COST_CATEGORY,
    attributes.TENANT_ID,
)
"""Written by us: what a span says under these names before is replaced."""

_BUCKET_BOUNDS_USD = [Decimal(bound) for bound in ("0.001", "0.01", "0.1", "1", "10", "100")]
_BUCKETS = ("<0.001usd", "0.001-0.01usd", "0.01-0.1usd", "0.1-1usd", "1-10usd", "10-100usd", ">=100usd")

_ATTRIBUTE = 9  # in Span
_KEY, _VALUE = 1, 2  # in KeyValue
_STRING = 1  # in AnyValue
_DOUBLE = b"\x21"  # AnyValue.double_value: field 4, 64 bits
_DOUBLE_BYTES = 8


def cost_attributes(record: CostRecord) -> bytes:
    """Return what `describe_cost` says, as bytes to append to the serialised span."""
    recurring = _recurring_bytes(record.status, record.category, record.tenant, record.book_version, _bucket_of(record))
    return recurring if record.cost_usd is None else recurring + _amount_bytes(record.cost_usd)


def describe_cost(record: CostRecord) -> list[tuple[str, str | float]]:
    """Return the attributes that say what a record costs. No amount where the cost is unknown."""
    stated: list[tuple[str, str | float]] = [
        *_recurring(record.status, record.category, record.tenant, record.book_version, _bucket_of(record))
    ]
    if record.cost_usd is not None:
        stated.append((attributes.COST_AMOUNT, float(record.cost_usd)))
        stated.append((attributes.EXACT_COST, to_plain(record.cost_usd)))
    return stated


def cost_bucket(cost_usd: Decimal) -> str:
    """Return the order of magnitude of a cost, for search by equality."""
    return _BUCKETS[bisect_right(_BUCKET_BOUNDS_USD, cost_usd)]


def _bucket_of(record: CostRecord) -> str:
    if record.cost_usd is not None:
        return cost_bucket(record.cost_usd)
    return "duplicate" if record.status == "duplicate" else "unknown"


def _recurring(status: str, category: str, tenant: str, book_version: str, bucket: str) -> list[tuple[str, str]]:
    """Return the attributes of a cost except the amount itself."""
    stated = [
        (attributes.COST_STATUS, status),
        (attributes.COST_CATEGORY, category),
        (attributes.TENANT_ID, tenant),
        (attributes.COST_BUCKET, bucket),
    ]
    if book_version:
        stated.append((attributes.COST_BOOK_VERSION, book_version))
    if bucket in _BUCKETS:  # there is an amount
        stated.append((attributes.COST_CURRENCY, "USD"))
        stated.append((attributes.COST_SOURCE, "provider" if status == "reported" else "local"))
    return stated


@lru_cache(maxsize=4096)
def _recurring_bytes(status: str, category: str, tenant: str, book_version: str, bucket: str) -> bytes:
    stated = _recurring(status, category, tenant, book_version, bucket)
    return b"".join([_before_text(key, len(text.encode())) + text.encode() for key, text in stated])


def _amount_bytes(cost_usd: Decimal) -> bytes:
    exact = to_plain(cost_usd).encode()
    display = struct.pack("<d", float(cost_usd))
    return _BEFORE_AMOUNT + display + _before_text(attributes.EXACT_COST, len(exact)) + exact


@lru_cache(maxsize=4096)
def _before_text(key: str, size_bytes: int) -> bytes:
    """Return a string attribute up to its text: the bytes before the text depend on its size alone."""
    any_value = field(_STRING, bytes(size_bytes))
    return _attribute(key, any_value)[: -size_bytes or None]


def _attribute(key: str, any_value: bytes) -> bytes:
    return field(_ATTRIBUTE, field(_KEY, key.encode()) + field(_VALUE, any_value))


_BEFORE_AMOUNT = _attribute(attributes.COST_AMOUNT, _DOUBLE + bytes(_DOUBLE_BYTES))[:-_DOUBLE_BYTES]
