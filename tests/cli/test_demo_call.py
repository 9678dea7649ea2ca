from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from cost_exporter.cli import demo_call
from cost_exporter.cli.demo_app.vendors import FakeVendors
from cost_exporter.errors import CallfareError
from cost_exporter.settings import Address

NOWHERE = Address(host="127.0.0.1", port=1)
ENDS = "import sys; sys.stdin.read()"
NEVER_ENDS = "import threading; threading.Event().wait()"
FAILS = "import sys; sys.exit('the line is dead')"


@pytest.fixture
def vendors() -> Iterator[FakeVendors]:
    """The fakes at work."""
    with FakeVendors() as vendors:
        yield vendors


def application(folder: Path, monkeypatch: pytest.MonkeyPatch, *, agent: str, insights: str) -> None:
    """Let other programs stand in for the demo's."""
    (folder / "voice_agent.py").write_text(agent, encoding="utf-8")
    (folder / "insights.py").write_text(insights, encoding="utf-8")
    monkeypatch.setattr(demo_call, "DEMO_APP", folder)
    monkeypatch.setattr(demo_call, "_instrument", list)  # as they are: this is about processes, not about spans


def test_failed_process_is_one_line_with_its_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendors: FakeVendors
) -> None:
    """The error names which of the two failed, and why."""
    application(tmp_path, monkeypatch, agent=FAILS, insights=ENDS)
    with pytest.raises(CallfareError, match=r"^the demo's voice agent failed: the line is dead$"):
        demo_call.make_call(NOWHERE, vendors)


def test_process_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendors: FakeVendors
) -> None:
    """After the time limit the error says which one it was, and neither process is left."""
    application(tmp_path, monkeypatch, agent=ENDS, insights=NEVER_ENDS)
    moments = iter([0, 0, demo_call._SECONDS_MAX])  # the start, while the agent is waited for, once it has ended
    monkeypatch.setattr(demo_call, "time", SimpleNamespace(monotonic=moments.__next__))
    with pytest.raises(CallfareError, match=f"insights worker did not end within {demo_call._SECONDS_MAX} s"):
        demo_call.make_call(NOWHERE, vendors)
    assert not [process for process in psutil.process_iter(["cmdline"]) if mentions(process, tmp_path)]


def mentions(process: psutil.Process, path: Path) -> bool:
    return str(path) in " ".join(process.info["cmdline"] or [])
