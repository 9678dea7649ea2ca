"""The Grafana dashboard: each of its queries finds figures in a real Prometheus that scrapes the real service."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cost_exporter.settings import Address
from tests.collector_config import layers
from tests.end_to_end.binaries import unavailable
from tests.support.ports import free_ports
from tests.support.stored import as_url, chat, running_service, send
from tests.support.waiting import PATIENCE_SECONDS, wait_until

DASHBOARD = json.loads((layers.FOLDER / "grafana" / "callfare.json").read_text(encoding="utf-8"))
SCRIPT = layers.FOLDER.parent / "scripts" / "promtool.sh"
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
METRICS = re.compile(r"callfare_[a-z_]+")


@pytest.fixture(scope="module")
def prometheus_binary() -> Path:
    """Prometheus of the PATH or of Debian's package."""
    path, problem = _prometheus()
    if problem:
        unavailable(problem)
    return path


@cache
def _prometheus() -> tuple[Path, str]:
    fetched = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    if fetched.returncode:
        return Path(), f"Prometheus cannot be had: {fetched.stderr.strip().splitlines()[-1:]}"
    path = Path(fetched.stdout.strip()).with_name("prometheus")
    return path, "" if path.exists() else f"beside promtool is no {path}"


@contextmanager
def prometheus(binary: Path, folder: Path, target: Address) -> Iterator[str]:
    """Run one that scrapes this target every second, and lend its address."""
    (port,) = free_ports(1)
    scrape = {"job_name": "callfare", "static_configs": [{"targets": [str(target)]}]}
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}))
    command = [binary, f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def answer(url: str, query: str) -> list[Any]:
    """What Prometheus finds; an error in the query raises, and so does a Prometheus that is not there yet."""
    asked = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"{url}/api/v1/query?{asked}", timeout=PATIENCE_SECONDS) as response:
        return json.load(response)["data"]["result"]


def is_up(url: str) -> bool:
    try:
        return [each["value"][1] for each in answer(url, "up")] == ["1"]
    except OSError:
        return False


def calls(number: int) -> bytes:
    """One priced call, one without a price and one that is not understood, in a workflow with task and tier."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    ended_ns = time.time_ns() - 5_000_000_000
    attribution = {"callfare.tenant.id": "acme", "callfare.task": "answer", "callfare.tier": "standard"}
    usages = [chat("gpt-4o-mini", 1000, 100), chat("no-such-model", 10, 1)]
    usages.append({**chat("gpt-4o-mini", 1000, 100), "gen_ai.usage.cached_foo_tokens": 12})
    for position, attributes in enumerate(usages):
        span_id = (10 * number + position + 1).to_bytes(8, "big")
        parent = b"" if position == 0 else (10 * number + 1).to_bytes(8, "big")
        span = scope.spans.add(name="chat", trace_id=number.to_bytes(16, "big"), span_id=span_id, parent_span_id=parent)
        span.start_time_unix_nano, span.end_time_unix_nano = ended_ns - 10**9, ended_ns
        for key, content in {**attributes, **attribution}.items():
            value = span.attributes.add(key=key).value
            if isinstance(content, int):
                value.int_value = content
            else:
                value.string_value = content
    return request.SerializeToString()


def as_asked(query: str) -> str:
    """As Grafana sends it: with all tenants, and an interval of some scrapes."""
    return query.replace("$tenant", ".*").replace("$__rate_interval", "1m")


@pytest.mark.slow
def test_every_query_finds_figures(
    prometheus_binary: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one with a name that no metric has finds none, so that this can fail."""
    monkeypatch.setattr("cost_exporter.cli.service._CHECK_ROLLUPS_EVERY_SECONDS", 1.0)  # the first time after an hour
    with (
        running_service(as_url(database_url), finalise_after=0.2) as addresses,
        prometheus(prometheus_binary, tmp_path, addresses["web"]) as url,
    ):
        wait_until("Prometheus scrapes the service", lambda: is_up(url))
        sent = iter(range(1, 10_000))

        missing = [title for title, _ in QUERIES]

        def all_found() -> bool:
            send(addresses["grpc"], calls(next(sent)))
            missing[:] = [title for title, query in QUERIES if not answer(url, as_asked(query))]
            return not missing

        with suppress(AssertionError):
            wait_until("every panel has figures", all_found)
        assert missing == []
        assert answer(url, "sum(callfare_cost_usd)") == []


def test_every_metric_of_the_dashboard_exists() -> None:
    """A query with `or vector(0)` finds a 0 also where its metric has another name."""
    reference = (layers.FOLDER.parent / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `(callfare_[a-z_]+)`", reference, re.MULTILINE))
    used = {re.sub(r"_(?:bucket|sum|count)$", "", name) for _, query in QUERIES for name in METRICS.findall(query)}
    assert used <= known
    # What has no panel has an alert, but for counts that only explain others.
    alerts = (layers.FOLDER / "alerts" / "rules.yaml").read_text(encoding="utf-8")
    assert {name for name in known - used if name not in alerts} == {
        "callfare_kafka_messages_total",
        "callfare_task_unpriced_total",
        "callfare_tenant_claims_ignored_total",
        "callfare_workflow_unpriced_total",
    }


def test_panels_do_not_overlap_and_state_what_they_show() -> None:
    """Each has a title, a description and a unit, and a place of its own in 24 columns."""
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        mine = {(place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])}
        assert cells.isdisjoint(mine), panel["title"]
        assert max(x for x, _ in mine) < 24, panel["title"]
        cells |= mine
        if panel["type"] != "text":
            assert panel["title"]
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]
