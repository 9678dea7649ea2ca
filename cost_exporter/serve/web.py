"""The dependencies of the handlers of the API and of the pages."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.errors import StoreUnavailable
from cost_exporter.prices import load_book
from cost_exporter.report.workflow import WorkflowReport
from cost_exporter.serve.access import Access
from cost_exporter.serve.answers import NotFound
from cost_exporter.store.reading import Reader
from cost_exporter.store.token_directory import Authenticate, anyone

__all__ = ["LendBudgets", "LendReader", "Web", "find_workflows", "no_budgets"]

LendBudgets = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
LendReader = Callable[[frozenset[str] | None], AbstractContextManager[Reader]]
"""Lends a reader that sees these tenants, None for all: `Access.tenants`."""


def _today() -> date:
    return datetime.now(UTC).date()


def _count_nothing() -> None:
    """Count nothing: there are no metrics here."""


def no_budgets() -> AbstractContextManager[psycopg.Connection[Any]]:
    """Stand for a connection where none is lent. Raises `StoreUnavailable`."""
    raise StoreUnavailable("this application has no connection to reserve by; run `callfare serve`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The ways to the database, to who asks, and to the time."""

    lend: LendReader
    """Provides a reader for one short answer."""
    lend_stream: LendReader
    """Lends a reader for as long as somebody takes to read a stream."""
    book: Callable[[], PriceBook] = load_book
    """Returns the price book in force."""
    lend_budgets: LendBudgets = no_budgets
    """Lends a connection that reserves."""
    count_exceeded: Callable[[], object] = _count_nothing
    """Counts a call that a budget refuses."""
    authenticate: Authenticate = anyone
    today: Callable[[], date] = _today
    jaeger_url: str | None = None
    """Where traces are shown."""


def find_workflows(reader: Reader, trace_id: UUID, access: Access) -> list[WorkflowReport]:
    """Return the reports on one trace: one a tenant that pays for it. Raises `NotFound` where there is none."""
    found = reader.workflows(trace_id, access.tenant)
    if not found:
        raise NotFound
    return [
        WorkflowReport.of(
            each, reader.records(trace_id, each["tenant_id"]), reader.voice_call(trace_id, each["tenant_id"])
        )
        for each in found
    ]
