"""`CALLFARE_LOG_COSTS=1`: a line for each call, after its commit, with the figures of the ledger."""

import logging
import time
from collections.abc import Iterator
from decimal import Decimal as D

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callfare.export.otlp import CostOtlpExporter
from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.settling.settle import settle
from cost_exporter.forward.cost_log import LOGGER_NAME, log_calls, log_workflow, start_cost_log
from cost_exporter.prices import load_book
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import T0_UNIX_NS, call, facts, key
from tests.store.requests import request
from tests.support.stored import as_url, filling, running_service, send
from tests.support.waiting import wait_until

Caught = pytest.LogCaptureFixture
PRICE = load_book().price_of_call


@pytest.fixture(autouse=True)
def cost_logger() -> Iterator[logging.Logger]:
    """The logger, which is afterwards as it was."""
    logger = logging.getLogger(LOGGER_NAME)
    before = logger.level, list(logger.handlers)
    yield logger
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]


def lines(caplog: Caught) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == LOGGER_NAME]


def record(**fields: object) -> CostRecord:
    return settle(facts(call("a", **fields)), PRICE)[key("a")]  # pyright: ignore[reportArgumentType]


SPEECH = {"provider": "elevenlabs", "model": "eleven_flash_v2_5", "operation": "text_to_speech"}
CHAT = {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 42}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {**SPEECH, "quantities": {"characters": 47}},
            "tts elevenlabs eleven_flash_v2_5 47 characters = $0.00235",
        ),
        (
            {"quantities": CHAT},
            "llm openai gpt-4o-mini 1,200 input tokens (800 cached), 42 output tokens = $0.0001452",
        ),
        (
            {"quantities": {"input_tokens": 900}, "provider": "acme", "model": "in-house-7b"},
            "llm acme in-house-7b 900 input tokens = unknown (unpriced)",
        ),
        ({"quantities": {}}, "llm openai gpt-4o-mini = unknown (no_usage)"),
        ({"quantities": {"input_tokens": 1}, "model": "a\nb"}, "llm openai a\\nb 1 input tokens = unknown (unpriced)"),
    ],
)
def test_a_line_names_the_call_its_usage_and_its_cost(fields: dict[str, object], line: str, caplog: Caught) -> None:
    """What is not simply priced says so; a name cannot begin a line of its own."""
    start_cost_log()
    log_calls([(record(**fields), None)])
    assert lines(caplog) == [line]


def test_a_handler_finds_the_figures_on_the_record(caplog: Caught) -> None:
    """As text, to the last digit; None where the cost is unknown."""
    start_cost_log()
    log_calls([(record(quantities=CHAT), None), (record(quantities={}), None)])
    known, unknown = (each.__dict__ for each in caplog.records)
    assert (known["cost_usd"], known["status"], known["tenant_id"]) == ("0.0001452", "priced", "default")
    assert (known["trace_id"], known["span_id"]) == tuple(part.hex() for part in key("a"))
    assert unknown["cost_usd"] is None


def test_the_ledger_logs_what_it_committed_and_what_changed(database_url: str, caplog: Caught) -> None:
    """A duplicate has no line; a call that a late span shows to be one says what it was; a repeated span is silent."""
    start_cost_log()
    ledger = LedgerStore(database_url, announce=log_calls)
    one = call("a", quantities={"input_tokens": 1000}, call_id="response:1", scope="b.sdk")
    ledger.commit([request(one)], PRICE)
    ledger.commit([request(one)], PRICE)
    fuller = call("b", quantities={"input_tokens": 1000, "output_tokens": 100}, call_id="response:1", scope="a.sdk")
    ledger.commit([request(fuller)], PRICE)
    ledger.close()
    assert sorted(lines(caplog)) == [
        "llm openai gpt-4o-mini 1,000 input tokens = $0.00015 (partial)",
        "llm openai gpt-4o-mini 1,000 input tokens = nothing of its own (duplicate), was $0.00015 (partial)",
        "llm openai gpt-4o-mini 1,000 input tokens, 100 output tokens = $0.00021",
    ]


def test_a_workflow_is_logged_once_it_is_final(caplog: Caught) -> None:
    """One that has calls of unknown cost cost at least that."""
    start_cost_log()
    for calls, unpriced in ((1, 0), (2, 1)):
        log_workflow(
            trace_id="ab" * 16, tenant="acme", call_count=calls, total_cost_usd=D("0.50"), unpriced_count=unpriced
        )
    assert lines(caplog) == [
        f"workflow {'ab' * 16} of acme: 1 call = $0.5",
        f"workflow {'ab' * 16} of acme: 2 calls = at least $0.5",
    ]


def test_the_service_logs_calls_and_final_workflows_where_it_is_asked_to(database_url: str, caplog: Caught) -> None:
    """Each call once, and each workflow."""
    with running_service(as_url(database_url), log_costs=True, finalise_after=0.2) as addresses:
        send(addresses["grpc"], filling(time.time_ns() - 10_000_000_000))
        wait_until("the workflows are final", lambda: sum("workflow" in line for line in lines(caplog)) == 2)
    assert sum(line.startswith("llm ") for line in lines(caplog)) == 3


def test_the_service_logs_no_costs_unless_asked(database_url: str, caplog: Caught) -> None:
    caplog.set_level(logging.DEBUG)
    with running_service(as_url(database_url)) as addresses:
        send(addresses["grpc"], filling(time.time_ns()))
    assert lines(caplog) == []


def test_an_application_that_prices_its_own_spans_logs_them(monkeypatch: pytest.MonkeyPatch, caplog: Caught) -> None:
    """`OTEL_TRACES_EXPORTER=callfare_otlp`."""
    monkeypatch.setenv("CALLFARE_LOG_COSTS", "1")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(CostOtlpExporter(InMemorySpanExporter())))
    with provider.get_tracer("shop").start_as_current_span("chat", start_time=T0_UNIX_NS) as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 100,
            }
        )
    assert lines(caplog) == ["llm openai gpt-4o-mini 1,000 input tokens, 100 output tokens = $0.00021"]


def test_without_a_handler_the_lines_go_to_standard_error(
    cost_logger: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that never set up its log sees them all the same; one that did keeps its own handlers."""
    monkeypatch.setattr(cost_logger, "propagate", False)
    start_cost_log()
    log_calls([(record(quantities=CHAT), None)])
    assert capsys.readouterr().err.endswith(
        "callfare.costs: llm openai gpt-4o-mini 1,200 input tokens (800 cached), 42 output tokens = $0.0001452\n"
    )
    start_cost_log()
    assert len(cost_logger.handlers) == 1
