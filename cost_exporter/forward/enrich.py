"""The cost of a record as span attributes, ready to be appended to the span's own bytes.

Protobuf merges by concatenation: the bytes of a `Span` followed by the bytes of more attributes *are* the span
with more attributes. So a span is enriched without decoding it again. The double is for display only; the
exact figure is the decimal string beside it. `callfare.cost.bucket` is for backends that search by equality.
"""

import struct
from bisect import bisect_right
from decimal import Decimal
from functools import lru_cache

from callfare import attributes
from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import to_plain

__all__ = ["ENRICHED_KEYS", "cost_attributes", "cost_bucket", "describe_cost", "varint"]

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

_SPAN_ATTRIBUTE = b"\x4a"  # Span.attributes: field 9, length-delimited
_KEY = b"\x0a"  # KeyValue.key: field 1
_VALUE = b"\x12"  # KeyValue.value: field 2
_STRING = b"\x0a"  # AnyValue.string_value: field 1
_DOUBLE = b"\x21"  # AnyValue.double_value: field 4, 64 bits


def cost_attributes(record: CostRecord) -> bytes:
    """Return what `describe_cost` says, as bytes to append to the serialised span."""
    return b"".join(
        _double_attribute(key, said) if isinstance(said, float) else string_attribute(key, said)
        for key, said in describe_cost(record)
    )


def describe_cost(record: CostRecord) -> list[tuple[str, str | float]]:
    """Return the attributes that say what a record costs. No amount where the cost is unknown."""
    said: list[tuple[str, str | float]] = [
        (attributes.COST_STATUS, record.status),
        (attributes.COST_CATEGORY, record.category),
        (attributes.TENANT_ID, record.tenant),
    ]
    if record.book_version:
        said.append((attributes.COST_BOOK_VERSION, record.book_version))
    if record.cost_usd is None:
        bucket = "duplicate" if record.status == "duplicate" else "unknown"
        return [*said, (attributes.COST_BUCKET, bucket)]
    return [
        *said,
        (attributes.COST_BUCKET, cost_bucket(record.cost_usd)),
        (attributes.COST_CURRENCY, "USD"),
        (attributes.COST_SOURCE, "provider" if record.status == "reported" else "local"),
        (attributes.COST_AMOUNT, float(record.cost_usd)),
        (attributes.EXACT_COST, to_plain(record.cost_usd)),
    ]


def cost_bucket(cost_usd: Decimal) -> str:
    """Return the order of magnitude of a cost, for search by equality."""
    return _BUCKETS[bisect_right(_BUCKET_BOUNDS_USD, cost_usd)]


@lru_cache(maxsize=4096)
def string_attribute(key: str, text: str) -> bytes:
    """Return one string attribute of a span, serialised. Memoised: most texts repeat."""
    return _attribute(key, _length_delimited(_STRING, text.encode()))


def _double_attribute(key: str, number: float) -> bytes:
    return _attribute(key, _DOUBLE + struct.pack("<d", number))


def _attribute(key: str, any_value: bytes) -> bytes:
    return _length_delimited(
        _SPAN_ATTRIBUTE, _length_delimited(_KEY, key.encode()) + _length_delimited(_VALUE, any_value)
    )


def _length_delimited(tag: bytes, payload: bytes) -> bytes:
    return tag + varint(len(payload)) + payload


def varint(number: int) -> bytes:
    """Return a non-negative integer as protobuf writes it."""
    if number < 0x80:  # noqa: PLR2004 - one byte, the common case
        return bytes((number,))
    parts = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
