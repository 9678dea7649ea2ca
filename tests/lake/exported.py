"""Read back what was exported, with the sums that the ledger's own reports have."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from pyarrow import BufferReader, parquet

from cost_exporter.domain.span import Call, Link
from cost_exporter.lake.exporting import Exported, export
from cost_exporter.lake.manifest import read_manifests
from cost_exporter.lake.place import Place
from cost_exporter.lake.verifying import CheckedExport, Problem, verify_export
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import price_by_sum
from tests.store.requests import request
from tests.store.test_journal import make_final

Sums = dict[tuple[Any, ...], tuple[Decimal, ...]]
_COLUMNS = ("BilledCost", "x_RequestCount", "x_UnpricedCount", "x_InputTokens", "x_OutputTokens", "x_Characters")


def rows(place: Place) -> list[dict[str, Any]]:
    """Every row of every file that a manifest names."""
    found: list[dict[str, Any]] = []
    for manifest, _ in read_manifests(place):
        assert manifest is not None
        for part in manifest.files:
            content = place.read(part.name)
            assert content is not None
            found += [
                {**row, "day": part.day, "lines": json.loads(row["x_Lines"] or "[]")}
                for row in parquet.ParquetFile(BufferReader(content)).read().to_pylist()
            ]
    return found


def exported_sums(place: Place) -> Sums:
    """By tenant, day, category, provider, model and operation: what daily rollups have; nothing where all is zero."""
    sums: dict[tuple[Any, ...], list[Decimal]] = {}
    for row in rows(place):
        provider = "" if row["ProviderName"] == "unknown" else row["ProviderName"]
        key = (row["SubAccountId"], row["day"], row["x_CostCategory"], provider, row["x_Model"], row["x_Operation"])
        mine = sums.setdefault(key, [Decimal(0)] * len(_COLUMNS))
        for index, column in enumerate(_COLUMNS):
            mine[index] += Decimal(row[column] or 0)
    return {key: tuple(each) for key, each in sums.items() if any(each)}


def ledger_sums(database: psycopg.Connection[Any]) -> Sums:
    """The same from the rollups."""
    found = database.execute(
        "select tenant_id, day, category, provider, model, operation, sum(cost_usd), sum(request_count),"
        " sum(unpriced_count), sum(input_tokens), sum(output_tokens), sum(characters)"
        " from callfare.daily_rollup group by 1, 2, 3, 4, 5, 6"
    ).fetchall()
    return {row[:6]: tuple(map(Decimal, row[6:])) for row in found if any(row[6:])}


@dataclass(frozen=True, kw_only=True)
class Lake:
    """A ledger, and a place that it exports to."""

    ledger: LedgerStore
    database: psycopg.Connection[Any]
    database_url: str
    place: Place

    def commit(self, *spans: Call | Link) -> None:
        self.ledger.commit([request(*spans)], price_by_sum)

    def finish(self, *spans: Call | Link) -> None:
        """Commit, and let every workflow become final."""
        self.commit(*spans)
        make_final(self.database)

    def run(self, place: Place | None = None) -> Exported:
        """Export, over a connection of its own as the command does."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return export(connection, self.database_url, place or self.place, "prod")

    def verify(self, place: Place | None = None) -> list[Problem]:
        return self.checked(place).problems

    def checked(self, place: Place | None = None) -> CheckedExport:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return verify_export(connection, self.database_url, place or self.place)

    def check(self, place: Place | None = None) -> None:
        """Everything that is in the ledger was exported, and nothing twice."""
        assert exported_sums(place or self.place) == ledger_sums(self.database)
        assert self.verify(place) == []
