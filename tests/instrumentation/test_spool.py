"""The folder of CALLFARE_SPOOL_DIR: whole batches, for this user alone, within a bound."""

import stat
from pathlib import Path

import pytest

from callfare import environment
from callfare.export.spool import Spool

BLOCK_BYTES = 4_096


def waiting(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.otlp"))


def test_the_oldest_make_room_and_are_counted(tmp_path, caplog) -> None:
    """The folder never exceeds its bound; what is given up is said, with how to give it more room."""
    spool = Spool(tmp_path, bytes_max=4 * BLOCK_BYTES)
    for number in range(6):
        spool.add(b"x" * BLOCK_BYTES, span_count=number)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4 * BLOCK_BYTES
    assert [parcel.span_count for parcel in spool.waiting()] == [2, 3, 4, 5]
    assert spool._dropped_count == 0 + 1
    assert "CALLFARE_SPOOL_MAX_MIB" in caplog.text


def test_other_processes_are_counted_in(tmp_path) -> None:
    """Two share one folder and one bound: each sees what the other wrote, at the latest after a sixteenth of it."""
    one, other = (Spool(tmp_path, bytes_max=32 * BLOCK_BYTES) for _ in range(2))
    for _ in range(40):
        one.add(b"x", span_count=1)
        other.add(b"x", span_count=1)
    assert len(waiting(tmp_path)) <= 32 + 2


def test_a_batch_that_its_maker_sends_is_not_waiting(tmp_path) -> None:
    """Nobody sends it beside him, from the moment it can be seen; left, it waits as any other."""
    spool = Spool(tmp_path, bytes_max=1 << 20)
    held, also_held = (spool.add(b"x", span_count=1, is_held=True) for _ in range(2))
    assert spool.waiting() == []
    assert Spool(tmp_path, bytes_max=1 << 20).waiting() == [held, also_held]
    spool.leave(held)
    assert spool.waiting() == [held]
    spool.leave_all()
    assert spool.waiting() == [held, also_held]


def test_files_are_for_this_user_alone(tmp_path) -> None:
    """Spans may quote what people said."""
    parcel = Spool(tmp_path / "spool", bytes_max=1 << 20).add(b"body", span_count=1)
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert stat.S_IMODE(parcel.path.stat().st_mode) == 0o600


def test_a_file_that_was_not_finished_is_never_sent(tmp_path) -> None:
    """A crash in the middle of writing leaves no half batch to send, and its bytes count until they make room."""
    spool = Spool(tmp_path, bytes_max=2 * BLOCK_BYTES)
    (tmp_path / "00000000000000000001-1-1-9.tmp").write_bytes(b"half")
    assert spool.waiting() == []
    for _ in range(2):
        spool.add(b"whole", span_count=1)
    assert len(spool.waiting()) == 2
    assert not list(tmp_path.glob("*.tmp"))


def test_a_stranger_in_the_folder_is_left_alone(tmp_path) -> None:
    """Only files of ours are sent, and none of theirs is ever deleted."""
    stranger = tmp_path / "notes.otlp"
    stranger.write_bytes(b"mine")
    spool = Spool(tmp_path, bytes_max=BLOCK_BYTES)
    for _ in range(3):
        spool.add(b"x" * BLOCK_BYTES, span_count=1)
    assert len(spool.waiting()) == 1
    assert stranger.read_bytes() == b"mine"


@pytest.mark.parametrize(("text", "mebibytes"), [("", 256), ("16", 16), ("0", 256), ("-1", 256), ("much", 256)])
def test_the_bound_is_256_mebibytes_unless_a_whole_number_says_otherwise(monkeypatch, text, mebibytes) -> None:
    """CALLFARE_SPOOL_MAX_MIB."""
    monkeypatch.setenv("CALLFARE_SPOOL_MAX_MIB", text)
    assert environment.spool_bytes_max() == mebibytes * 1024 * 1024
