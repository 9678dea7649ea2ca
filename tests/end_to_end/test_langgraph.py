"""LangGraph on its real packages, told twice and with no span around it: each call is billed once.

OpenInference instruments the framework, Traceloop the OpenAI SDK. The framework's spans are one trace, each of the
SDK's is a trace of its own; four of the five calls have the vendor's id in both, the streamed one in the SDK's alone.
"""

import os
import subprocess
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from tests.fixtures import fake_llm_api
from tests.instrumentation.older_sdks import Older, environment_for
from tests.support.stored import as_url, running_service

PROGRAM = Path(__file__).with_name("langgraph_program.py")
PACKAGES = Older(
    release="langgraph==1.2.24",
    module="",
    extra=(
        "langchain-openai==1.7.4",
        "langchain-core==1.8.3",
        "openai==3.57.0",
        "openinference-instrumentation-langchain==0.1.80",
        "opentelemetry-instrumentation-openai==0.62.4",
        "opentelemetry-exporter-otlp-proto-http==1.45.2",
        "opentelemetry-distro",
        "pyyaml",
        "genai-prices",
    ),
)
CALLS = 5
USD_A_CALL = (Decimal("0.15") * (1200 - 1024) + Decimal("0.075") * 1024 + Decimal("0.60") * 345) / 1_000_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_each_call_of_a_graph_is_billed_once(database_url: str) -> None:
    """Once, three times at once with equal usage, and once by a stream."""
    try:
        python = environment_for(PACKAGES)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"LangGraph cannot be installed here: {type(error).__name__}")
    api = fake_llm_api.start()
    with running_service(as_url(database_url)) as addresses:
        otlp = addresses["http"]
        command = [str(python), str(PROGRAM), f"http://127.0.0.1:{api.server_port}", f"http://{otlp.host}:{otlp.port}"]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert finished.returncode == 0, finished.stderr[-2000:]
    api.shutdown()
    api.server_close()
    with psycopg.connect(database_url) as connection:
        records = connection.execute(
            "select status, scope, cost_usd, issues::text, trace_id from callfare.cost_record order by started_at"
        ).fetchall()
    billed = [record for record in records if record[0] != "duplicate"]
    duplicates = [record for record in records if record[0] == "duplicate"]
    assert [(record[0], record[2]) for record in billed] == [("priced", USD_A_CALL)] * CALLS
    assert {record[1] for record in billed} == {"opentelemetry.instrumentation.openai.v1"}
    assert len({record[4] for record in billed}) == CALLS
    assert len({record[4] for record in duplicates}) == 1
    reasons = [record[3] for record in duplicates]
    assert reasons == ['["same_call:response_id"]'] * (CALLS - 1) + ['["same_call:look_alike"]']
