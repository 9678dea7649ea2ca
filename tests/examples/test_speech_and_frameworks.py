"""An example application per vendor and framework: unmodified, under `opentelemetry-instrument`, to the record."""

from collections.abc import Iterator
from decimal import Decimal as D

import pytest

from tests.end_to_end.test_langgraph import PACKAGES as LANGGRAPH
from tests.examples.documents import blocks, check_output
from tests.examples.frameworks import framework_python, python_with
from tests.examples.test_recipes import ANSWER, CHAT_USD
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.instrumentation.fakes.openai import OpenAIFake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]  # a framework may have to be installed first

ROW = (
    '  - {{provider: "127.0.0.1", model: gpt-4o-mini, unit: {}, price: "{}", per: "1000000", valid_from: 2026-01-01}}\n'
)
RATES = (("input_tokens", "0.15"), ("output_tokens", "0.60"), ("cache_read_tokens", "0.075"))
AS_OPENAI = "inherit: list\nprices:\n" + "".join(ROW.format(*rate) for rate in RATES)
COLUMNS = "provider, model, operation, status, cost_usd"


@pytest.fixture
def openai_fake() -> Iterator[OpenAIFake]:
    with OpenAIFake() as fake:
        yield fake


@pytest.fixture
def elevenlabs_fake() -> Iterator[ElevenLabsFake]:
    with ElevenLabsFake() as fake:
        yield fake


@pytest.fixture
def run_example(service, application, openai_fake, elevenlabs_fake):
    """Run an example with the environment of docs/how-to/direct.md, its vendors being the tests' fakes."""
    application.variables |= {
        "OPENAI_BASE_URL": f"{openai_fake.url}/v1",
        "ELEVENLABS_API_KEY": "k",
        "ELEVENLABS_BASE_URL": elevenlabs_fake.url,
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "pipecat",  # OpenInference's, which other tests of Pipecat have there
    }
    service(blocks("direct")["service"])

    def run(example: str, *, framework: str = "") -> str:
        if framework:
            application.python = framework_python(framework)
        return application.run(blocks("direct")["app http"].replace("chat.py", example))

    return run


def test_speech(run_example, books, openai_fake, elevenlabs_fake) -> None:
    """Characters said and seconds heard; a sentence, and one that the caller interrupted: both in full."""
    run_example("speak_openai.py")
    assert books.costs(2, columns=COLUMNS) == [
        ("openai", "tts-1", "text_to_speech", "priced", D(15) * openai_fake.characters / 1_000_000),
        ("openai", "whisper-1", "speech_to_text", "priced", D("0.006") * 13 / 60),
    ]
    run_example("speak_elevenlabs.py")
    found = books.costs(4, columns="status, (usage->>'characters')::int")[2:]
    assert {status for status, _ in found} == {"priced"}
    assert [characters for _, characters in found] == [len(text) for text in elevenlabs_fake.texts]


def test_pipecat(run_example, books, openai_fake, elevenlabs_fake) -> None:
    """One utterance through a vendor's SDK, by its length as that states no tokens; one over plain HTTP: each once."""
    run_example("agent_pipecat.py", framework="pipecat")
    found = books.costs(3, columns="provider, status, (usage->>'characters')::int")
    assert sorted(found) == [
        ("elevenlabs", "priced", elevenlabs_fake.characters),
        ("openai", "duplicate", openai_fake.characters),
        ("openai", "estimated", openai_fake.characters),
    ]


def test_livekit(run_example, books, openai_fake) -> None:
    """What LiveKit reports and OpenAI's SDK shows is one bill a call."""
    run_example("agent_livekit.py", framework="livekit")
    found = books.costs(4, columns="operation, status, cost_usd")
    assert sorted(found, key=str) == [
        ("speech_to_text", "duplicate", None),
        ("speech_to_text", "priced", D("0.006") * 13 / 60),
        ("text_to_speech", "duplicate", None),
        ("text_to_speech", "priced", D(15) * openai_fake.characters / 1_000_000),
    ]


@pytest.mark.parametrize("framework", ["pipecat", "livekit"])
def test_a_call_through_a_framework(run_example, operator, application, books, framework) -> None:
    """docs/how-to/pipecat.md and livekit.md: one workflow, whatever tells of it."""
    del run_example  # the service, and the vendors' addresses
    recipe = blocks(framework)
    application.python = framework_python(framework)
    application.run(recipe[f"app {framework}"])
    legs = {"pipecat": 3, "livekit": 1}[framework]  # of speech two layers tell
    found = books.costs(legs, columns="replace(trace_id::text, '-', ''), tenant_id, category")
    assert len({trace for trace, *_ in found}) == 1
    assert {(tenant, category) for _, tenant, category in found} == {("acme", "voice")}
    assert [tuple(row) for row in books.rows("select workflow_name from callfare.workflow_cost")] == [("voice call",)]
    if framework == "livekit":  # it names the host as the provider: this machine's has the prices of OpenAI here
        prices = operator.folder / "prices.yaml"
        prices.write_text(AS_OPENAI, encoding="utf-8")
        operator.run(f"callfare prices load {prices}")
    check_output(framework, operator.run(recipe["verify"]))


def test_a_graph(service, operator, application, books) -> None:
    """docs/how-to/langgraph.md: both calls are one workflow of the tenant, and the report is the page's."""
    application.python = python_with(LANGGRAPH)
    application.variables["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = "langchain"  # OpenInference's, for other tests
    service(blocks("direct")["service"])
    page = blocks("langgraph")
    assert application.run(page["app graph"]) == ANSWER
    found = books.costs(2, columns="trace_id, tenant_id, category, status, cost_usd")
    assert {row[1:] for row in found} == {("acme", "bot", "priced", CHAT_USD)}
    assert books.rows("select workflow_name from callfare.workflow_cost") == [("order-graph",)]
    check_output("langgraph", operator.run(page["verify"]))
