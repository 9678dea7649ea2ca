"""The Helm chart, rendered by the real Helm, and the plain manifests: valid for Kubernetes, and the same deployment."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cost_exporter.settings import Settings
from tests.collector_config import layers
from tests.end_to_end.binaries import BUILD_SECONDS_MAX, unavailable

ROOT = layers.FOLDER.parent
CHART = ROOT / "charts" / "callfare"
KUBERNETES = "1.33.0"
"""The release whose schema the fixture has."""
KINDS = {
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "StatefulSet": "io.k8s.api.apps.v1.StatefulSet",
    "Service": "io.k8s.api.core.v1.Service",
    "ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
}
DEFINITIONS = json.loads((ROOT / "tests" / "fixtures" / "kubernetes-1.33.json").read_text())["$defs"]
PLAIN: list[dict[str, Any]] = [
    document
    for path in sorted((layers.FOLDER / "k8s").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document["kind"] in KINDS
]
VALUES = [
    [],
    ["--set", "tls.secretName="],
    ["--set", "tls.clientAuthority=true,forwardEndpoint=http://jaeger:4317,jaegerUrl=https://jaeger.example.com"],
    ["--set", "networkPolicy.enabled=false,env.CALLFARE_PROCESSES=2,env.CALLFARE_FORWARD_CONTENT=true"],
    ["--set", "config.revenue_when_failed=true,image.tag=1.2.3"],
]


def problems(document: dict[str, Any]) -> list[str]:
    """What Kubernetes would refuse in a manifest."""
    schema = {"$ref": f"#/$defs/{KINDS[document['kind']]}", "$defs": DEFINITIONS}
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]


@cache
def built_helm() -> tuple[Path, str]:
    """Build Helm once; the second is why it is not there."""
    done = subprocess.run(
        [ROOT / "scripts" / "helm.sh"], capture_output=True, text=True, check=False, timeout=BUILD_SECONDS_MAX
    )
    return Path(done.stdout.strip().splitlines()[-1] if done.returncode == 0 else ""), done.stderr[-400:]


@pytest.fixture(scope="session")
def helm() -> Path:
    """The real Helm."""
    path, problem = built_helm()
    if path == Path():
        unavailable(problem)
    return path


def rendered(helm: Path, *options: str) -> list[dict[str, Any]]:
    """What `helm template` makes of the chart."""
    done = subprocess.run(
        [helm, "template", "callfare", CHART, "--kube-version", KUBERNETES, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.mark.parametrize("document", PLAIN, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_plain_manifest_is_valid(document: dict[str, Any]) -> None:
    """Each field has a name and a type that Kubernetes knows."""
    assert problems(document) == []


def test_a_wrong_manifest_is_found() -> None:
    """A misspelt field and a text in place of a number are named."""
    (deployment,) = [each for each in PLAIN if each["kind"] == "Deployment"]
    spoilt = json.loads(json.dumps(deployment))
    spoilt["spec"]["replicaz"] = 2
    spoilt["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "4317"
    assert len(problems(spoilt)) == 2


@pytest.mark.go
@pytest.mark.slow
@pytest.mark.timeout(BUILD_SECONDS_MAX + 300)
@pytest.mark.parametrize("options", VALUES, ids=" ".join)
def test_the_chart_renders_to_valid_manifests(helm: Path, options: list[str]) -> None:
    """With each group of values, and no variable is set that the service would not read."""
    documents = rendered(helm, *options)
    assert {each["kind"] for each in documents} >= {"Deployment", "Service", "PodDisruptionBudget"}
    assert [problem for each in documents for problem in problems(each)] == []
    (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names))
    assert {name.removeprefix("CALLFARE_").lower() for name in names} <= Settings.model_fields.keys()


@pytest.mark.go
@pytest.mark.slow
@pytest.mark.timeout(BUILD_SECONDS_MAX + 300)
def test_the_chart_runs_what_the_plain_manifest_runs(helm: Path) -> None:
    """Probes, ports, rights, resources and time to drain are the same."""
    (charted,) = [each for each in rendered(helm) if each["kind"] == "Deployment"]
    (plain,) = [each for each in PLAIN if each["kind"] == "Deployment"]
    for side in ("replicas", "strategy"):
        assert charted["spec"][side] == plain["spec"][side]
    pods = [each["spec"]["template"]["spec"] for each in (charted, plain)]
    for name in ("terminationGracePeriodSeconds", "securityContext"):
        assert pods[0][name] == pods[1][name]
    containers = [each["containers"][0] for each in pods]
    wanted = [
        "image",
        "args",
        "ports",
        "startupProbe",
        "livenessProbe",
        "readinessProbe",
        "resources",
        "securityContext",
    ]
    assert [containers[0][name] for name in wanted] == [containers[1][name] for name in wanted]


@pytest.mark.go
@pytest.mark.slow
@pytest.mark.timeout(BUILD_SECONDS_MAX + 300)
@pytest.mark.parametrize("wrong", ["replicas=3", "replicaCount=0", "database.secretName=", "tls.secret=x"])
def test_a_misspelt_value_is_refused(helm: Path, wrong: str) -> None:
    """The chart's schema names it, and nothing is rendered."""
    done = subprocess.run(
        [helm, "template", "callfare", CHART, "--kube-version", KUBERNETES, "--set", wrong],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode != 0
    assert "schema" in done.stderr


def test_the_containerfile_builds_what_compose_and_kubernetes_run() -> None:
    """One file makes the image, as a user without rights, and it starts the service."""
    text = (ROOT / "Containerfile").read_text()
    compose = yaml.safe_load((layers.FOLDER / "compose" / "compose.yaml").read_text())
    assert compose["services"]["callfare"]["build"]["dockerfile"] == "Containerfile"
    assert "USER 10001" in text
    assert 'ENTRYPOINT ["callfare"]' in text
    copied = [
        word
        for line in text.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
