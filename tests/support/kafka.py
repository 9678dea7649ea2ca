"""A real Apache Kafka broker for tests, in KRaft mode, from Maven artifacts, without an installation.

The jars are fetched once per machine and content of the list below, and kept beside the other programs that tests
build. Without Java or Maven a test is skipped with the reason; with `CI=true` such a skip is a failure.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE_SECONDS, wait_until

ARTIFACTS = (
    ("org.apache.kafka", "kafka_2.13", "4.3.1"),
    ("org.apache.kafka", "kafka-tools", "4.3.1"),
    ("org.slf4j", "slf4j-simple", "1.7.36"),
)
FETCH_SECONDS_MAX = 900
CLUSTER = "bWFkZS1mb3ItdGVzdHMtMQ"


def jars() -> tuple[Path, str]:
    """The folder of Kafka's jars, fetched where they are missing, or why there is none."""
    return _jars()


@cache
def _jars() -> tuple[Path, str]:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "callfare"
    folder = root / f"kafka-{hashlib.sha256(repr(ARTIFACTS).encode()).hexdigest()[:16]}"
    if shutil.which("java") is None:
        return folder, "Kafka needs Java, and there is no `java` on the PATH"
    root.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder, "" if folder.exists() else _fetch(folder)


def _fetch(folder: Path) -> str:
    if shutil.which("mvn") is None:
        return "Kafka's jars are fetched by Maven, and there is no `mvn` on the PATH"
    work = folder.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    wanted = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in ARTIFACTS
    )
    (work / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>callfare.test</groupId><artifactId>kafka</artifactId>"
        f"<version>1</version><dependencies>{wanted}</dependencies></project>"
    )
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False)
    if done.returncode != 0:
        return f"Maven could not fetch Kafka: {(done.stdout.strip().splitlines() or ['no message'])[-1][:300]}"
    (work / "jars").rename(folder)
    shutil.rmtree(work)
    return ""


class Broker:
    """One broker with its own controller, or one of several that form a cluster."""

    def __init__(self, folder: Path, *, properties: dict[str, str] | None = None, ports: Sequence[int] = ()) -> None:
        """`properties` come on top of those of a plain broker of its own."""
        self.folder = folder
        self.port, self.controller_port = ports or free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self._properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "auto.create.topics.enable": "false",
            "log.flush.interval.messages": "1",
            **(properties or {}),
        }
        self.format_options: tuple[str, ...] = ()
        """What the tool that prepares the data folder gets on top: users and their passwords."""
        self.secure_address = ""
        """Of a second door, where its properties have one."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "output.log"

    def start(self, *, waits: bool = True) -> None:
        """Start it, on the same ports and data as before, and wait until it answers."""
        folder, problem = jars()
        assert not problem, problem
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "server.properties"
        configuration.write_text("".join(f"{name}={text}\n" for name, text in self._properties.items()))
        java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{folder}/*"]
        if not (self.folder / "data").exists():
            storage = [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(configuration)]
            subprocess.run([*storage, *self.format_options], check=True, capture_output=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*java[:1], "-Xmx384m", *java[1:], "kafka.Kafka", str(configuration)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )
        if waits:
            self.await_answer()

    def await_answer(self) -> None:
        """Return when it serves."""
        wait_until(f"Kafka answers; see {self.log}", self._answers)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=PATIENCE_SECONDS)

    def admin(self, **options: Any) -> AdminClient:
        """A client that makes topics."""
        return AdminClient({"bootstrap.servers": self.address, **options})

    def make_topic(self, name: str, *, partitions: int = 4, replicas: int = 1, **configuration: str) -> None:
        """Make a topic and wait for it."""
        settings = {
            "max.message.bytes": "16777216",
            **{key.replace("_", "."): text for key, text in configuration.items()},
        }
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=settings)
        admin = self.admin()  # kept until it has answered
        admin.create_topics([topic])[name].result(timeout=PATIENCE_SECONDS)

    def delete_records(self, topic: str, *, before: int) -> None:
        """Do to partition 0 what retention does: delete the messages before an offset."""
        partition = TopicPartition(topic, 0, before)
        admin = self.admin()
        for done in admin.delete_records([partition]).values():
            done.result(timeout=PATIENCE_SECONDS)

    def producer(self, addresses: str = "") -> Producer:
        """A producer that loses nothing while a broker is away."""
        return Producer(
            {
                "bootstrap.servers": addresses or self.address,
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": int(PATIENCE_SECONDS * 1_000),
                "message.max.bytes": 16_777_216,
                "linger.ms": 5,
                "log_level": 0,
            }
        )

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"Kafka ended at once:\n{self.log.read_text()[-3000:]}")
        try:
            return bool(self.admin(log_level=0).list_topics(timeout=PATIENCE_SECONDS / 60).brokers)
        except KafkaException:
            return False
