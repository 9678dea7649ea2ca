"""Run a script under the real `opentelemetry-instrument`, with callfare's entry points at hand.

The checkout is not installed in the test environment: a folder with the metadata an installation would have,
made from pyproject.toml, stands in for it.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import RUN_SECONDS_MAX

ROOT = Path(__file__).parents[2]


def metadata_folder(folder: Path) -> Path:
    """A folder to put on the path, by which entry points are found."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / "callfare-0.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: callfare\nVersion: 0.0.0\n", encoding="utf-8")
    lines: list[str] = []
    for group, entries in project["entry-points"].items():
        lines.append(f"[{group}]")
        lines.extend(f"{name} = {target}" for name, target in entries.items())
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


@contextmanager
def started(script: str, tmp_path: Path, endpoint: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start a script, exporting to an OTLP/HTTP endpoint; whatever happens, it is not left running."""
    file = tmp_path / "app.py"
    file.write_text(script, encoding="utf-8")
    path = os.pathsep.join([str(metadata_folder(tmp_path / "site")), str(ROOT), str(ROOT / "instrumentation")])
    environment = {
        **{name: text for name, text in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"},  # of the tests' own
        "PYTHONPATH": path,
        "OTEL_TRACES_EXPORTER": "otlp_proto_http",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "60000",  # nothing leaves by itself: what arrives was flushed
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",  # nothing is sent again because this process was slow to answer
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "openai,fastapi",  # others' business, and slow to import
        **variables,
    }
    binary = Path(sys.executable).parent / "opentelemetry-instrument"
    command = [str(binary), sys.executable, str(file)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def run(script: str, tmp_path: Path, endpoint: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    with started(script, tmp_path, endpoint, **variables) as process:
        output, errors = process.communicate(timeout=RUN_SECONDS_MAX)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
