"""A month is dropped when it is exported, closed, and so old that its spans do not come again; then files have it."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import ExportError
from cost_exporter.lake.place import Place
from cost_exporter.lake.verifying import CheckedExport, require_whole
from cost_exporter.store.keeping import Keeping, count_too_old
from cost_exporter.store.periods import close_period, reopen_period
from cost_exporter.store.retention import KeptMonth, purge_before
from tests.cli.running import run_command
from tests.domain.builders import call, link, price_by_sum
from tests.lake.exported import Lake
from tests.lake.test_exactness import ACME
from tests.store.requests import RECEIVED_AT_UNIX_NS, request
from tests.store.test_journal import make_final
from tests.support.stored import as_url

SEPTEMBER = date(2026, 9, 1)
TODAY = date(2026, 11, 30)
DAY_NS = 86_400 * 10**9
DAY_MS = 86_400_000


def keeping(lake: Lake, today: date = TODAY) -> Keeping:
    until = require_whole(lake.database, lake.place).exported_until_id
    return Keeping(exported_until_id=until, location="there", resend_days=30, today=today)


def reasons(lake: Lake, today: date = TODAY) -> list[str]:
    return [each.split(":")[0].split(" (")[0] for each in keeping(lake, today).reasons(lake.database, SEPTEMBER)]


def test_each_rule_keeps_a_month(lake: Lake) -> None:
    """One after the other: too young, running, in no export, corrected since, open for one tenant."""
    open_for_both = "2026-09 is open for acme, default"
    lake.commit(call("a"), call("b", attribution=ACME))
    lake.run()
    assert reasons(lake) == ["1 of its workflows are not final yet", open_for_both]
    make_final(lake.database)
    assert reasons(lake) == ["1 of its workflows are not in there", open_for_both]
    lake.run()
    assert reasons(lake) == [open_for_both]
    assert reasons(lake, date(2026, 10, 30)) == ["its spans may come again until 2026-10-31", open_for_both]
    close_period(lake.database, SEPTEMBER, "acme")
    assert reasons(lake) == ["2026-09 is open for default"]
    close_period(lake.database, SEPTEMBER)
    assert reasons(lake) == []
    lake.commit(call("c"))
    assert reasons(lake) == ["1 of its workflows are not in there"]
    lake.run()
    assert reasons(lake) == []
    reopen_period(lake.database, SEPTEMBER)
    assert reasons(lake) == ["2026-09 is open for default"]


def test_a_dropped_month_is_in_the_files(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check goes on to compare both, and what comes late is refused and counted, whatever trace it is of."""
    lake.finish(call("a"), call("b", attribution=ACME))
    lake.run()
    with pytest.raises(KeptMonth, match="2026-09 is kept: 2026-09 is open for acme, default"):
        purge_before(lake.database, date(2026, 10, 1), keeping(lake).reasons)
    close_period(lake.database, SEPTEMBER)
    assert purge_before(lake.database, date(2026, 10, 1), keeping(lake).reasons) == [SEPTEMBER]
    assert lake.verify() == []
    october = RECEIVED_AT_UNIX_NS + 30 * DAY_NS
    for trace, received_at in ((b"t" * 16, RECEIVED_AT_UNIX_NS), (b"n" * 16, october)):
        late = request(call("late", trace=trace), link("root", parent=None), received_at_unix_ns=received_at)
        assert lake.ledger.commit([late], price_by_sum)[0].dead_letter == 1
    assert count_too_old(lake.database, datetime.fromtimestamp(0, UTC)) == 2
    new = call("new", trace=b"o" * 16, start_ms=30 * DAY_MS, end_ms=30 * DAY_MS + 1)
    (receipt,) = lake.ledger.commit([request(new, received_at_unix_ns=october)], price_by_sum)
    assert receipt == Receipt(received=1, accepted=1)
    assert lake.run().number == 0
    assert lake.verify() == []
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(lake.database_url))
    for command in (("verify",), ("report", "--month", "2026-10")):
        ran = run_command(capsys, *command)
        spans = 2 if command == ("verify",) else 1
        assert (ran.exit_code, ran.err.split(" spans")[0]) == (0, str(spans))
    assert run_command(capsys, "report", "--month", "2026-08").err == ""


def test_a_call_that_was_known_before_is_still_recognised(lake: Lake) -> None:
    """A trace of October with a call that began in September: it comes again after September was dropped."""
    october = RECEIVED_AT_UNIX_NS + 30 * DAY_NS
    lake.finish(call("a"))
    began_before = request(call("b", trace=b"n" * 16), received_at_unix_ns=october)
    lake.ledger.commit([began_before], price_by_sum)
    assert purge_before(lake.database, date(2026, 10, 1)) == [SEPTEMBER]
    (receipt,) = lake.ledger.commit([began_before], price_by_sum)
    assert receipt == Receipt(received=1, duplicate=1)


def test_a_place_that_is_not_whole_keeps_everything(lake: Lake) -> None:
    """A file that is missing or cut off: not what records may be dropped for."""
    with pytest.raises(ExportError, match="has not exported to"):
        keeping(lake)
    lake.finish(call("a"))
    (file,) = lake.run().files
    path = Path(lake.place.path(file.name))
    content = path.read_bytes()
    for damaged in (content[:-1], b""):
        path.write_bytes(damaged)
        with pytest.raises(ExportError, match="is not whole"):
            keeping(lake)
    path.write_bytes(content)
    assert keeping(lake).exported_until_id > 0


def test_the_command_keeps_to_the_rules(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what is missing, exit code 1; `--force` drops it all the same."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(lake.database_url))
    monkeypatch.setenv("CALLFARE_RESEND_DAYS", "0")
    before = ("purge", "--before", "2026-10-01")
    lake.finish(call("a"))
    ran = run_command(capsys, *before)
    assert (ran.exit_code, ran.err.count("\n")) == (1, 1)
    assert "--exported-to" in ran.err
    lake.run()
    monkeypatch.setenv("CALLFARE_EXPORT_TO", lake.place.location)
    for more in ((), ("--dry-run",)):
        ran = run_command(capsys, *before, *more)
        assert (ran.exit_code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert "callfare period close 2026-09" in ran.err
    assert run_command(capsys, "period", "close", "2026-09").exit_code == 0
    assert run_command(capsys, *before, "--dry-run").out == "would drop the records of 2026-09\n"
    assert run_command(capsys, *before, "--json").json == {"months": ["2026-09"], "is_dry_run": False, "kept": None}
    assert lake.verify() == []


def test_force_needs_no_export(lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who keep no files."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(lake.database_url))
    monkeypatch.delenv("CALLFARE_EXPORT_TO", raising=False)
    lake.commit(call("a"))
    ran = run_command(capsys, "purge", "--before", "2026-10-01", "--force")
    assert (ran.exit_code, ran.out) == (0, "dropped the records of 2026-09\n")


def test_what_was_dropped_before_a_place_was_there_is_not_missed_in_it(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those days are named, and every other day is compared; a place that was there before has them all."""
    old = Place(lake.place.location + "-old")
    october_ms = 30 * DAY_MS
    lake.finish(call("a"), call("b", attribution=ACME))
    lake.run(old)
    purge_before(lake.database, date(2026, 10, 1))
    new = call("new", trace=b"o" * 16, start_ms=october_ms, end_ms=october_ms + 1)
    lake.ledger.commit([request(new, received_at_unix_ns=RECEIVED_AT_UNIX_NS + 30 * DAY_NS)], price_by_sum)
    lake.database.execute("update callfare.trace set finalised_at = now() where finalised_at is null")
    for place in (lake.place, old):
        assert lake.run(place).sums.request_count == 1
    days = ["acme 2026-09-21", "default 2026-09-21"]
    assert lake.checked() == CheckedExport(problems=[], not_compared=days)
    assert lake.checked(old) == CheckedExport(problems=[], not_compared=[])
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(lake.database_url))
    ran = run_command(capsys, "verify", "--export", lake.place.location)
    assert (ran.exit_code, ", ".join(days) in ran.err) == (0, True)
    lake.database.execute("update callfare.record set cost_usd = cost_usd + 1")
    assert [each.subject for each in lake.verify()] == ["default 2026-10-21"]
    lake.database.execute("update callfare.record set cost_usd = cost_usd - 1")
