"""Judge what was committed: within a few seconds, and everything once a minute.

Runs in a thread of its own with one connection, so it delays nothing and nothing delays it. It pauses for several times
as long as it works: with a thousand budgets it takes about a tenth of a core.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from typing import Final

from cost_exporter.alerts.receivers import receiver_of
from cost_exporter.alerts.reports import make_due_reports
from cost_exporter.safe_text import for_log
from cost_exporter.settings import AlertRule, ReportRule
from cost_exporter.store.alerts.deliveries import give_up_old
from cost_exporter.store.alerts.headroom import Headroom
from cost_exporter.store.alerts.judging import judge_marked
from cost_exporter.store.alerts.making import Connection
from cost_exporter.store.alerts.sweeping import Seen, sweep

__all__ = ["Judge"]

_PAUSE_SECONDS: Final = (2.0, 4.0)
"""Between two looks, the least and the most."""
_PAUSE_FACTOR: Final = 9.0
_SWEEP_EVERY_SECONDS: Final = 60.0
_STOP_SECONDS_MAX: Final = 5.0
_log = logging.getLogger(__name__)


class Judge:
    """Makes alerts until it is stopped."""

    def __init__(
        self,
        lend: Callable[[], AbstractContextManager[Connection]],
        rules: Sequence[AlertRule],
        *,
        reports: Sequence[ReportRule] = (),
        prices_checked_on: Callable[[], date],
        mismatch_count: Callable[[], int | None],
        count_given_up: Callable[[str], None],
    ) -> None:
        """`mismatch_count` is that of the last check of the rollups, None before the first."""
        self._lend = lend
        self._receivers = [receiver_of(rule) for rule in rules]
        self._reports = reports
        self._prices_checked_on = prices_checked_on
        self._mismatch_count = mismatch_count
        self._count_given_up = count_given_up
        self._listening_since = datetime.now(UTC)
        self._headroom = Headroom()
        self._last_error = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callfare-alerts", daemon=True)

    def start(self) -> None:
        """Start judging in the background; everything at once, then what changes."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after what is under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS_MAX)

    def look(self) -> int:
        """Judge the tenants that spent since the last look, and return how many alerts that made."""
        with self._lend() as connection:
            return judge_marked(connection, self._receivers, now=datetime.now(UTC), headroom=self._headroom)

    def sweep(self) -> None:
        """Judge everything, make the reports that are due, and give up what could not be delivered for a day."""
        seen = Seen(
            now=datetime.now(UTC),
            listening_since=self._listening_since,
            prices_checked_on=self._prices_checked_on(),
            mismatch_count=self._mismatch_count(),
        )
        self._headroom.forget()
        with self._lend() as connection:
            sweep(connection, self._receivers, seen)
            make_due_reports(connection, self._reports, seen.now)
            given_up = give_up_old(connection)
        for receiver, error in given_up:
            self._count_given_up(receiver)
            _log.error("gave up an alert that receiver %s did not take for a day: %s", receiver, for_log(error))

    def _run(self) -> None:
        sweep_at_seconds = time.monotonic()
        while not self._stopping.is_set():
            began_seconds = time.monotonic()
            try:
                if began_seconds >= sweep_at_seconds:
                    sweep_at_seconds = began_seconds + _SWEEP_EVERY_SECONDS
                    self.sweep()
                self.look()
                self._last_error = ""
            except Exception as error:  # noqa: BLE001 - the database may be away; what is there is judged later
                self._complain(error)
            took_seconds = time.monotonic() - began_seconds
            self._stopping.wait(min(max(_PAUSE_SECONDS[0], _PAUSE_FACTOR * took_seconds), _PAUSE_SECONDS[1]))

    def _complain(self, error: Exception) -> None:
        """Log an error once, until it is another one."""
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        if text != self._last_error:
            self._last_error = text
            _log.warning("alerts could not be judged, which is tried again: %s", for_log(text))
