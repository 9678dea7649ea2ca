from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Ran, run_command
from tests.support.stored import filled_database, open_folder


@pytest.fixture(scope="session")
def filled(postgres_url: str) -> Iterator[str]:
    """The URL of a database with two workflows in it."""
    with filled_database(postgres_url, "callfare_filled_for_cli") as url:
        yield url


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Where a service of the test's may keep its embedded PostgreSQL."""
    with open_folder() as folder:
        yield folder / "data"


@pytest.fixture
def callfare(filled: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a command on the filled database, in this process."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", filled)
    monkeypatch.setenv("CALLFARE_DATA_DIR", str(tmp_path))

    def run(*arguments: str) -> Ran:
        return run_command(capsys, *arguments)

    return run


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment in which callfare was never started."""
    monkeypatch.delenv("CALLFARE_DATABASE_URL", raising=False)
    monkeypatch.setenv("CALLFARE_DATA_DIR", str(tmp_path / "never"))
    return tmp_path / "never"
