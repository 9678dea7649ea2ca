"""One tenant's rows are few row groups of each file: a reader passes over the others."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pyarrow import dataset

from cost_exporter.lake import writing
from cost_exporter.lake.columns import schema
from cost_exporter.lake.manifest import Manifest, manifest_name, write_target_id
from cost_exporter.lake.place import Place
from cost_exporter.lake.query import query, scan

DAYS = (date(2026, 9, 1), date(2026, 9, 2))
NAMES = (
    *("day", "sign", "leg", "status", "usage", "SubAccountId", "BilledCost", "ChargePeriodStart", "ProviderName"),
    *("x_Model", "x_Operation", "x_CorrectionReason"),
)
TENANTS, CALLS = 50, 800


def batches() -> Iterator[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
    """As the ledger yields them: by day and tenant, so many at a time."""
    rows = [
        (
            day,
            1,
            "llm",
            "priced",
            '{"input_tokens":3}',
            f"tenant-{tenant:02}",
            D("0.01"),
            at,
            "openai",
            "m",
            "chat",
            None,
        )
        for day in DAYS
        for at in [datetime(day.year, day.month, day.day, 12, tzinfo=UTC)]
        for tenant in range(TENANTS)
        for _ in range(CALLS)
    ]
    for start in range(0, len(rows), writing.ROWS_AT_ONCE):
        yield NAMES, rows[start : start + writing.ROWS_AT_ONCE]


@pytest.mark.parametrize(("rows_of_file_max", "file_count"), [(1_000_000, 2), (20_000, 6)])
def test_row_groups_of_other_tenants_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_of_file_max: int, file_count: int
) -> None:
    """Also where a day has several files; and the answer has all of the tenant's rows."""
    monkeypatch.setattr(writing, "_ROWS_OF_FILE_MAX", rows_of_file_max)
    place = Place(str(tmp_path / "lake"))
    files = writing.write_parts(place, batches(), number=1, token="0" * 32, billing_account="prod")
    assert len(files) == file_count
    target_id = uuid4()
    manifest = Manifest(
        target_id=target_id,
        number=1,
        token="0" * 32,
        previous_sha256=None,
        since_id=0,
        until_id=1,
        written_at="2026-10-01T00:00:00+00:00",
        files=tuple(files),
    )
    write_target_id(place, target_id)
    place.write(manifest_name(1), manifest.content())
    condition = dataset.field("SubAccountId") == "tenant-25"
    fragments = list(scan(place).get_fragments())
    groups = sum(len(list(each.split_by_row_group())) for each in fragments)
    read = sum(len(list(each.split_by_row_group(condition, schema=schema()))) for each in fragments)
    assert len(DAYS) <= read < groups / 2
    sql = (
        "select day::text, sum(BilledCost), sum(x_InputTokens) from calls where SubAccountId = 'tenant-25' group by day"
    )
    assert sorted(query(place, sql).values) == [(str(day), D("0.01") * CALLS, 3 * CALLS) for day in DAYS]
