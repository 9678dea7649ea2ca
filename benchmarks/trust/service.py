"""`callfare serve` on a PostgreSQL of its own, which the trial stops, fills, sets the clock of and starts again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.trust.state import ROOT
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from tests.support.waiting import PATIENCE_SECONDS


class Serving:
    """The service; `address` is where it takes spans, `web_address` where it answers."""

    def __init__(self, database_url: str, log: Path, **variables: str) -> None:
        """Start it and wait until it says where it listens."""
        command = [sys.executable, "-m", "cost_exporter", "serve", "--db", database_url]
        command += ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--web", "127.0.0.1:0"]
        paths = os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])
        environment = os.environ | {"PYTHONPATH": paths} | variables
        with log.open("a") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        assert self._process.stdout is not None
        addresses: dict[str, str] = {}
        while "web" not in addresses:
            name, address = self._process.stdout.readline().split()[:2]
            addresses[name] = address
        self.address, self.web_address = addresses["grpc"], addresses["web"]

    def stop(self) -> None:
        """Let it drain."""
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def serving(folder: Path, **variables: str) -> Iterator[tuple[Serving, EmbeddedPostgres]]:
    """Lend a service and its database; both end afterwards."""
    server = EmbeddedPostgres(folder / "postgres")
    url = server.start()
    try:
        migrate(url)
        service = Serving(url, folder.with_suffix(".log"), CALLFARE_DATA_DIR=str(folder), **variables)
        try:
            yield service, server
        finally:
            server.ensure_running()
            service.stop()
    finally:
        server.stop()
