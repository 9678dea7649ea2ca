"""How the brokers are reached: TLS unless they are on this machine, and nothing that is set is without effect."""

from pathlib import Path
from typing import Any

import pytest

from cost_exporter.errors import SettingsError
from cost_exporter.receive.kafka.connection import broker_options
from cost_exporter.settings import Settings


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "x.pem"
    path.write_text("x")
    return path


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, "plaintext"),
        ({"kafka_broker": "[::1]:9092, localhost:9093"}, "plaintext"),
        ({"kafka_broker": "kafka-1:9092"}, "ssl"),
        ({"kafka_broker": "127.0.0.1:9092,kafka-1:9092"}, "ssl"),
        ({"kafka_broker": "kafka-1:9092", "kafka_tls": False}, "plaintext"),
        ({"kafka_tls": True}, "ssl"),
        ({"kafka_username": "u", "kafka_password": "p"}, "sasl_plaintext"),
        ({"kafka_broker": "kafka-1:9092", "kafka_username": "u", "kafka_password": "p"}, "sasl_ssl"),
    ],
)
def test_passwords_and_spans_leave_the_machine_over_tls(given: dict[str, Any], protocol: str) -> None:
    assert broker_options(Settings(**given))["security.protocol"] == protocol


def test_all_settings_reach_the_library(pem: Path) -> None:
    files = {"kafka_ca": pem, "kafka_cert": pem, "kafka_key": pem}
    secret = {"kafka_username": "u", "kafka_password": "canary", "kafka_sasl_mechanism": "PLAIN"}
    settings = Settings(kafka_broker="a:1,b:2", **files, **secret)
    assert "canary" not in repr(settings)
    assert broker_options(settings) == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "sasl_ssl",
        "ssl.ca.location": str(pem),
        "ssl.certificate.location": str(pem),
        "ssl.key.location": str(pem),
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": "canary",
    }


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kafka_broker": "kafka-1"}, "CALLFARE_KAFKA_BROKER"),
        ({"kafka_username": "u"}, "CALLFARE_KAFKA_PASSWORD"),
        ({"kafka_password": "p"}, "CALLFARE_KAFKA_USERNAME"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "CALLFARE_KAFKA_SASL_MECHANISM"),
        ({"kafka_cert": "PEM"}, "CALLFARE_KAFKA_KEY"),
        ({"kafka_key": "PEM"}, "CALLFARE_KAFKA_CERT"),
        ({"kafka_ca": "PEM", "kafka_tls": False}, "CALLFARE_KAFKA_CA"),
        ({"kafka_ca": "/nowhere/ca.pem"}, "CALLFARE_KAFKA_CA"),
    ],
)
def test_a_setting_without_effect_is_an_error_that_names_it(pem: Path, given: dict[str, Any], named: str) -> None:
    if "kafka_cert" in given or "kafka_key" in given:
        given = {**given, "kafka_tls": True}
    with pytest.raises(SettingsError, match=named):
        broker_options(Settings(**{key: pem if text == "PEM" else text for key, text in given.items()}))
