"""The services under test, each as a process of its own that can be killed with SIGKILL and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

import psutil
import psycopg

ROOT = Path(__file__).parent.parent.parent
_START_SECONDS_MAX = 40.0


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
        self.grpc_address = f"127.0.0.1:{free_port()}"
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
        children = psutil.Process(self._process.pid).children()
        workers = [child for child in children if "cost_exporter.receive.worker" in child.cmdline()]
        workers[0].kill()

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
        self.grpc_address = f"127.0.0.1:{free_port()}"
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


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for a process and close our end of its output; return its exit code."""
    exit_code = process.wait(timeout=30)
    if process.stdout is not None:
        process.stdout.close()
    return exit_code


def free_port() -> int:
    """Return a port that is free now; the service is started on it again and again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_database(database_url: str) -> None:
    """Return when the database answers."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    while True:
        try:
            psycopg.connect(database_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
