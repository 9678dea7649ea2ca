"""Brokers that ask for TLS, a client's certificate, and user name and password: the real handshakes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.verdict import problems
from tests.end_to_end.running import Program
from tests.kafka.running import Consumer, Sender, record_count, wait_for_records
from tests.support.certificates import Credential, authority
from tests.support.kafka import Broker
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.java]
USER, PASSWORD = "callfare", "canary-of-kafka"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Credential:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(kafka_jars: None, certificates: Credential, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with a second door: TLS with certificates on both sides, and SCRAM."""
    folder = tmp_path_factory.mktemp("secure")
    own = certificates.issue("broker")
    (folder / "broker.pem").write_text(own.key.read_text() + own.certificate.read_text())
    plain, controller, door = free_ports(3)
    name = "listener.name.secure"
    broker = Broker(
        folder / "broker",
        ports=(plain, controller),
        properties={
            "listeners": f"PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{door},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{door}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
            f"{name}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{name}.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            f"{name}.ssl.keystore.type": "PEM",
            f"{name}.ssl.keystore.location": str(folder / "broker.pem"),
            f"{name}.ssl.truststore.type": "PEM",
            f"{name}.ssl.truststore.location": str(certificates.certificate),
            f"{name}.ssl.client.auth": "required",
        },
    )
    broker.format_options = ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
    broker.secure_address = f"127.0.0.1:{door}"
    broker.start()
    yield broker
    broker.kill()


def test_spans_come_over_tls_with_certificate_and_password(
    secure: Broker,
    certificates: Credential,
    database_url: str,
    tmp_path: Path,
    started: Callable[[Program], Program],
) -> None:
    """All right: everything is stored. A wrong password or an unknown authority: nothing, and the log says why."""
    secure.make_topic("secret", partitions=2)
    sender = Sender(secure.producer(), "secret", seed=21)
    sender.send(5)
    client = certificates.issue("client")
    right = {
        "CALLFARE_KAFKA_BROKER": secure.secure_address,
        "CALLFARE_KAFKA_TOPIC": "secret",
        "CALLFARE_KAFKA_CA": str(certificates.certificate),
        "CALLFARE_KAFKA_CERT": str(client.certificate),
        "CALLFARE_KAFKA_KEY": str(client.key),
        "CALLFARE_KAFKA_USERNAME": USER,
        "CALLFARE_KAFKA_PASSWORD": PASSWORD,
    }
    stranger = authority(tmp_path, "stranger")
    wrong = {
        "password": (right | {"CALLFARE_KAFKA_PASSWORD": "another"}, "uthentication failed"),
        "authority": (right | {"CALLFARE_KAFKA_CA": str(stranger.certificate)}, "certificate verify failed"),
    }
    for name, (variables, complaint) in wrong.items():
        refused = Consumer(tmp_path / name, database_url, **variables)
        started(refused)
        wait_until(complaint, lambda refused=refused, text=complaint: text in refused.log.read_text())
        assert PASSWORD not in refused.log.read_text()
        refused.kill()
    assert record_count(database_url) == 0
    started(Consumer(tmp_path / "right", database_url, **right))
    wait_for_records(database_url, sender.span_count)
    assert problems([sender.ledger], database_url) == []
