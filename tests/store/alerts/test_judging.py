"""What is worth an alert once it is committed: made once, whoever judges, and only of what is committed."""

import json
import threading
from datetime import timedelta
from decimal import Decimal as D
from uuid import UUID

import psycopg
import pytest

from cost_exporter.domain.alerting import Receiver
from cost_exporter.domain.attribution import Attribution
from cost_exporter.store.budgets.reserving import reserve
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call
from tests.store.alerts.setting import EVERYTHING, alerts, deliveries, judge, sweep_at
from tests.store.budgets.setting import ACME, NOW, Database, price, set_budget, spent_call
from tests.store.requests import request

HOUR = timedelta(hours=1)
MANY = (D(50), D(80), D(100))


def spend(ledger: LedgerStore, name: str, micro_usd: int, **fields: object) -> None:
    ledger.commit([request(spent_call(name, micro_usd, **fields))], price)


def test_a_threshold_alerts_once_in_its_window(ledger: LedgerStore, database: Database) -> None:
    """However often it is judged, and however much more is spent."""
    set_budget(database, time_window="hour", thresholds=(D(80), D(100)))
    spend(ledger, "a", 790_000)
    assert judge(database) == 0
    spend(ledger, "b", 10_000)
    assert judge(database) == 1
    assert judge(database) == 0
    spend(ledger, "c", 150_000)
    assert judge(database) == 0
    spend(ledger, "d", 500_000)
    assert judge(database) == 1
    assert sweep_at(database) == 0
    assert alerts(database) == [("acme", "acme-day", D(80)), ("acme", "acme-day", D(100))]


def test_thresholds_crossed_at_one_stroke_alert_each(ledger: LedgerStore, database: Database) -> None:
    """To every receiver that wants them, and to no other."""
    set_budget(database, thresholds=MANY)
    spend(ledger, "a", 990_000)
    mine = Receiver(name="mine", kinds=frozenset({"budget"}), tenant="acme")
    others = Receiver(name="others", kinds=frozenset({"budget"}), tenant="globex")
    spikes = Receiver(name="spikes", kinds=frozenset({"spike"}))
    assert judge(database, mine, others, spikes) == 2
    assert deliveries(database) == [("mine", "budget"), ("mine", "budget")]


def test_nobody_hears_of_what_is_not_committed(ledger: LedgerStore, database: Database, database_url: str) -> None:
    """Not while the transaction is open, nor after it was rolled back; and within a look after its COMMIT."""
    set_budget(database, thresholds=(D(100),))
    spend(ledger, "a", 1)
    judge(database)
    with psycopg.connect(database_url) as writing:
        writing.execute("update callfare.daily_rollup set cost_usd = cost_usd + 5")
        writing.execute("insert into callfare.spend_mark (tenant_id) values ('acme')")
        assert judge(database) == 0
        assert sweep_at(database) == 0
        writing.rollback()
    assert judge(database) == 0
    assert alerts(database) == []
    spend(ledger, "b", 1_000_000)
    assert judge(database) == 1


def test_an_alert_whose_transaction_fails_is_never_delivered_and_is_made_later(
    ledger: LedgerStore, database: Database, database_url: str
) -> None:
    """The marks come back with it, so the next look makes it."""
    set_budget(database, thresholds=(D(100),))
    spend(ledger, "a", 1_000_000)
    with (  # noqa: PT012 - all of it is one transaction
        psycopg.connect(database_url) as judging,
        pytest.raises(psycopg.OperationalError),
        judging.transaction(),
    ):
        assert judge(judging) == 1
        assert deliveries(judging) == [("ops", "budget")]
        assert deliveries(database) == []
        database.execute("select pg_terminate_backend(%s)", (judging.info.backend_pid,))
        judging.execute("select 1")
    assert (alerts(database), deliveries(database)) == ([], [])
    assert judge(database) == 1
    assert deliveries(database) == [("ops", "budget")]


def test_services_that_judge_at_once_make_one_alert(ledger: LedgerStore, database: Database, database_url: str) -> None:
    """Also where both saw the crossing before either had made the alert."""
    set_budget(database, thresholds=MANY)
    ready = threading.Barrier(4)

    def sweeping() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            ready.wait()
            for _ in range(5):
                connection.execute("insert into callfare.spend_mark (tenant_id) values ('acme')")
                judge(connection)

    spend(ledger, "a", 2_000_000)
    threads = [threading.Thread(target=sweeping) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(alerts(database)) == [
        ("acme", "acme-day", D(50)),
        ("acme", "acme-day", D(80)),
        ("acme", "acme-day", D(100)),
    ]
    assert len(deliveries(database)) == 3


def test_the_key_makes_one_alert_even_without_the_lock(database: Database, database_url: str) -> None:
    """What the lock prevents, the table refuses: the second of two transactions finds the first's row."""
    from datetime import UTC, datetime

    from cost_exporter.domain.alerting import Alert
    from cost_exporter.store.alerts.making import make_alert

    alert = Alert(kind="spike", tenant="acme", scope="", window_start=datetime(2026, 9, 1, tzinfo=UTC), threshold=D(0))
    anyone = Receiver(name="ops", kinds=frozenset({"spike"}))
    made: list[bool] = []
    with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
        assert make_alert(first, alert, [anyone])
        waiting = threading.Thread(target=lambda: made.append(make_alert(second, alert, [anyone])))
        waiting.start()
        first.commit()
        waiting.join()
    assert made == [False]
    assert len(alerts(database, "spike")) == 1


def test_judging_waits_for_the_lock_of_the_budget_and_reads_again(
    ledger: LedgerStore, database: Database, database_url: str
) -> None:
    """A limit that is raised while it waits is the one that counts."""
    set_budget(database, thresholds=(D(100),))
    spend(ledger, "a", 1_500_000)
    made: list[int] = []
    with psycopg.connect(database_url) as raising, psycopg.connect(database_url, autocommit=True) as judging:
        raising.execute("select from callfare.budget_account for update")
        raising.execute("update callfare.budget set limit_usd = 2")
        waiting = threading.Thread(target=lambda: made.append(judge(judging)))
        waiting.start()
        waits = "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        while waiting.is_alive() and database.execute(waits, (judging.info.backend_pid,)).fetchone() == (0,):
            pass
        raising.commit()
        waiting.join()
    assert made == [0]


def test_a_raised_limit_lets_thresholds_above_what_is_spent_fire_again(ledger: LedgerStore, database: Database) -> None:
    """Those that are still reached stay silent; and a limit that goes back to what it was repeats nothing."""
    thresholds = MANY
    set_budget(database, time_window="total", thresholds=thresholds)
    spend(ledger, "a", 1_000_000)
    assert judge(database) == 3
    set_budget(
        database, limit="1.5", time_window="total", thresholds=thresholds
    )  # 67 %: 50 stays, 80 and 100 are armed
    assert sweep_at(database) == 0
    spend(ledger, "b", 200_000)
    assert judge(database) == 1
    assert alerts(database)[-1][2] == D(80)
    set_budget(database, limit="1", time_window="total", thresholds=thresholds)
    assert sweep_at(database) == 0
    set_budget(database, limit="1.4", time_window="total", thresholds=thresholds)
    spend(ledger, "c", 300_000)
    assert judge(database) == 1
    assert sorted(each[2] for each in alerts(database)) == [50, 80, 80, 100, 100]


def test_spend_that_falls_and_rises_again_says_nothing_new(ledger: LedgerStore, database: Database) -> None:
    """By re-rating: the threshold was reported."""
    set_budget(database, thresholds=(D(100),))
    spend(ledger, "a", 1_000_000)
    assert judge(database) == 1
    database.execute("update callfare.daily_rollup set cost_usd = cost_usd / 2")
    assert sweep_at(database) == 0
    database.execute("update callfare.daily_rollup set cost_usd = cost_usd * 2")
    assert sweep_at(database) == 0


def test_the_next_window_alerts_anew_and_a_late_span_counts_in_its_own(ledger: LedgerStore, database: Database) -> None:
    """A span of the hour that has just ended is judged there; one of long ago says nothing any more."""
    set_budget(database, time_window="hour", thresholds=(D(100),))
    database.execute("update callfare.budget set updated_at = '2026-01-01'")
    spend(ledger, "a", 1_000_000)
    next_hour = NOW.replace(minute=0, second=0) + HOUR
    assert judge(database, at=next_hour + timedelta(minutes=2)) == 1
    spend(ledger, "b", 2_000_000, start_ms=3_600_000, end_ms=3_600_001)
    assert judge(database, at=NOW + HOUR) == 1
    (first,), (second,) = database.execute("select distinct window_start from callfare.alert order by 1").fetchall()
    assert second - first == HOUR


def test_a_budget_that_is_new_does_not_look_back(ledger: LedgerStore, database: Database) -> None:
    """The window that was over when it was set is none of its business."""
    spend(ledger, "a", 1_000_000)
    next_hour = NOW.replace(minute=0, second=0) + HOUR
    set_budget(database, time_window="hour", thresholds=(D(100),))
    assert judge(database, at=next_hour + timedelta(minutes=2)) == 0


def test_each_tenant_has_its_own_alert_of_a_budget_for_each(ledger: LedgerStore, database: Database) -> None:
    """Also one that never reserved anything."""
    set_budget(database, "each", tenant="*", enforcement="soft", unpriced="allow", thresholds=(D(100),))
    for n, tenant in enumerate(("acme", "globex")):
        spend(ledger, f"{n}", 1_000_000, tenant=tenant, trace=UUID(int=n + 1).bytes)
    assert judge(database) == 2
    assert sorted(alerts(database)) == [("acme", "each", D(100)), ("globex", "each", D(100))]


def test_what_is_only_reserved_is_not_spent(database: Database) -> None:
    """Thresholds go by the ledger."""
    set_budget(database, thresholds=(D(50),))
    assert reserve(database, ACME, D("0.9"), namespace="default", at=NOW).is_allowed
    assert sweep_at(database) == 0


def test_a_budget_alert_says_what_how_much_and_who_spends_most(ledger: LedgerStore, database: Database) -> None:
    """And nothing that a call contained."""
    set_budget(database, time_window="hour", thresholds=(D(80),))
    for n, (user, cost) in enumerate((("ann", 300_000), ("bob", 600_000))):
        attribution = Attribution(tenant="acme", user=user)
        spend(ledger, f"{n}", cost, attribution=attribution, trace=UUID(int=n + 1).bytes)
    judge(database)
    ((facts,),) = database.execute("select facts from callfare.alert").fetchall()
    assert (facts["spent_usd"], facts["limit_usd"], facts["threshold_percent"]) == ("0.9", "1", "80")
    assert facts["most_by"][:2] == [
        {"kind": "category", "name": "uncategorised", "cost_usd": "0.9"},
        {"kind": "user", "name": "bob", "cost_usd": "0.6"},
    ]
    assert "input" not in json.dumps(facts)


@pytest.mark.parametrize("window", ["hour", "month"])
def test_a_budget_of_a_category_names_its_models(ledger: LedgerStore, database: Database, window: str) -> None:
    """Of its own calls."""
    set_budget(database, "bots", category="bot", time_window=window, thresholds=(D(80),))
    attribution = Attribution(tenant="acme", category="bot")
    spend(ledger, "a", 900_000, attribution=attribution)
    spend(ledger, "b", 950_000, trace=UUID(int=3).bytes, model="gpt-4o")
    judge(database)
    ((facts,),) = database.execute("select facts from callfare.alert where kind = 'budget'").fetchall()
    assert facts["most_by"] == [{"kind": "model", "name": "gpt-4o-mini", "cost_usd": "0.9"}]


def test_usage_without_a_price_alerts_once_a_day_for_each_model(ledger: LedgerStore, database: Database) -> None:
    """And for no more than fifty of them: senders choose the names."""
    spend(ledger, "a", 5, model="unknown")
    assert judge(database) == 1
    spend(ledger, "b", 5, model="unknown", start_ms=5000, end_ms=6000)
    assert judge(database) == 0
    assert alerts(database, "unpriced") == [("acme", "openai/unknown", D(0))]
    names = [call(f"n{n}", model=f"m{n}", attribution=Attribution(tenant="acme")) for n in range(60)]
    ledger.commit([request(*names)], lambda _: price(spent_call("x", 1, model="unknown").usage))
    judge(database)
    assert len(alerts(database, "unpriced")) == 50


def test_a_workflow_over_an_amount_alerts_once_by_each_amount(ledger: LedgerStore, database: Database) -> None:
    """Receivers with different amounts get their own."""
    cheap = Receiver(name="cheap", kinds=frozenset({"workflow_over"}), over_usd=D("0.10"))
    dear = Receiver(name="dear", kinds=frozenset({"workflow_over"}), over_usd=D("0.50"))
    spend(ledger, "a", 100_000)
    assert judge(database, cheap, dear) == 0  # not more than it
    spend(ledger, "b", 1)
    assert judge(database, cheap, dear) == 1
    spend(ledger, "c", 500_000)
    assert judge(database, cheap, dear) == 1
    assert deliveries(database) == [("cheap", "workflow_over"), ("dear", "workflow_over")]


def test_marks_are_made_only_while_somebody_judges(ledger: LedgerStore, database: Database) -> None:
    """Otherwise they would pile up."""
    spend(ledger, "a", 1, service_name="bot")
    marks = "select tenant_id, service_name from callfare.spend_mark order by mark_id"
    assert database.execute(marks).fetchall() == [("acme", None), ("acme", "bot")]
    judge(database, EVERYTHING)
    assert database.execute(marks).fetchall() == []
    database.execute("update callfare.alert_judge set judged_at = now() - interval '2 hours'")
    spend(ledger, "b", 1)
    assert database.execute(marks).fetchall() == []
    spend(ledger, "c", 2_000_000)
    set_budget(database, thresholds=(D(100),))
    assert sweep_at(database) is not None  # finds it all the same
    assert alerts(database) == [("acme", "acme-day", D(100))]
