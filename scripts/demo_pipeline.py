"""`make demo DEMO=pipeline`: the demo's call by way of the real Collector, into PostgreSQL and the real Jaeger.

    voice agent, insights ─▶ Collector (collector-config/dev.yaml) ─▶ callfare up ─▶ PostgreSQL
                                 │    ▲                                  │
                                 │    └────── spans with their cost ◀────┘
                                 └─▶ Jaeger: each span once

Every program is the real one, on free ports, its files in a temporary folder. Printed are the call by leg, the links,
and what Jaeger shows; checked is that Jaeger has each span once and each amount as the database has it, to the last
digit. Exit code 1 with one line where that is not so, 2 where the programs cannot be had. Nothing is left running;
`DEMO_KEEP=1` waits for Ctrl-C first, so that a person can look around.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from programs import Program, answers, fetch, free_ports, until

from callfare import attributes
from cost_exporter.cli.demo import only_trace
from cost_exporter.cli.demo_app.vendors import FakeVendors
from cost_exporter.cli.demo_call import DEMO_APP, make_call
from cost_exporter.cli.demo_check import compared, difference_of
from cost_exporter.cli.output import print_error, print_line
from cost_exporter.cli.workflows import print_trace, read_trace
from cost_exporter.domain.money import to_plain, total
from cost_exporter.errors import CallfareError
from cost_exporter.report.workflow import WorkflowReport
from cost_exporter.settings import Address
from cost_exporter.store.reading import Reader

ROOT: Final = Path(__file__).resolve().parents[1]
SHIPPED: Final = ROOT / "collector-config"
ARRIVE_SECONDS_MAX: Final = 60
EXIT_FOUND_WRONG: Final = 1
EXIT_NOT_POSSIBLE: Final = 2

Cost = Mapping[str, Decimal]
"""Known cost in US dollars by span id (16 hex digits)."""


class NotPossible(CallfareError):
    """The demonstration needs something that this machine does not have."""


@dataclass(frozen=True)
class Pipeline:
    """Where the parts of the running pipeline are reached."""

    collector_otlp: Address
    collector_metrics_url: str
    web_url: str
    jaeger_url: str
    database_url: str


def main() -> int:
    """Run the demonstration and return its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        binaries = {program: binary(program) for program in ("otelcol", "jaeger")}
        with running(binaries) as pipeline:
            demonstrate(pipeline)
            if os.environ.get("DEMO_KEEP", "0") not in ("", "0"):
                wait_for_ctrl_c()
    except KeyboardInterrupt:
        return EXIT_FOUND_WRONG
    except NotPossible as error:
        print_error(str(error))
        return EXIT_NOT_POSSIBLE
    except CallfareError as error:
        print_error(str(error))
        return EXIT_FOUND_WRONG
    return 0


def demonstrate(pipeline: Pipeline) -> None:
    """Make the call, print what it cost and where that is seen, and check Jaeger's figures. Raises where one is off."""
    with FakeVendors() as vendors:
        make_call(pipeline.collector_otlp, vendors)
    span_count = await_collector(pipeline)
    with Reader.connect(pipeline.database_url) as reader:
        trace_id = only_trace(reader)
        reports = read_trace(reader, trace_id)
    print_trace(reports)
    check_vendors(reports, vendors)
    print_links(pipeline, trace_id)
    check_jaeger(pipeline, trace_id, span_count, costs_of(reports))


def print_links(pipeline: Pipeline, trace_id: UUID) -> None:
    """Say where a person looks. Raises where callfare has no page; whether Jaeger has the trace is checked next."""
    page = f"{pipeline.web_url}/workflows/{trace_id.hex}"
    if not answers(page):
        raise CallfareError(f"callfare has no page of the workflow at {page}")
    print_line(f"its cost:          {page}")
    print_line(f"its trace:         {pipeline.jaeger_url}/trace/{trace_id.hex}")
    print_line(f"the same as data:  {pipeline.jaeger_url}/api/v3/traces/{trace_id.hex}")


# ------------------------------------------------------------------------------------------------ what is checked


def check_vendors(reports: Sequence[WorkflowReport], vendors: FakeVendors) -> None:
    """Raise where a quantity is not what the vendor's fake counted."""
    pairs = compared([record for report in reports for record in report.records], vendors)
    different = [text for text in map(difference_of, pairs) if text]
    if different:
        raise CallfareError(f"the figures are not what the vendors received: {'; '.join(different)}")
    print_line(f"Checked: each of {len(pairs)} quantities is what the fake vendors themselves counted.")


def check_jaeger(pipeline: Pipeline, trace_id: UUID, span_count: int, expected: Cost) -> None:
    """Raise unless Jaeger comes to show every span once and every known cost as the database has it."""
    spans: list[dict[str, Any]] = []

    def is_complete() -> bool:
        spans[:] = spans_in_jaeger(pipeline, trace_id)
        return not differences(span_count, expected, spans)

    try:
        until("Jaeger is not complete", is_complete, seconds_max=ARRIVE_SECONDS_MAX)
    except CallfareError as error:
        raise CallfareError("; ".join([str(error), *differences(span_count, expected, spans)])) from None
    print_line(
        f"Checked: Jaeger shows {len(spans)} spans of the trace, as many as the Collector took in; {len(expected)} "
        f"carry {attributes.EXACT_COST}, each as the database has it, {to_plain(total(expected.values()))} USD in all."
    )


def differences(span_count: int, expected: Cost, spans: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with the spans (OTLP/JSON) that Jaeger shows; nothing where all is as it should be."""
    found: list[str] = []
    different_count = len({span["spanId"] for span in spans})
    if len(spans) != span_count or different_count != span_count:
        found.append(f"{len(spans)} spans, {different_count} different, of {span_count}")
    shown = {span["spanId"]: cost for span in spans if (cost := cost_on(span)) is not None}
    found.extend(
        f"span {each} costs {_cost_text(expected.get(each))} in the database, {_cost_text(shown.get(each))} there"
        for each in sorted(expected.keys() | shown.keys())
        if expected.get(each) != shown.get(each)
    )
    return found


def cost_on(span: Mapping[str, Any]) -> Decimal | None:
    """Return the exact cost that a span says."""
    values = {each["key"]: each["value"] for each in span.get("attributes", [])}
    exact = values.get(attributes.EXACT_COST)
    return None if exact is None else Decimal(exact["stringValue"])


def costs_of(reports: Sequence[WorkflowReport]) -> Cost:
    """Return the cost of each record that has one."""
    records = [record for report in reports for record in report.records]
    return {record["span_id"]: record["cost_usd"] for record in records if record["cost_usd"] is not None}


def spans_in_jaeger(pipeline: Pipeline, trace_id: UUID) -> list[dict[str, Any]]:
    """Return the spans of a trace as Jaeger has them, but for the one that carries the total of a final workflow."""
    answer = fetch(f"{pipeline.jaeger_url}/api/v3/traces/{trace_id.hex}")
    resources = [] if answer is None else json.loads(answer)["result"]["resourceSpans"]
    scopes = [scope for resource in resources for scope in resource.get("scopeSpans", [])]
    return [span for scope in scopes for span in scope.get("spans", []) if span["name"] != "workflow cost"]


def await_collector(pipeline: Pipeline) -> int:
    """Return how many spans the Collector took in, once callfare has acknowledged each of them."""

    def counts() -> tuple[int, int]:
        metrics = (fetch(pipeline.collector_metrics_url) or b"").decode()
        return (
            metric(metrics, "otelcol_receiver_accepted_spans", 'receiver="otlp"'),
            metric(metrics, "otelcol_exporter_sent_spans", 'exporter="otlp_grpc/cost"'),
        )

    until(
        "the Collector has not passed every span on to callfare",
        lambda: 0 < counts()[0] <= counts()[1],
        seconds_max=ARRIVE_SECONDS_MAX,
    )
    until("the outbox of callfare is not empty", lambda: _is_outbox_empty(pipeline), seconds_max=ARRIVE_SECONDS_MAX)
    return counts()[0]


def metric(text: str, name: str, label: str) -> int:
    """Return the sum of a metric's samples that have the label, in Prometheus's text form."""
    lines = [line for line in text.splitlines() if line.startswith((name + "{", name + "_total{")) and label in line]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


def _is_outbox_empty(pipeline: Pipeline) -> bool:
    with psycopg.connect(pipeline.database_url, connect_timeout=5) as connection:
        row = connection.execute("select not exists (select from callfare.outbox)").fetchone()
    return row is not None and bool(row[0])


def _cost_text(cost_usd: Decimal | None) -> str:
    return "nothing" if cost_usd is None else to_plain(cost_usd)


# -------------------------------------------------------------------------------------------------- what is run


def binary(program: str) -> str:
    """Return the path of the real program, built first where it is not in the cache."""
    build = [str(SHIPPED / "builder" / "build.sh"), program]
    cached = subprocess.run([*build, "--path"], stdout=subprocess.PIPE, text=True, check=False)
    if cached.returncode == 0:
        return cached.stdout.strip()
    if shutil.which("go") is None:
        raise NotPossible(
            f"DEMO=pipeline needs Go to build {program} (https://go.dev/dl), and there is no `go` on the PATH; "
            "plain `make demo` does without"
        )
    print_line(f"Building {program} from Go modules; the first time takes 5 to 15 minutes.")
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        last_line = (built.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise NotPossible(f"{program} could not be built by {build[0]}: {last_line}")
    return built.stdout.strip()


@contextmanager
def running(binaries: Mapping[str, str]) -> Generator[Pipeline]:
    """Run Jaeger, callfare and the Collector in a temporary folder; stop them from the sender's side on."""
    folder = Path(tempfile.mkdtemp(prefix="callfare-pipeline-"))
    try:
        with ExitStack() as programs:
            grpc, http, enriched, health, metrics, otlp, query = free_ports(7)
            jaeger_url = f"http://127.0.0.1:{query}"
            web = free_ports(1)[0]
            programs.enter_context(jaeger(binaries["jaeger"], folder / "jaeger", otlp, query, web))
            exporter = programs.enter_context(callfare(folder / "callfare", web, enriched, jaeger_url))
            addresses = dict(line.split(" ", 1) for line in exporter.output.splitlines() if " " in line)
            ports = {
                "CALLFARE_COLLECTOR_GRPC_PORT": grpc,
                "CALLFARE_COLLECTOR_HTTP_PORT": http,
                "CALLFARE_COLLECTOR_ENRICHED_PORT": enriched,
                "CALLFARE_COLLECTOR_HEALTH_PORT": health,
                "CALLFARE_COLLECTOR_METRICS_PORT": metrics,
                "CALLFARE_COST_ENDPOINT": addresses["grpc"],
                "CALLFARE_JAEGER_ENDPOINT": f"127.0.0.1:{otlp}",
            }
            programs.enter_context(collector(binaries["otelcol"], folder / "collector", ports))
            yield Pipeline(
                collector_otlp=Address(host="127.0.0.1", port=grpc),
                collector_metrics_url=f"http://127.0.0.1:{metrics}/metrics",
                web_url=f"http://127.0.0.1:{web}",
                jaeger_url=jaeger_url,
                database_url=addresses["database"],
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def jaeger(path: str, folder: Path, otlp: int, query: int, web: int) -> Program:
    """Return Jaeger as shipped, its links to the cost pages led to our web address."""
    health, metrics = free_ports(2)
    pages = folder.with_name("ui.json")
    pages.write_text((SHIPPED / "jaeger" / "ui.json").read_text().replace("127.0.0.1:4319", f"127.0.0.1:{web}"))
    variables = {
        "CALLFARE_JAEGER_OTLP_PORT": str(otlp),
        "CALLFARE_JAEGER_QUERY_PORT": str(query),
        "CALLFARE_JAEGER_HEALTH_PORT": str(health),
        "CALLFARE_JAEGER_METRICS_PORT": str(metrics),
        "CALLFARE_JAEGER_UI_CONFIG": str(pages),
    }
    command = [path, f"--config={SHIPPED / 'jaeger' / 'config.yaml'}"]
    ready = f"http://127.0.0.1:{query}/api/v3/services"
    return Program("Jaeger", command, folder, variables, lambda: answers(ready))


def callfare(folder: Path, web: int, enriched: int, jaeger_url: str) -> Program:
    """Return `callfare up` with a PostgreSQL of its own, sending priced spans back to the Collector."""
    variables = {
        "CALLFARE_DATA_DIR": str(folder / "data"),
        "CALLFARE_CONFIG": str(DEMO_APP / "callfare.yaml"),
        "CALLFARE_OTLP_GRPC_ADDR": "127.0.0.1:0",
        "CALLFARE_OTLP_HTTP_ADDR": "127.0.0.1:0",
        "CALLFARE_WEB_ADDR": f"127.0.0.1:{web}",
        "CALLFARE_FORWARD_ENDPOINT": f"http://127.0.0.1:{enriched}",
        "CALLFARE_JAEGER_URL": jaeger_url,
    }
    program = Program(
        "callfare",
        [sys.executable, "-m", "cost_exporter", "up"],
        folder,
        variables,
        lambda: "\ndatabase " in program.output,  # the last line it prints when all is up
    )
    return program


def collector(path: str, folder: Path, addresses: Mapping[str, object]) -> Program:
    """Return the Collector on the shipped file for one machine."""
    variables = {name: str(address) for name, address in addresses.items()}
    variables["CALLFARE_COLLECTOR_QUEUE_DIR"] = str(folder / "queue")
    health = f"http://127.0.0.1:{variables['CALLFARE_COLLECTOR_HEALTH_PORT']}"
    return Program(
        "the Collector", [path, f"--config={SHIPPED / 'dev.yaml'}"], folder, variables, lambda: answers(health)
    )


def wait_for_ctrl_c() -> None:
    """Leave everything running until the person has seen enough."""
    print_line("Everything runs until Ctrl-C.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print_line("")


def _interrupt(*_: object) -> None:
    """SIGTERM ends the demonstration as Ctrl-C does: everything is stopped first."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
