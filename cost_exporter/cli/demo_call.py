"""Run the demo's application: two processes under `opentelemetry-instrument`, configured by their environment alone.

    incoming call ─▶ voice_agent.py ─ job, W3C context ─▶ insights.py
                          └──────────── OTLP ────────────────┘

Both start at once; the second waits for its job at the end of the pipe, as a worker waits at a queue.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Final

from cost_exporter.cli.demo_app.vendors import FakeVendors
from cost_exporter.errors import CallfareError
from cost_exporter.settings import Address

__all__ = ["DEMO_APP", "make_call", "refused_call"]

DEMO_APP: Final = Path(__file__).with_name("demo_app")
_SECONDS_MAX: Final = 180
_NOT_INHERITED: Final = ("OTEL_", "CALLFARE_", "TWILIO_", "DEEPGRAM_", "OPENAI_", "ELEVENLABS_")
_WHOSE_CALL: Final = "callfare.tenant.id=acme,callfare.workflow.name=support-call"
"""The caller's attribution as a gateway before the application would set it: W3C baggage, an ordinary header."""

Process = subprocess.Popen[bytes]


def make_call(otlp: Address, vendors: FakeVendors) -> None:
    """Let the telephone ring and return when the call and the work after it are done and acknowledged."""
    environment = _environment(otlp, vendors)
    with tempfile.TemporaryFile() as errors:
        agent = _start("voice_agent.py", environment, subprocess.PIPE, errors, category="bot")
        insights = _start("insights.py", environment, agent.stdout, errors, category="insights")
        processes = {"voice agent": agent, "insights worker": insights}
        try:
            _ring(agent, vendors)
            _wait(processes, errors)
        finally:
            _end(processes)


def refused_call(otlp: Address, web: Address, vendors: FakeVendors) -> str:
    """Let the next call begin, for which too little is left, and return why it was refused."""
    environment = _environment(otlp, vendors) | {
        "CALLFARE_BUDGET_URL": f"http://{web}",
        "CALLFARE_BUDGET_FAIL_OPEN": "0",  # a service that has not answered yet must not let it pass
        "CALLFARE_TENANT": "acme",
    }
    requests_before = vendors.openai.request_count
    with tempfile.TemporaryFile() as errors:
        process = _start("next_call.py", environment, subprocess.DEVNULL, errors, category="bot")
        try:
            assert process.stdout is not None
            reason = process.stdout.read().decode().strip()
            _wait({"next call": process}, errors)
        finally:
            _end({"next call": process})
    if vendors.openai.request_count != requests_before:
        raise CallfareError("the demo's next call was sent although its budget has too little left")
    return reason


def _environment(otlp: Address, vendors: FakeVendors) -> dict[str, str]:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    telemetry = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{otlp}",
        "TRACELOOP_TRACE_CONTENT": "false",
    }
    return inherited | telemetry | vendors.environment()


def _start(
    script: str, environment: dict[str, str], stdin: int | IO[Any] | None, errors: IO[bytes], *, category: str
) -> Process:
    command = [*_instrument(), sys.executable, str(DEMO_APP / script)]
    own = {"OTEL_SERVICE_NAME": Path(script).stem.replace("_", "-"), "CALLFARE_CATEGORY": category}
    return subprocess.Popen(  # noqa: S603 - our own program
        command, env=environment | own, stdin=stdin, stdout=subprocess.PIPE, stderr=errors
    )


def _instrument() -> list[str]:
    """Return the command `opentelemetry-instrument` of this environment, whatever PATH says."""
    beside_python = Path(sys.executable).with_name("opentelemetry-instrument")
    if beside_python.exists():
        return [str(beside_python)]
    return [sys.executable, "-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()"]


def _ring(agent: Process, vendors: FakeVendors) -> None:
    """Post the webhook of an incoming call."""
    assert agent.stdin is not None
    assert agent.stdout is not None
    agent.stdout.close()  # it is the worker's now, who must see its end
    webhook = {"CallSid": vendors.twilio.ring(), "headers": {"baggage": _WHOSE_CALL}}
    try:
        agent.stdin.write(json.dumps(webhook).encode() + b"\n")
        agent.stdin.close()
    except BrokenPipeError:
        pass  # it has ended already, as its exit code shows


def _wait(processes: dict[str, Process], errors: IO[bytes]) -> None:
    deadline_seconds = time.monotonic() + _SECONDS_MAX
    for name, process in processes.items():
        try:
            exit_code = process.wait(max(0.0, deadline_seconds - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise CallfareError(f"the demo's {name} did not end within {_SECONDS_MAX} s") from error
        if exit_code != 0:
            raise CallfareError(f"the demo's {name} failed: {_last_line(errors)}")


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def _end(processes: dict[str, Process]) -> None:
    """Leave no process and no pipe behind, whatever went wrong."""
    for process in processes.values():
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
