"""The list of commands is right, and looking at it costs next to nothing."""

import subprocess
import sys
from typing import Any

import pytest
from typer.core import TyperGroup

from cost_exporter.cli.commands import COMMANDS, load_command
from tests.cli.running import ROOT, run_program

HEAVY = (
    "cost_exporter.domain",
    "cost_exporter.report",
    "psycopg",
    "grpc",
    "opentelemetry",
    "pydantic",
    "starlette",
    "uvicorn",
    "yaml",
    "jinja2",
    "rich.console",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_list_is_the_commands_own(name: str) -> None:
    """What stands in the list is the beginning of what the command itself says."""
    command = load_command(name)
    assert command.name == name
    assert " ".join((command.help or "").split()).startswith(COMMANDS[name][1])


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]], ids=" ".join)
def test_a_look_at_the_commands_imports_none_of_them(arguments: list[str]) -> None:
    """No driver, no server and no rich text is loaded to print a version or the list: that is half a second."""
    program = (
        "import sys; from cost_exporter.cli.app import run; run(sys.argv[1:]);"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "callfare" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("callfare tr", ["trace"]),
        ("callfare token cr", ["create"]),
        ("callfare top --b", ["--by"]),
        ("callfare top --by d", ["duration"]),
        ("callfare report --format m", ["markdown"]),
    ],
)
def test_the_shell_completes_commands_options_and_values(words: str, completed: list[str]) -> None:
    """As bash asks for it; the script that makes bash ask comes from --show-completion."""
    count = str(len(words.split()) - 1)
    ran = run_program(_CALLFARE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count)
    assert ran.out.split() == completed


def test_the_completion_script_can_be_shown() -> None:
    """A person may look at it before it is installed."""
    assert "complete -o default -F _callfare_completion" in run_program("--show-completion", "bash").out


def test_every_command_has_help() -> None:
    """Each one, also those below another, and each of their options."""

    def walk(path: str, command: Any) -> None:
        assert command.help, path
        for parameter in command.params:
            assert getattr(parameter, "help", "x") or parameter.param_type_name == "argument", (path, parameter.name)
        if isinstance(command, TyperGroup):
            for name, each in command.commands.items():
                walk(f"{path} {name}", each)

    for name in COMMANDS:
        walk(name, load_command(name))
