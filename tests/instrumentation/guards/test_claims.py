"""A call that another instrumentation records claims what it reserved: no budget counts it twice."""

import os
import subprocess
import sys
from decimal import Decimal as D
from pathlib import Path

import psycopg

from cost_exporter.store.budgets.definitions import BudgetSpec, put_budget
from tests.instrumentation.fakes.models import ModelsFake
from tests.support.stored import as_url, running_service

PROGRAM = Path(__file__).with_name("calling_program.py")
CALLS = 8
MONTH = BudgetSpec(name="acme", tenant="acme", time_window="month", limit_usd=D(1), enforcement="hard")
RECORDS = "select status, cost_usd > 0, count(*) from callfare.cost_record group by 1, 2 order by 2"
BUDGET = "select spent_usd, reserved_usd, unpriced_count from callfare.budget_status"


def test_a_span_of_another_instrumentation_claims_its_reservation(fake: ModelsFake, database_url: str) -> None:
    """Chat, responses and embeddings, whole and streamed: once their spans are stored nothing is held any more."""
    with psycopg.connect(database_url, autocommit=True) as database:
        put_budget(database, MONTH)
        with running_service(as_url(database_url)) as addresses:
            ran = run(fake, str(addresses["http"]), str(addresses["web"]))
            assert ran.returncode == 0, ran.stderr
        assert ran.stdout == "refused\n"
        assert fake.request_count == CALLS
        records, budget = database.execute(RECORDS).fetchall(), database.execute(BUDGET).fetchone()
    assert records == [("priced", False, 1), ("priced", True, CALLS)]  # what was refused before it was sent costs $0
    assert budget is not None
    assert budget[0] > 0
    assert budget[1:] == (0, 0)


def run(fake: ModelsFake, otlp: str, web: str) -> subprocess.CompletedProcess[str]:
    """Run the program under `opentelemetry-instrument`, with nothing but variables."""
    variables = {
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": f"{fake.url}/v1",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{otlp}",
        "CALLFARE_TENANT": "acme",
        "CALLFARE_BUDGET_URL": f"http://{web}",
    }
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    return subprocess.run(
        [str(instrument), sys.executable, str(PROGRAM)],
        env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
