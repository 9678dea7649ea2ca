"""`callfare demo`: an unmodified application makes calls, and what they cost is printed, leg by leg.

Nothing is pretended but the vendor: the application uses the real SDK and is instrumented by environment
variables alone; its spans come by OTLP to the real receiver on a free port, and into a PostgreSQL of their own in
a temporary directory. Afterwards nothing of it is left.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from uuid import UUID

import typer

from cost_exporter.cli.demo_app.fake_openai import FakeOpenAI
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_line
from cost_exporter.cli.service import Service
from cost_exporter.cli.service_commands import database_for
from cost_exporter.cli.workflows import print_trace, read_trace
from cost_exporter.errors import CallfareError, MissingExtra
from cost_exporter.settings import Address, load_settings
from cost_exporter.store.reading import Period, Reader

__all__ = ["register"]

_APPLICATION: Final = Path(__file__).with_name("demo_app") / "support_bot.py"
_APPLICATION_SECONDS_MAX: Final = 60
_NEEDED: Final = {
    "openai": "demo",
    "opentelemetry.instrumentation.openai": "openai",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(*, as_json: AsJson = False) -> None:
    """Make a few AI calls against a local fake and show what each of them cost."""
    for package, extra in _NEEDED.items():
        if find_spec(package) is None:
            raise MissingExtra("the demo", extra)
    with _service() as (otlp, database_url), FakeOpenAI() as vendor:
        _run_application(otlp, vendor.base_url)
        with Reader.connect(database_url) as reader:
            reports = read_trace(reader, _only_trace(reader))
    print_trace(reports, as_json=as_json)
    if not as_json:
        print_line("Run `callfare up` and point OTEL_EXPORTER_OTLP_ENDPOINT of your application at it to see yours.")


@contextmanager
def _service() -> Generator[tuple[Address, str]]:
    """Lend the OTLP/gRPC address of a service in a temporary directory, and the URL of its database."""
    anywhere = Address(host="127.0.0.1", port=0)
    folder = Path(tempfile.mkdtemp(prefix="callfare-demo-"))
    # Not what the person set for their own service: the demo must not write there.
    settings = load_settings(data_dir=folder, otlp_grpc_addr=anywhere, otlp_http_addr=anywhere, web_addr=anywhere)
    settings = settings.model_copy(
        update={"database_url": None, "forward_endpoint": None, "prices": (), "config": None}
    )
    try:
        with database_for(settings) as database_url:
            service = Service(settings, database_url)
            try:
                yield service.start()["grpc"], database_url
            finally:
                service.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_application(otlp: Address, openai_base_url: str) -> None:
    """Run the application under `opentelemetry-instrument`, told by environment variables where to send."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))}
    environment |= {
        "OPENAI_API_KEY": "sk-of-the-local-fake",
        "OPENAI_BASE_URL": openai_base_url,
        "OTEL_SERVICE_NAME": "support-bot",
        "OTEL_RESOURCE_ATTRIBUTES": "callfare.tenant.id=acme,callfare.category=bot",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{otlp}",
        "TRACELOOP_TRACE_CONTENT": "false",
    }
    command = [*_instrument(), sys.executable, str(_APPLICATION)]
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command, env=environment, capture_output=True, text=True, check=False, timeout=_APPLICATION_SECONDS_MAX
        )
    except subprocess.TimeoutExpired as error:
        raise CallfareError(f"the demo's application did not end within {_APPLICATION_SECONDS_MAX} s") from error
    if done.returncode != 0:
        last_line = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CallfareError(f"the demo's application failed: {last_line}")


def _instrument() -> list[str]:
    """Return the command `opentelemetry-instrument` of this environment, whatever PATH says."""
    beside_python = Path(sys.executable).with_name("opentelemetry-instrument")
    if beside_python.exists():
        return [str(beside_python)]
    return [sys.executable, "-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()"]


def _only_trace(reader: Reader) -> UUID:
    """Return the trace that the application made. It is stored: the application ended after its acknowledgement."""
    found = reader.top(Period.always(), count=1)
    if not found:
        raise CallfareError("no span arrived; is something else instrumenting this environment?")
    return UUID(str(found[0]["trace_id"]))
