"""The alert rules under the real promtool: each fires on what it is for, and is silent on healthy figures."""

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.collector_config import layers
from tests.end_to_end.binaries import unavailable
from tests.support.waiting import RUN_SECONDS_MAX

RULES = layers.FOLDER / "alerts" / "rules.yaml"
SCRIPT = layers.FOLDER.parent / "scripts" / "promtool.sh"

Series = dict[str, str]
"""Series to values, one a minute, in promtool's notation: `0+5x9` counts up, `_x9` is absent, then what follows."""


class Case(NamedTuple):
    """What makes an alert fire by the 40th minute, and the healthy figures most like it.

    The first ten minutes do not count: a Prometheus that has no past takes old losses for new ones.
    """

    alert: str
    faulty: Series
    healthy: Series


COST = '{exporter="otlp_grpc/cost"}'
VIEW = '{exporter="otlp_grpc/view"}'
FAST, SLOW = "{le='5'}", "{le='+Inf'}"
LOST = "otelcol_exporter_send_failed_spans"
OFFSET = "otelcol_kafka_receiver_current_offset"
LAG = "otelcol_kafka_receiver_offset_lag"
UNREADABLE = "otelcol_kafka_receiver_unmarshal_failed_spans"
BEHIND = "callfare_kafka_lag"
SENT = 'otelcol_exporter_sent_spans{exporter="kafka/cost"}'
TAKEN = 'otelcol_receiver_accepted_spans{receiver="kafka/cost"}'


def partition(name: str, number: int, consumer: str = "a") -> str:
    return f'{name}{{topic="otlp_spans", partition="{number}", instance="{consumer}"}}'


def attempts(result: str) -> str:
    return f'callfare_alert_deliveries_total{{receiver="ops", result="{result}"}}'


CASES = [
    Case("CallfareSpansLostForGood", {LOST + COST: "_x37 512x30"}, {LOST + VIEW: "_x37 512x30"}),
    Case("CallfareSpansLostForGood", {LOST + COST: "512x37 600x30"}, {LOST + COST: "512x60"}),
    Case(
        "CallfareSpansNotQueued",
        {"otelcol_exporter_enqueue_failed_spans" + COST: "_x37 512x30"},
        {"otelcol_exporter_enqueue_failed_spans" + COST: "0x60"},
    ),
    Case(
        "CallfareQueueFilling",
        {"otelcol_exporter_queue_size" + COST: "800x60", "otelcol_exporter_queue_capacity" + COST: "1000x60"},
        {"otelcol_exporter_queue_size" + COST: "600x60", "otelcol_exporter_queue_capacity" + COST: "1000x60"},
    ),
    Case(
        "CallfareCollectorRefuses",
        {"otelcol_receiver_refused_spans": "_x5 0+10x60"},
        {"otelcol_receiver_refused_spans": "0x60"},
    ),
    Case("CallfareKafkaMessageUnreadable", {partition(UNREADABLE, 3): "_x37 1x30"}, {partition(OFFSET, 3): "0+1x60"}),
    Case(
        "CallfareKafkaPartitionStopped",
        {partition(OFFSET, 0): "100x60", partition(OFFSET, 1): "0+30x60"},
        # No traffic at all; and a partition that went on to another consumer, whose old figure stays.
        {
            partition(OFFSET, 0): "100x60",
            partition(OFFSET, 1): "70x60",
            'x{topic="other", partition="0"}': "0+1x60",
        },
    ),
    Case(
        "CallfareKafkaPartitionStopped",
        {partition(OFFSET, 0): "0+3x15 45x60", partition(OFFSET, 1): "0+30x60"},
        {partition(OFFSET, 0): "100x60", partition(OFFSET, 0, "b"): "100+9x60", partition(OFFSET, 1): "0+30x60"},
    ),
    Case("CallfareKafkaNothingTaken", {SENT: "0+90x60", TAKEN: "900x60"}, {SENT: "0+90x60", TAKEN: "0+90x60"}),
    Case("CallfareKafkaNothingTaken", {SENT: "0+90x60"}, {SENT: "900x60"}),
    Case("CallfareKafkaFallingBehind", {partition(LAG, 1): "0+100x60"}, {partition(LAG, 1): "9000-100x60"}),
    Case("CallfareConsumeFallingBehind", {partition(BEHIND, 1): "0+100x60"}, {partition(BEHIND, 1): "9000-100x60"}),
    Case("CallfareConsumeLagUnknown", {partition(BEHIND, 1): "5x2 _x57"}, {partition(BEHIND, 1): "5x60"}),
    Case(
        "CallfareConsumeMessagesLost",
        {"callfare_kafka_lost_messages_total": "0x20 4x60"},
        {"callfare_kafka_lost_messages_total": "4x60"},
    ),
    Case(
        "CallfareConsumeDeadMessages",
        {"callfare_kafka_dead_messages_total": "0x20 1x60"},
        {"callfare_kafka_dead_messages_total": "1x60", "callfare_kafka_messages_total": "0+90x60"},
    ),
    Case(
        "CallfareTokenRefused",
        {'callfare_refused_total{reason="unauthenticated"}': "_x37 1x30"},
        {'callfare_refused_total{reason="overloaded"}': "_x37 1x30"},
    ),
    Case(
        "CallfareUnpriced",
        {'callfare_unpriced_total{provider="openai", model="gpt-9"}': "_x37 1x30"},
        {'callfare_operations_total{provider="openai", model="gpt-9"}': "_x37 1x30"},
    ),
    Case(
        "CallfareDeadLetters",
        {'callfare_spans_total{result="dead_letter"}': "0x20 1x60"},
        {'callfare_spans_total{result="accepted"}': "0+90x60"},
    ),
    Case("CallfareLedgerDisagrees", {"callfare_rollup_mismatch": "0x30 1x30"}, {"callfare_rollup_mismatch": "0x60"}),
    Case(
        "CallfareSlowCommits",
        {"callfare_commit_seconds_bucket" + FAST: "0x60", "callfare_commit_seconds_bucket" + SLOW: "0+10x60"},
        {"callfare_commit_seconds_bucket" + FAST: "0+10x60", "callfare_commit_seconds_bucket" + SLOW: "0+10x60"},
    ),
    Case(
        "CallfareBudgetRefuses",
        {"callfare_budget_exceeded_total": "0x37 1x30"},
        {"callfare_budget_exceeded_total": "7x60"},
    ),
    Case(
        "CallfareAlertsNotDelivered",
        {attempts("failed"): "0+1x60", attempts("delivered"): "5x60"},
        {attempts("failed"): "0+1x60", attempts("delivered"): "0+1x60"},
    ),
    Case(
        "CallfareAlertsGivenUp",
        {attempts("given_up"): "0x37 1x30"},
        {attempts("given_up"): "0x60", attempts("failed"): "0+1x60"},
    ),
    Case("CallfareAlertsGivenUp", {attempts("given_up"): "_x37 1x30"}, {attempts("given_up"): "_x37 0x30"}),
    Case("CallfarePricesOld", {"callfare_price_book_age_days": "31x60"}, {"callfare_price_book_age_days": "29x60"}),
]


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Promtool of the PATH or of Debian's package."""
    path, problem = _promtool()
    if problem:
        unavailable(problem)
    return path


def test_every_alert_has_a_case_that_fires() -> None:
    """An alert that nobody saw fire may not be able to."""
    rules = yaml.safe_load(RULES.read_text())
    assert {rule["alert"] for group in rules["groups"] for rule in group["rules"]} == {case.alert for case in CASES}


def test_promtool_accepts_the_rules(promtool: Path) -> None:
    """The file is one that Prometheus loads."""
    assert _run(promtool, "check", "rules", RULES).returncode == 0


def test_alerts_fire_on_faults_and_on_nothing_else(promtool: Path, tmp_path: Path) -> None:
    """Each alert fires by the 40th minute of its fault, and never on healthy figures."""
    checked = _run(promtool, "test", "rules", _cases_file(tmp_path, RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def drop_first_event(expression: str) -> str:
    """Take out the part that sees a counter's first event."""
    return expression.partition(" or sum")[0]


def never(expression: str) -> str:
    return f"({expression}) and on () vector(1) == 2"


def always(expression: str) -> str:
    return f"({expression}) or vector(1)"


FIRST_EVENTS = {case.alert for case in CASES if any(values.startswith("_x37") for values in case.faulty.values())}
WITHOUT_INCREASE = {"CallfareKafkaMessageUnreadable"}


@pytest.mark.parametrize(
    ("alert", "spoil"),
    [
        *((alert, drop_first_event) for alert in sorted(FIRST_EVENTS - WITHOUT_INCREASE)),
        *((alert, spoil) for alert in sorted({case.alert for case in CASES}) for spoil in (never, always)),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_a_spoilt_rule_is_found(promtool: Path, tmp_path: Path, alert: str, spoil: Callable[[str], str]) -> None:
    """The cases fail for a rule that misses the first event, one that cannot fire, and one that always fires."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if rule["alert"] == alert:
                rule["expr"] = spoil(rule["expr"])
    spoilt = tmp_path / "spoilt.yaml"
    spoilt.write_text(yaml.dump(rules))
    checked = _run(promtool, "test", "rules", _cases_file(tmp_path, spoilt, only=alert))
    assert checked.returncode != 0
    assert alert in checked.stdout + checked.stderr


def _cases_file(folder: Path, rules: Path, *, only: str | None = None) -> Path:
    tests: list[dict[str, Any]] = []
    for case in CASES:
        if only in {None, case.alert}:
            tests.append(_test(case.alert, case.faulty, has_fired=True))
            tests.append(_test(case.alert, case.healthy, has_fired=False))
    written = folder / "cases.yaml"
    written.write_text(yaml.dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    return written


def _test(alert: str, series: Series, *, has_fired: bool) -> dict[str, Any]:
    query = f'count(count_over_time(ALERTS{{alertname="{alert}", alertstate="firing"}}[30m])) > bool 0'
    return {
        "interval": "1m",
        "name": f"{alert} {'fires' if has_fired else 'is silent'}",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "40m",
                "exp_samples": [{"labels": "{}", "value": 1}] if has_fired else [],
            }
        ],
    }


def _run(promtool: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [promtool, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX)


@cache
def _promtool() -> tuple[Path, str]:
    found = subprocess.run([SCRIPT, "--path"], capture_output=True, text=True, check=False)
    if found.returncode != 0 and shutil.which("apt-get") is None:
        return Path(), "the rules need promtool: install Prometheus"
    if found.returncode != 0:
        found = subprocess.run([SCRIPT], capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX)
    problem = "" if found.returncode == 0 else f"promtool could not be had: {found.stderr.strip()[-300:]}"
    return Path(found.stdout.strip()), problem
