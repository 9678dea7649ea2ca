"""What one tenant's month costs in CPU over exported files, and how much of them is read for it.

    python benchmarks/lake.py [RECORDS, by default 2000000]

The files have the product's columns, row groups and compression: thirty days and a thousand tenants of unequal size,
sorted as an export sorts them. They are asked by `callfare query` as a program of its own, so its CPU is all that it
takes, the start included. The limit is 2 s, over 20 million records.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "instrumentation")]

import duckdb  # noqa: E402
import pyarrow as pa  # noqa: E402
from pyarrow import dataset  # noqa: E402

from cost_exporter.lake.columns import schema  # noqa: E402
from cost_exporter.lake.manifest import (  # noqa: E402
    Manifest,
    PartFile,
    manifest_name,
    part_name,
    write_target_id,
)
from cost_exporter.lake.place import Place  # noqa: E402
from cost_exporter.lake.query import scan  # noqa: E402
from cost_exporter.lake.writing import ROWS_AT_ONCE, open_writer, sums_of  # noqa: E402

DAYS = 30
TENANTS = 1000
FIRST_DAY = date(2026, 9, 1)
CPU_SECONDS_MAX = 2.0
TENANT = "tenant-0500"
SQL = (
    "select day, sum(BilledCost) as cost_usd, sum(x_RequestCount) as calls, sum(x_InputTokens) as tokens from calls"
    f" where SubAccountId = '{TENANT}' and day between '2026-09-01' and '2026-09-30' group by day order by day"
)
ROWS = """
select
  format('tenant-{:04d}', least(cast(floor(pow(random(), 1.5) * 1000) as integer), 999)) as "SubAccountId",
  timestamptz '%(day)s 00:00:00Z' + to_microseconds(cast(random() * 86399999999 as bigint)) as "ChargePeriodStart",
  tokens as "x_InputTokens", cast(floor(random() * 900) as bigint) as "x_OutputTokens",
  cast(tokens as decimal(20, 0)) * cast('0.00000015' as decimal(10, 8)) as "BilledCost",
  ['gpt-4o-mini', 'gpt-4o', 'claude-sonnet-4-5', 'nova-3'][cast(floor(random() * 4) as integer) + 1] as "x_Model",
  replace(cast(uuid() as varchar), '-', '') as "x_TraceId", format('{:016x}', cast(i as bigint)) as "x_SpanId"
from (select i, cast(floor(random() * 4000) as bigint) as tokens from range(%(count)s) as rows (i)) order by 1, 2
"""
WITHOUT_PANDAS = """
import sys
class NoPandas:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, NoPandas())
from cost_exporter.__main__ import main
sys.exit(main())
"""
# The extra `lake` brings no pandas. This environment has it, for ClickHouse, and pyarrow imports it where it is there.
TEXT = {"BillingCurrency": "USD", "ChargeCategory": "Usage", "x_CostStatus": "priced"}
SAME = {"SubAccountName": "SubAccountId", "EffectiveCost": "BilledCost", "ContractedCost": "BilledCost"}


def main() -> int:
    """Write, ask, print, and return 1 where the limit is passed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder)
        started = time.process_time()
        size = write_month(place, count)
        print(
            f"{count} records, {size / count:.0f} bytes each, written in {time.process_time() - started:.0f} s of CPU"
        )
        read, groups = row_groups(place)
        print(f"{read} of {groups} row groups can hold {TENANT}: the others are passed over")
        seconds = [asked(folder) for _ in range(3)]
        print(f"callfare query: {', '.join(f'{each:.2f}' for each in seconds)} s of CPU, limit {CPU_SECONDS_MAX} s")
    return int(min(seconds) > CPU_SECONDS_MAX)


def write_month(place: Place, count: int) -> int:
    """Write a month as one export would, and return its bytes."""
    target_id, token = uuid4(), "0" * 32
    parts: list[PartFile] = []
    for index in range(DAYS):
        day = FIRST_DAY + timedelta(days=index)
        table = day_of(day, count // DAYS)
        sink = pa.BufferOutputStream()
        with open_writer(sink) as writer:
            writer.write_table(table, row_group_size=ROWS_AT_ONCE)
        content = sink.getvalue().to_pybytes()
        name = part_name(day, 1, token, index)
        place.write(name, content)
        checksum = hashlib.sha256(content).hexdigest()
        parts.append(PartFile(name=name, day=day, byte_count=len(content), sha256=checksum, sums=sums_of(table)))
    manifest = Manifest(
        target_id=target_id,
        number=1,
        token=token,
        previous_sha256=None,
        since_id=0,
        until_id=1,
        written_at="2026-10-01T00:00:00+00:00",
        files=tuple(parts),
    )
    write_target_id(place, target_id)
    place.write(manifest_name(1), manifest.content())
    return sum(part.byte_count for part in parts)


def day_of(day: date, count: int) -> pa.Table:
    """Return the calls of a day, each with its own ids, by tenant and time."""
    made = duckdb.sql(ROWS % {"day": day, "count": count}).to_arrow_table()
    columns = []
    for field in schema():
        name = SAME.get(field.name, field.name)
        if name in made.column_names:
            columns.append(made[name].cast(field.type))
        elif name in TEXT or name in {"x_Sign", "x_RequestCount"}:
            columns.append(pa.repeat(pa.scalar(TEXT.get(name, 1), type=field.type), count))
        else:
            columns.append(pa.nulls(count, field.type))
    return pa.Table.from_arrays(columns, schema=schema())


def row_groups(place: Place) -> tuple[int, int]:
    """Return how many row groups a reader has to open for one tenant, and how many there are."""
    files = list(scan(place).get_fragments())
    condition = dataset.field("SubAccountId") == TENANT
    read = sum(len(list(file.split_by_row_group(condition, schema=schema()))) for file in files)
    return read, sum(len(list(file.split_by_row_group())) for file in files)


def asked(folder: str) -> float:
    """Return the CPU seconds of one question."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PANDAS, "query", SQL, "--from", folder, "--format", "json"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        check=True,
    )
    assert len(json.loads(done.stdout)) == DAYS
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
