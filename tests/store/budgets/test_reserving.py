"""A call of a budget at the service: reserved, refused, settled, and spent in the transaction that stores its span."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.store.budgets.accounts import CallScope, open_budget_pool
from cost_exporter.store.budgets.definitions import all_budgets, put_budget, remove_budget, sync_budgets
from cost_exporter.store.budgets.reserving import check, release, reserve, settle
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import link, price_by_sum
from tests.store.budgets.setting import ACME, NOW, Database, figures, price, set_budget, spec, spent_call, state
from tests.store.requests import request, rows

CENTS_10 = D("0.10")


def take(database: Database, estimate: D | None = CENTS_10, scope: CallScope = ACME, **given: Any) -> str | None:
    return reserve(database, scope, estimate, **({"namespace": "default", "at": NOW} | given)).reservation_id


def test_fifty_calls_of_ten_cents_under_a_dollar_fifty_admit_fifteen(database: Database) -> None:
    """Whatever fits exactly is admitted, and not a cent more."""
    set_budget(database, limit="1.50")
    admitted = [take(database) is not None for _ in range(50)]
    assert admitted == [True] * 15 + [False] * 35
    assert figures(database) == (0, D("1.50"), 0)


def test_fifty_calls_at_once_admit_fifteen(database: Database, database_url: str) -> None:
    """Over eight connections."""
    set_budget(database, limit="1.50")
    pool = open_budget_pool(database_url)

    def one(_: int) -> bool:
        with pool.connection() as connection:
            return take(connection) is not None

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(50))) == 15
    pool.close()
    assert figures(database)[2] == 0


def _in_one_statement(connection: Database) -> bool:
    """The fault: compare and reserve in the statement that waits for the lock."""
    with connection.transaction():
        made = connection.execute(
            """
            with locked as (select account_id from callfare.budget_account order by account_id for update),
            fits as (
              select state.* from locked, callfare.budget_state(%(at)s) as state
              where state.account_id = locked.account_id and spent_usd + reserved_usd + 0.6 <= limit_usd
            ), made as (
              insert into callfare.reservation (reservation_id, kind, namespace, tenant_id, process_id, state)
              select gen_random_uuid(), 'call', 'default', 'acme', '', 'open' from fits returning reservation_id
            )
            insert into callfare.reservation_hold (account_id, window_start, reservation_id, tenant_id, granted_usd)
            select account_id, window_start, reservation_id, tenant_id, 0.6 from fits, made
            """,
            {"at": NOW},
        )
        return made.rowcount == 1


def _by_the_product(connection: Database) -> bool:
    return take(connection, D("0.6")) is not None


@pytest.mark.parametrize(("way", "admitted"), [(_by_the_product, 1), (_in_one_statement, 2)])
def test_who_waits_for_a_lock_sees_what_the_holder_reserved(
    database: Database, database_url: str, way: Callable[[Database], bool], admitted: int
) -> None:
    """Two calls of 0.6 under 1.0, the second while the first holds the lock. The fault admits both, so this sees it."""
    set_budget(database, limit="1.0")
    with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
        for connection in (first, second):
            connection.execute("select")  # opens a transaction, which is committed here and not by the way itself
        assert way(first)
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(way, second)
            while not rows(database, "select 1 from pg_locks where not granted") and not waiting.done():
                time.sleep(0.01)
            first.commit()
            count = 1 + waiting.result()
        second.commit()
    assert count == admitted
    assert (figures(database)[2] >= 0) == (admitted == 1)


def test_a_stored_span_is_spent_and_held_no_longer_at_one_commit(ledger: LedgerStore, database: Database) -> None:
    """At whichever moment somebody looks, the money is there once."""
    set_budget(database)
    reservation_id = take(database)
    seen: list[tuple[D, D, D]] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            seen.append(figures(database))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for n in range(20):
        ledger.commit([request(spent_call(f"x{n}", 1))], price)
    ledger.commit([request(spent_call("a", 70_000, reservation_id))], price)
    is_over.set()
    watcher.join()
    assert figures(database) == (D("0.07002"), 0, D("0.92998"))
    cost = {(reserved, spent >= D("0.07")) for spent, reserved, _ in seen}
    assert cost <= {(CENTS_10, False), (0, True)}


def test_a_span_sent_again_and_a_second_span_claim_nothing_more(ledger: LedgerStore, database: Database) -> None:
    """The first billable one claims; what an SDK's retry costs is spent as well."""
    set_budget(database)
    first, second = take(database), take(database)
    for _ in range(2):
        ledger.commit([request(spent_call("a", 10_000, first))], price)
    ledger.commit([request(spent_call("b", 10_000, first))], price)
    assert figures(database) == (D("0.02"), CENTS_10, D("0.88"))
    assert second is not None


def test_a_duplicate_claims_nothing(ledger: LedgerStore, database: Database) -> None:
    """The framework's own span of a call that another span bills."""
    set_budget(database)
    reservation_id = take(database)
    billed = spent_call("a", 10_000, None, call_id="response:1", emitter_rank=4, scope="x")
    other = spent_call("b", 10_000, reservation_id, call_id="response:1", scope="y")
    ledger.commit([request(billed)], price)
    ledger.commit([request(other)], price)
    by_status = dict(rows(database, "select status, span_id from callfare.cost_record"))
    held = figures(database)[1]
    assert held == (CENTS_10 if by_status["duplicate"].endswith("62") else 0)


def test_another_tenants_credential_claims_nothing(ledger: LedgerStore, database: Database) -> None:
    """An id is known to the credential that reserved, and nobody else's spans free its money."""
    set_budget(database)
    reservation_id = take(database, namespace="acme")
    ledger.commit([request(spent_call("a", 10_000, reservation_id), namespace="globex")], price)
    assert figures(database)[1] == CENTS_10
    mine = spent_call("b", 10_000, reservation_id)
    ledger.commit([request(mine, namespace="acme", tenant_is_trusted=False)], price)
    assert figures(database)[1] == 0


def test_an_unknown_cost_keeps_its_estimate_until_it_is_known(ledger: LedgerStore, database: Database) -> None:
    """And the count of unknown costs stands beside the money."""
    set_budget(database)
    reservation_id = take(database)
    ledger.commit([request(spent_call("a", 0, reservation_id, quantities={}))], price)
    assert figures(database) == (0, CENTS_10, D("0.9"))
    assert rows(database, "select unpriced_count from callfare.budget_state(%s)", NOW) == [(1,)]
    ledger.commit([request(spent_call("a", 30_000, reservation_id, end_ms=2000))], price)
    assert figures(database) == (D("0.03"), 0, D("0.97"))


def test_settling_holds_what_it_cost_until_the_span_is_there(ledger: LedgerStore, database: Database) -> None:
    """Releasing at that moment would let another call have the money: the span may take minutes."""
    set_budget(database)
    reservation_id = take(database)
    assert reservation_id is not None
    settled = settle(database, reservation_id, D("0.15"), namespace="default")
    assert settled is not None
    assert (settled.state, settled.is_late) == ("settled", False)
    assert figures(database) == (0, D("0.15"), D("0.85"))
    assert release(database, reservation_id, namespace="default") is not None  # too late: it is spent
    assert figures(database)[1] == D("0.15")
    ledger.commit([request(spent_call("a", 150_000, reservation_id))], price)
    assert figures(database) == (D("0.15"), 0, D("0.85"))
    again = settle(database, reservation_id, D("0.15"), namespace="default")
    assert again is not None
    assert figures(database) == (D("0.15"), 0, D("0.85"))


def test_a_call_that_never_went_out_gives_its_money_back(database: Database) -> None:
    """Once, and only to the one who reserved it."""
    set_budget(database)
    reservation_id = take(database)
    assert reservation_id is not None
    assert release(database, reservation_id, namespace="globex") is None
    assert settle(database, "no such id", D(1), namespace="default") is None
    assert release(database, reservation_id, namespace="default") is not None
    assert figures(database) == (0, 0, 1)


def test_several_budgets_all_apply_and_the_tightest_refuses(database: Database) -> None:
    """All or nothing: what does not fit into one is held in none."""
    set_budget(database, "wide", "5")
    set_budget(database, "bots", "0.15", category="bot")
    set_budget(database, "ann", "0.50", user="ann", time_window="month")
    bot = CallScope(tenant="acme", category="bot", user="ann")
    assert take(database, scope=bot) is not None
    outcome = reserve(database, bot, CENTS_10, namespace="default", at=NOW)
    assert [each.budget.name for each in outcome.short] == ["bots"]
    assert {name: each.reserved_usd for name, each in state(database, bot).items()} == {
        "wide": CENTS_10,
        "bots": CENTS_10,
        "ann": CENTS_10,
    }
    assert take(database, scope=CallScope(tenant="acme")) is not None


def test_soft_and_shadow_budgets_let_the_call_pass_and_say_so(database: Database) -> None:
    """What they hold counts, so that the next one says so too."""
    set_budget(database, "soft", "0.15", enforcement="soft", unpriced="allow")
    set_budget(database, "shadow", "0.05", enforcement="shadow")
    outcomes = [reserve(database, ACME, CENTS_10, namespace="default", at=NOW) for _ in range(2)]
    assert [each.is_allowed for each in outcomes] == [True, True]
    assert [[short.budget.name for short in each.short] for each in outcomes] == [["shadow"], ["shadow", "soft"]]


@pytest.mark.parametrize(
    ("unpriced", "assumed", "held"), [("refuse", None, None), ("allow", None, D(0)), ("assume", "0.05", D("0.05"))]
)
def test_a_call_without_a_price(database: Database, unpriced: str, assumed: str | None, held: D | None) -> None:
    """Refused, allowed, or taken for an amount: as the budget says."""
    set_budget(database, unpriced=unpriced, assumed_usd=None if assumed is None else D(assumed))
    outcome = reserve(database, ACME, None, namespace="default", at=NOW)
    assert outcome.is_allowed == (held is not None)
    assert [each.reason for each in outcome.short] == ([] if outcome.is_allowed else ["unpriced"])
    assert figures(database)[1] == (held or 0)


def test_a_free_call_passes_an_exhausted_budget(database: Database) -> None:
    """There is nothing to refuse."""
    set_budget(database, limit="0")
    assert take(database, D(0)) is not None
    assert take(database, D("0.000001")) is None


def test_each_tenant_has_its_own_part_of_a_general_budget(ledger: LedgerStore, database: Database) -> None:
    """One of its own replaces it for the same window and the same calls only."""
    set_budget(database, "each", "1", tenant="*")
    set_budget(database, "each-hour", "0.5", tenant="*", time_window="hour")
    set_budget(database, "acme-own", "3")
    globex = CallScope(tenant="globex")
    ledger.commit([request(spent_call("a", 400_000, tenant="globex"), spent_call("b", 100_000))], price)
    assert {name: each.spent_usd for name, each in state(database, globex).items()} == {
        "each": D("0.4"),
        "each-hour": D("0.4"),
    }
    assert {name: each.spent_usd for name, each in state(database).items()} == {
        "acme-own": D("0.1"),
        "each-hour": D("0.1"),
    }
    shown = rows(database, "select name, tenant_id from callfare.budget_status order by 1, 2")
    assert shown == [("acme-own", "acme"), ("each", "globex"), ("each-hour", "acme"), ("each-hour", "globex")]


@pytest.mark.parametrize(
    ("window", "later", "resets"),
    [
        ("hour", timedelta(hours=1), True),
        ("day", timedelta(hours=1), False),
        ("day", timedelta(days=1), True),
        ("month", timedelta(days=31), True),
        ("total", timedelta(days=4000), False),
    ],
)
def test_a_window_begins_anew_in_utc(
    ledger: LedgerStore, database: Database, window: Any, later: timedelta, *, resets: bool
) -> None:
    """What was spent and reserved before it counts no more."""
    set_budget(database, time_window=window)
    take(database)
    ledger.commit([request(spent_call("a", 200_000))], price)
    assert figures(database) == (D("0.2"), CENTS_10, D("0.7"))
    then = state(database, at=NOW + later)["acme-day"]
    assert then.remaining_usd == (1 if resets else D("0.7"))
    assert (then.resets_at is None) == (window == "total")


def test_a_dimension_counts_its_own_calls(ledger: LedgerStore, database: Database) -> None:
    """A user, a key, a category, a provider, a model with its dated versions; never a longer name."""
    ann = Attribution(tenant="acme", user="ann", api_key="k1", category="bot")
    ledger.commit(
        [
            request(
                spent_call("a", 100_000, attribution=ann),
                spent_call("b", 20_000, model="gpt-4o-2024-08-06"),
                spent_call("c", 3_000, model="gpt-4o-mini", provider="azure"),
            )
        ],
        price,
    )
    for window in ("hour", "day", "month", "total"):
        for name, fields in {
            "user": {"user": "ann"},
            "key": {"api_key": "k1"},
            "category": {"category": "bot"},
            "provider": {"provider": "Azure"},
            "model": {"model": "gpt-4o"},
            "models": {"model": "gpt-4o*"},
            "both": {"provider": "openai", "model": "gpt-4o-mini"},
        }.items():
            set_budget(database, name, time_window=window, **fields)
        found = rows(database, "select name, spent_usd from callfare.budget_state(%s) order by name", NOW)
        assert dict(found) == {
            "user": D("0.1"),
            "key": D("0.1"),
            "category": D("0.1"),
            "provider": D("0.003"),
            "model": D("0.02"),
            "models": D("0.123"),
            "both": D("0.1"),
        }


def test_the_same_request_reserves_once(database: Database, database_url: str) -> None:
    """Also at once, over several connections."""
    set_budget(database)

    def one(_: int) -> str | None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            return take(connection, request_key="once")

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(one, range(8)))) == 1
    assert figures(database)[1] == CENTS_10
    assert take(database, request_key="once", namespace="other") is not None
    assert figures(database)[1] == 2 * CENTS_10


def test_checking_reserves_nothing(database: Database) -> None:
    """It says what would happen now."""
    set_budget(database, limit="0.15")
    assert check(database, ACME, CENTS_10, at=NOW).is_allowed
    assert not check(database, ACME, D("0.2"), at=NOW).is_allowed
    assert figures(database)[1] == 0
    assert check(database, CallScope(tenant="other"), D(100), at=NOW).is_allowed


def test_a_raise_ends_by_itself(database: Database) -> None:
    """It adds to the limit until then."""
    set_budget(database, raised_by_usd=D(2), raised_until=NOW + timedelta(minutes=5))
    assert state(database)["acme-day"].limit_usd == 3
    assert state(database, at=NOW + timedelta(minutes=5))["acme-day"].limit_usd == 1


def test_the_file_owns_its_budgets(database: Database) -> None:
    """What it names is changed there, what it does not name any more is gone; the others stay."""
    set_budget(database, "mine", "1")
    sync_budgets(database, [spec("file", "2", is_from_file=True), spec("mine", "3", is_from_file=True)])
    assert {each.name: each.limit_usd for each in all_budgets(database)} == {"file": 2, "mine": 3}
    for change in (lambda: put_budget(database, spec("file")), lambda: remove_budget(database, "file")):
        with pytest.raises(Exception, match="configuration file"):
            change()
    set_budget(database, "other", "1")
    sync_budgets(database, [])
    assert [each.name for each in all_budgets(database)] == ["other"]
    assert remove_budget(database, "other")
    assert not remove_budget(database, "other")


def test_a_budget_that_moves_to_another_tenant_lets_go_of_the_first(database: Database) -> None:
    """What it held there concerns nobody any more."""
    set_budget(database)
    take(database)
    set_budget(database, tenant="globex")
    assert state(database) == {}
    assert state(database, CallScope(tenant="globex"))["acme-day"].reserved_usd == 0


def test_reattribution_takes_spending_to_the_other_tenants_budget(ledger: LedgerStore, database: Database) -> None:
    """The ledger is the counter, so nothing has to follow."""
    set_budget(database)
    set_budget(database, "globex-day", tenant="globex")
    globex = CallScope(tenant="globex")
    ledger.commit([request(spent_call("a", 100_000, attribution=Attribution(category="bot")))], price_by_sum)
    assert figures(database)[0] == figures(database, "globex-day", globex)[0] == 0
    ledger.commit([request(link("root", parent=None, attribution=Attribution(tenant="globex")))], price_by_sum)
    assert figures(database, "globex-day", globex)[0] == D("0.1")
