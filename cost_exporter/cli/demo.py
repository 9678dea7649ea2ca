"""`callfare demo`: an unmodified voice agent answers a call, and what it cost is printed, leg by leg.

Only the vendors are fakes: the application uses the four real SDKs and is instrumented by environment variables alone;
its spans come by OTLP to the real receiver on a free port, and into a PostgreSQL in a temporary directory, which is
removed at the end. The figures are checked against what the vendors received.
"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from uuid import UUID

import typer

from cost_exporter.cli.demo_app.vendors import FakeVendors
from cost_exporter.cli.demo_call import DEMO_APP, make_call, refused_call
from cost_exporter.cli.demo_check import compared, difference_of
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_line, print_lines
from cost_exporter.cli.service import Service
from cost_exporter.cli.service_commands import database_for
from cost_exporter.cli.workflows import print_trace, read_trace
from cost_exporter.errors import CallfareError, MissingExtra
from cost_exporter.report.budgets import budget_lines
from cost_exporter.settings import Address, load_settings
from cost_exporter.store.reading import Period, Reader

__all__ = ["only_trace", "register"]

_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXTRA_BY_PACKAGE: Final = {
    "twilio": "demo",
    "deepgram": "demo",
    "openai": "demo",
    "elevenlabs": "demo",
    "websockets": "demo",
    "opentelemetry.instrumentation.openai": "openai",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(*, as_json: AsJson = False) -> None:
    """Answer one phone call against local fakes of four vendors and show what each part of it cost."""
    for package, extra in _EXTRA_BY_PACKAGE.items():
        if not _is_installed(package):
            raise MissingExtra(f"the demo (its part {package!r} is missing)", extra)
    with _ending_tidily(), _service() as (addresses, database_url), FakeVendors() as vendors:
        make_call(addresses["grpc"], vendors)
        with Reader.connect(database_url) as reader:
            reports = read_trace(reader, only_trace(reader))
            budgets = reader.budgets()
        pairs = compared([record for report in reports for record in report.records], vendors)
        different = [text for text in map(difference_of, pairs) if text]
        # What is missing from the records is not spent, and the next call might pass.
        is_refusing = not (as_json or different)
        refusal = refused_call(addresses["grpc"], addresses["web"], vendors) if is_refusing else ""
    print_trace(reports, as_json=as_json)
    if different:
        raise CallfareError(f"the demo's figures are not what the vendors received: {'; '.join(different)}")
    if not as_json:
        print_lines(budget_lines(budgets))
        print_line(f"next call of acme: refused before it was sent: {refusal}")
        print_line(f"Checked: each of {len(pairs)} quantities is what the fake vendors themselves counted.")
        print_line("Run `callfare up` and point OTEL_EXPORTER_OTLP_ENDPOINT of your application at it to see yours.")


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


@contextmanager
def _ending_tidily() -> Generator[None]:
    """Let SIGTERM, Ctrl-C and the terminal's end leave nothing behind. A second one does not cut the tidying short."""

    def end(number: int, _frame: object) -> None:
        for each in _ENDS:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _service() -> Generator[tuple[dict[str, Address], str]]:
    """Lend the addresses of a service in a temporary directory, and the URL of its database."""
    anywhere = Address(host="127.0.0.1", port=0)
    folder = Path(tempfile.mkdtemp(prefix="callfare-demo-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user where we are root, and must be able to enter
    try:
        # Not what the person set for their own service: the demo must not write there.
        settings = load_settings(data_dir=folder, otlp_grpc_addr=anywhere, otlp_http_addr=anywhere, web_addr=anywhere)
        others = dict.fromkeys(("database_url", "forward_endpoint", "posthog_host", "posthog_api_key"))
        settings = settings.model_copy(update={**others, "prices": (), "config": DEMO_APP / "callfare.yaml"})
        with database_for(settings) as database_url:
            service = Service(settings, database_url)
            try:
                yield service.start(), database_url
            finally:
                service.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def only_trace(reader: Reader) -> UUID:
    """Return the trace that the call made. It is stored: the processes ended after its acknowledgement."""
    found = reader.top(Period.always(), limit=2)
    if not found:
        raise CallfareError("no span arrived; is something else instrumenting this environment?")
    if len(found) > 1:
        raise CallfareError(
            "the call fell apart into several traces; is something else instrumenting this environment?"
        )
    return UUID(str(found[0]["trace_id"]))
