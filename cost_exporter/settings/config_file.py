"""The configuration file (`CALLFARE_CONFIG`): revenue and fee rules, budgets, tiers, alerts, trusted cost sources.

Money is a quoted decimal string, because YAML would read 4.99 as a binary float. A mistake is one line with
the file, the line number, the field and the mend. An unknown field is a mistake: a budget that is misspelt
and silently ignored would be no budget.
"""

import re
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cost_exporter.errors import SettingsError

__all__ = [
    "Alert",
    "AlertKind",
    "AlertOn",
    "Budget",
    "Config",
    "Fee",
    "Revenue",
    "Tier",
    "Window",
    "load_config",
]

_AMOUNT_MAX = Decimal(10) ** 12


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: only true and false, so that the key `on` of an alert stays a word."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))


def _decimal_string(given: Any) -> Decimal:
    if isinstance(given, Decimal):
        return given
    if not isinstance(given, str):
        raise ValueError(f"must be a quoted decimal string; write {str(given)!r} in quotes")  # noqa: TRY004 - pydantic's way
    try:
        amount = Decimal(given)
    except InvalidOperation:
        raise ValueError(f'{given!r} is not a decimal number; write it like "0.50"') from None
    if not amount.is_finite() or not 0 <= amount < _AMOUNT_MAX:
        raise ValueError(f"{given!r} must be at least 0 and below 10^12")
    return amount


DecimalString = Annotated[Decimal, BeforeValidator(_decimal_string)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Window(StrEnum):
    """How long a budget lasts; windows are UTC and by span start."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class AlertKind(StrEnum):
    """Where an alert goes."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    DISCORD = "discord"
    EMAIL = "email"


class AlertOn(StrEnum):
    """What an alert tells of."""

    BUDGET = "budget"
    UNPRICED = "unpriced"
    WORKFLOW_OVER = "workflow_over"


class Revenue(_Part):
    """What a customer pays for a workflow of this name and outcome, where its span does not say."""

    workflow: str
    amount: DecimalString
    outcome: str | None = None
    """None for any outcome."""


class Fee(_Part):
    """The payment fee on revenue: a percentage plus a fixed amount."""

    percent: DecimalString = Decimal(0)
    fixed: DecimalString = Decimal(0)


class Budget(_Part):
    """A limit for what matches all of tenant, category, API key and user that are given."""

    name: str = Field(min_length=1)
    limit_usd: DecimalString
    window: Annotated[Window, Field(strict=False)]
    tenant: str | None = None
    soft_percent: int = Field(default=80, ge=1, le=100)
    hard: bool = False
    category: str | None = None
    api_key: str | None = None
    user: str | None = None


class Tier(_Part):
    """What one request of this tier may cost, in all and by task."""

    total_usd: DecimalString
    per_task_usd: dict[str, DecimalString] = Field(default_factory=dict)


class Alert(_Part):
    """Tell somebody when one of `on` happens."""

    kind: Annotated[AlertKind, Field(strict=False)]
    url: str = Field(pattern=r"^(https?|smtps?|mailto):")
    on: tuple[Annotated[AlertOn, Field(strict=False)], ...] = Field(default=tuple(AlertOn), strict=False)
    over_usd: DecimalString | None = None
    """Only for `workflow_over`: the cost above which a workflow is told of."""
    allow_private: bool = False
    """Let the URL lead to a private address: off, so that nobody is tricked into calling internal services."""

    @model_validator(mode="after")
    def _has_threshold(self) -> "Alert":
        if AlertOn.WORKFLOW_OVER in self.on and "on" in self.model_fields_set and self.over_usd is None:
            raise ValueError('workflow_over needs a threshold; add over_usd: "0.50"')
        return self


class Config(_Part):
    """The whole file; everything in it is optional."""

    revenue: tuple[Revenue, ...] = Field(default=(), strict=False)
    fees: tuple[Fee, ...] = Field(default=(), strict=False)
    budgets: tuple[Budget, ...] = Field(default=(), strict=False)
    tiers: dict[str, Tier] = Field(default_factory=dict)
    alerts: tuple[Alert, ...] = Field(default=(), strict=False)
    trusted_cost_sources: tuple[str, ...] = Field(default=(), strict=False)
    """Scope or provider names whose stated cost counts (semantics 14)."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Config":
        names = [budget.name for budget in self.budgets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two budgets are called {name!r}; give each its own name")
        return self


def load_config(path: Path | None) -> Config:
    """Return the configuration in the file; an empty one for None. Raises `SettingsError`."""
    if path is None:
        return Config()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"CALLFARE_CONFIG: cannot read {path} ({why}); name a readable YAML file") from error
    return _validated(path, text)


def _validated(path: Path, text: str) -> Config:
    try:
        root = yaml.compose(text, Loader=_Loader)
        content: Any = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from the safe loader
    except yaml.YAMLError as error:
        raise SettingsError(_yaml_line(path, error)) from error
    if content is None:
        return Config()
    if not isinstance(content, dict):
        raise SettingsError(f"{path}:1: must be a mapping; begin a line with one of {_field_names(Config)}")
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise SettingsError(_model_line(path, root, error)) from error


def _yaml_line(path: Path, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{path}:{error.problem_mark.line + 1}: not YAML: {error.problem}; check indentation and quotes"
    return f"{path}: not YAML: {str(error).splitlines()[0]}; check for control characters"


def _model_line(path: Path, root: yaml.Node | None, error: ValidationError) -> str:
    mistakes = error.errors(include_url=False)
    # A misspelt field is also a missing one: the misspelling is the better thing to show.
    first = next((each for each in mistakes if each["type"] == "extra_forbidden"), mistakes[0])
    location = first["loc"]
    field = ".".join(str(part) for part in location) or "file"
    return f"{path}:{_line_of(root, location)}: {field}: {_mend(first['type'], first['msg'], location)}"


def _mend(kind: str, message: str, location: tuple[int | str, ...]) -> str:
    if kind == "extra_forbidden":
        return f"is not a setting; remove it, or write one of {_names_at(location)}"
    if kind == "missing":
        return "is missing; add it"
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _names_at(location: tuple[int | str, ...]) -> str:
    parts: dict[str, type[BaseModel]] = {
        "revenue": Revenue,
        "fees": Fee,
        "budgets": Budget,
        "tiers": Tier,
        "alerts": Alert,
    }
    return _field_names(Config if len(location) == 1 else parts[str(location[0])])


def _field_names(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _line_of(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """Return the line of the deepest part of `location` that the file has."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in location:
        line, node = _step(node, part, line)
    return line


def _step(node: yaml.Node | None, part: int | str, line: int) -> tuple[int, yaml.Node | None]:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child: yaml.Node = node.value[part]
        return child.start_mark.line + 1, child
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, child
    return line, None
