"""`callfare mcp`: the official SDK's client calls the five tools over standard input and output."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.cli.running import ROOT, run_command
from tests.support.stored import CHAT_COST_USD, SUPPORT_CALL, filled_database, running_service

TOOLS = {"spend", "workflow", "prices", "budgets", "unpriced"}


@pytest.fixture(scope="module")
def filled_for_mcp(postgres_url: str) -> Iterator[str]:
    """A database of this module's own: it gets tokens."""
    with filled_database(postgres_url, "callfare_filled_for_mcp") as url:
        yield url


@pytest.fixture
def service(filled_for_mcp: str) -> Iterator[str]:
    """The web address of a running service."""
    with running_service(filled_for_mcp) as addresses:
        yield f"http://{addresses['web']}"


async def called(url: str, token: str, asked: list[tuple[str, dict[str, Any]]]) -> tuple[list[Any], list[Any]]:
    """Return the tools, and the answers to these calls: data, or the text of an error."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("CALLFARE_")}
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'instrumentation'}", "CALLFARE_MCP_TOKEN": token}
    program = StdioServerParameters(
        command=sys.executable, args=["-m", "cost_exporter", "mcp", "--url", url], env=environment
    )
    async with stdio_client(program) as (reading, writing), ClientSession(reading, writing) as session:
        assert (await session.initialize()).serverInfo.version == version("callfare")
        tools = (await session.list_tools()).tools
        answers: list[Any] = []
        for name, arguments in asked:
            answered = await session.call_tool(name, arguments)
            text = answered.content[0].text  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
            answers.append(text if answered.isError else json.loads(text))
        return tools, answers


def test_the_tools_say_what_the_api_says(service: str, filled_for_mcp: str, capsys: Any, monkeypatch: Any) -> None:
    """Five, all read-only; a token of one tenant sees its own alone, and one that may only send sees nothing."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", filled_for_mcp)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("spend", {"group_by": "tenant"}),
        ("workflow", {"trace_id": SUPPORT_CALL.hex()}),
        ("prices", {"search": "openai gpt-4o-mini", "limit": 3}),
        ("budgets", {}),
        ("unpriced", {}),
        ("workflow", {"trace_id": "0" * 32}),
        ("spend", {"group_by": "colour"}),
    ]

    def token(tenant: str, scope: str) -> str:
        return run_command(capsys, "token", "create", "--tenant", tenant, "--scope", scope, "--json").json["token"]

    acme, beta, sender = token("acme", "read"), token("beta", "read"), token("acme", "ingest")
    tools, answers = asyncio.run(called(service, acme, asked))
    assert {tool.name for tool in tools} == TOOLS
    assert all(tool.annotations.readOnlyHint for tool in tools)
    spend, workflow, prices, budgets, unpriced, unknown, wrong = answers
    assert spend["total_cost_usd"] == workflow["total_cost_usd"] == f"{CHAT_COST_USD.normalize():f}"
    assert spend["unpriced_count"] == 1
    assert len(prices["prices"]) == 3
    assert budgets == {"budgets": []}
    assert [row["model"] for row in unpriced["unpriced"]] == ["=no-such-model"]
    assert "404" in unknown
    assert "400" in wrong
    assert "colour" in wrong
    _, (hidden,) = asyncio.run(called(service, beta, asked[1:2]))
    assert "404" in hidden
    _, (refused,) = asyncio.run(called(service, sender, asked[:1]))
    assert "403" in refused
    _, (nobody,) = asyncio.run(called(service, "", asked[:1]))
    assert "401" in nobody


def test_a_service_that_is_away_is_named(tmp_path: Path) -> None:
    """The agent gets one line that says what to start."""
    _, (answer,) = asyncio.run(called("http://127.0.0.1:1", "", [("budgets", {})]))
    assert "is `callfare up` running?" in answer
