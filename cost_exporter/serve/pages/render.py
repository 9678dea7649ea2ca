"""Templates, headers and navigation of the pages. Everything a span brought is escaped; no script runs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cost_exporter.safe_text import for_html
from cost_exporter.serve.assets import asset_path
from cost_exporter.serve.pages.figures import LEG_WORDS, STATUS_WORDS, count, duration_text, moment

__all__ = ["NAVIGATION", "PAGE_HEADERS", "error_page", "link", "page", "template_environment", "wants_page"]

PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
NAVIGATION: Final = (
    ("/", "Overview"),
    ("/workflows", "Workflows"),
    ("/spend", "Spend"),
    ("/budgets", "Budgets"),
    ("/unpriced", "Unpriced"),
    ("/unread", "Unread"),
    ("/prices", "Prices"),
    ("/docs", "API"),
)


def template_environment() -> jinja2.Environment:
    """Return the environment of the templates: markup is escaped, and what is invisible in a name is shown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cost_exporter.serve", "templates"),
        autoescape=True,
        finalize=for_html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    offered: dict[str, Any] = {
        "asset": asset_path,
        "count": count,
        "duration": duration_text,
        "leg_words": LEG_WORDS,
        "link": link,
        "moment": moment,
        "navigation": NAVIGATION,
        "status_words": STATUS_WORDS,
    }
    environment.globals.update(offered)
    return environment


@cache
def _environment() -> jinja2.Environment:
    return template_environment()


def page(
    name: str, path: str, content: Mapping[str, Any], status: int = 200, *, is_logged_in: bool = False
) -> Response:
    """Return a page: the template's name, the path it is found under in the navigation, and what fills it."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    text = _environment().get_template(name).render(current=path, now=now, is_logged_in=is_logged_in, **content)
    return HTMLResponse(text, status, headers=PAGE_HEADERS)


def error_page(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the page that says what went wrong and what to do."""
    response = page("error.html", "", {"status": status, "message": message}, status)
    response.headers.update(headers or {})
    return response


def wants_page(request: Request) -> bool:
    """Return whether a person's browser asks, rather than a program."""
    is_for_programs = request.url.path.startswith(("/v1/", "/metrics", "/healthz", "/readyz", "/openapi.json"))
    return not is_for_programs and "text/html" in request.headers.get("accept", "")


def link(path: str, asked: Mapping[str, Any], **changed: Any) -> str:
    """Return an address with what is asked for now and what is changed; empty parameters are left out."""
    wanted = {name: text for name, text in {**asked, **changed}.items() if text not in {None, ""}}
    return f"{path}?{urlencode(wanted)}" if wanted else path
