"""The web address and the OTLP endpoints, from the routes of the application."""

import re
from collections.abc import Iterator

from starlette.routing import Route

from cost_exporter.report.spend import COLUMN_BY_DIMENSION
from cost_exporter.serve.app import create_app
from cost_exporter.serve.metrics import ServiceMetrics
from scripts.reference.markdown import ROOT, code, described, table

WHERE = "scripts/reference/http_api.py"

MEANINGS = {
    "/healthz": "200 while the process runs. No token.",
    "/readyz": "200 while the database answers, else 503. No token.",
    "/metrics": "Metrics, see [Metrics](metrics.md).",
    "/v1/workflows/{trace_id}/cost": "What one workflow cost: one entry for each tenant that pays for it, with records, lines and legs.",
    "/v1/usage-stats/{trace_id}": "The usage statistics of one workflow: cost by category, tokens, models.",
    "/v1/costs": "Costs of a period by group, or of one workflow. Parameters below.",
    "/": "Page: the latest workflows.",
    "/workflows/{trace_id}": "Page: one workflow by leg.",
}
PARAMETERS = {
    "workflow_id": "A trace id: answers as `/v1/workflows/{trace_id}/cost`. The other parameters are then ignored.",
    "start_date": "First day, UTC, `YYYY-MM-DD`. Default: 30 days before the end.",
    "end_date": "End, exclusive, UTC. Default: tomorrow.",
    "group_by": f"Comma-separated, of {', '.join(map(code, COLUMN_BY_DIMENSION))}. Default `category`.",
    "tenant": "Only this tenant; 404 where the token is for another one.",
}
ERRORS = {
    "unauthenticated": "401. No token, or one that is not known.",
    "permission_denied": "403. The token's scope does not allow this.",
    "not_found": "404. Unknown, or another tenant's.",
    "bad_request": "400. A parameter cannot be read; the message says how to write it.",
    "http_error": "405 and other refusals of the web server.",
    "database_unavailable": "503 with `Retry-After`.",
    "our_fault": "500. The service's log says why.",
}


def page() -> list[str]:
    """Return the page."""
    lines = [
        'On the web address (127.0.0.1:4319). JSON answers are `{"success": true, "data": …, "meta": {"currency": "USD"}}`; money is a',
        "string. Where tokens exist, send `Authorization: Bearer TOKEN` with scope `read`. A trace id has 32 hex digits, with or without",
        "dashes.",
        "",
        "## Addresses",
        "",
    ]
    found = dict(routes())
    for path in MEANINGS:
        assert path in found, f"{WHERE} describes {path}, which is not a route"
    lines += table(
        ["address", "methods", "answer"],
        [(code(path), methods, described(MEANINGS.get(path), path, WHERE)) for path, methods in found.items()],
    )
    lines += ["## Parameters of /v1/costs", ""]
    lines += table(["parameter", "meaning"], checked(PARAMETERS, parameters_read(), "parameter"))
    lines += ["## Errors", '`{"success": false, "error": {"code": …, "message": …}}`', ""]
    lines += table(["code", "status and meaning"], checked(ERRORS, error_codes(), "error code"))
    lines += ["## OTLP", ""]
    lines += table(
        ["address", "what"],
        [
            (code("127.0.0.1:4317"), "gRPC: `opentelemetry.proto.collector.trace.v1.TraceService/Export`."),
            (code("http://127.0.0.1:4318/v1/traces"), "HTTP `POST`: protobuf or JSON, gzip or deflate."),
        ],
    )
    return [
        *lines,
        "A request is acknowledged after its transaction has committed. UNAVAILABLE and 503 mean: send it again. Spans that cannot be",
        "stored are counted in `partial_success` and kept as dead letters.",
        "",
    ]


def routes() -> Iterator[tuple[str, str]]:
    """Yield (path, methods) of each route."""

    def lend() -> None:
        raise AssertionError("no request is made")

    for route in create_app(lend=lend, metrics=ServiceMetrics()).routes:
        if isinstance(route, Route):
            yield route.path, ", ".join(sorted((route.methods or set()) - {"HEAD"}))


def checked(meanings: dict[str, str], known: set[str], what: str) -> list[tuple[str, str]]:
    """Return a row for each meaning; what is described and what is read are the same."""
    assert meanings.keys() == known, f"{WHERE}: {what}s differ from the code's: {meanings.keys() ^ known}"
    return [(code(name), meaning) for name, meaning in meanings.items()]


def parameters_read() -> set[str]:
    """Return the query parameters that the API reads."""
    source = (ROOT / "cost_exporter" / "serve" / "api.py").read_text(encoding="utf-8")
    return set(re.findall(r'(?:query_params|asked)\.get\("(\w+)"', source))


def error_codes() -> set[str]:
    """Return the codes that the application answers with."""
    source = (ROOT / "cost_exporter" / "serve" / "app.py").read_text(encoding="utf-8")
    return (
        set(re.findall(r'failure\("(\w+)"', source))
        | set(re.findall(r'"(\w+)" if error.status_code == 404 else', source))
        | set(re.findall(r'404 else "(\w+)"', source))
    )
