"""Started by root, the embedded server runs as another account; no permission is changed without a word."""

import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cost_exporter.errors import StoreError
from cost_exporter.store.database.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")]
NOBODY = 65_534


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that only its owner enters, in one that everybody does."""
    directory = Path(tempfile.mkdtemp(prefix="callfare-root-"))
    directory.chmod(0o755)
    inner = directory / "closed"
    inner.mkdir(mode=0o700)
    yield inner
    shutil.rmtree(directory, ignore_errors=True)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_changed_permission_is_logged(closed: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The line names the directory, what it was and what it is; a second start changes and logs nothing."""
    server = EmbeddedPostgres(closed / "pg")
    with caplog.at_level(logging.WARNING):
        server.start()
        server.stop()
        assert mode_of(closed) == 0o701
        assert [f"{closed} was 700 and is 701" in record.getMessage() for record in caplog.records] == [True]
        server.start()
        server.stop()
    assert len(caplog.records) == 1


def test_a_directory_of_somebody_else_is_left_alone(closed: Path) -> None:
    """Root does not open another account's directory; the one line says what to do."""
    os.chown(closed, NOBODY, NOBODY)
    with pytest.raises(StoreError, match=f"chmod o\\+x {closed}"):
        EmbeddedPostgres(closed / "pg").start()
    assert mode_of(closed) == 0o700
