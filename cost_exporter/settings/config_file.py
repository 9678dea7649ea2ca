"""The configuration file (`CALLFARE_CONFIG`): revenue, fees, budgets, tiers, alerts, reports, cost sources, topics.

Money is a quoted decimal string, because YAML would read 4.99 as a binary float. A mistake is one line with
the file, the line number, the field and how to fix it. Nothing in the file is ignored: an unknown field is a
mistake.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator

from cost_exporter.errors import SettingsError
from cost_exporter.settings.alert_rule import FOREIGN_ALERT_NAMES, AlertRule
from cost_exporter.settings.budget_rule import FOREIGN_BUDGET_NAMES, BudgetRule
from cost_exporter.settings.config_values import DecimalString, Part
from cost_exporter.settings.kafka_topic import FOREIGN_TOPIC_NAMES, KafkaTopic
from cost_exporter.settings.report_rule import FOREIGN_REPORT_NAMES, ReportRule
from cost_exporter.settings.tier_rule import STANDARD, TierRule

__all__ = ["Config", "Fee", "Revenue", "load_config"]

Named = BudgetRule | AlertRule | ReportRule
_FOREIGN_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "budgets": FOREIGN_BUDGET_NAMES,
    "alerts": FOREIGN_ALERT_NAMES,
    "reports": FOREIGN_REPORT_NAMES,
    "kafka_topics": FOREIGN_TOPIC_NAMES,
}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: only true and false, so that the key `on` of an alert stays a word."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))


class Revenue(Part):
    """Revenue of a workflow of this name and outcome, where its span does not state it."""

    workflow: str
    """Name of the workflow."""
    amount: DecimalString
    """Revenue in US dollars for each such workflow."""
    outcome: Literal["completed", "failed"] | None = None
    """Only workflows with this outcome; any but `failed` counts as `completed`. Unset: any outcome."""


class Fee(Part):
    """The payment fee on revenue: a percentage plus a fixed amount. Without one the fee is unknown, not 0."""

    percent: DecimalString = Decimal(0)
    """Percentage of the revenue."""
    fixed: DecimalString = Decimal(0)
    """Amount in US dollars for each payment."""


class Config(Part):
    """The whole file; everything in it is optional."""

    revenue: tuple[Revenue, ...] = Field(default=(), strict=False)
    revenue_when_failed: bool = False
    """Whether a workflow that failed keeps its revenue, and pays the fee on it."""
    fees: tuple[Fee, ...] = Field(default=(), strict=False)
    budgets: tuple[BudgetRule, ...] = Field(default=(), strict=False)
    """Limits of what calls may cost in a window."""
    tiers: dict[str, TierRule] = Field(default_factory=dict)
    """Budgets of single requests, by name, for `callfare.budget(tier=...)` in applications that have this file."""
    alerts: tuple[AlertRule, ...] = Field(default=(), strict=False)
    """Receivers of alerts."""
    reports: tuple[ReportRule, ...] = Field(default=(), strict=False)
    """Spend of each day, week or month that is over, sent to receivers of alerts."""
    trusted_cost_sources: tuple[str, ...] = Field(default=(), strict=False)
    """Names of instrumentation scopes or providers whose reported cost is used instead of ours (rule 14)."""
    kafka_topics: tuple[KafkaTopic, ...] = Field(default=(), strict=False)
    """Topics that `callfare consume` reads, instead of `CALLFARE_KAFKA_TOPIC`."""

    @field_validator("tiers")
    @classmethod
    def _have_a_standard(cls, tiers: dict[str, TierRule]) -> dict[str, TierRule]:
        if tiers and STANDARD not in tiers:
            raise ValueError(f"has no tier {STANDARD}, which applies where a request names an unknown one; add it")
        return tiers

    @field_validator("kafka_topics")
    @classmethod
    def _are_different_topics(cls, topics: tuple[KafkaTopic, ...]) -> tuple[KafkaTopic, ...]:
        names = [each.topic for each in topics]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the topic {twice!r} is listed twice; keep one of the two")
        return topics

    @field_validator("budgets", "alerts", "reports")
    @classmethod
    def _have_names_of_their_own(cls, parts: tuple[Named, ...], info: ValidationInfo) -> tuple[Named, ...]:
        names = [part.name for part in parts]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two {info.field_name} are named {twice!r}; give each a name of its own")
        return parts

    @field_validator("reports")
    @classmethod
    def _have_receivers(cls, reports: tuple[ReportRule, ...], info: ValidationInfo) -> tuple[ReportRule, ...]:
        rules: tuple[AlertRule, ...] | None = info.data.get("alerts")
        if rules is None:  # a mistake in alerts, which is shown instead
            return reports
        tenant_by_name = {rule.name: rule.tenant for rule in rules}
        for report in reports:
            for name in report.to:
                if name not in tenant_by_name:
                    known = ", ".join(tenant_by_name) or "none"
                    raise ValueError(f"{report.name!r} goes to {name!r}, which alerts does not have; it has {known}")
                tenant = tenant_by_name[name]
                if tenant not in {None, report.tenant}:
                    raise ValueError(
                        f"{name!r} is for tenant {tenant!r} alone; write tenant: {tenant} at {report.name!r}"
                    )
        return reports

    @model_validator(mode="after")
    def _no_receiver_waits_in_vain(self) -> Self:
        named = {name for report in self.reports for name in report.to}
        for rule in self.alerts:
            if "report" in rule.on and rule.name not in named:
                raise ValueError(f"no report goes to {rule.name!r}, which has report in on; name it in a report's to")
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
    return f"{path}:{_line_of(root, location)}: {field}: {_problem(first['type'], first['msg'], location)}"


def _problem(kind: str, message: str, location: tuple[int | str, ...]) -> str:
    if kind == "extra_forbidden":
        meant = _FOREIGN_NAMES.get(str(location[0]), {}).get(str(location[-1]))
        if meant is not None:
            return f"is called {meant} here; write {meant}"
        return f"is not a setting; remove it, or write one of {_names_at(location)}"
    if kind == "missing":
        return "is missing; add it"
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _names_at(location: tuple[int | str, ...]) -> str:
    parts: dict[str, type[BaseModel]] = {
        "revenue": Revenue,
        "fees": Fee,
        "budgets": BudgetRule,
        "tiers": TierRule,
        "alerts": AlertRule,
        "reports": ReportRule,
        "kafka_topics": KafkaTopic,
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
