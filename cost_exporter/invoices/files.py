"""A provider's file: which format it is shows in what it holds, not in its name."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from cost_exporter.errors import StatementError
from cost_exporter.invoices.language_models import anthropic_page, openai_page
from cost_exporter.invoices.speech import deepgram_usage, elevenlabs_usage, twilio_page
from cost_exporter.invoices.stated import Stated
from cost_exporter.invoices.tables import read_table

__all__ = ["Statement", "read_statement", "statement_of_pages"]

PROVIDERS: Final = ("openai", "anthropic", "twilio", "deepgram", "elevenlabs")
_READERS: Final[dict[str, Callable[[dict[str, Any]], Iterator[Stated]]]] = {
    "openai": openai_page,
    "anthropic": anthropic_page,
    "twilio": twilio_page,
    "deepgram": deepgram_usage,
    "elevenlabs": elevenlabs_usage,
}


class Statement(NamedTuple):
    """What a provider states, and which one; "" where a file has several."""

    provider: str
    stated: list[Stated]


def read_statement(path: Path, models: Mapping[str, str]) -> Statement:
    """Read a file. Raises `StatementError`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            begins = stream.read(1)
            stream.seek(0)
            if begins not in {"{", "["}:
                return Statement("", list(read_table(stream, models)))
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise StatementError(f"{path.name} cannot be read ({error})") from error
    return statement_of_pages(_pages(text, path.name))


def statement_of_pages(pages: Iterable[dict[str, Any]]) -> Statement:
    """Read the pages of one provider."""
    stated: list[Stated] = []
    providers: set[str] = set()
    for page in pages:
        provider = _provider_of(page)
        providers.add(provider)
        stated += _READERS[provider](page)
    if len(providers) != 1:
        raise StatementError("the file has pages of several providers, or none; reconcile one at a time")
    return Statement(providers.pop(), stated)


def _pages(text: str, name: str) -> list[dict[str, Any]]:
    """Return the pages: one document, a list of them, or one a line."""
    documents: list[Any] = []
    decoder = json.JSONDecoder(parse_float=Decimal)
    at = 0
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError as error:
            raise StatementError(f"{name} is no JSON ({error})") from error
        documents += document if isinstance(document, list) else [document]
        while at < len(text) and text[at].isspace():
            at += 1
    if not all(isinstance(each, dict) for each in documents):
        raise StatementError(f"{name} holds something else than the pages of an API")
    return documents


def _provider_of(page: dict[str, Any]) -> str:
    if "usage_records" in page:
        return "twilio"
    if "time" in page and "usage" in page:
        return "elevenlabs"
    if "resolution" in page and "results" in page:
        return "deepgram"
    buckets = page.get("data")
    if isinstance(buckets, list):
        first: Any = next(iter(buckets), {})
        if page.get("object") == "page" or (isinstance(first, dict) and "start_time" in first):
            return "openai"
        if isinstance(first, dict) and ("starting_at" in first or not buckets):
            return "anthropic"
    raise StatementError(
        "the file is of no known provider: it takes OpenAI's and Anthropic's usage and costs, Twilio's usage records,"
        " usage of Deepgram and ElevenLabs, FOCUS and AWS cost and usage reports"
    )
