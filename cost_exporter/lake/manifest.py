"""Manifests: which files count, and what they hold. A run's manifest is written last, and with it the run is done.

Each names the checksum of the one before, and the ledger keeps that of the last: none can be changed or taken out
unseen. Only files that a manifest names count, so nothing of a killed run does.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from cost_exporter.domain.money import CONTEXT, ZERO, to_plain
from cost_exporter.errors import ExportError
from cost_exporter.lake.columns import SCHEMA_VERSION
from cost_exporter.lake.place import Place

__all__ = [
    "NO_ROWS",
    "Manifest",
    "PartFile",
    "Sums",
    "manifest_name",
    "part_name",
    "read_manifests",
    "read_target_id",
    "write_target_id",
]

FORMAT: Final = "callfare-export"
_ROOT: Final = "callfare-export.json"
_FOLDER: Final = "manifests"
_NAME: Final = re.compile(r"manifests/([0-9]{6})\.json")
_PART_NAME: Final = re.compile(r"day=[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9]{6}-[0-9a-f]{32}-[0-9]{3}\.parquet")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What rows add up to, corrections with their signs."""

    row_count: int
    request_count: int
    """Calls; a row that takes one back counts -1."""
    unpriced_count: int
    """Calls without a cost, or with only a part of it."""
    cost_usd: str
    """The known cost."""
    quantities: dict[str, str]
    """By the names of the ledger. A quantity that no row states is missing."""

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums of both."""
        names = sorted(self.quantities.keys() | other.quantities.keys())
        both = {name: [each.quantities.get(name, "0") for each in (self, other)] for name in names}
        return Sums(
            row_count=self.row_count + other.row_count,
            request_count=self.request_count + other.request_count,
            unpriced_count=self.unpriced_count + other.unpriced_count,
            cost_usd=_added(self.cost_usd, other.cost_usd),
            quantities={name: _added(*pair) for name, pair in both.items()},
        )


NO_ROWS: Final = Sums(row_count=0, request_count=0, unpriced_count=0, cost_usd="0", quantities={})


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFile:
    """A file of rows of one day."""

    name: str
    day: date
    byte_count: int
    sha256: str
    sums: Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one run exported."""

    target_id: UUID
    number: int
    """From 1, without gaps."""
    token: str
    """Of the run; part of the names of its files."""
    previous_sha256: str | None
    since_id: int
    """The transaction id from which on changes are in these files."""
    until_id: int
    """The transaction id below which they are."""
    written_at: str
    files: tuple[PartFile, ...]
    schema_version: int = SCHEMA_VERSION

    @property
    def sums(self) -> Sums:
        """What all files add up to."""
        total = NO_ROWS
        for each in self.files:
            total = total.plus(each.sums)
        return total

    def content(self) -> bytes:
        """Return the file."""
        files = [{**asdict(each), "day": each.day.isoformat()} for each in self.files]
        text: Json = {
            "format": FORMAT,
            "schema_version": self.schema_version,
            "target_id": str(self.target_id),
            "number": self.number,
            "token": self.token,
            "previous_sha256": self.previous_sha256,
            "transaction_ids": {"since": str(self.since_id), "until": str(self.until_id)},
            "written_at": self.written_at,
            "sums": asdict(self.sums),
            "files": files,
        }
        return json.dumps(text, indent=1).encode() + b"\n"


def manifest_name(number: int) -> str:
    """Return the name of a manifest."""
    return f"{_FOLDER}/{number:06d}.json"


def part_name(day: date, number: int, token: str, part: int) -> str:
    """Return the name of a file of rows. A run has a token of its own, so no file is ever written over."""
    return f"day={day}/{number:06d}-{token}-{part:03d}.parquet"


def read_manifests(place: Place) -> list[tuple[Manifest | None, str]]:
    """Return the manifests of a place with their checksums, by number; None for one that is missing or no manifest."""
    found: list[tuple[Manifest | None, str]] = []
    highest = max((_number(name) for name in place.names(_FOLDER)), default=0)
    for number in range(1, highest + 1):
        content = place.read(manifest_name(number))
        if content is None:
            found.append((None, ""))
            continue
        found.append((_parsed(content, number), hashlib.sha256(content).hexdigest()))
    return found


def read_target_id(place: Place) -> UUID | None:
    """Return which place this is; None where nothing was exported to it. Raises `ExportError` for other files."""
    content = place.read(_ROOT)
    if content is None:
        return None
    try:
        text = json.loads(content)
        if text["format"] == FORMAT:
            return UUID(text["target_id"])
    except (ValueError, KeyError, TypeError):
        pass
    raise ExportError(f"{place.location}/{_ROOT} is not of an export of callfare; name another place")


def write_target_id(place: Place, target_id: UUID) -> None:
    """Mark a place as one that is exported to."""
    place.write(_ROOT, json.dumps({"format": FORMAT, "target_id": str(target_id)}).encode() + b"\n")


def _number(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def _parsed(content: bytes, number: int) -> Manifest | None:
    try:
        text = json.loads(content)
        manifest = Manifest(
            target_id=UUID(text["target_id"]),
            number=text["number"],
            token=text["token"],
            previous_sha256=text["previous_sha256"],
            since_id=int(text["transaction_ids"]["since"]),
            until_id=int(text["transaction_ids"]["until"]),
            written_at=text["written_at"],
            files=tuple(map(_part, text["files"])),
            schema_version=text["schema_version"],
        )
        is_whole = (
            text["format"] == FORMAT
            and manifest.number == number
            and asdict(manifest.sums) == text["sums"]
            and all(_PART_NAME.fullmatch(each.name) for each in manifest.files)
        )
    except (ValueError, KeyError, TypeError, ArithmeticError):
        return None
    return manifest if is_whole else None


def _part(text: Json) -> PartFile:
    return PartFile(
        name=text["name"],
        day=date.fromisoformat(text["day"]),
        byte_count=text["byte_count"],
        sha256=text["sha256"],
        sums=Sums(**text["sums"]),
    )


def _added(first: str, second: str) -> str:
    total = CONTEXT.add(Decimal(first), Decimal(second))
    return to_plain(total) if total else to_plain(ZERO)
