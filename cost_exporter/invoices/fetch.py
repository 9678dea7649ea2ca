"""A provider's own figures over its API, page after page: OpenAI, Anthropic, Twilio.

Each needs a key that may read usage, which is another one than applications have. Nothing is stored, and the key goes
to the provider's address alone: no redirect is followed.
"""

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from cost_exporter.errors import StatementError

__all__ = ["FETCHABLE", "fetch_pages"]

Page = dict[str, Any]
_PAGES_MAX: Final = 1_000
_WAIT_SECONDS_MAX: Final = 60
_BYTES_MAX: Final = 64 * 1024 * 1024
_OPENAI: Final = "https://api.openai.com"
_ANTHROPIC: Final = "https://api.anthropic.com"
_TWILIO: Final = "https://api.twilio.com"
_OPENAI_USAGE: Final = ("completions", "embeddings", "audio_speeches", "audio_transcriptions")


def fetch_pages(provider: str, since: datetime, until: datetime, base_url: str | None = None) -> Iterator[Page]:
    """Yield the pages of a provider's usage and costs. Raises `StatementError`."""
    yield from FETCHABLE[provider](since, until, base_url)


def _openai(since: datetime, until: datetime, base_url: str | None) -> Iterator[Page]:
    headers = {"Authorization": f"Bearer {_key('OPENAI_ADMIN_KEY')}"}
    base = base_url or _OPENAI
    window = {"start_time": int(since.timestamp()), "end_time": int(until.timestamp()), "bucket_width": "1d"}
    for kind in _OPENAI_USAGE:
        asked = {**window, "limit": 31, "group_by[]": "model"}
        yield from _by_cursor(f"{base}/v1/organization/usage/{kind}", asked, headers)
    asked = {**window, "limit": 180, "group_by[]": "line_item"}
    yield from _by_cursor(f"{base}/v1/organization/costs", asked, headers)


def _anthropic(since: datetime, until: datetime, base_url: str | None) -> Iterator[Page]:
    headers = {"x-api-key": _key("ANTHROPIC_ADMIN_KEY"), "anthropic-version": "2023-06-01"}
    base = base_url or _ANTHROPIC
    window = {"starting_at": f"{since:%Y-%m-%dT%H:%M:%SZ}", "ending_at": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
    usage = {**window, "bucket_width": "1d", "limit": 31, "group_by[]": "model"}
    yield from _by_cursor(f"{base}/v1/organizations/usage_report/messages", usage, headers)
    costs = {**window, "limit": 31, "group_by[]": "description"}
    yield from _by_cursor(f"{base}/v1/organizations/cost_report", costs, headers)


def _by_cursor(url: str, asked: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[Page]:
    cursor: dict[str, str] = {}
    for _ in range(_PAGES_MAX):
        page = _get(f"{url}?{urlencode({**asked, **cursor})}", headers)
        yield page
        if not page.get("has_more"):
            return
        cursor = {"page": str(page.get("next_page"))}
    raise StatementError(f"{urlsplit(url).netloc} has more than {_PAGES_MAX} pages; ask for a shorter period")


def _twilio(since: datetime, until: datetime, base_url: str | None) -> Iterator[Page]:
    account = _key("TWILIO_ACCOUNT_SID")
    secret = base64.b64encode(f"{account}:{_key('TWILIO_AUTH_TOKEN')}".encode()).decode()
    base = base_url or _TWILIO
    last_day = until.date().fromordinal(until.date().toordinal() - 1)
    asked = urlencode({"StartDate": since.date(), "EndDate": last_day, "PageSize": 1000})
    url = f"{base}/2010-04-01/Accounts/{account}/Usage/Records/Daily.json?{asked}"
    for _ in range(_PAGES_MAX):
        page = _get(url, {"Authorization": f"Basic {secret}"})
        yield page
        following = page.get("next_page_uri")
        if not following:
            return
        url = urljoin(f"{base}/", str(following).lstrip("/"))
        if urlsplit(url).netloc != urlsplit(base).netloc:
            raise StatementError("the next page is on another host; nothing was sent there")
    raise StatementError(f"{_PAGES_MAX} pages are not all; ask for a shorter period")


FETCHABLE: Final = {"openai": _openai, "anthropic": _anthropic, "twilio": _twilio}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key to another address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing."""


def _get(url: str, headers: Mapping[str, str]) -> Page:
    host = urlsplit(url).netloc
    request = urllib.request.Request(url, headers={"Accept": "application/json", **headers})  # noqa: S310 - https, or what the user names
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=_WAIT_SECONDS_MAX) as answer:
            page = json.loads(answer.read(_BYTES_MAX), parse_float=Decimal)
    except urllib.error.HTTPError as error:
        error.close()
        raise StatementError(
            f"{host} answered {error.code} {error.reason}; the key must be allowed to read usage"
        ) from None
    except (OSError, ValueError) as error:
        raise StatementError(f"{host} cannot be read ({error})") from error
    if not isinstance(page, dict):
        raise StatementError(f"{host} answered something else than a page")
    return page


def _key(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise StatementError(f"{name} is not set; it is a key that may read usage")
    return key
