"""Environment, configuration file and price file, from the code that reads them."""

import re
import types
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from callfare import environment
from cost_exporter.domain.quantity import FREE_WITHOUT_PRICE, QUANTITIES
from cost_exporter.prices import price_file, rows
from cost_exporter.settings.config_file import Config
from cost_exporter.settings.environment import Settings
from scripts.reference.markdown import ROOT, code, described, fields, table
from scripts.reference.price_keys import ALIAS_KEYS, FACTOR_KEYS, QUANTITY_MEANINGS, ROW_KEYS, SECTIONS

IN_APPLICATION = re.compile(r"(CALLFARE_[A-Z_]+)(?:, default ([^:]+))?: (.*)", re.DOTALL)


def environment_page() -> list[str]:
    """Return the page on `CALLFARE_*` variables, of the service and of the application."""
    lines = [
        "Every `CALLFARE_*` variable, to look up a name that you know. Which ones to set, and OpenTelemetry's own, is in",
        "[Settings that matter first](../how-to/environment.md).",
        "",
        "An empty variable counts as not set. A misspelt one is named when the service starts.",
        "",
        "## Service",
        "Read by `callfare up`, `callfare serve` and the other commands. Options of a command win.",
        "",
    ]
    lines += table(["variable", "default", "meaning"], service_variables())
    lines += ["## Application", "Read where the instrumentation runs, beside OpenTelemetry's own `OTEL_*`.", ""]
    lines += table(["variable", "default", "meaning"], application_variables())
    lines += ["The Collector's variables are listed in `collector-config/README.md` in the repository.", ""]
    return lines


def service_variables() -> Iterator[tuple[str, str, str]]:
    """Yield a row for each setting."""
    meanings = fields(Settings)
    for name, field in Settings.model_fields.items():
        variable = f"CALLFARE_{name.upper()}"
        shown = "the platform's data folder" if name == "data_dir" else shown_default(field.default)
        yield code(variable), shown, described(meanings[name], variable, "cost_exporter/settings/environment.py")


def application_variables() -> list[tuple[str, str, str]]:
    """Return a row for each variable that the application side reads."""
    rows: list[tuple[str, str, str]] = []
    for name in environment.__all__:
        text = described(getattr(environment, name).__doc__, name, "callfare/environment.py")
        match = IN_APPLICATION.match(text)
        assert match is not None, f"callfare/environment.py: {name}'s docstring is not `CALLFARE_X, default Y: meaning`"
        rows.append((code(match[1]), match[2] or "", match[3][0].upper() + match[3][1:]))
    return sorted(rows)


def shown_default(given: Any) -> str:
    """Return a default as a person writes it."""
    if given is None or given == () or str(given) == "PydanticUndefined":
        return ""
    return {True: "on", False: "off"}[given] if isinstance(given, bool) else code(str(getattr(given, "value", given)))


def config_page() -> list[str]:
    """Return the page on the configuration file: each section and its fields."""
    lines = [
        "`CALLFARE_CONFIG` names one YAML file. Money is a quoted decimal string. An unknown field is an error that names",
        "the file and the line. Everything is optional. It has what is more than one value: budgets, receivers of alerts, revenue.",
        "",
        "```yaml",
        *(ROOT / "tests" / "fixtures" / "config" / "example.yaml").read_text(encoding="utf-8").splitlines(),
        "```",
        "",
    ]
    meanings = fields(Config)
    simple = []
    for name, field in Config.model_fields.items():
        model = part_of(field)
        if model is None:
            simple.append((code(name), type_text(field.annotation), meanings[name]))
            continue
        shape = "A mapping of names to these:" if get_origin(field.annotation) is dict else "A list of these:"
        lines += [f"## {name}", "", f"{described(model.__doc__, name, 'its docstring')} {shape}", ""]
        lines += table(["field", "type", "default", "meaning"], field_rows(model))
    lines += ["## Other settings", ""]
    lines += table(
        ["setting", "type", "meaning"],
        [(n, t, described(m, n, "cost_exporter/settings/config_file.py")) for n, t, m in simple],
    )
    return lines


def part_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that a section holds, if it holds one."""
    for each in get_args(field.annotation):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def field_rows(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each field of a section."""
    meanings = fields(model)
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else shown_default(field.default)
        meaning = described(meanings[name], f"{model.__name__}.{name}", "cost_exporter/settings/config_file.py")
        yield code(name), type_text(field.annotation), default, meaning


def type_text(annotation: Any) -> str:
    """Return a type in the words of the file's author."""
    if annotation is Decimal:
        return "decimal string"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(code(str(each.value)) for each in annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(code(str(each)) for each in get_args(annotation))
    if get_origin(annotation) in {tuple, list}:
        return f"list of {type_text(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return f"mapping of names to {type_text(get_args(annotation)[1])}"
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is Union:
        return ", ".join(type_text(each) for each in get_args(annotation) if each is not type(None))
    if get_args(annotation):  # Annotated
        return type_text(get_args(annotation)[0])
    return {"str": "text", "bool": "true or false", "int": "whole number", "datetime": "date"}.get(
        annotation.__name__, annotation.__name__
    )


def price_page() -> list[str]:
    """Return the page on price files: sections, keys, quantities."""
    lines = [
        "A YAML file for `callfare prices load FILE` and for `CALLFARE_PRICES`. `callfare prices lint FILE` checks it. An error names",
        "file, line and column.",
        "",
        "A file that `CALLFARE_PRICES` names is loaded into the database, at the start of a service and by each command that uses",
        "prices, when its content differs from what it was when last loaded (comments and layout do not count). All loads make one",
        "history: a row loaded later supersedes one with the same book, provider, model, unit, conditions and `valid_from`. A row that is",
        "deleted from a file stays in force; end it with `valid_to` ([withdraw a price](../explain/rerating.md#withdraw-a-price-that-was-wrong)).",
        "",
        "A running service does not watch the file. After an edit run `callfare prices load FILE`, or restart the service: a version",
        "in the database is in force at every running service within seconds, and what had no price is priced by it.",
        "",
        "```yaml",
        *(ROOT / "tests" / "fixtures" / "prices" / "example.yaml").read_text(encoding="utf-8").splitlines(),
        "```",
        "",
        "## One tenant's price, and whether it is in force",
        'Give the row `book: "tenant:NAME"`, and the file `inherit: list` so that the rest keeps its list price. Then:',
        "",
        "```",
        "callfare prices lint acme.yaml                # probable mistakes: ten times off the list, units left out",
        "callfare prices load acme.yaml",
        "callfare prices list --book tenant:acme       # the rows as loaded, with their time of validity; factors are not listed",
        "callfare prices show nova-3                   # what applies now; the tenant's row is above the list's",
        """echo '{"provider": "deepgram", "model": "nova-3", "mode": "stream", "tenant": "acme", "usage": {"audio_seconds": 60}}' \\""",
        "  | callfare prices quote --explain",
        "```",
        "",
        "The last line names the row that was used: `price: tenant:acme/deepgram/…`. Calls that came before and had no price are",
        "priced by the load; those that had one keep it until `callfare rerate --since DATE --until DATE --tenant acme --apply`.",
        "",
        "## Sections",
        "",
    ]
    lines += table(["section", "meaning"], keyed(price_file._SECTIONS, SECTIONS))  # noqa: SLF001 - what is read
    for title, known, meanings in (
        ("A price: keys of a row in `prices`", rows._ROW_KEYS, ROW_KEYS),  # noqa: SLF001 - what is read
        ("A factor: keys of a row in `factors`", rows._FACTOR_KEYS, FACTOR_KEYS),  # noqa: SLF001 - what is read
        ("An alias: keys of a row in `aliases`", rows._ALIAS_KEYS, ALIAS_KEYS),  # noqa: SLF001 - what is read
    ):
        lines += [f"## {title}", ""]
        lines += table(["key", "meaning"], keyed(known, meanings))
    lines += [
        "## Quantities",
        "The values of `unit`. Usage JSON, cost lines and reports use the same names.",
        "",
    ]
    lines += table(["quantity", "meaning", "without a price row"], quantity_rows())
    return lines


def keyed(known: Any, meanings: dict[str, str]) -> list[tuple[str, str]]:
    """Return rows in the order of the meanings; every known key has one and no other."""
    where = "scripts/reference/price_keys.py"
    for key in known:
        described(meanings.get(key), key, where)
    assert not meanings.keys() - set(known), f"{where} describes what is not read: {meanings.keys() - set(known)}"
    return [(code(key), meaning) for key, meaning in meanings.items()]


def quantity_rows() -> list[tuple[str, str, str]]:
    """Return a row for each quantity."""
    free = dict.fromkeys(FREE_WITHOUT_PRICE, "free")
    return [
        (name, meaning, free.get(name.strip("`"), "unpriced")) for name, meaning in keyed(QUANTITIES, QUANTITY_MEANINGS)
    ]
