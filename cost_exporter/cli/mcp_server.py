"""`callfare mcp`: five read-only tools for an editor's agent, over the API of a running service.

The tools read what a token with the scope `read` may read, because they ask the service and nothing else: tenants,
scopes and row-level security are checked where they always are. They speak MCP on standard input and output, by the
official SDK.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

import typer

from cost_exporter.errors import CallfareError, MissingExtra
from cost_exporter.forward.posting import NoRedirects
from cost_exporter.settings import load_settings

__all__ = ["register", "tools_of"]

_WAIT_SECONDS_MAX: Final = 60
_BYTES_MAX: Final = 4 * 1024 * 1024
Answer = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(mcp)


def mcp(
    *,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Web address of the service. [default: CALLFARE_MCP_URL]")
    ] = None,
) -> None:
    """Give an editor's agent five read-only tools (MCP on standard input and output).

    Where tokens exist, CALLFARE_MCP_TOKEN is one with the scope read.
    """
    settings = load_settings(mcp_url=url)
    token = "" if settings.mcp_token is None else settings.mcp_token.get_secret_value().strip()
    tools_of(Service(settings.mcp_url, token)).run()


class Service:
    """The API of a running service."""

    def __init__(self, url: str, token: str) -> None:
        """Take its web address, and a token; "" where it has none."""
        self._url = url
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def get(self, path: str, asked: Mapping[str, object | None]) -> Any:
        """Return the data of an answer. Raises `CallfareError` with what the service says is wrong."""
        given = {name: str(each) for name, each in asked.items() if each not in {None, ""}}
        request = urllib.request.Request(f"{self._url}{path}?{urlencode(given)}", headers=self._headers)  # noqa: S310 - http or https, checked
        try:
            with urllib.request.build_opener(NoRedirects).open(request, timeout=_WAIT_SECONDS_MAX) as answer:
                return json.loads(answer.read(_BYTES_MAX))["data"]
        except urllib.error.HTTPError as error:
            raise CallfareError(f"the service answered {error.code}: {_message_of(error)}") from None
        except (OSError, ValueError, KeyError) as error:
            raise CallfareError(
                f"the service at {self._url} cannot be read ({error}); is `callfare up` running?"
            ) from error


def _message_of(error: urllib.error.HTTPError) -> str:
    with error:
        try:
            return str(json.loads(error.read(_BYTES_MAX))["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return error.reason


def tools_of(service: Service) -> Any:
    """Return the server with its tools. Raises `MissingExtra` where the SDK is not installed."""
    try:
        from mcp.server.fastmcp import FastMCP  # noqa: PLC0415 - only this command needs it
        from mcp.types import ToolAnnotations  # noqa: PLC0415 - same
    except ImportError as error:
        raise MissingExtra("callfare mcp", "mcp") from error
    server = FastMCP("callfare", instructions=_INSTRUCTIONS)
    server._mcp_server.version = version("callfare")  # noqa: SLF001 - else it is the SDK's own  # pyright: ignore[reportPrivateUsage]
    reads = ToolAnnotations(readOnlyHint=True, openWorldHint=False)

    @server.tool(annotations=reads)
    def spend(
        start_date: str | None = None,
        end_date: str | None = None,
        group_by: str | None = None,
        tenant: str | None = None,
    ) -> Answer:
        """What was spent, by groups. Dates are YYYY-MM-DD in UTC, the end exclusive; by default the last 30 days.

        `group_by` is a comma-separated list of: hour, day, week, month, tenant, category, provider, model, operation,
        user, api_key, task, tier.
        """
        asked = {"start_date": start_date, "end_date": end_date, "group_by": group_by, "tenant": tenant}
        return service.get("/v1/costs", asked)

    @server.tool(annotations=reads)
    def workflow(trace_id: str) -> Answer:
        """What one workflow or call cost, part by part. `trace_id` has 32 hex digits."""
        return service.get(f"/v1/workflows/{quote(trace_id, safe='')}/cost", {})

    @server.tool(annotations=reads)
    def prices(search: str, limit: int = 20) -> Answer:
        """Price rows in force, by words that occur in provider, model or unit, with source and validity."""
        return service.get("/v1/prices", {"q": search, "limit": limit})

    @server.tool(annotations=reads)
    def budgets() -> Answer:
        """Budgets in the window that runs: limit, spent, reserved and remaining."""
        return service.get("/v1/budgets", {})

    @server.tool(annotations=reads)
    def unpriced(start_date: str | None = None, end_date: str | None = None, tenant: str | None = None) -> Answer:
        """Calls whose cost is unknown or only partly known, by model and reason, the most frequent first."""
        return service.get("/v1/unpriced", {"start_date": start_date, "end_date": end_date, "tenant": tenant})

    return server


_INSTRUCTIONS: Final = (
    "What AI and voice calls cost, from OpenTelemetry spans. Money is a string of US dollars with every digit. An"
    " unknown cost is null, never 0; where cost_is_lower_bound is true or unpriced_count is not 0, the figure is a"
    " lower bound: state it as one."
)
