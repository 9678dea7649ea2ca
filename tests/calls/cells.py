"""One call of an unmodified agent, watched in one of the ways there are, and what came of it on both sides.

A cell says which framework speaks and who watches it. `run` lets the agent call against vendors that count, and
returns their counts with what the service recorded. `problems` compares the two: every figure equals the count, or the
record says that it is not known.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg

from tests.instrumentation.instrumented_app import ROOT, metadata_folder
from tests.instrumentation.older_sdks import Older, environment_for
from tests.support.ports import free_ports
from tests.support.waiting import RUN_SECONDS_MAX, wait_until

FOLDER = Path(__file__).parent
COMMON = (
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-openai==0.62.4",
)
FRAMEWORKS = {
    "pipecat": Older(
        release="pipecat-ai==1.14.0",
        module="",
        extra=("openai", "openinference-instrumentation-pipecat==2.0.9", "deepgram-sdk==7.17.0", *COMMON),
    ),
    "livekit": Older(
        release="livekit-agents==1.8.9",
        module="",
        extra=(
            *(f"livekit-plugins-{each}==1.8.9" for each in ("openai", "deepgram", "elevenlabs", "cartesia")),
            *COMMON,
        ),
    ),
}
VENDORS = "openai_audio,callfare_elevenlabs,callfare_deepgram,callfare_cartesia"
UNKNOWN = {"estimated", "no_usage", "unpriced", "partial"}
"""Statuses of a record that does not claim to be exact."""
LEGS = {"llm": "chat", "deepgram": "speech_to_text", "tts": "text_to_speech"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way to watch a call."""

    framework: str
    vendors: bool = True
    """callfare's instrumentors of the vendors' SDKs."""
    tracing: bool = False
    """The framework's own; LiveKit's is always on."""
    openinference: bool = False
    traceloop: bool = False
    sigterm: bool = False
    cartesia: bool = False
    ours: bool = True
    """callfare's instrumentor of the framework itself."""

    def __str__(self) -> str:
        on = [each.name for each in fields(self) if getattr(self, each.name) is True and each.name != "ours"]
        return "-".join([self.framework, *on, *([] if self.ours else ["without ours"])])

    @property
    def disabled(self) -> str:
        """Instrumentations by their entry points."""
        off = [] if self.vendors and self.ours else [VENDORS]
        off += [] if self.ours else [f"callfare_{self.framework}"]
        off += [] if self.openinference else ["pipecat"]
        return ",".join([*off, *([] if self.traceloop else ["openai"])])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the vendors counted, and what was recorded."""

    counts: dict[str, list[dict[str, Any]]]
    records: list[dict[str, Any]]
    workflows: list[dict[str, Any]]


def run(cell: Cell, folder: Path, otlp_url: str, database_url: str) -> Outcome:
    """Let the agent call, and wait until all that it exported is stored."""
    tenant = f"cell-{token_hex(8)}"
    with vendors() as fake:
        status = _call(cell, folder, otlp_url, fake, tenant)
        assert status == (-signal.SIGTERM if cell.sigterm else 0), f"{cell} ended with {status}"
        with urllib.request.urlopen(f"{fake}/counts") as answer:
            counts = json.load(answer)
    return Outcome(
        counts=counts,
        records=_rows(database_url, "cost_record", tenant),
        workflows=_rows(database_url, "workflow_cost", tenant),
    )


@contextmanager
def vendors() -> Iterator[str]:
    """The vendors' address."""
    (port,) = free_ports(1)
    with subprocess.Popen(
        [sys.executable, str(FOLDER / "vendors.py"), str(port)], stdout=subprocess.DEVNULL
    ) as process:
        try:
            wait_until("the vendors", lambda: _answers(f"http://127.0.0.1:{port}/counts"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except OSError:
        return False


def _call(cell: Cell, folder: Path, otlp_url: str, fake: str, tenant: str) -> int:
    python = environment_for(FRAMEWORKS[cell.framework])
    site = folder / "site"
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(
            [str(site if site.exists() else metadata_folder(site)), str(ROOT / "instrumentation"), str(ROOT)]
        ),
        "PYTHONWARNINGS": "ignore",
        "FAKE": fake,
        "TTS": "cartesia" if cell.cartesia else "",
        "TRACING": "1" if cell.tracing else "",
        "SIGTERM": "1" if cell.sigterm else "",
        "CALLFARE_TENANT": tenant,
        "OTEL_SERVICE_NAME": "voice-bot",
        "OTEL_TRACES_EXPORTER": "otlp_proto_http",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": cell.disabled,
        "TRACELOOP_TELEMETRY": "false",
    }
    command = [str(python.parent / "opentelemetry-instrument"), str(python), str(FOLDER / f"agent_{cell.framework}.py")]
    done = subprocess.run(
        command, env=variables, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
    )
    (folder / "agent.log").write_text(done.stdout + done.stderr)
    return done.returncode


def _rows(database_url: str, view: str, tenant: str) -> list[dict[str, Any]]:
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute(f"select * from callfare.{view} where tenant_id = %s".encode(), (tenant,))
        assert cursor.description is not None
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def problems(cell: Cell, outcome: Outcome) -> list[str]:
    """Where a figure is neither the vendor's count nor marked as unknown; empty if all is well."""
    found = [f"no call of {name} arrived" for name in _expected_vendors(cell) if not _has_work(outcome.counts[name])]
    found += [*_llm_problems(outcome), *_speech_problems(cell, outcome), *_recognition_problems(cell, outcome)]
    return [*found, *(_workflow_problems(cell, outcome) if cell.ours else [])]


def _expected_vendors(cell: Cell) -> tuple[str, ...]:
    return "llm", "deepgram", "cartesia" if cell.cartesia else "elevenlabs"


def _has_work(counted: list[dict[str, Any]]) -> bool:
    """Return whether anything was counted: of fakes that fail, nothing is recorded either, and all agrees."""
    return any(amount for each in counted for amount in each.values())


def billed(outcome: Outcome, operation: str) -> list[dict[str, Any]]:
    """What is charged: no second word on the same call, and nothing that the vendor refused."""
    mine = [each for each in outcome.records if each["operation"] == operation and each["status"] != "duplicate"]
    return [each for each in mine if not any(issue.startswith("refused: no work") for issue in each["issues"] or ())]


def _total(records: list[dict[str, Any]], quantity: str) -> Decimal:
    return sum((Decimal(str((each["usage"] or {}).get(quantity, 0))) for each in records), Decimal(0))


def _llm_problems(outcome: Outcome) -> Iterator[str]:
    """One record a request: the exact ones are the finished ones, to the token; the others say what they are."""
    asked, records = outcome.counts["llm"], billed(outcome, "chat")
    finished = [each for each in asked if each["finished"]]
    # A provider of one's own has no price: its tokens are known all the same.
    exact = [each for each in records if each["status"] in {"priced", "unpriced"} and not _is_estimated(each)]
    if len(records) != len(asked):
        yield f"{len(asked)} model calls, {len(records)} records: {_statuses(records)}"
    if len(exact) > len(finished):
        yield f"{len(finished)} finished model calls, {len(exact)} exact records"
    for quantity, count in (
        ("input_tokens", "prompt"),
        ("output_tokens", "completion"),
        ("cache_read_tokens", "cached"),
    ):
        known, truth = _total(exact, quantity), sum(each[count] for each in finished)
        if len(exact) == len(finished) and known != truth:
            yield f"{quantity}: {known} recorded, {truth} counted"


def _speech_problems(cell: Cell, outcome: Outcome) -> Iterator[str]:
    sent = sum(each["characters"] for each in outcome.counts["cartesia" if cell.cartesia else "elevenlabs"])
    records = billed(outcome, "text_to_speech")
    if cell.ours:
        yield from _compared("characters", records, Decimal(sent), Decimal(0))
    elif (known := _total(records, "characters")) > sent:
        # OpenInference alone counts the text of frames that it saw go by, which can be less than what was sent.
        yield f"characters: {known} recorded, {sent} counted: {_statuses(records)}"


def _recognition_problems(cell: Cell, outcome: Outcome) -> Iterator[str]:
    if not cell.ours and not cell.vendors and not cell.tracing:
        return  # nobody watches it
    sent = sum((Decimal(str(each["seconds"])) for each in outcome.counts["deepgram"]), Decimal(0))
    yield from _compared("audio_seconds", billed(outcome, "speech_to_text"), sent, Decimal("0.001"))


def _compared(quantity: str, records: list[dict[str, Any]], truth: Decimal, slack: Decimal) -> Iterator[str]:
    """Equal, or some record says that its figure is not exact."""
    known = _total(records, quantity)
    if not records and truth:
        yield f"{quantity}: nothing recorded of {truth}"
    elif abs(known - truth) > slack and not UNKNOWN.intersection(_statuses(records)):
        yield f"{quantity}: {known} recorded as exact, {truth} counted: {_statuses(records)}"


def _workflow_problems(cell: Cell, outcome: Outcome) -> Iterator[str]:
    names = [each["workflow_name"] for each in outcome.workflows]
    if names != ["voice call"]:
        yield f"workflows: {names}"
    ended = {each["state"] for each in outcome.workflows}
    if ended != {"completed"}:
        yield f"the workflow is {ended}"


def _is_estimated(record: dict[str, Any]) -> bool:
    return not record["usage"] or any(issue.startswith("estimated") for issue in record["issues"] or ())


def _statuses(records: list[dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(each["status"] for each in records))
