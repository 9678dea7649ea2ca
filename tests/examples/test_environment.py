"""docs/how-to/environment.md lists every variable there is, with the default that it has."""

import ast
import re

import pytest

from cost_exporter.cli.diagnosis import _APPLICATION_VARIABLES
from cost_exporter.settings import Settings
from tests.examples.documents import HOW_TO, ROOT


def documented() -> dict[str, str]:
    """Default by name, as the tables have it."""
    text = (HOW_TO / "environment.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for names, default in re.findall(r"^\| (`CALLFARE_[^|]*) \| ([^|]*) ?\|", text, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), default.strip().strip("`"))
    return found


def read_by_the_application() -> set[str]:
    """The names in environment.py of the application's side."""
    source = (ROOT / "instrumentation" / "callfare" / "environment.py").read_text(encoding="utf-8")
    words = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return {word for word in words if isinstance(word, str) and re.fullmatch(r"CALLFARE_[A-Z_]+", word)}


def test_every_variable_is_documented_and_no_other() -> None:
    """Nothing is missing, and nothing is promised that no code reads."""
    service = {f"CALLFARE_{name.upper()}" for name in Settings.model_fields}
    assert set(documented()) == service | read_by_the_application()


def test_the_doctor_knows_them_all() -> None:
    """A variable of the application's is not called misspelt; one that both sides read is among the settings."""
    service = {f"CALLFARE_{name.upper()}" for name in Settings.model_fields}
    assert read_by_the_application() - service == _APPLICATION_VARIABLES


@pytest.mark.parametrize("name", ["otlp_grpc_addr", "otlp_http_addr", "web_addr", "finalise_after"])
def test_defaults_are_as_documented(name) -> None:
    """What the table says is what the service does."""
    assert documented()[f"CALLFARE_{name.upper()}"] == str(Settings.model_fields[name].default)
