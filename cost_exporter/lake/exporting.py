"""Export what is final, each change once: files first, their manifest after them, the ledger's own note last.

Before its first file a run notes in the ledger what it is about to write. So the next run knows what a killed one
left. Where there is a manifest with the token that was noted, the run is done and only the note is missing; where there
is none, nothing of it counts and its files are deleted. A ledger that was restored from before a run knows nothing of
it and refuses to go on.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from uuid import uuid4

from psycopg import Connection

from cost_exporter.errors import ExportError
from cost_exporter.lake.manifest import (
    NO_ROWS,
    Manifest,
    PartFile,
    Sums,
    manifest_name,
    read_manifests,
    read_target_id,
    write_target_id,
)
from cost_exporter.lake.place import PARTIAL_ENDING, Place, partial_name
from cost_exporter.lake.writing import ROWS_AT_ONCE, write_parts
from cost_exporter.store.lake import ExportTarget, ExportTargets, open_snapshot

__all__ = ["Exported", "export"]

_TOKEN_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a run wrote."""

    number: int
    """Of its manifest; 0 where there was nothing to write."""
    files: tuple[PartFile, ...]
    sums: Sums


def export(connection: Connection[tuple[object, ...]], database_url: str, place: Place, account: str) -> Exported:
    """Export what has become final or was corrected since the last run.

    `connection` commits each statement; an export holds a lock on it. Raises `ExportError` where the place is not one
    that this ledger exported to, and `StoreError` where another export is running.
    """
    targets = ExportTargets(connection)
    with targets.locked():
        return _export(targets, database_url, place, account)


def _export(targets: ExportTargets, database_url: str, place: Place, account: str) -> Exported:
    target = _settled(place, targets, _found(place, targets))
    token = secrets.token_hex(_TOKEN_BYTES)
    with open_snapshot(database_url, target.exported_until_id) as snapshot:
        targets.begin(target.target_id, place.location, token=token, until_id=snapshot.until_id)
        number = target.manifest_count + 1
        batches = snapshot.rows(target.exported_until_id, count=ROWS_AT_ONCE)
        files = tuple(write_parts(place, batches, number=number, token=token, billing_account=account))
        until_id = snapshot.until_id
    if not files:
        targets.end_empty(target.target_id, token=token)
        return Exported(number=0, files=(), sums=NO_ROWS)
    manifest = Manifest(
        target_id=target.target_id,
        number=number,
        token=token,
        previous_sha256=target.manifest_sha256,
        since_id=target.exported_until_id,
        until_id=until_id,
        written_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=files,
    )
    content = manifest.content()
    place.write(manifest_name(number), content)
    targets.commit(target.target_id, token=token, sha256=sha256(content).hexdigest())
    return Exported(number=number, files=files, sums=manifest.sums)


def _found(place: Place, targets: ExportTargets) -> ExportTarget:
    """Return how far the place has come; a new one is marked as ours first."""
    target_id = read_target_id(place)
    if target_id is None:
        if any(not name.endswith(PARTIAL_ENDING) for name in place.names()):
            raise ExportError(f"{place.location} has other files in it; name a place that is empty or not there yet")
        target_id = uuid4()
        targets.add(target_id, place.location)
        write_target_id(place, target_id)
    target = targets.find(target_id)
    if target is None:
        raise ExportError(
            f"{place.location} was exported to by another ledger, or by this one after what it was restored to; "
            "name an empty place"
        )
    return target


def _settled(place: Place, targets: ExportTargets, target: ExportTarget) -> ExportTarget:
    """Return the target after what a killed run left is noted or deleted. Raises where manifests do not fit."""
    manifests = read_manifests(place)
    if len(manifests) == target.manifest_count + 1 and target.pending_token is not None:
        last, checksum = manifests[-1]
        if last is not None and last.token == target.pending_token and last.previous_sha256 == target.manifest_sha256:
            targets.commit(target.target_id, token=target.pending_token, sha256=checksum)
            target = replace(
                target,
                manifest_count=target.manifest_count + 1,
                manifest_sha256=checksum,
                exported_until_id=last.until_id,
                pending_token=None,
            )
    if len(manifests) > target.manifest_count:
        raise ExportError(
            f"{place.location} has {len(manifests)} manifests and the ledger knows {target.manifest_count}: it was "
            "restored from before the last export; name an empty place"
        )
    known = manifests[-1][1] if manifests else None
    if len(manifests) < target.manifest_count or known != target.manifest_sha256:
        raise ExportError(
            f"manifests of {place.location} are missing or were changed; `callfare verify --export` names them"
        )
    if target.pending_token is not None:
        of_manifest = partial_name(manifest_name(target.manifest_count + 1))
        for name in place.names():
            if target.pending_token in name or name == of_manifest:
                place.delete(name)
        targets.drop_pending(target.target_id)
    return target
