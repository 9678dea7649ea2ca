"""The description of the API: `/openapi.json`, and `/docs`, where a person reads it and tries it out.

The page is Swagger UI, shipped as files: it loads nothing from elsewhere, and its policy lets no other script run.
"""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

__all__ = ["DESCRIPTION", "DOCS_HEADERS", "docs_routes"]

DESCRIPTION: Final[dict[str, Any]] = {
    "title": "callfare",
    "version": "1",
    "summary": "What AI calls and voice calls cost.",
    "description": (
        "Money is a string with every digit. An unknown cost is null, never 0; where `cost_is_lower_bound` is true, a"
        " part of the cost is not known. Times are UTC. Where tokens exist, send `Authorization: Bearer TOKEN` with"
        " scope `read`."
    ),
    "docs_url": None,
    "redoc_url": None,
    "openapi_url": "/openapi.json",
    "license_info": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
}
DOCS_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_DOCS_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>HTTP API · callfare</title>
<link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/swagger-ui/swagger-ui.css">
</head>
<body>
<main id="api">
<noscript>This page needs JavaScript. <a href="/openapi.json">The same as JSON</a> needs none.</noscript>
</main>
<script src="/assets/swagger-ui/swagger-ui-bundle.js"></script>
<script src="/assets/docs.js"></script>
</body>
</html>
"""


def docs_routes() -> list[Route]:
    """Return the route of the page."""

    def docs(_: Request) -> Response:
        return HTMLResponse(_DOCS_PAGE, headers=DOCS_HEADERS)

    return [Route("/docs", docs)]
