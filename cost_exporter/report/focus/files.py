"""Files of FOCUS rows: CSV, and Parquet with the extra `finance`. Figures stay exact in both."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TextIO

from cost_exporter.domain.money import to_plain
from cost_exporter.errors import MissingExtra, StoreError
from cost_exporter.report.amounts import time_text
from cost_exporter.report.focus.rows import COLUMNS, DECIMAL_COLUMNS, TIME_COLUMNS
from cost_exporter.safe_text import for_spreadsheet

__all__ = ["require_pyarrow", "write_csv", "write_parquet"]

Row = Mapping[str, Any]
_ROWS_AT_ONCE: Final = 20_000
_PLACES: Final = 18
_DIGITS: Final = 38


def write_csv(rows: Iterable[Row], stream: TextIO, columns: Sequence[str] = COLUMNS) -> None:
    """Write rows under their names; null is an empty cell, and no text is taken for a formula."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])


def write_parquet(rows: Iterable[Row], path: Path) -> None:
    """Write rows with their types: decimals of 18 places, instants in UTC. Raises `MissingExtra`."""
    arrow = require_pyarrow()
    from pyarrow import parquet  # noqa: PLC0415 - only where Parquet is written

    schema = arrow.schema([(name, _type(arrow, name)) for name in COLUMNS])
    with parquet.ParquetWriter(path, schema) as writer:
        batch: list[Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _ROWS_AT_ONCE:
                writer.write_table(_table(arrow, schema, batch))
                batch = []
        writer.write_table(_table(arrow, schema, batch))


def require_pyarrow() -> Any:
    """Return pyarrow. Raises `MissingExtra` where it is not installed."""
    try:
        import pyarrow  # noqa: ICN001, PLC0415 - only where Parquet is written
    except ImportError as error:
        raise MissingExtra("Parquet", "finance") from error
    return pyarrow


def _table(arrow: Any, schema: Any, rows: Sequence[Row]) -> Any:
    try:
        columns = [arrow.array([row[name] for row in rows], type=schema.field(name).type) for name in COLUMNS]
    except arrow.ArrowInvalid as error:
        raise StoreError(f"a figure does not fit into Parquet ({error}); write CSV instead") from error
    return arrow.Table.from_arrays(columns, schema=schema)


def _type(arrow: Any, name: str) -> Any:
    if name in DECIMAL_COLUMNS:
        return arrow.decimal128(_DIGITS, _PLACES)
    return arrow.timestamp("us", tz="UTC") if name in TIME_COLUMNS else arrow.string()


def _cell(content: Any) -> str:
    match content:
        case None:
            return ""
        case bool():
            return str(content).lower()
        case Decimal():
            return to_plain(content)
        case datetime():
            return time_text(content)
        case _:
            return for_spreadsheet(str(content))
