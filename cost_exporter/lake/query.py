"""Ask exported files by SQL: DuckDB over the files that manifests name, with nothing else in reach."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import to_plain
from cost_exporter.errors import ExportError, MissingExtra
from cost_exporter.lake.columns import require_pyarrow, schema
from cost_exporter.lake.manifest import read_manifests, read_target_id
from cost_exporter.lake.place import Place
from cost_exporter.report.amounts import time_text
from cost_exporter.report.sheet import Sheet

__all__ = ["TABLE", "Answer", "query", "scan"]

TABLE: Final = "calls"
_LOCKED: Final = (
    # What a query cannot do: read or write a file, load an extension, take a variable of this program, undo any of it.
    "set timezone = 'UTC'",
    "set python_enable_replacements = false",
    "set autoinstall_known_extensions = false",
    "set autoload_known_extensions = false",
    "set enable_external_access = false",
    "set lock_configuration = true",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a query returned."""

    columns: tuple[str, ...]
    values: list[tuple[Any, ...]]

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows by their columns. Raises `ExportError` where two have one name."""
        if len(set(self.columns)) < len(self.columns):
            raise ExportError("two columns have one name; give each its own with `as`")
        return [dict(zip(self.columns, row, strict=True)) for row in self.values]

    def sheet(self, *, unknown: str) -> Sheet:
        """Return the rows as a sheet; null is written as `unknown`."""
        figures = [
            name
            for name, *column in zip(self.columns, *self.values, strict=True)
            if any(isinstance(each, int | float | Decimal) for each in column)
        ]
        return Sheet(
            title="",
            columns=self.columns,
            rows=tuple(tuple(unknown if each is None else _text(each) for each in row) for row in self.values),
            right_aligned=frozenset(figures),
        )


def query(place: Place, sql: str) -> Answer:
    """Return what one query finds in the table `calls`. Raises `ExportError` for one that cannot be answered."""
    try:
        import duckdb  # noqa: PLC0415 - only where files are queried
    except ImportError as error:
        raise MissingExtra("`callfare query`", "lake") from error
    files = scan(place)
    with duckdb.connect(":memory:") as connection:
        connection.register(TABLE, files)
        for each in _LOCKED:
            connection.execute(each)
        try:
            if len(connection.extract_statements(sql)) != 1:
                raise ExportError("one query at a time; write a single statement")
            found = connection.execute(sql)
            columns = tuple(column[0] for column in found.description or ())
            return Answer(columns=columns, values=found.fetchall())
        except duckdb.Error as error:
            reason = str(error).strip().splitlines()[0]
            raise ExportError(
                f"{reason}; the table is {TABLE}: `callfare query 'describe {TABLE}'` lists it"
            ) from error


def scan(place: Place) -> Any:
    """Return the files of a place that manifests name, as one data set of pyarrow. Raises `ExportError`."""
    arrow = require_pyarrow()
    from pyarrow import dataset  # noqa: PLC0415 - only where files are queried

    if read_target_id(place) is None:
        raise ExportError(f"nothing was exported to {place.location}; run `callfare export --to {place.location}`")
    names: list[str] = []
    for manifest, _ in read_manifests(place):
        if manifest is None:
            raise ExportError(
                f"manifests of {place.location} are missing or were changed; run `callfare verify --export`"
            )
        names += [part.name for part in manifest.files]
    day = arrow.field("day", arrow.date32())
    columns = schema().append(day)
    if not names:
        return columns.empty_table()
    return dataset.dataset(
        [place.path(name) for name in names],
        schema=columns,
        filesystem=place.filesystem,
        format="parquet",
        partitioning=dataset.partitioning(arrow.schema([day]), flavor="hive"),
        partition_base_dir=place.root,
    )


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Decimal():
            return to_plain(value)
        case datetime():
            return time_text(value)
        case _:
            return str(value)
