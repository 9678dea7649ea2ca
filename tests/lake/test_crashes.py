"""A run that is killed anywhere leaves nothing that counts twice or is missing; what was restored is noticed."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.errors import ExportError, StoreError
from cost_exporter.lake.place import Place, partial_name
from cost_exporter.store.lake import ExportTargets
from tests.domain.builders import call
from tests.lake.exported import Lake, exported_sums, ledger_sums

Database = psycopg.Connection[Any]
DAY_MS = 86_400_000


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it, and what was not committed is gone."""


class DyingPlace(Place):
    """A place whose writer is killed at one of its writes."""

    def __init__(self, location: str, writes_left: int) -> None:
        super().__init__(location)
        self.writes_left = writes_left

    def write(self, name: str, content: bytes) -> None:
        if not self.writes_left:
            partial = Path(self.path(partial_name(name)))
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content[: len(content) // 2])
            raise Killed
        self.writes_left -= 1
        super().write(name, content)


def two_days(lake: Lake, names: str, trace: bytes) -> None:
    first, second = names
    later = call(second, trace=trace, start_ms=DAY_MS, end_ms=DAY_MS + 1000)
    lake.finish(call(first, trace=trace), later)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("writes", range(4))
def test_a_killed_run_counts_nothing(lake: Lake, writes: int, *, is_first: bool) -> None:
    """Killed before the mark, the first file, the second one, the manifest; in the first run, or in the second one."""
    if not is_first:
        two_days(lake, "ab", b"f" * 16)
        lake.run()
    sums = exported_sums(lake.place)
    two_days(lake, "cd", b"g" * 16)
    with pytest.raises(Killed):
        lake.run(DyingPlace(lake.place.location, writes if is_first else min(writes, 2)))
    assert exported_sums(lake.place) == sums
    lake.commit(call("e", trace=b"g" * 16))  # what comes meanwhile is not passed over either
    lake.run()
    lake.check()  # also: nothing is left of the killed run


def test_a_run_killed_after_its_manifest_is_done(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is the commit: readers have it, and the next run notes it and goes on after it."""
    two_days(lake, "ab", b"f" * 16)

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ExportTargets, "commit", die)
        with pytest.raises(Killed):
            lake.run()
    assert exported_sums(lake.place) == ledger_sums(lake.database)
    two_days(lake, "cd", b"g" * 16)
    assert lake.run().number == 2
    lake.check()


def test_a_ledger_restored_from_before_an_export_is_refused(lake: Lake) -> None:
    """Its new transactions would have the ids of those that are exported. A place of its own is started instead."""
    two_days(lake, "ab", b"f" * 16)
    lake.run()
    before = lake.database.execute("select * from callfare.export_target").fetchall()
    two_days(lake, "cd", b"g" * 16)
    lake.run()
    lake.database.execute("delete from callfare.export_target")
    with pytest.raises(ExportError, match="by this one after what it was restored to"):
        lake.run()
    columns = ", ".join(["%s"] * len(before[0]))
    lake.database.execute(f"insert into callfare.export_target values ({columns})", before[0])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ExportError, match="restored from before the last export"):
        lake.run()
    fresh = Place(lake.place.location + "-2")
    lake.run(fresh)
    assert exported_sums(fresh) == ledger_sums(lake.database)


@pytest.mark.parametrize("table", ["trace", "journal"])
def test_a_ledger_of_another_server_is_refused(lake: Lake, table: str) -> None:
    """Restored there, its transaction ids are of the future; the manual's statements put it right for a new place."""
    two_days(lake, "ab", b"f" * 16)
    lake.commit(call("e", trace=b"f" * 16))
    column = {"trace": "final_transaction_id", "journal": "transaction_id"}[table]
    lake.database.execute(f"update callfare.{table} set {column} = '1099511627776'")  # pyright: ignore[reportArgumentType]
    with pytest.raises(StoreError, match="restored from another server"):
        lake.run()
    lake.database.execute("update callfare.journal set transaction_id = default, final_transaction_id = null")
    lake.database.execute(
        "update callfare.trace set final_transaction_id = null where final_transaction_id is not null"
    )
    lake.run()
    assert exported_sums(lake.place) == ledger_sums(lake.database)


@pytest.mark.parametrize("has_files", [True, False])
def test_other_peoples_directories_are_left_alone(lake: Lake, *, has_files: bool) -> None:
    """One with files in it, or with a mark that is not ours, is refused before anything is written."""
    lake.place.write("notes.txt" if has_files else "callfare-export.json", b"mine")
    with pytest.raises(ExportError, match="has other files in it" if has_files else "not of an export of callfare"):
        lake.run()
    assert len(lake.place.names()) == 1
