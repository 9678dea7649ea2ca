import hashlib
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_source_root_shadows_no_namespace_of_opentelemetry() -> None:
    """No `opentelemetry` folder, and no package named after the source root, stands in the way of the real ones."""
    root = ROOT / "instrumentation"
    assert not (root / "opentelemetry").exists()
    assert not (root / "__init__.py").exists()


def test_no_extra_is_named_instruments() -> None:
    """An extra of that name would let one missing vendor library silently disable all instrumentors."""
    assert not [name for name in PROJECT["project"]["optional-dependencies"] if name.startswith("instruments")]


def test_all_brings_every_extra() -> None:
    """`callfare[all]` means all."""
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = re.fullmatch(r"callfare\[(.*)\]", everything)
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - {"all"}


def test_constraints_pin_every_requirement() -> None:
    """What we ask for by range is installed at one version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonical(line.split("==")[0]) for line in lines if "==" in line}
    assert not [line for line in lines if "://" in line or " @ " in line]
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    for requirements in PROJECT["project"]["optional-dependencies"].values():
        asked += requirements
    names = {canonical(re.split(r"[\[<>=~!; ]", requirement)[0]) for requirement in asked} - {"callfare"}
    assert names - pinned == set()


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_extra_of_ours_is_a_registered_instrumentor_of_others() -> None:
    """Our entry points do not reuse a name that another package has."""
    ours = PROJECT["project"].get("entry-points", {}).get("opentelemetry_instrumentor", {})
    assert not set(ours) & {"openai", "anthropic", "pipecat", "langchain", "pinecone", "qdrant"}


def test_the_licence_is_the_one_that_the_metadata_names() -> None:
    """LICENSE is the whole Apache License 2.0, and pyproject.toml says so and ships the file."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    digest = hashlib.sha256("".join(text.split()).encode()).hexdigest()
    assert digest == "ddacef491153f45022f5619519bb2016374a8c36e75153768493f45fb38d7992"
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert PROJECT["project"]["license-files"] == ["LICENSE"]
