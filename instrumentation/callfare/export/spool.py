"""Batches of spans on disk until somebody has taken them: what CALLFARE_SPOOL_DIR holds.

In: serialised ExportTraceServiceRequests. Out: the same, oldest first, also in the next run of the program. A batch
is a file that appears whole or not at all, synced before `add` returns. The folder never grows beyond its bound: the
oldest batches make room, counted and logged. Several processes may share a folder.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from opentelemetry import metrics

__all__ = ["Parcel", "Spool"]

_log = logging.getLogger("callfare")
_WAITING, _REFUSED, _UNFINISHED = _ENDINGS = ".otlp", ".refused", ".tmp"
_BLOCK_BYTES = 4_096
"""The disk space of the smallest file."""
_LOOK_AFTER = 16
"""How often the folder is listed while it fills up once: only that shows the batches of other processes."""


class Parcel(NamedTuple):
    """One batch that waits."""

    path: Path
    created_at_unix_ns: int
    process_id: int
    """Of the process that wrote it."""
    span_count: int

    @classmethod
    def at(cls, path: Path) -> "Parcel | None":
        """Read what the name says; None for a file that is none of ours."""
        try:
            created_at_unix_ns, process_id, _, span_count = map(int, path.stem.split("-"))
        except ValueError:
            return None
        return cls(path, created_at_unix_ns, process_id, span_count)


class Spool:
    """The folder of one application, or of several."""

    def __init__(self, folder: Path, *, bytes_max: int) -> None:
        """Make the folder, for this user alone: spans may contain content. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._bytes_max = bytes_max
        self._numbers = count(1)
        self._held: set[Path] = set()
        self._held_bytes = 0
        self._oldest: deque[Parcel] = deque()
        """What makes room first."""
        self._unseen_bytes = bytes_max  # look before the first batch
        self._dropped_count = 0
        self._dropped = metrics.get_meter("callfare").create_counter(
            "callfare.spool.dropped_spans", unit="{span}", description="Spans dropped, CALLFARE_SPOOL_DIR was full."
        )

    @property
    def folder(self) -> Path:
        """Where the batches are."""
        return self._folder

    def add(self, body: bytes, span_count: int, *, is_held: bool = False) -> Parcel:
        """Keep a batch, durably. Raises OSError where it cannot be kept.

        A held batch is not `waiting`: its author sends it, and leaves it to others if that fails.
        """
        self._make_room(_disk_bytes(len(body)))
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}-{span_count}"
        unfinished = self._folder / (name + _UNFINISHED)
        path = self._folder / (name + _WAITING)
        try:
            _write_synced(unfinished, body)
            if is_held:
                self._held.add(path)  # before anybody can see it
            unfinished.rename(path)
        except OSError:
            self._held.discard(path)
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(self._folder)
        self._held_bytes += _disk_bytes(len(body))
        self._unseen_bytes += _disk_bytes(len(body))
        parcel = Parcel.at(path)
        assert parcel is not None
        return parcel

    def waiting(self) -> list[Parcel]:
        """The batches that nobody has taken, oldest first, but for those that are held."""
        found = (parcel for parcel in self._parcels() if parcel.path.suffix == _WAITING)
        return sorted(parcel for parcel in found if parcel.path not in self._held)

    def has_waiting(self) -> bool:
        """Whether there are batches that nobody has taken, such as of a run before."""
        return any(parcel.path.suffix == _WAITING and parcel.path not in self._held for parcel in self._parcels())

    def leave(self, parcel: Parcel) -> None:
        """Release a held batch: its author does not send it, so it waits."""
        self._held.discard(parcel.path)

    def leave_all(self) -> None:
        """The same for all: in a forked child it is the parent who holds them."""
        self._held.clear()

    def remove(self, parcel: Parcel) -> None:
        """It was taken. Another process may have been quicker."""
        self._held.discard(parcel.path)
        try:
            size_bytes = parcel.path.stat().st_size
            parcel.path.unlink()
        except FileNotFoundError:
            return
        self._held_bytes -= _disk_bytes(size_bytes)

    def set_aside(self, parcel: Parcel) -> None:
        """It will never be taken: keep it for a person to look at, as long as there is room."""
        try:
            parcel.path.rename(parcel.path.with_suffix(_REFUSED))
        except FileNotFoundError:
            return
        _log.error("%d span(s) set aside in %s: the receiver refuses them", parcel.span_count, self._folder)

    def _make_room(self, wanted_bytes: int) -> None:
        if self._unseen_bytes * _LOOK_AFTER >= self._bytes_max:
            self._held_bytes = sum(_size_bytes(parcel.path) for parcel in self._parcels())
            self._unseen_bytes = 0
        has_looked = False
        while self._held_bytes + wanted_bytes > self._bytes_max:
            if not self._oldest:  # a look costs as much as there is, and a full folder gives one up for each new one
                if has_looked:
                    return
                self._oldest.extend(sorted(self._parcels()))
                has_looked = True
            if self._oldest:
                self._give_up(self._oldest.popleft())

    def _give_up(self, parcel: Parcel) -> None:
        size_bytes = _size_bytes(parcel.path)
        if not size_bytes:
            return
        parcel.path.unlink(missing_ok=True)
        self._held_bytes -= size_bytes
        self._dropped_count += parcel.span_count
        self._dropped.add(parcel.span_count)
        _log.error(
            "%s is full: %d span(s) dropped, the oldest first; CALLFARE_SPOOL_MAX_MIB gives it more room",
            self._folder,
            self._dropped_count,
        )

    def _parcels(self) -> Iterator[Parcel]:
        """Return all files of ours in the folder: waiting, set aside, or incomplete."""
        for path in self._folder.iterdir():
            if path.suffix in _ENDINGS and (parcel := Parcel.at(path)) is not None:
                yield parcel


def _write_synced(path: Path, body: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size_bytes(path: Path) -> int:
    try:
        return _disk_bytes(path.stat().st_size)
    except FileNotFoundError:
        return 0


def _disk_bytes(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
