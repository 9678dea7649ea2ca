"""The services under test, each as a process of its own that can be killed with SIGKILL and started again."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import psutil
import psycopg

from tests.support.ports import free_ports
from tests.support.processes import command_line_of
from tests.support.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parent.parent.parent


class Service(Protocol):
    """What the killer needs of a service."""

    grpc_address: str

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> int: ...


class CallfareUp:
    """`callfare up` with its embedded PostgreSQL in a directory of the test's."""

    def __init__(self, data_dir: Path, *, processes: int = 1) -> None:
        self.data_dir = data_dir
        self._processes = processes
        self.grpc_address = f"127.0.0.1:{free_ports(1)[0]}"
        self.database_url = ""
        self._log = data_dir.with_name("callfare.log")
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start and wait until it says where its database is."""
        command = [sys.executable, "-m", "cost_exporter", "up", "--grpc", self.grpc_address]
        command += ["--http", "127.0.0.1:0", "--web", "127.0.0.1:0"]
        environment = os.environ | {
            "CALLFARE_DATA_DIR": str(self.data_dir),
            "CALLFARE_PROCESSES": str(self._processes),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")]),
        }
        environment.pop("CALLFARE_DATABASE_URL", None)
        with self._log.open("a") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "postgresql://" in line:
                self.database_url = line.split()[-1]
            if line.startswith(("ready", "database")) and self.database_url:
                return
        raise AssertionError(f"callfare up ended: {self._log.read_text()[-3000:]}")

    def kill(self) -> None:
        """Kill the service; its PostgreSQL lives on."""
        assert self._process is not None
        self._process.kill()
        ended(self._process)

    def kill_a_worker(self) -> None:
        """Kill the process that works for the service; it is to start another one."""
        assert self._process is not None
        service = psutil.Process(self._process.pid)
        wait_until("a worker", lambda: workers_of(service))[0].kill()

    def kill_database(self) -> None:
        """Kill the PostgreSQL under the running service, which has to bring it back."""
        pid_file = self.data_dir / "postgres" / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to drain and stop, and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return ended(self._process)


class Double:
    """A small service of our own making with a classic fault, to see that the harness notices (`double.py`)."""

    def __init__(self, fault: str, database_url: str) -> None:
        self.fault = fault
        self.database_url = database_url
        self.grpc_address = f"127.0.0.1:{free_ports(1)[0]}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start and wait until it listens."""
        command = [sys.executable, str(Path(__file__).with_name("double.py")), self.fault]
        command += [self.database_url, self.grpc_address]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("ready")

    def kill(self) -> None:
        """Kill it."""
        assert self._process is not None
        self._process.kill()
        ended(self._process)

    def stop(self) -> int:
        """Ask it to stop after what it holds is stored."""
        assert self._process is not None
        self._process.terminate()
        return ended(self._process)


def workers_of(service: psutil.Process) -> list[psutil.Process]:
    """The processes that work for it now."""
    return [child for child in service.children() if "cost_exporter.receive.workers.worker" in command_line_of(child)]


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for a process and close our end of its output; return its exit code."""
    exit_code = process.wait(timeout=PATIENCE_SECONDS)
    if process.stdout is not None:
        process.stdout.close()
    return exit_code


def wait_for_database(database_url: str) -> None:
    """Return when the database answers."""
    wait_until("the database", lambda: _answers(database_url))


def _answers(database_url: str) -> bool:
    try:
        psycopg.connect(database_url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
