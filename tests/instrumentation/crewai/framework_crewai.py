"""CrewAI's tasks under a budget with limits by task. Run with the real package, in an environment of its own."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from decimal import Decimal as D
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from crewai import LLM, Agent, Crew, Task

import callfare
from callfare.guards import BudgetInstrumentor
from callfare.instrumentation.crewai import CrewAIInstrumentor

# gpt-4o: $2.50 and $10 a million tokens. What each task's call costs is the fake's input; what is estimated before it
# goes out is above all the output that it may take.
COSTS = {"acquisition": D("0.05"), "transcription": D("0.30"), "analysis": D("0.40"), "verification": D("0.40")}
LIMITS = {"acquisition": "0.05", "transcription": "0.30", "analysis": "0.75", "verification": "0.41"}
OUTPUT_TOKENS_MAX = {"acquisition": 4_000, "transcription": 25_000, "analysis": 39_000, "verification": 39_000}


class FakeOpenAI(ThreadingHTTPServer):
    """Answers each chat with what its task costs, and counts them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: FakeOpenAI
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        task = next((name for name in COSTS if f"the {name}" in body), "")
        self.server.asked.append(task or json.loads(body)["model"])
        tokens = int(COSTS.get(task, D("0.01")) * 1_000_000 / D("2.50"))
        usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        message = {"role": "assistant", "content": "Thought: I now can give a great answer\nFinal Answer: done"}
        answer = json.dumps(
            {
                "id": f"chatcmpl-{len(self.server.asked)}",
                "object": "chat.completion",
                "created": 1,
                "model": "gpt-4o-2024-08-06",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    for name in ("CREWAI_DISABLE_TELEMETRY", "CREWAI_DISABLE_TRACKING", "OTEL_SDK_DISABLED"):
        monkeypatch.setenv(name, "true")
    server = FakeOpenAI()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    BudgetInstrumentor().instrument()
    CrewAIInstrumentor().instrument()
    try:
        yield server
    finally:
        CrewAIInstrumentor().uninstrument()
        BudgetInstrumentor().uninstrument()
        server.shutdown()
        thread.join()
        server.server_close()


def crew_of(fake: FakeOpenAI, *names: str, is_async: bool = False) -> Crew:
    tasks = []
    for name in names:
        llm = LLM(
            model="openai/gpt-4o",
            base_url=f"http://127.0.0.1:{fake.server_port}/v1",
            api_key="sk-of-the-local-fake",
            max_tokens=OUTPUT_TOKENS_MAX[name],
        )
        agent = Agent(role="worker", goal="work", backstory="it works", llm=llm, max_retry_limit=0)
        given = {"description": f"do the {name}", "expected_output": "done", "agent": agent}
        tasks.append(Task(name=name, async_execution=is_async and name == names[-1], **given))
    return Crew(agents=[task.agent for task in tasks], tasks=tasks)


def test_the_fourth_task_is_refused_before_it_is_sent(fake: FakeOpenAI) -> None:
    """The analysis again: 0.40 are spent of its 0.75. A verification still passes."""
    with callfare.budget("1.50", LIMITS) as money:
        with pytest.raises(callfare.BudgetExceeded) as refused:
            crew_of(fake, "acquisition", "transcription", "analysis", "analysis").kickoff()
        assert (refused.value.task, refused.value.reason) == ("analysis", "exceeded")
        assert fake.asked == ["acquisition", "transcription", "analysis"]
        assert money.spent_usd == D("0.75")
        crew_of(fake, "verification").kickoff()
        assert money.spent_usd == D("1.15")
    assert fake.asked[-1] == "verification"


def test_a_task_in_a_thread_and_one_of_an_event_loop_have_their_names(fake: FakeOpenAI) -> None:
    """CrewAI's asynchronous tasks are threads; `akickoff` is asyncio."""
    with callfare.budget("1.50", LIMITS):
        crew_of(fake, "acquisition", "transcription", is_async=True).kickoff()
        with pytest.raises(callfare.BudgetExceeded) as refused:
            crew_of(fake, "transcription").kickoff()
    assert refused.value.task == "transcription"
    with callfare.budget("1.50", LIMITS):
        asyncio.run(crew_of(fake, "transcription").akickoff())
        with pytest.raises(callfare.BudgetExceeded) as refused:
            asyncio.run(crew_of(fake, "transcription").akickoff())
    assert refused.value.task == "transcription"


def test_without_the_instrumentor_a_task_has_no_limit_of_its_own(fake: FakeOpenAI) -> None:
    """The check that the name comes from it."""
    CrewAIInstrumentor().uninstrument()
    with callfare.budget("1.50", LIMITS):
        crew_of(fake, "acquisition", "acquisition").kickoff()
    assert fake.asked == ["acquisition", "acquisition"]


def test_the_crew_of_the_manual(fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/how-to/crewai.md: its program runs as it stands, each task with its own model."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-local-fake")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{fake.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_BASE", f"http://127.0.0.1:{fake.server_port}/v1")
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "crewai.md").read_text(encoding="utf-8")
    name = "code crew"
    (program,) = re.findall(rf"^<!-- run: {name} -->\n```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(program, {})
    assert fake.asked == ["gpt-4o-mini", "gpt-4o"]
