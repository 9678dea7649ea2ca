"""The web address and the OTLP endpoints, from the routes of the application."""

import re
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.routing import Route

from cost_exporter.serve.app import create_app
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.serve.scopes import scopes_of
from cost_exporter.store.tokens import TokenScope
from cost_exporter.store.web_sessions import WebSessions
from scripts.reference.markdown import ROOT, code, described, table

WHERE = "scripts/reference/http_api.py"
SHAPES = "cost_exporter/serve/api/budget_shapes.py"

MEANINGS = {
    "/healthz": "200 while the process runs.",
    "/readyz": "200 while the database answers, else 503.",
    "/metrics": "Metrics, see [Metrics](metrics.md).",
    "/openapi.json": "This API as OpenAPI, with examples.",
    "/docs": "Page: this API, to read and to try out.",
    "/assets/{name:path}": "Files that the pages load.",
    "/login": "Page: a browser logs in with a token that may read.",
    "/logout": "Ends the browser's session; from the login page.",
    "/": "Page: overview of today and the month.",
    "/workflows": "Page: workflows, searched, filtered and sorted.",
    "/workflows/{trace_id}": "Page: one workflow with its calls.",
    "/spend": "Page: spend by one or two dimensions, beside the period before.",
    "/budgets": "Page: budgets, and what is spent and reserved of them.",
    "/unpriced": "Page: calls without a cost, and what is missing.",
    "/reconciled": "Page: comparisons with providers that were kept, and what they found.",
    "/unread": "Page: usage and call-like spans that were not understood.",
    "/prices": "Page: the price book, searched.",
}
SENDING = f"{code(TokenScope.INGEST)} or {code(TokenScope.RELAY)}"
ERRORS = {
    "unauthenticated": "401. No token, or one that is not known.",
    "permission_denied": "403. The token's scope does not allow this.",
    "not_found": "404. Unknown, or another tenant's.",
    "bad_request": "400. A parameter cannot be read; the message says how to write it.",
    "http_error": "405 and other refusals of the web server.",
    "database_unavailable": "503 with `Retry-After`.",
    "our_fault": "500. The service's log says why.",
    "budget_exceeded": "429. A budget refuses the call; with `Retry-After` where its window ends.",
}
REFUSED_CALL = [
    "`budget_exceeded` also has `reason` (`exceeded` or `unpriced`), `budget`, `tenant`, `window`, `enforcement`, `unpriced`, `limit_usd`,",
    "`spent_usd`, `reserved_usd`, `remaining_usd`, `resets_at` (null for `total`) and `request_id`.",
    "",
]


def page() -> list[str]:
    """Return the page."""
    app = application()
    lines = [
        "The addresses by which programs read costs, ask budgets and send spans, with the scope that a token needs. How to begin:",
        "[Look at costs in a browser, and read them from a program](../how-to/pages-and-api.md).",
        "",
        'On the web address (127.0.0.1:4319). JSON answers are `{"success": true, "data": …, "meta": {"currency": "USD"}}`; money is a',
        "string. Where tokens exist, send `Authorization: Bearer TOKEN`. A token needs one of the scopes of an address. A trace id has",
        "32 hex digits, with or without dashes. `/openapi.json` has the same with the shapes of the answers; `/docs` shows it in a browser.",
        "",
        "## Addresses of the API",
        "",
    ]
    operations = [
        (method.upper(), path, each)
        for path, methods in app.openapi()["paths"].items()
        for method, each in methods.items()
    ]
    lines += table(
        ["method", "address", "scope", "answer"],
        [
            (code(method), code(path), scopes_text(method, path), described(each.get("summary"), path, WHERE))
            for method, path, each in operations
        ],
    )
    for method, path, each in operations:
        asked = [parameter for parameter in each.get("parameters", []) if parameter["in"] == "query"]
        if asked:
            lines += [f"### {method} {path}", each.get("description", ""), ""]
            lines += table(
                ["parameter", "meaning"],
                [
                    (code(one["name"]), described(one.get("description"), f"{path} {one['name']}", WHERE))
                    for one in asked
                ],
            )
    lines += bodies(app.openapi())
    lines += ["## Pages and others", ""]
    found = dict(routes(app))
    for path in MEANINGS:
        assert path in found, f"{WHERE} describes {path}, which is not a route"
    lines += table(
        ["address", "methods", "scope", "answer"],
        [
            (code(path), methods, scopes_text(methods, path), described(MEANINGS.get(path), path, WHERE))
            for path, methods in found.items()
        ],
    )
    lines += ["## Errors", '`{"success": false, "error": {"code": …, "message": …}}`', ""]
    lines += table(["code", "status and meaning"], checked(ERRORS, error_codes(), "error code"))
    lines += REFUSED_CALL
    lines += ["## OTLP", ""]
    lines += table(
        ["address", "scope", "what"],
        [
            (code("127.0.0.1:4317"), SENDING, "gRPC: `opentelemetry.proto.collector.trace.v1.TraceService/Export`."),
            (code("http://127.0.0.1:4318/v1/traces"), SENDING, "HTTP `POST`: protobuf or JSON, gzip or deflate."),
        ],
    )
    return [
        *lines,
        "A request is acknowledged after its transaction has committed. UNAVAILABLE and 503 mean: send it again. Spans that cannot be",
        "stored are counted in `partial_success` and kept as dead letters.",
        "",
    ]


def bodies(openapi: dict) -> list[str]:
    """Return the fields of each request that has a body."""
    lines = ["## Bodies of requests", "JSON. Money is a string. A field that is not listed is an error.", ""]
    for path, methods in openapi["paths"].items():
        for method, each in methods.items():
            if "requestBody" not in each:
                continue
            name = each["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            shape = openapi["components"]["schemas"][name]
            lines += [f"### {method.upper()} {path}", described(shape.get("description"), name, SHAPES), ""]
            if not shape.get("properties"):
                lines += ["The fields are those of [`budgets`](configuration-file.md#budgets), apart from `name`.", ""]
                continue
            needed = set(shape.get("required", ()))
            lines += table(
                ["field", "meaning"],
                [
                    (
                        code(field),
                        "Required. " * (field in needed)
                        + described(about.get("description"), f"{name}.{field}", SHAPES),
                    )
                    for field, about in shape["properties"].items()
                ],
            )
    return lines


def scopes_text(method: str, path: str) -> str:
    """Return the scopes of which a token needs one."""
    scopes = scopes_of(method, path)
    return "none" if scopes is None else " or ".join(code(scope) for scope in TokenScope if scope in scopes)


def application() -> FastAPI:
    """Return the application, which no request is made of."""

    def lend(_: object) -> None:
        raise AssertionError("no request is made")

    def no_connection() -> None:
        raise AssertionError("no request is made")

    return create_app(lend=lend, metrics=ServiceMetrics(), sessions=WebSessions(no_connection))


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield (path, methods) of each route that is not part of the described API."""
    described_paths = set(app.openapi()["paths"])
    for route in app.routes:
        if isinstance(route, Route) and route.path not in described_paths:
            yield route.path, ", ".join(sorted((route.methods or set()) - {"HEAD"}))


def checked(meanings: dict[str, str], known: set[str], what: str) -> list[tuple[str, str]]:
    """Return a row for each meaning; what is described and what is read are the same."""
    assert meanings.keys() == known, f"{WHERE}: {what}s differ from the code's: {meanings.keys() ^ known}"
    return [(code(name), meaning) for name, meaning in meanings.items()]


def error_codes() -> set[str]:
    """Return the codes that the application answers with."""
    source = (ROOT / "cost_exporter" / "serve" / "app.py").read_text(encoding="utf-8")
    budgets = (ROOT / "cost_exporter" / "serve" / "api" / "budgets.py").read_text(encoding="utf-8")
    return (
        set(re.findall(r'_refusal\(request, \d+, "(\w+)"', source))
        | set(re.findall(r'"(\w+)" if error.status_code == 404 else', source))
        | set(re.findall(r'404 else "(\w+)"', source))
        | set(re.findall(r'failure\("(\w+)"', budgets))
    )
