"""The command line, from the commands themselves."""

import enum
import re
from collections.abc import Iterator

from typer.core import TyperGroup

from cost_exporter.cli.commands import COMMANDS, load_command
from scripts.reference.markdown import code, described, table

TASKS = [
    ("run it", "`callfare up`, `serve`, `consume`, `demo`"),
    ("see what was spent", "`callfare report`, `top`, `trace`, `hints`"),
    ("find what is missing or wrong", "`callfare doctor`, `verify`, `unread`, `deadletter`"),
    ("prices, and past calls at new prices", "`callfare prices`, `rerate`"),
    ("limits and messages", "`callfare budget`, `alert`"),
    ("month end", "`callfare period`, `reconcile`"),
    ("who may do what", "`callfare token`, `audit`"),
    ("files beside the ledger", "`callfare export`, `query`"),
    ("the database", "`callfare migrate`, `purge`"),
    ("an editor's agent", "`callfare mcp`"),
]


def page() -> list[str]:
    """Return the page: every command, its arguments and options. Raises `ValueError` where a task lacks a command."""
    named = {each.removeprefix("callfare ") for _, text in TASKS for each in re.findall("`(.+?)`", text)}
    if named != set(COMMANDS):
        raise ValueError(f"TASKS and the commands differ in {', '.join(sorted(named ^ set(COMMANDS)))}")
    lines = [
        "By task:",
        "",
        *table(["task", "commands"], TASKS),
        "Every command has `--help`. Commands that print data take `--json`. Exit codes: 0 ok, 1 a problem was found or",
        "something could not be done, 2 the command was used wrongly. Errors are one line on standard error.",
        "",
    ]
    for path, command in commands():
        lines += [f"## {path}", "", described(command.help, path, "the command's docstring"), ""]
        lines += ["```", usage(path, command), "```", ""]
        rows = [cells(path, parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            lines += table(["argument or option", "value", "default", "meaning"], rows)
    return lines


def commands() -> Iterator[tuple[str, object]]:
    """Yield every command with its full name."""
    for name in sorted(COMMANDS):
        yield from _below(f"callfare {name}", load_command(name))


def _below(path: str, command: object) -> Iterator[tuple[str, object]]:
    if isinstance(command, TyperGroup):
        if command.invoke_without_command:  # a command itself, such as `callfare rerate`
            yield path, command
        for name, each in sorted(command.commands.items()):
            if not each.hidden:
                yield from _below(f"{path} {name}", each)
    else:
        yield path, command


def usage(path: str, command: object) -> str:
    """Return the line that shows how the command is called."""
    options = [each for each in command.params if each.param_type_name == "option"]
    arguments = [argument(each) for each in command.params if each.param_type_name == "argument"]
    return " ".join([path, *(["[OPTIONS]"] if options else []), *arguments])


def argument(parameter: object) -> str:
    """Return how an argument is written."""
    name = (parameter.metavar or parameter.name.upper()).strip("[].") + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def cells(path: str, parameter: object) -> tuple[str, str, str, str]:
    """Return the row of one argument or option."""
    is_option = parameter.param_type_name == "option"
    name = ", ".join([*parameter.opts, *parameter.secondary_opts]) if is_option else argument(parameter)
    return code(name), values(parameter), default(parameter), described(parameter.help, f"{path} {name}", "its `help=`")


def values(parameter: object) -> str:
    """Return what may be given: the choices, else what the help calls it."""
    if getattr(parameter, "is_flag", False):
        return ""
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(code(str(each.value)) for each in kind)
    return (parameter.metavar or "").strip("[].") or getattr(kind, "__name__", "")


def default(parameter: object) -> str:
    """Return the default as a person types it."""
    if parameter.required:
        return "required"
    given = parameter.default
    if given is None or callable(given) or getattr(parameter, "is_flag", False):
        return ""
    return code(str(getattr(given, "value", given)))
