"""`callfare consume` before it ever speaks to a broker: what it refuses, in one line."""

import os
import subprocess
import sys

import psycopg
import pytest

from cost_exporter.store.tokens import TokenScope, create
from tests.cli.running import ROOT, run_command
from tests.kafka.running import url_of

WITHOUT = "import sys; sys.modules['confluent_kafka'] = None; from cost_exporter.cli.app import run; sys.exit(run({}))"


def test_without_its_extra_it_says_which_one() -> None:
    """Other commands do without it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])}
    ran = [
        subprocess.run(
            [sys.executable, "-c", WITHOUT.format(words)], env=environment, capture_output=True, text=True, check=False
        )
        for words in (["consume"], ["prices", "--help"])
    ]
    assert (ran[0].returncode, ran[1].returncode) == (2, 0)
    assert ran[0].stderr == "error: callfare consume needs the extra 'kafka': pip install 'callfare[kafka]'\n"


@pytest.mark.parametrize(
    "refused",
    [
        ({"CALLFARE_KAFKA_BROKER": "nowhere"}, [], "CALLFARE_KAFKA_BROKER: 'nowhere' is not HOST:PORT"),
        ({"CALLFARE_KAFKA_SASL_MECHANISM": "GSSAPI"}, [], "CALLFARE_KAFKA_SASL_MECHANISM"),
        ({}, ["--from", "yesterday"], "--from 'yesterday' is no date"),
        ({}, ["--web", "0.0.0.0:0"], "--web: 0.0.0.0:0 can be reached from outside and there are no tokens"),
    ],
)
def test_what_it_refuses(
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    refused: tuple[dict[str, str], list[str], str],
) -> None:
    """One line that names the setting, and exit code 2."""
    variables, arguments, named = refused
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    ran = run_command(capsys, "consume", "--db", url_of(database_url), *arguments)
    assert ran.exit_code == 2
    assert named in ran.err.replace("\n", " ")


def test_a_topic_of_nobody_is_refused_where_there_are_tokens(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a single span is read."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        create(connection, ["acme"], [TokenScope.INGEST])
    ran = run_command(capsys, "consume", "--db", url_of(database_url))
    assert (ran.exit_code, ran.out) == (2, "")
    assert "topic otlp_spans has no tenant, and this database has tokens" in ran.err
