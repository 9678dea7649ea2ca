"""Write rows into Parquet: a file for each day, and another one after a million rows."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from cost_exporter.domain.money import ZERO, to_plain
from cost_exporter.lake.columns import QUANTITY_COLUMNS, SCHEMA_VERSION, require_pyarrow, schema, table_of
from cost_exporter.lake.manifest import NO_ROWS, PartFile, Sums, part_name
from cost_exporter.lake.place import Place

__all__ = ["ROWS_AT_ONCE", "sums_of", "write_parts"]

Batches = Iterable[tuple[Sequence[str], list[tuple[Any, ...]]]]
ROWS_AT_ONCE: Final = 16_384
"""Rows of a row group, which is what a reader may pass over: small enough to hold few tenants."""
_ROWS_OF_FILE_MAX: Final = 1_000_000


def write_parts(place: Place, batches: Batches, *, number: int, token: str, billing_account: str) -> list[PartFile]:
    """Write rows that come by day and tenant, and return the files. They count once a manifest names them."""
    parts: list[PartFile] = []
    for day, tables in groupby(_tables(batches, billing_account), key=itemgetter(0)):
        part = _Part(day)
        for _, table in tables:
            if part.sums.row_count + table.num_rows > _ROWS_OF_FILE_MAX:
                parts.append(part.written(place, number, token, len(parts)))
                part = _Part(day)
            part.add(table)
        parts.append(part.written(place, number, token, len(parts)))
    return parts


def sums_of(table: Any) -> Sums:
    """Return what the rows of a table add up to."""
    require_pyarrow()
    from pyarrow import compute  # noqa: PLC0415 - only where Parquet is read or written

    def added(column: str) -> Any:
        return compute.call_function("sum", [table.column(column)]).as_py()

    quantities = {name: added(column) for name, column in QUANTITY_COLUMNS.items()}
    return Sums(
        row_count=table.num_rows,
        request_count=added("x_RequestCount") or 0,
        unpriced_count=added("x_UnpricedCount") or 0,
        cost_usd=to_plain(added("BilledCost") or ZERO),
        quantities={name: to_plain(Decimal(total)) for name, total in quantities.items() if total is not None},
    )


def _tables(batches: Batches, billing_account: str) -> Iterator[tuple[date, Any]]:
    """Yield the rows as tables of one day each."""
    for names, rows in batches:
        place_of_day = names.index("day")
        for day, found in groupby(rows, key=itemgetter(place_of_day)):
            columns = dict(zip(names, zip(*found, strict=True), strict=True))
            yield day, table_of(day, columns, billing_account)


def _open_writer(sink: Any) -> Any:
    """Return a writer of rows into a sink of pyarrow."""
    require_pyarrow()
    from pyarrow import parquet  # noqa: PLC0415 - only where Parquet is written

    columns = schema().with_metadata({"callfare_schema_version": str(SCHEMA_VERSION)})
    return parquet.ParquetWriter(sink, columns, compression="zstd")


class _Part:
    """A file that is being written. In memory, because a bucket takes a file whole."""

    def __init__(self, day: date) -> None:
        self._day = day
        self._buffer: Any = require_pyarrow().BufferOutputStream()
        self._writer: Any = _open_writer(self._buffer)
        self.sums: Sums = NO_ROWS

    def add(self, table: Any) -> None:
        """Add rows as one row group."""
        self._writer.write_table(table, row_group_size=ROWS_AT_ONCE)
        self.sums = self.sums.plus(sums_of(table))

    def written(self, place: Place, number: int, token: str, part: int) -> PartFile:
        """Put the file into its place."""
        self._writer.close()
        content = self._buffer.getvalue().to_pybytes()
        name = part_name(self._day, number, token, part)
        place.write(name, content)
        return PartFile(
            name=name,
            day=self._day,
            byte_count=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            sums=self.sums,
        )
