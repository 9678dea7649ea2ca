"""The checks of `callfare doctor`: one function per subject, which returns findings and never raises."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import distributions, entry_points
from typing import Final, Literal

import psycopg

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.price_book import open_prices_if_any
from cost_exporter.collisions.collisions import installed_collisions
from cost_exporter.errors import CallfareError
from cost_exporter.prices.loader import curated_files, shipped_snapshot, shipped_voice
from cost_exporter.settings import Settings, load_config, load_settings
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.database.roles import notes_on_login, problems_of_roles
from cost_exporter.store.database.statements import statement
from cost_exporter.store.database.unreachable import unreachable
from cost_exporter.store.price_books import latest_versions

__all__ = ["Finding", "diagnose"]

Level = Literal["ok", "note", "wrong"]
_PRICE_AGE_DAYS_MAX: Final = 45
_CLOCK_OFFSET_SECONDS_MAX: Final = 2.0
_POSTHOG_WAIT_SECONDS: Final = 600
_KNOWN_VARIABLES_PREFIX: Final = "CALLFARE_"
_APPLICATION_VARIABLES: Final = frozenset(
    {
        *("CALLFARE_BUDGET_URL", "CALLFARE_BUDGET_TOKEN", "CALLFARE_BUDGET_FAIL_OPEN"),
        *("CALLFARE_DISABLED", "CALLFARE_SPOOL_DIR", "CALLFARE_SPOOL_MAX_MIB", "CALLFARE_TENANT", "CALLFARE_CATEGORY"),
        *("CALLFARE_RECORD_ALL", "CALLFARE_STT_REPORT_SECONDS", "CALLFARE_CAPTURE_CONTENT", "CALLFARE_INCLUDE_USAGE"),
        "CALLFARE_TRUST_BAGGAGE",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return the finding as JSON."""
        return {"level": self.level, "subject": self.subject, "text": self.text}


def diagnose() -> list[Finding]:
    """Return what was found, in a fixed order."""
    looks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("configuration", _configuration),
        ("database", _database),
        ("prices", _prices),
        ("instrumentations", _instrumentations),
        ("sampling", _sampling),
    )
    findings: list[Finding] = []
    for subject, look in looks:
        try:
            findings += list(look())
        except CallfareError as error:
            findings.append(Finding(level="wrong", subject=subject, text=str(error)))
    return findings


def _configuration() -> Iterator[Finding]:
    settings = load_settings()
    load_config(settings.config)
    settings.tls()
    known = {f"{_KNOWN_VARIABLES_PREFIX}{name.upper()}" for name in Settings.model_fields} | _APPLICATION_VARIABLES
    for name in sorted(os.environ):
        if name.startswith(_KNOWN_VARIABLES_PREFIX) and name not in known:
            yield Finding(level="wrong", subject="configuration", text=f"{name} is no setting; is it misspelt?")
    where = "CALLFARE_DATABASE_URL" if settings.database_url else f"embedded PostgreSQL in {settings.data_dir}"
    yield Finding(level="ok", subject="configuration", text=f"can be read; database: {where}")


def _database() -> Iterator[Finding]:
    with open_database() as url:
        try:
            with connect(url) as connection:
                yield from _examined(connection)
        except psycopg.Error as error:
            yield Finding(level="wrong", subject="database", text=str(unreachable(error)))


def _examined(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    check_schema(connection)
    version = connection.info.server_version
    yield Finding(level="ok", subject="database", text=f"PostgreSQL {version // 10_000}, schema is up to date")
    for name in ("fsync", "synchronous_commit"):
        row = connection.execute("select current_setting(%s)", (name,)).fetchone()
        if row is None or row[0] not in ("on", "remote_apply", "remote_write", "local"):
            text = f"{name} is off: an acknowledged span can be lost in a crash; turn it on"
            yield Finding(level="wrong", subject="database", text=text)
    yield from _roles(connection)
    yield from _what_is_missing(connection)
    asked_at = datetime.now(UTC)
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    assert isinstance(row[0], datetime)
    offset_seconds = _seconds_outside(row[0], asked_at, datetime.now(UTC))
    level: Level = "ok" if offset_seconds <= _CLOCK_OFFSET_SECONDS_MAX else "wrong"
    text = f"{offset_seconds:.1f} s between the database's clock and ours"
    yield Finding(level=level, subject="clock", text=text if level == "ok" else f"{text}; let NTP set both")


def _roles(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    """Look whether the database keeps tenants apart for the API and the pages."""
    problems = problems_of_roles(connection)
    for problem in problems:
        yield Finding(level="wrong", subject="tenants", text=f"{problem}; then run `callfare migrate`")
    if not problems:
        yield Finding(level="ok", subject="tenants", text="row-level security keeps them apart for API and pages")
    if load_settings().database_url is not None:  # a server of our own has a user for the service
        for note in notes_on_login(connection):
            yield Finding(level="note", subject="tenants", text=note)


def _seconds_outside(moment: datetime, begin: datetime, end: datetime) -> float:
    """Return how far a moment is from a period: an answer that was long on its way is no wrong clock."""
    return max((begin - moment).total_seconds(), (moment - end).total_seconds(), 0.0)


def _what_is_missing(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    """Look for spans that never arrived, and for spans that the forward endpoint does not take."""
    gap = connection.execute(statement("producers_with_gaps")).fetchone()
    if gap is not None and gap[0]:
        text = f"{gap[1]} billable spans of {gap[0]} processes never arrived; look for `Queue full` in their logs"
        yield Finding(level="wrong", subject="spans", text=text)
    unread = connection.execute(statement("recent_unread")).fetchone()
    if unread is not None and unread[0]:
        text = f"{unread[0]} records of the last 7 days have usage that was not understood; see `callfare unread`"
        yield Finding(level="note", subject="usage", text=text)
    waiting = connection.execute(statement("outbox_backlog")).fetchone()
    if waiting is not None and waiting[0]:
        text = (
            f"{waiting[0]} spans wait for it, the oldest for {waiting[1]} s; is CALLFARE_FORWARD_ENDPOINT right and up?"
        )
        yield Finding(level="wrong", subject="forward endpoint", text=text)
    if waiting is not None and waiting[2]:
        text = f"{waiting[2]} spans were dropped: too old, or refused permanently; their costs are in the database"
        yield Finding(level="note", subject="forward endpoint", text=text)
    yield from _posthog(connection)


def _posthog(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    """Look for events that PostHog does not take."""
    state = connection.execute(statement("posthog_state")).fetchone()
    assert state is not None
    waiting_count, waiting_seconds, dropped_count = (int(str(each)) for each in state)
    if waiting_seconds > _POSTHOG_WAIT_SECONDS:
        text = (
            f"{waiting_count} events wait, the oldest for {waiting_seconds} s; is CALLFARE_POSTHOG_HOST right and up?"
        )
        yield Finding(level="wrong", subject="PostHog", text=text)
    if dropped_count:
        text = f"{dropped_count} events were dropped: too old, or refused permanently; their costs are in the database"
        yield Finding(level="note", subject="PostHog", text=text)


def _prices(today: date | None = None) -> Iterator[Finding]:
    """Report the age of each source of prices; one that is too old is a note."""
    day = today or datetime.now(UTC).date()
    curated = max(row.checked for file in curated_files() for row in file.rows)
    genai, voice = shipped_snapshot(), shipped_voice()
    verified = max(row.checked for provider in voice.providers for row in voice.rows(provider))
    yield _age("curated rows", "last checked", curated, day, "install a newer callfare, or load your own prices")
    yield _age(genai.origin, "imported", genai.imported_on, day, "`callfare prices import` takes a newer genai-prices")
    yield _age(voice.origin, "last checked there", verified, day, "install a newer callfare, or load your own prices")
    with open_prices_if_any() as connection:
        for version in [] if connection is None else latest_versions(connection):
            recorded = version.recorded_at.date().isoformat()
            what = "imported here" if version.kind == "import" else "loaded here"
            yield _age(
                version.name, f"{what} as version {version.version_id}", recorded, day, "check it and load it again"
            )


def _age(source: str, what: str, iso_day: str, today: date, fix: str) -> Finding:
    age_days = (today - date.fromisoformat(iso_day)).days
    text = f"{source}: {what} on {iso_day}, {age_days} days ago"
    if age_days > _PRICE_AGE_DAYS_MAX:
        return Finding(level="note", subject="prices", text=f"{text}; {fix}")
    return Finding(level="ok", subject="prices", text=text)


def _instrumentations() -> Iterator[Finding]:
    """Find what is installed here that describes the same calls, or that is known not to work together."""
    versions = {each.name: each.version for each in distributions()}
    for collision in installed_collisions(versions, os.environ):
        verb = "lose calls together" if collision.is_broken else "describe the same calls (each is billed once)"
        yield Finding(
            level="wrong" if collision.is_broken else "note",
            subject="instrumentations",
            text=f"{collision.vendor}: {collision.who} {verb}; {collision.fix}",
        )
    names = sorted({point.name for point in entry_points(group="opentelemetry_instrumentor")})
    text = f"{len(names)} instrumentors are installed here: {', '.join(names)}" if names else "none is installed here"
    yield Finding(level="ok", subject="instrumentations", text=text)


def _sampling() -> Iterator[Finding]:
    sampler = os.environ.get("OTEL_TRACES_SAMPLER", "")
    if "ratio" in sampler or sampler.endswith("always_off"):
        text = f"OTEL_TRACES_SAMPLER={sampler}: unsampled calls are costed only while CALLFARE_RECORD_ALL is on"
        yield Finding(level="note", subject="sampling", text=text)
