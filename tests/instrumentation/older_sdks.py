"""Run a test module with an older release of a vendor's SDK, in an environment kept outside the checkout.

The environment is `~/.cache/callfare/venv-<hash of what is in it>`: made once, found again by its hash. What the
tests themselves need comes in the versions of this environment, so that only the vendor's release differs.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("CALLFARE_TEST_CACHE", Path.home() / ".cache" / "callfare"))
OURS = (
    "aiohttp", "opentelemetry-api", "opentelemetry-sdk", "opentelemetry-instrumentation", "pytest",
    "pytest-timeout", "wrapt", "packaging",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Older:
    """One line of vendors.txt."""

    release: str
    module: str
    """The file or folder of its tests, or a pattern for several files: what takes long to import is imported once."""
    extra: tuple[str, ...] = ()


def older_releases() -> list[Older]:
    """What vendors.txt lists: with CALLFARE_SDKS=all whole, else without the releases in between."""
    text = (ROOT / "tests/instrumentation/vendors.txt").read_text(encoding="utf-8")
    left_out = "#" if os.environ.get("CALLFARE_SDKS") == "all" else ("#", "~")
    lines = [line.lstrip("~ ").split() for line in text.splitlines() if line.strip() and not line.startswith(left_out)]
    return [
        Older(release=release, module=module, extra=tuple(each for each in extra if each != "+"))
        for release, module, *extra in lines
    ]


def environment_for(older: Older) -> Path:
    """Path of a Python with this release; installs it where it is not there yet."""
    named = {re.split(r"[<>=!~\[]", each)[0] for each in older.extra}  # a line may need another version than ours
    ours = [f"{name}=={metadata.version(name)}" for name in OURS if name not in named]
    wanted = [older.release, *older.extra, *ours]
    name = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()[:16]
    folder = CACHE / f"venv-{name}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"venv-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _make(folder, wanted)
            (folder / "ready").touch()
    return folder / "bin" / "python"


def _make(folder: Path, wanted: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *wanted], check=True, timeout=900)


def run_with(older: Older) -> subprocess.CompletedProcess[str]:
    """Run the module's tests; a test that needs a newer release skips itself."""
    # The repository's own settings do not hold for a vendor's old release: it may well use what is deprecated.
    modules = sorted(map(str, ROOT.glob(older.module)))
    assert modules, f"vendors.txt names no file: {older.module}"
    command = [str(environment_for(older)), "-m", "pytest", *modules, "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, "--rootdir", str(ROOT), "--import-mode=importlib", "-o", "timeout=600"]
    command += ["-W", "ignore", "--confcutdir", str(ROOT / "tests/instrumentation")]  # above need the service
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'instrumentation'}"}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=1200, check=False)
