"""`callfare verify --export`: whatever was changed since it was written is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.errors import StoreUnavailable
from cost_exporter.lake.manifest import manifest_name
from cost_exporter.lake.place import partial_name
from cost_exporter.lake.verifying import require_whole
from cost_exporter.store.lake import ExportTargets
from tests.domain.builders import call
from tests.lake.exported import Lake

Database = psycopg.Connection[Any]


@pytest.fixture
def parts(lake: Lake) -> list[str]:
    """Two runs of one file each."""
    names: list[str] = []
    for trace in (b"f" * 16, b"g" * 16):
        lake.finish(call("a", trace=trace), call("b", trace=trace))
        names += [each.name for each in lake.run().files]
    assert len(names) == 2
    return names


def found(lake: Lake) -> set[tuple[str, str]]:
    return {(each.problem, each.subject) for each in lake.verify()}


LEDGER = ("ledger", "default 2026-09-21")


def test_a_changed_byte_is_found_wherever_it_is(lake: Lake, parts: list[str]) -> None:
    """At the beginning, in the middle, in the footer; and put back, all is sound."""
    path = Path(lake.place.path(parts[0]))
    content = path.read_bytes()
    for at in (0, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert found(lake) == {("file", parts[0]), LEDGER}
    path.write_bytes(content)
    assert found(lake) == set()


def test_a_file_that_is_missing_or_is_another_one_is_found(lake: Lake, parts: list[str]) -> None:
    """Also where the other one is whole and well-formed."""
    first, second = (Path(lake.place.path(name)) for name in parts)
    first.write_bytes(second.read_bytes())
    assert found(lake) == {("file", parts[0]), LEDGER}
    first.unlink()
    assert found(lake) == {("file", parts[0]), LEDGER}


def test_a_file_that_nobody_lists_is_found(lake: Lake, parts: list[str]) -> None:
    """A reader that takes every file of the directory would count it."""
    another = parts[0].replace("000.parquet", "001.parquet")
    for stray in (another, partial_name(another)):
        path = Path(lake.place.path(stray))
        path.write_bytes(Path(lake.place.path(parts[0])).read_bytes())
        assert found(lake) == {("not_listed", stray)}
        path.unlink()


CHANGES: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "other ids": lambda text: _as_written({**text, "transaction_ids": {**text["transaction_ids"], "until": "7"}}),
    "other blanks": lambda text: json.dumps(text, indent=2),
    "other sums": lambda text: _as_written({**text, "sums": {**text["sums"], "cost_usd": "0"}}),
    "without a file, and still adding up": lambda text: _as_written({**text, "files": [], "sums": NOTHING}),
    "no JSON": lambda _: "{",
    "gone": lambda _: None,
}
NOTHING = {"row_count": 0, "request_count": 0, "unpriced_count": 0, "cost_usd": "0", "quantities": {}}


def _as_written(text: dict[str, Any]) -> str:
    return json.dumps(text, indent=1) + "\n"


def test_a_changed_manifest_is_found(lake: Lake, parts: list[str]) -> None:
    """The first by the second, the last by the ledger: whatever was changed in it, even where it still adds up."""
    for number in (1, 2):
        path = Path(lake.place.path(manifest_name(number)))
        whole = path.read_text()
        for name, change in CHANGES.items():
            changed = change(json.loads(whole))
            path.unlink() if changed is None else path.write_text(changed)
            assert ("manifest", manifest_name(number)) in found(lake), (number, name)
            path.write_text(whole)
        assert found(lake) == set()


def test_a_manifest_too_many_is_found(lake: Lake, parts: list[str]) -> None:
    """Put there by somebody, or by a ledger that was restored since."""
    text = json.loads(Path(lake.place.path(manifest_name(2))).read_text())
    Path(lake.place.path(manifest_name(3))).write_text(json.dumps(text | {"number": 3}))
    assert found(lake) == {("manifest", manifest_name(3))}


DIFFERENCES = (
    (
        "update callfare.record set cost_usd = cost_usd + 0.000000000001",
        "cost_usd 0.00618, should be cost_usd 0.006180000004",
    ),
    ("update callfare.record set usage = '{\"input_tokens\": 5}'", "input_tokens 4800"),
    ("update callfare.record set tenant_id = 'acme'", "request_count 4, input_tokens"),
    ("update callfare.record set status = 'duplicate', cost_usd = null, lines = null", "request_count 4"),
)


def test_a_ledger_that_says_otherwise_is_found(lake: Lake, parts: list[str]) -> None:
    """By tenant and day, with each figure that differs."""
    lake.database.execute("create table public.kept as table callfare.record")
    for change, difference in DIFFERENCES:
        lake.database.execute(change)  # pyright: ignore[reportArgumentType]
        problems = {each.subject: f"{each.found}, should be {each.expected}" for each in lake.verify()}
        assert difference in problems["default 2026-09-21"]
        lake.database.execute("delete from callfare.record")
        lake.database.execute("insert into callfare.record select * from public.kept")
    assert found(lake) == set()


def test_a_running_export_is_no_problem(lake: Lake, parts: list[str]) -> None:
    """Its files are there before the manifest, and that before its note: who checks waits until it has ended."""
    with psycopg.connect(lake.database_url, autocommit=True) as running, ExportTargets(running).locked():
        with pytest.raises(StoreUnavailable, match="another export, or a check of one, is running"):
            lake.verify()
        with pytest.raises(StoreUnavailable, match="is running"):
            require_whole(lake.database, lake.place)
    require_whole(lake.database, lake.place)
    assert lake.verify() == []
