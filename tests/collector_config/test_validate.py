"""The real Collector accepts every documented combination, and would refuse a wrong one."""

import subprocess
from pathlib import Path

import pytest

from tests.collector_config import layers
from tests.end_to_end.binaries import needs_go
from tests.support import certificates
from tests.support.waiting import RUN_SECONDS_MAX

pytestmark = needs_go


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that the production layers read when they are checked."""
    folder = tmp_path_factory.mktemp("secrets")
    authority = certificates.authority(folder)
    server = authority.issue("collector")
    token = folder / "token"
    token.write_text("a-token")
    return {
        "CALLFARE_TLS_CA": str(authority.certificate),
        "CALLFARE_TLS_CLIENT_CA": str(authority.certificate),
        "CALLFARE_TLS_CERT": str(server.certificate),
        "CALLFARE_TLS_KEY": str(server.key),
        "CALLFARE_COLLECTOR_TOKEN_FILE": str(token),
        "CALLFARE_COST_TOKEN_FILE": str(token),
        "CALLFARE_COLLECTOR_QUEUE_DIR": str(folder / "queue"),
        "CALLFARE_ARCHIVE_DIR": str(folder / "archive"),
        "CALLFARE_TENANT": "acme",
        "CALLFARE_KAFKA_CA": str(authority.certificate),
        "CALLFARE_KAFKA_USERNAME": "collector",
        "CALLFARE_KAFKA_PASSWORD": "a-password",
    }


@pytest.mark.parametrize("shape", layers.shapes())
def test_the_collector_accepts_a_combination(shape: str, collector_binary: Path, variables: dict[str, str]) -> None:
    """`otelcol validate` finds nothing in the merge of the layers."""
    checked = _validate(collector_binary, [layers.path_of(layer) for layer in layers.shapes()[shape]], variables)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("file_name", layers.runnable_files())
def test_the_collector_accepts_a_runnable_file(
    file_name: str, collector_binary: Path, variables: dict[str, str]
) -> None:
    """The files that carry a deployment's name run by themselves."""
    checked = _validate(collector_binary, [layers.FOLDER / file_name], variables)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_collector_refuses_a_wrong_layer(collector_binary: Path, variables: dict[str, str], tmp_path: Path) -> None:
    """A key that does not exist is an error, so that an acceptance means something."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("exporters: {otlp_grpc/cost: {sending_queue: {block_on_overflw: true}}}")
    checked = _validate(collector_binary, [layers.path_of("base"), layers.path_of("dev"), wrong], variables)
    assert checked.returncode != 0
    assert "block_on_overflw" in checked.stderr


def test_the_collector_is_what_the_manifest_says(collector_binary: Path) -> None:
    """The cached binary holds the components that the layers name."""
    components = subprocess.run([collector_binary, "components"], capture_output=True, text=True, check=True).stdout
    for component in ("otlp_grpc", "file_storage", "tail_sampling", "redaction", "bearertokenauth", "kafka", "forward"):
        assert f"name: {component}\n" in components


def _validate(binary: Path, files: list[Path], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(binary), "validate", *(f"--config={file}" for file in files)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX)
