"""The shipped Collector files, without a Collector: they merge as said, and no loss-prone default is left in them."""

import re
from decimal import Decimal

import pytest
import yaml

from callfare import attributes
from cost_exporter.forward.enrich import cost_bucket
from cost_exporter.read.layout import WANTED
from tests.collector_config import guards, layers

SHAPES = layers.shapes()
LAYER_FILES = sorted(path.stem for path in (layers.FOLDER / "layers").glob("*.yaml"))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_documented_combination_loses_nothing(shape: str) -> None:
    """Every merge that the README names passes every guard."""
    assert guards.findings(layers.merged(SHAPES[shape]), exposed="dev" not in SHAPES[shape]) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_layers_do_not_replace_each_others_lists(shape: str) -> None:
    """A list is set by the base and at most one layer, since a later layer would silently replace it."""
    seen: dict[str, str] = {}
    for layer in SHAPES[shape][1:]:
        for path in layers.list_paths(layers.load(layer)):
            assert path not in seen, f"{layer} and {seen[path]} both set {path}"
            seen[path] = layer


@pytest.mark.parametrize(("file_name", "shape"), layers.runnable_files().items())
def test_a_runnable_file_is_its_layers(file_name: str, shape: str) -> None:
    """dev.yaml and its sisters are what the layers merge to."""
    written = (layers.FOLDER / file_name).read_text()
    assert written == layers.rendered(shape), "run: python -m tests.collector_config.layers"


def test_every_layer_stands_in_a_documented_combination() -> None:
    """No layer is shipped that no combination tests."""
    assert {layer for each in SHAPES.values() for layer in each} == {"base", *LAYER_FILES}


@pytest.mark.parametrize("shape", SHAPES)
def test_our_collector_has_every_component(shape: str) -> None:
    """Each component type comes from a module of the builder's manifest."""
    manifest = yaml.safe_load((layers.FOLDER / "builder" / "manifest.yaml").read_text())
    modules = {
        (kind[:-1], line["gomod"].split()[0].rpartition("/")[2]) for kind in _KINDS for line in manifest.get(kind, [])
    }
    assert {
        (kind, _module(kind, name)) for kind, name in guards.component_types(layers.merged(SHAPES[shape]))
    } <= modules


def test_the_manifest_holds_one_version() -> None:
    """Modules of different Collector releases are not mixed, and the builder is of the same release."""
    manifest = yaml.safe_load((layers.FOLDER / "builder" / "manifest.yaml").read_text())
    versions = {line["gomod"].split()[1] for kind in _KINDS for line in manifest[kind]}
    assert versions == {f"v{manifest['dist']['version']}"}


def test_the_mark_that_decides_the_way_survives_redaction() -> None:
    """The cost exporter sees `callfare.view`, or it would forward nothing."""
    redaction = layers.load("redact")["processors"]["redaction/cost"]
    assert "callfare.view" in redaction["allowed_keys"]


def test_redaction_keeps_every_attribute_that_callfare_knows() -> None:
    """No name of callfare/attributes.py is removed on the way to the cost exporter."""
    redaction = layers.load("redact")["processors"]["redaction/cost"]
    allowed, patterns = set(redaction["allowed_keys"]), redaction["ignored_key_patterns"]
    names = {value for key, value in vars(attributes).items() if key.isupper() and isinstance(value, str)}
    lost = {n for n in names - allowed - {attributes.USAGE_PREFIX} if not any(re.search(p, n) for p in patterns)}
    assert lost == set()
    assert any(re.search(pattern, attributes.USAGE_PREFIX + "read_units") for pattern in patterns)


def test_redaction_keeps_what_the_readers_want() -> None:
    """Of what is read, only words themselves are removed by name; what can hold some is reduced (end-to-end tests)."""
    redaction = layers.load("redact")["processors"]["redaction/cost"]
    patterns = redaction["ignored_key_patterns"]
    lost = {key for key in WANTED - set(redaction["allowed_keys"]) if not any(re.search(p, key) for p in patterns)}
    # OpenLIT's speech has no other count of its characters, Pydantic AI's built-in searches and Haystack's calls have
    # none; LangChain's provider is kept elsewhere; the last name is what the layer itself adds.
    content = {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "haystack.component.output",
        "metadata",
        "genkit:output",
    }
    assert lost == content | {"redaction.redacted.keys"}


def test_the_sampler_knows_the_buckets_of_the_cost_exporter() -> None:
    """Traces of a dollar or more are kept by the very words that stand on their spans."""
    policies = layers.load("tail-sampling-jaeger")["processors"]["tail_sampling"]["policies"]
    (expensive,) = [policy["string_attribute"] for policy in policies if policy["name"] == "expensive"]
    assert expensive["key"] == attributes.COST_BUCKET
    assert expensive["values"] == [cost_bucket(Decimal(amount_usd)) for amount_usd in (1, 10, 100)]


@pytest.mark.parametrize(
    "content",
    [
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.content",
        "gen_ai.tool.call.arguments",
        "input.value",
        "llm.input_messages.0.message.content",
        "ai.prompt",
        "ai.response.text",
        "traceloop.entity.input",
        "text",
        "transcript",
        "telephony.call.from",
        "telephony.call.to",
        "exception.message",
        "metadata",
    ],
)
def test_redaction_names_no_attribute_that_holds_content(content: str) -> None:
    """Attributes that hold what people said or whom they called are not on the list."""
    redaction = layers.load("redact")["processors"]["redaction/cost"]
    assert content not in redaction["allowed_keys"]
    assert not any(re.search(pattern, content) for pattern in redaction["ignored_key_patterns"])


def test_variables_in_the_files_are_documented() -> None:
    """Each `${env:NAME}` of a layer stands in the README's table, and the README names no other."""
    used = {
        name
        for layer in ["base", *LAYER_FILES]
        for name in re.findall(r"\$\{env:(\w+)", layers.path_of(layer).read_text())
    }
    documented = set(re.findall(r"^\| `(CALLFARE_\w+)`", (layers.FOLDER / "README.md").read_text(), re.MULTILINE))
    assert used == documented


_KINDS = ("receivers", "processors", "exporters", "connectors", "extensions")


def _module(kind: str, name: str) -> str:
    """The last part of the Go module path that provides a component type."""
    irregular = {"otlp_grpc": "otlpexporter", "otlp_http": "otlphttpexporter", "file_storage": "filestorage"}
    return irregular.get(name, name.replace("_", "") + kind)
