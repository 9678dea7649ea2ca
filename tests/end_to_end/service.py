"""The real cost exporter with a PostgreSQL of its own, as a program that can be killed, and what it has stored."""

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import psycopg

from tests.end_to_end.running import Program, accepts_connections, answers
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


class CostExporter(Program):
    """`callfare up` on free ports, in one process, which starts sooner; its database is in the test's folder."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.grpc, self.http, self.web = free_ports(3)
        self._data = folder / "data"
        super().__init__(
            command=[sys.executable, "-m", "cost_exporter", "up"],
            folder=folder,
            is_ready=self._is_ready,
            environment={
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")]),
                "CALLFARE_DATA_DIR": str(self._data),
                "CALLFARE_OTLP_GRPC_ADDR": f"127.0.0.1:{self.grpc}",
                "CALLFARE_OTLP_HTTP_ADDR": f"127.0.0.1:{self.http}",
                "CALLFARE_WEB_ADDR": f"127.0.0.1:{self.web}",
                "CALLFARE_PROCESSES": "1",
                **variables,
            },
        )

    def stop(self) -> int:
        """Stop it as an orchestrator does. It ends well, and its PostgreSQL with it, or the test fails."""
        exit_code = super().stop()
        left = list(self._data.rglob("postmaster.pid"))
        assert (exit_code, left) == (0, []), self.log.read_text()[-2000:]
        return exit_code

    @property
    def database_url(self) -> str:
        """As the program printed it."""
        return self._printed_urls()[-1]

    def kill_database(self) -> None:
        """Kill the PostgreSQL below the service, which goes on."""
        (pid_file,) = self._data.rglob("postmaster.pid")
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGKILL)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database answers; none while it is away."""
        try:
            with psycopg.connect(self.database_url, connect_timeout=5) as connection:
                return connection.execute(query.encode()).fetchall()
        except psycopg.OperationalError:
            return []

    def record_count(self) -> int:
        """How many records there are; 0 while the database is away."""
        return next((count for (count,) in self.rows("select count(*) from callfare.cost_record")), 0)

    def wait_for_records(self, count: int) -> None:
        """Until so many records are stored."""
        wait_until(f"{count} records", lambda: self.record_count() >= count)

    def rows_that_contain(self, text: str) -> list[str]:
        """Tables of which a row has this text in it, as characters or as bytes."""
        tables = [name for (name,) in self.rows("select tablename from pg_tables where schemaname = 'callfare'")]
        hexadecimal = text.encode().hex()
        where = f"row::text like '%{text}%' or row::text like '%{hexadecimal}%'"
        return [name for name in tables if self.rows(f"select 1 from callfare.{name} as row where {where} limit 1")]

    def _is_ready(self) -> bool:
        """It serves a moment before it prints where its database is: both are waited for."""
        return bool(self._printed_urls()) and self._serves()

    def _printed_urls(self) -> list[str]:
        return re.findall(r"(?m)^database (postgresql://\S+)\n", self.log.read_text())

    def _serves(self) -> bool:
        if "CALLFARE_TLS_CERT" in self.environment:  # the web address then asks for a certificate
            return accepts_connections(self.web)
        return answers(f"http://127.0.0.1:{self.web}/readyz")
