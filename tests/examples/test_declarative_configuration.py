"""docs/how-to/declarative-configuration.md: what works with OTEL_CONFIG_FILE, and what does not, as it says."""

from pathlib import Path

import pytest

from tests.end_to_end.otlp_sink import OtlpSink
from tests.examples.documents import ROOT, blocks, check_output
from tests.examples.test_recipes import ANSWER, CHAT_USD

pytestmark = pytest.mark.slow

WITH = """
file_format: "1.0"
tracer_provider:
  processors:
    - {batch: {exporter: {EXPORTER: {}}}}
"""


@pytest.fixture
def configured(application, tmp_path):
    """Run the document's application with another file."""

    def run(text: str, **variables: str) -> str:
        file = Path(tmp_path / "config.yaml")
        file.write_text(text)
        application.moved["examples/otel-config.yaml"] = str(file)
        return application.run(blocks("declarative-configuration")["app"], **variables)

    return run


def test_the_shown_file_is_the_example() -> None:
    """Document and example are the same text."""
    assert blocks("declarative-configuration")["file"] == (ROOT / "examples" / "otel-config.yaml").read_text()


def test_recipe(service, operator, application, books, ports) -> None:
    """The call is billed, whether the file's sampler took it or not, and the variables of OpenTelemetry are ignored."""
    recipe = blocks("declarative-configuration")
    service(blocks("direct")["service"])
    variables = {"OTEL_TRACES_EXPORTER": "none", "OTEL_SERVICE_NAME": "somebody-else"}
    url = f"http://127.0.0.1:{ports.http}/v1/traces"
    assert application.run(recipe["app"], COLLECTOR_URL=url, **variables) == ANSWER
    found = books.costs(columns="tenant_id, category, service_name, cost_usd")
    assert found == [("acme", "bot", "support-bot", CHAT_USD)]
    check_output("declarative-configuration", operator.run(recipe["verify"]))


def test_in_process_exporter(configured, books) -> None:
    """`callfare: {}` stores from the process."""
    assert configured(WITH.replace("EXPORTER", "callfare"), CALLFARE_DATABASE_URL=books.url) == ANSWER
    assert books.costs() == [("acme", "priced", CHAT_USD)]


def test_cost_on_the_spans(configured) -> None:
    """`callfare_otlp: {}` exports to where the variables say, with the cost."""
    with OtlpSink() as sink:
        endpoint = f"http://127.0.0.1:{sink.port}"
        assert configured(WITH.replace("EXPORTER", "callfare_otlp"), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) == ANSWER
        (span,) = sink.spans
    assert "gen_ai.usage.cost.amount" in {each.key for each in span.attributes}


def test_a_processor_in_the_file_leaves_the_application_untraced(configured, application) -> None:
    """The application answers all the same; the log says what is wrong."""
    assert configured(WITH.replace("batch:", "callfare:").replace("EXPORTER", "console")) == ANSWER
    assert "No processor type specified" in application.errors
