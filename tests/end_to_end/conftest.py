"""What every end-to-end test may ask for: the real binaries, a sink for spans, programs that are always ended."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.binaries import collector_binary, jaeger_binary
from tests.end_to_end.exposed import Secrets, secrets_in
from tests.end_to_end.otlp_sink import OtlpSink
from tests.end_to_end.running import Collector, Jaeger, Program, RunCollector
from tests.support.stored import open_folder

__all__ = ["collector_binary", "jaeger_binary"]


@pytest.fixture
def started() -> Iterator[Callable[[Program], Program]]:
    """Starts a program and kills it after the test, whatever happened."""
    programs: list[Program] = []

    def start(program: Program) -> Program:
        programs.append(program)
        program.start()
        return program

    yield start
    for program in programs:
        program.kill()


@pytest.fixture
def database_folder() -> Iterator[Path]:
    """Where PostgreSQL, which is not root, may keep its data."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def cost() -> Iterator[OtlpSink]:
    """Stands where the cost exporter stands."""
    with OtlpSink() as sink:
        yield sink


@pytest.fixture
def view() -> Iterator[OtlpSink]:
    """Stands where Jaeger stands."""
    with OtlpSink() as sink:
        yield sink


@pytest.fixture
def run_collector(
    collector_binary: Path, tmp_path: Path, cost: OtlpSink, view: OtlpSink, started: Callable[[Program], Program]
) -> RunCollector:
    """Runs the real Collector on the named layers between the test and the two sinks."""

    def run(layer_names: list[str], *, view: int = view.port, **settings: Any) -> Collector:
        collector = Collector(collector_binary, tmp_path, layer_names, cost=cost.port, view=view, **settings)
        started(collector)
        return collector

    return run


@pytest.fixture
def jaeger(jaeger_binary: Path, tmp_path: Path, started: Callable[[Program], Program]) -> Jaeger:
    """The real Jaeger, empty."""
    jaeger = Jaeger(jaeger_binary, tmp_path / "jaeger")
    started(jaeger)
    return jaeger


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    """Certificates and tokens of one production deployment."""
    return secrets_in(tmp_path_factory.mktemp("secrets"))
