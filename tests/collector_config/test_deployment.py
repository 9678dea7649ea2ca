"""Compose, Kubernetes, alerts and Jaeger's files: pinned, closed, and speaking of things that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cost_exporter.receive.refusal import Refusal
from cost_exporter.settings import Settings
from tests.collector_config import guards, layers

COMPOSE = yaml.safe_load((layers.FOLDER / "compose" / "compose.yaml").read_text())
COLLECTOR_FILES = [
    layers.FOLDER / each.removeprefix("--config=/etc/otelcol/") for each in COMPOSE["services"]["collector"]["command"]
]
MANIFESTS: list[dict[str, Any]] = [
    document
    for path in sorted((layers.FOLDER / "k8s").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
MANIFEST = yaml.safe_load((layers.FOLDER / "builder" / "manifest.yaml").read_text())
RULES = yaml.safe_load((layers.FOLDER / "alerts" / "rules.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]


def test_compose_runs_a_collector_that_loses_nothing() -> None:
    """The files that the container is given merge to a configuration without a fault, but for its own network."""
    config: guards.Config = {}
    for path in COLLECTOR_FILES:
        config = layers.merge(config, yaml.safe_load(path.read_text()))
    assert [text for text in guards.findings(config, exposed=False) if "listens on every address" not in text] == []


def test_images_are_pinned() -> None:
    """Each image has an exact version, the same in compose, its .env.example and Kubernetes."""
    example = (layers.FOLDER / "compose" / ".env.example").read_text()
    images = [service["image"] for service in COMPOSE["services"].values() if "image" in service]
    for image in images:
        variable, default = re.fullmatch(r"\$\{(\w+):-(.+)\}", image).groups()
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", default)
        assert f"{variable}={default}\n" in example


def test_the_collector_image_is_of_the_tested_version() -> None:
    """Compose and Kubernetes run the release that the manifest builds and the tests run."""
    wanted = f"otel/opentelemetry-collector-contrib:{MANIFEST['dist']['version']}"
    assert wanted in COMPOSE["services"]["collector"]["image"]
    assert [c["image"] for c in _containers("StatefulSet")] == [wanted]


def test_compose_publishes_on_loopback_only() -> None:
    """No port of the machine's outside addresses is opened."""
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_variables_given_to_the_service_exist() -> None:
    """Compose and Kubernetes set no CALLFARE_* variable that the service would ignore."""
    given = set(COMPOSE["services"]["callfare"]["environment"])
    given |= {each["name"] for container in _containers("Deployment") for each in container["env"]}
    assert {name.removeprefix("CALLFARE_").lower() for name in given} <= Settings.model_fields.keys()


def test_kubernetes_keeps_the_queue_on_a_volume_and_gives_no_rights() -> None:
    """The Collector's queue outlives its pod; no container runs as root or may become it."""
    (stateful,) = [each for each in MANIFESTS if each["kind"] == "StatefulSet"]
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    mounts = {each["name"]: each["mountPath"] for each in _containers("StatefulSet")[0]["volumeMounts"]}
    (queue,) = [e["value"] for e in _containers("StatefulSet")[0]["env"] if e["name"] == "CALLFARE_COLLECTOR_QUEUE_DIR"]
    assert queue.startswith(mounts[claim["metadata"]["name"]])
    for container in _containers("StatefulSet") + _containers("Deployment"):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert "memory" in container["resources"]["limits"]


def test_the_operators_rules_are_the_alert_rules() -> None:
    """The PrometheusRule holds the same groups as the plain file."""
    (rule,) = [each for each in MANIFESTS if each["kind"] == "PrometheusRule"]
    assert rule["spec"] == RULES


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """Each alert has a severity and says what is wrong and what to do."""
    assert alert["labels"]["severity"] in {"page", "warn", "ticket"}
    assert set(alert["annotations"]) == {"summary", "description"}


def test_alerts_on_refusals_use_the_services_own_words() -> None:
    """The reasons in the expressions are values of the counter's label."""
    named = {word for a in ALERTS for found in re.findall(r'reason=~"([^"]+)"', a["expr"]) for word in found.split("|")}
    assert named
    assert named <= {each.value for each in Refusal}


def test_alerts_read_metrics_of_the_service_that_exist() -> None:
    """Each callfare_* name in an expression is one that the service exports (contract, section Metrics)."""
    serve = layers.FOLDER.parent / "cost_exporter" / "serve"
    exported = "".join(path.read_text() for path in sorted(serve.glob("*metrics.py")))
    names = {name for alert in ALERTS for name in re.findall(r"callfare_\w+", alert["expr"])}
    assert {name for name in names if f'"{re.sub("_(total|bucket)$", "", name)}"' not in exported} == set()


def test_jaegers_links_lead_to_pages_of_the_service() -> None:
    """Links of ui.json use the placeholders that Jaeger fills and addresses that the service answers."""
    text = (layers.FOLDER / "jaeger" / "ui.json").read_text()
    links = json.loads(text)["linkPatterns"]
    assert {link["type"] for link in links} == {"traces", "tags"}
    assert set(re.findall(r"#\{([^}]+)\}", text)) <= {"traceID", "trace.traceID"}
    pages = {re.sub("#.*", "", url) for url in re.findall(r'"url": "http://127.0.0.1:4319([^"]*)"', text)}
    assert pages == {"/", "/budgets", "/unpriced", "/workflows/"}


@pytest.mark.go
@pytest.mark.timeout(3000)
def test_the_collector_accepts_what_compose_gives_it(collector_binary: Path, tmp_path: Path) -> None:
    """`otelcol validate` finds nothing in the container's merge."""
    own = tmp_path / "compose.yaml"
    token = tmp_path / "token"
    token.write_text("a-token")
    text = COLLECTOR_FILES[-1].read_text()
    own.write_text(text.replace("/etc/callfare/tokens/cost-exporter", str(token)))
    command = [collector_binary, "validate", *(f"--config={path}" for path in [*COLLECTOR_FILES[:-1], own])]
    variables = {"CALLFARE_COLLECTOR_QUEUE_DIR": str(tmp_path / "queue")}
    checked = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def _containers(kind: str) -> list[dict[str, Any]]:
    found = [each for each in MANIFESTS if each["kind"] == kind]
    return [container for each in found for container in each["spec"]["template"]["spec"]["containers"]]


def test_the_table_of_losses_names_tests_that_exist() -> None:
    """Each row of "what is lost when" stands on a test that runs it."""
    table = (layers.FOLDER / "README.md").read_text().partition("## What is lost when")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(test_\w+)`", table))
    tests = "\n".join(path.read_text() for path in (layers.FOLDER.parent / "tests" / "end_to_end").glob("test_*.py"))
    assert named
    assert {name for name in named if f"def {name}(" not in tests} == set()


def test_the_table_of_losses_names_alerts_that_exist() -> None:
    """An alert that the README promises is among the rules."""
    readme = (layers.FOLDER / "README.md").read_text()
    assert set(re.findall(r"alert `(\w+)`", readme)) <= {alert["alert"] for alert in ALERTS}
