"""Start the real Collector and Jaeger on free loopback ports, wait until they serve, kill or stop them."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import yaml

from tests.collector_config import layers
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE_SECONDS, wait_until

_ANSWER_SECONDS_MAX = 60
"""How long one request may take: a late answer is an answer."""


@dataclass
class Program:
    """A process of a test: started, awaited, killed or stopped, its output kept in a file."""

    command: list[str]
    folder: Path
    is_ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "output.log"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = self.log.open("ab")
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = subprocess.Popen(
            self.command, env=inherited | self.environment, stdout=self._log, stderr=subprocess.STDOUT, cwd=self.folder
        )
        try:
            wait_until(f"{self.command[0]} serves; see {self.log}", self._serves_or_died)
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """What a crash or the kernel does: no goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """What an orchestrator does first; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert self._log is not None
            self._log.close()

    def _serves_or_died(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.command[0]} ended at once:\n{self.log.read_text()[-3000:]}")
        return self.is_ready()


def answers(url: str) -> bool:
    """Whether something answers 200 there by now."""
    try:
        return httpx.get(url, timeout=_ANSWER_SECONDS_MAX).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def accepts_connections(port: int) -> bool:
    """Whether something listens there by now, whatever it speaks."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_SECONDS_MAX).close()
    except OSError:
        return False
    return True


class Collector(Program):
    """The real Collector on the shipped layers, each address moved to a free port by the variables it documents."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        layer_names: list[str],
        *,
        cost: int,
        view: int,
        overrides: dict[str, Any] | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.grpc, self.http, self.enriched, self.health, self.metrics = free_ports(5)
        folder.mkdir(parents=True, exist_ok=True)
        self._overrides = folder / "test.yaml"
        self.write_overrides(overrides or {})
        files = [*(layers.path_of(layer) for layer in layer_names), self._overrides]
        super().__init__(
            command=[str(binary), *(f"--config={file}" for file in files)],
            folder=folder,
            is_ready=lambda: answers(f"http://127.0.0.1:{self.health}"),
            environment={
                "CALLFARE_COLLECTOR_GRPC_PORT": str(self.grpc),
                "CALLFARE_COLLECTOR_HTTP_PORT": str(self.http),
                "CALLFARE_COLLECTOR_ENRICHED_PORT": str(self.enriched),
                "CALLFARE_COLLECTOR_HEALTH_PORT": str(self.health),
                "CALLFARE_COLLECTOR_METRICS_PORT": str(self.metrics),
                "CALLFARE_COLLECTOR_QUEUE_DIR": str(folder / "queue"),
                "CALLFARE_ARCHIVE_DIR": str(folder / "archive"),
                "CALLFARE_COST_ENDPOINT": f"127.0.0.1:{cost}",
                "CALLFARE_JAEGER_ENDPOINT": f"127.0.0.1:{view}",
                **(variables or {}),
            },
        )

    def write_overrides(self, overrides: dict[str, Any]) -> None:
        """What the test sets differently from the shipped layers, merged over them at the next start."""
        self._overrides.write_text(yaml.safe_dump(overrides))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels, as the Collector itself reports it; 0 if it has none."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics}/metrics", timeout=_ANSWER_SECONDS_MAX).text
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith((name + "{", name + " "))]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))


class Jaeger(Program):
    """The real Jaeger on the shipped configuration, storing in memory."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.otlp, self.query, self.health, self.admin = free_ports(4)
        super().__init__(
            command=[str(binary), f"--config={layers.FOLDER / 'jaeger' / 'config.yaml'}"],
            folder=folder,
            is_ready=lambda: answers(f"http://127.0.0.1:{self.query}/api/v3/services"),
            environment={
                "CALLFARE_JAEGER_OTLP_PORT": str(self.otlp),
                "CALLFARE_JAEGER_QUERY_PORT": str(self.query),
                "CALLFARE_JAEGER_HEALTH_PORT": str(self.health),
                "CALLFARE_JAEGER_METRICS_PORT": str(self.admin),
                "CALLFARE_JAEGER_UI_CONFIG": str(layers.FOLDER / "jaeger" / "ui.json"),
            },
        )

    def trace_ids(self, service: str, tags: dict[str, str] | None = None) -> set[str]:
        """Traces (32 hex digits) with a span of this service whose tags equal these: what its search form does.

        The old path is asked because API v3 has no filter by attribute before Jaeger 2.20.
        """
        query = {"service": service, "limit": "5000", "lookback": "1h"} | ({"tags": json.dumps(tags)} if tags else {})
        answer = httpx.get(f"http://127.0.0.1:{self.query}/api/traces", params=query, timeout=_ANSWER_SECONDS_MAX)
        answer.raise_for_status()
        return {trace["traceID"].rjust(32, "0") for trace in answer.json()["data"]}

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of one trace by API v3, as OTLP/JSON; none if it is not there (yet)."""
        answer = httpx.get(f"http://127.0.0.1:{self.query}/api/v3/traces/{trace_id}", timeout=_ANSWER_SECONDS_MAX)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        answer.raise_for_status()
        resources = answer.json()["result"]["resourceSpans"]
        return [
            span
            for resource in resources
            for scope in resource.get("scopeSpans", [])
            for span in scope.get("spans", [])
        ]

    def page(self) -> str:
        """The page of its user interface, with our configuration in it."""
        return httpx.get(f"http://127.0.0.1:{self.query}/search", timeout=_ANSWER_SECONDS_MAX).text


RunCollector = Callable[..., Collector]
"""The fixture of that name: `run_collector(layer_names, view=port, overrides={…}, variables={…})`."""
