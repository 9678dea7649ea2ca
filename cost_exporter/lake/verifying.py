"""Check exported files: every byte, every manifest, and their sums against the ledger."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from psycopg import Connection

from cost_exporter.domain.money import CONTEXT, ZERO, to_plain
from cost_exporter.errors import ExportError
from cost_exporter.lake.columns import QUANTITY_COLUMNS, SCHEMA_VERSION, require_pyarrow
from cost_exporter.lake.manifest import Manifest, PartFile, manifest_name, read_manifests, read_target_id
from cost_exporter.lake.place import PARTIAL_ENDING, Place
from cost_exporter.lake.writing import sums_of
from cost_exporter.store.lake import ExportTarget, ExportTargets, open_snapshot

__all__ = ["CheckedExport", "Problem", "require_whole", "verify_export"]

_COLUMN_BY_SUM: Final = {
    "cost_usd": "BilledCost",
    "request_count": "x_RequestCount",
    "unpriced_count": "x_UnpricedCount",
    **{name: QUANTITY_COLUMNS[name] for name in ("input_tokens", "output_tokens", "characters")},
    **{name: QUANTITY_COLUMNS[name] for name in ("audio_seconds", "call_seconds")},
}
"""What the ledger adds up by tenant and day, and the column that has it in the files."""
Key = tuple[str, date]
Totals = dict[Key, dict[str, Decimal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is not as it was exported, or not as the ledger has it."""

    problem: str
    subject: str
    """A file, or tenant and day."""
    found: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedExport:
    """What a check found."""

    problems: list[Problem]
    not_compared: list[str]
    """Tenants and days of which records were dropped before the place was there: files and ledger have to differ."""


def verify_export(connection: Connection[tuple[object, ...]], database_url: str, place: Place) -> CheckedExport:
    """Return what is wrong with a place; nothing where each byte is as it was written and all adds up to the ledger.

    No export runs meanwhile. Raises `ExportError` where this ledger has not exported to the place, and
    `StoreUnavailable` where an export is running.
    """
    targets = ExportTargets(connection)
    with targets.locked():
        return _checked(targets, database_url, place)


def _checked(targets: ExportTargets, database_url: str, place: Place) -> CheckedExport:
    target_id = read_target_id(place)
    if target_id is None:
        raise ExportError(f"nothing was exported to {place.location}; run `callfare export --to {place.location}`")
    target = targets.find(target_id)
    if target is None:
        raise ExportError(
            f"this ledger has not exported to {place.location}; set CALLFARE_DATABASE_URL to the one that did"
        )
    problems: list[Problem] = []
    manifests = list(_sound(place, target, problems))
    totals: Totals = defaultdict(lambda: defaultdict(lambda: ZERO))
    for manifest in manifests:
        for part in manifest.files:
            problems += _problems_of(place, part, totals)
    listed = {part.name for manifest in manifests for part in manifest.files}
    problems += [
        Problem(
            problem="not_listed",
            subject=name,
            found="a file that no manifest names",
            expected="none: left by a killed run, which the next export deletes, or put there by somebody",
        )
        for name in place.names()
        if name.endswith((".parquet", PARTIAL_ENDING)) and name not in listed
    ]
    with open_snapshot(database_url, target.exported_until_id) as snapshot:
        expected = snapshot.sums(target.exported_until_id)
    never_exported = {
        (row["tenant_id"], row["day"]) for row in expected if row["has_purged"] and target.began_after_purge
    }
    problems += _differences(totals, expected, never_exported)
    return CheckedExport(problems=problems, not_compared=[f"{tenant} {day}" for tenant, day in sorted(never_exported)])


def require_whole(connection: Connection[tuple[object, ...]], place: Place) -> ExportTarget:
    """Return how far a place has come. Raises `ExportError` unless all its manifests and files are there, by size.

    Raises `StoreUnavailable` where an export is running: it is between its files and its note in the ledger.
    """
    targets = ExportTargets(connection)
    with targets.locked():
        return _whole_target(targets, place)


def _whole_target(targets: ExportTargets, place: Place) -> ExportTarget:
    target_id = read_target_id(place)
    target = None if target_id is None else targets.find(target_id)
    if target is None:
        raise ExportError(f"this ledger has not exported to {place.location}; name the place that it exports to")
    problems: list[Problem] = []
    manifests = list(_sound(place, target, problems))
    sizes = place.sizes()
    for part in (part for manifest in manifests for part in manifest.files):
        if sizes.get(part.name) != part.byte_count:
            found = f"{sizes.get(part.name, 'no')} bytes"
            problems.append(
                Problem(problem="file", subject=part.name, found=found, expected=f"{part.byte_count} bytes")
            )
    if problems:
        raise ExportError(
            f"{place.location} is not whole ({problems[0].subject}: {problems[0].found}); "
            f"`callfare verify --export {place.location}` names everything"
        )
    return target


def _sound(place: Place, target: ExportTarget, problems: list[Problem]) -> Iterator[Manifest]:
    """Yield the manifests that the ledger knows, and note what is wrong with them."""
    manifests, previous = read_manifests(place), None
    for number in range(1, target.manifest_count + 1):
        name = manifest_name(number)
        manifest, checksum = manifests[number - 1] if number <= len(manifests) else (None, "")
        if manifest is None:
            what = "no manifest" if checksum else "nothing"
            problems.append(Problem(problem="manifest", subject=name, found=what, expected="the manifest of a run"))
        elif manifest.schema_version > SCHEMA_VERSION:
            raise ExportError(f"{name} was written by a newer version of callfare; upgrade this one")
        else:
            if previous not in {manifest.previous_sha256, ""}:
                problems.append(_changed(manifest_name(number - 1), previous, manifest.previous_sha256))
            yield manifest
        previous = checksum
    if target.manifest_sha256 is not None and previous not in {target.manifest_sha256, ""}:
        problems.append(_changed(manifest_name(target.manifest_count), previous, target.manifest_sha256))
    for number in range(target.manifest_count + 1, len(manifests) + 1):
        if manifests[number - 1][0] is None or target.pending_token is None:
            text = "a manifest that the ledger does not know"
            problems.append(Problem(problem="manifest", subject=manifest_name(number), found=text, expected="nothing"))


def _changed(subject: str, found: str | None, expected: str | None) -> Problem:
    return Problem(problem="manifest", subject=subject, found=f"sha256 {found}", expected=f"sha256 {expected}")


def _problems_of(place: Place, part: PartFile, totals: Totals) -> Iterator[Problem]:
    """Read a file whole, add its rows to the totals, and yield what is wrong with it."""
    arrow = require_pyarrow()
    from pyarrow import parquet  # noqa: PLC0415 - only where Parquet is read

    content = place.read(part.name)
    if content is None:
        yield Problem(problem="file", subject=part.name, found="nothing", expected=f"{part.byte_count} bytes")
        return
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != part.sha256:
        yield Problem(problem="file", subject=part.name, found=f"sha256 {checksum}", expected=f"sha256 {part.sha256}")
        return
    table = parquet.ParquetFile(arrow.BufferReader(content)).read()
    if (sums := sums_of(table)) != part.sums:
        yield Problem(problem="sums", subject=part.name, found=str(sums), expected=str(part.sums))
    _add(table, part.day, totals)


def _add(table: Any, day: date, totals: Totals) -> None:
    grouped = table.group_by("SubAccountId").aggregate([(column, "sum") for column in _COLUMN_BY_SUM.values()])
    for row in grouped.to_pylist():
        mine = totals[row["SubAccountId"], day]
        for name, column in _COLUMN_BY_SUM.items():
            mine[name] = CONTEXT.add(mine[name], Decimal(row[f"{column}_sum"] or 0))


def _differences(totals: Totals, expected: list[dict[str, Any]], never_exported: set[Key]) -> Iterator[Problem]:
    """Yield each tenant's day on which files and ledger do not agree, but for those that can not."""
    ledger: dict[Key, Mapping[str, Any]] = {(row["tenant_id"], row["day"]): row for row in expected}
    for key in sorted((totals.keys() | ledger.keys()) - never_exported):
        row = ledger.get(key, {})
        theirs = {name: Decimal(row.get(name) or 0) for name in _COLUMN_BY_SUM}
        ours = {name: totals[key][name] for name in _COLUMN_BY_SUM} if key in totals else dict.fromkeys(theirs, ZERO)
        differing = [name for name in _COLUMN_BY_SUM if ours[name] != theirs[name]]
        if differing:
            yield Problem(
                problem="ledger",
                subject=f"{key[0]} {key[1]}",
                found=_text(ours, differing),
                expected=_text(theirs, differing),
            )


def _text(values: Mapping[str, Decimal], names: list[str]) -> str:
    return ", ".join(f"{name} {to_plain(values[name])}" for name in names)
