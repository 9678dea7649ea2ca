"""Which ledger is at an address, so that one that was replaced is named.

    ledger_id            of the schema: another one means another ledger, or an empty one that was made again
    server_id            PostgreSQL's system identifier: another one means that a dump of the ledger was restored
    timeline_id          of the server: another one means a failover, or a recovery to a point in time
    next_transaction_id  of the server: a smaller one means that commits are gone which were seen before

Senders cannot know that what was acknowledged is gone. So each service and `callfare verify` remember, in the data
directory, what they last saw under the address of the database.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cost_exporter.store.database.statements import statement

__all__ = ["LedgerIdentity", "SeenLedgers", "identity_of", "replacements"]

_ADDRESSES_MAX: Final = 20
_FILE_NAME: Final = "ledgers-seen.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerIdentity:
    """A ledger at one moment."""

    ledger_id: str
    server_id: int | None = None
    timeline_id: int | None = None
    next_transaction_id: int | None = None


def identity_of(connection: psycopg.Connection[Any]) -> LedgerIdentity:
    """Return which ledger this is. What its server shows to nobody but its owner is None."""
    row = connection.execute(statement("ledger_id")).fetchone()
    (ledger_id,) = ("",) if row is None else tuple(row)
    try:
        with connection.transaction():
            server = connection.execute(statement("server_identity")).fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        server = None
    server_id, timeline_id, next_transaction_id = (None, None, None) if server is None else tuple(server)
    return LedgerIdentity(
        ledger_id=str(ledger_id),
        server_id=server_id,
        timeline_id=timeline_id,
        next_transaction_id=next_transaction_id,
    )


def replacements(seen: LedgerIdentity, now: LedgerIdentity) -> list[str]:
    """Return what was replaced since the ledger was seen; nothing where it only went on."""
    if now.ledger_id != seen.ledger_id:
        return [f"another ledger is here: {now.ledger_id or 'without an id'}, not {seen.ledger_id}"]
    if _differ(seen.server_id, now.server_id):
        servers = f"{now.server_id}, not {seen.server_id}"
        return [f"the ledger was restored on another server ({servers}): what was stored after its dump is missing"]
    found: list[str] = []
    if _differ(seen.timeline_id, now.timeline_id):
        found.append(
            f"the server is on timeline {now.timeline_id}, not {seen.timeline_id}: it was promoted or recovered"
        )
    if seen.next_transaction_id is not None and now.next_transaction_id is not None:
        gone = seen.next_transaction_id - now.next_transaction_id
        if gone > 0:
            found.append(f"at least {gone} transactions that were seen are gone, and the spans acknowledged in them")
    return found


class SeenLedgers:
    """What was seen under each address, in a file of the data directory."""

    def __init__(self, data_dir: Path, database_url: str) -> None:
        """Name the file and the address; nothing is read yet."""
        self._path = data_dir / _FILE_NAME
        self._address = _address(database_url)
        self._accepted: LedgerIdentity | None = None

    def last(self) -> LedgerIdentity | None:
        """Return what was last seen here; None where nothing was, or the file cannot be read."""
        known = self._read().get(self._address)
        try:
            return self._accepted if known is None else LedgerIdentity(**known)
        except TypeError:
            return self._accepted

    def check(self, ask: Callable[[], LedgerIdentity]) -> list[str]:
        """Ask which ledger is here, return what was replaced, and remember it unless something was.

        What was seen is read first: another process may remember a later transaction meanwhile.
        """
        seen = self.last()
        now = ask()
        found = [] if seen is None else replacements(seen, now)
        if not found:
            self.accept(now)
        return found

    def accept(self, now: LedgerIdentity) -> None:
        """Remember what is here now; where the file cannot be written, as long as this process lives."""
        self._accepted = now
        known = self._read()
        known.pop(self._address, None)
        known = dict([*known.items(), (self._address, asdict(now))][-_ADDRESSES_MAX:])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=self._path.parent, prefix=".ledgers-seen-") as folder:
                whole = Path(folder) / _FILE_NAME
                whole.write_text(json.dumps(known), encoding="utf-8")
                whole.replace(self._path)
        except OSError:
            return

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _address(database_url: str) -> str:
    """Return host, port and name of a database, without user and password, hashed."""
    parts = conninfo_to_dict(database_url)
    named = "\x1f".join(str(parts.get(name, "")) for name in ("host", "hostaddr", "port", "dbname", "service"))
    return sha256(named.encode()).hexdigest()[:16]


def _differ(seen: int | None, now: int | None) -> bool:
    return seen is not None and now is not None and seen != now
