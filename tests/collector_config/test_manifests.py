"""The plain manifests are valid for Kubernetes, and one file makes the image that they run."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from tests.collector_config import layers

ROOT = layers.FOLDER.parent
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


def problems(document: dict[str, Any]) -> list[str]:
    """What Kubernetes would refuse in a manifest."""
    schema = {"$ref": f"#/$defs/{KINDS[document['kind']]}", "$defs": DEFINITIONS}
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]


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
