"""Leases: what processes decide on by themselves adds up to the limit, whatever becomes of them."""

from datetime import timedelta
from decimal import Decimal as D

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callfare.budget.ledger import Account, Claim, Ledger
from cost_exporter.domain.budget import LeaseAsked
from cost_exporter.store.budgets.accounts import keep_plans
from cost_exporter.store.budgets.expiry import SILENCE, held_by_the_expired, sweep_reservations
from cost_exporter.store.budgets.leasing import Lease, beat, dimensions, lease, return_lease
from cost_exporter.store.budgets.reserving import release_expired, reserve, settle
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.store.budgets.setting import ACME, NOW, Database, figures, price, set_budget, spent_call
from tests.store.requests import clear, problems, request, rows

CENT = D("0.01")


def ask(database: Database, process: str = "p", held: Lease | None = None, **asked: D) -> Lease:
    lease_id = None if held is None else held.lease_id
    wanted = LeaseAsked(**({"estimate_usd": CENT} | asked))
    return lease(database, ACME, wanted, namespace="default", process_id=process, lease_id=lease_id, at=NOW)


def fall_silent(database: Database, process: str = "p") -> None:
    """Its last heartbeat was long ago."""
    long_ago = "update callfare.reservation set heartbeat_at = now() - interval '1 hour' where process_id = %s"
    database.execute(long_ago, (process,))
    sweep_reservations(database, at=NOW)


def test_a_lease_is_held_until_its_spans_arrive(ledger: LedgerStore, database: Database) -> None:
    """The cost of each moves from what is held to what is spent, at one commit."""
    set_budget(database)
    held = ask(database)
    assert held.granted_usd == D("0.04")
    assert figures(database) == (0, D("0.04"), D("0.96"))
    for n, name in enumerate("ab", start=1):
        ledger.commit([request(spent_call(name, 10_000, held.lease_id))], price)
        assert figures(database) == (CENT * n, D("0.04") - CENT * n, D("0.96"))


def test_a_renewed_lease_has_room_again_and_a_returned_one_gives_back_what_no_call_used(
    ledger: LedgerStore, database: Database
) -> None:
    """What its calls used stays held until they arrive."""
    set_budget(database)
    first = ask(database)
    more = ask(database, held=first, admitted_usd=D("0.03"))
    assert (more.lease_id, more.granted_usd) == (first.lease_id, D("0.07"))
    assert more.lease_id is not None
    assert return_lease(database, more.lease_id, D("0.03"), namespace="default")
    assert figures(database) == (0, D("0.03"), D("0.97"))
    ledger.commit([request(spent_call("a", 30_000, more.lease_id))], price)
    assert figures(database) == (D("0.03"), 0, D("0.97"))
    assert not return_lease(database, more.lease_id, D(0), namespace="another")


def test_calls_dearer_than_estimated_take_no_more_than_they_cost(ledger: LedgerStore, database: Database) -> None:
    """Held is never below zero, and the next lease sees the limit exceeded."""
    set_budget(database, limit="0.40")
    held = ask(database)
    ledger.commit([request(spent_call("a", 420_000, held.lease_id))], price)
    assert figures(database) == (D("0.42"), 0, D("-0.02"))
    assert ask(database, held=held, admitted_usd=D("0.42")).reserves_each_call


def test_an_unknown_cost_stays_held_in_the_lease(ledger: LedgerStore, database: Database) -> None:
    """Until it is known."""
    set_budget(database)
    held = ask(database)
    ledger.commit([request(spent_call("a", 0, held.lease_id, quantities={}))], price)
    assert figures(database)[:2] == (0, D("0.04"))


def test_a_hard_budget_holds_what_a_dead_process_was_granted(ledger: LedgerStore, database: Database) -> None:
    """Its last calls may have been billed. Somebody may say otherwise; a soft budget takes it back."""
    set_budget(database)
    set_budget(database, "soft", "9", enforcement="soft", unpriced="allow")
    held = ask(database, admitted_usd=D(0))
    ledger.commit([request(spent_call("a", 10_000, held.lease_id))], price)
    fall_silent(database)
    assert figures(database) == (CENT, D("0.03"), D("0.96"))
    assert figures(database, "soft")[1] == 0
    (expired,) = held_by_the_expired(database, at=NOW)
    assert (expired.kind, expired.budget, expired.held_usd) == ("lease", "acme-day", D("0.03"))
    assert release_expired(database, expired.reservation_id) == "expired"
    assert figures(database) == (CENT, 0, D("0.99"))
    assert held_by_the_expired(database, at=NOW) == []


def test_what_a_live_process_holds_cannot_be_released(database: Database) -> None:
    """It would spend it all the same."""
    set_budget(database)
    held = ask(database)
    assert held.lease_id is not None
    assert release_expired(database, held.lease_id) == "open"
    assert figures(database)[1] == D("0.04")
    assert release_expired(database, "00000000-0000-0000-0000-000000000000") is None


def test_a_process_that_was_only_silent_goes_on(database: Database) -> None:
    """Its lease is open again."""
    set_budget(database)
    held = ask(database)
    fall_silent(database)
    assert ask(database, held=held, admitted_usd=CENT).lease_id == held.lease_id
    assert held_by_the_expired(database, at=NOW) == []


def test_a_reservation_lives_while_its_process_says_that_the_call_is_under_way(database: Database) -> None:
    """A telephone call may take an hour. When it is over it may be settled late."""
    set_budget(database, "soft", "9", enforcement="soft", unpriced="allow")
    made = reserve(database, ACME, CENT, namespace="default", process_id="p", at=NOW).reservation_id
    assert made is not None
    database.execute("update callfare.reservation set heartbeat_at = now() - interval '1 hour'")
    beat(database, [made], namespace="default")
    sweep_reservations(database, at=NOW)
    assert figures(database, "soft")[1] == CENT
    fall_silent(database)
    assert figures(database, "soft")[1] == 0
    settled = settle(database, made, CENT, namespace="default")
    assert settled is not None
    assert settled.is_late


def test_nothing_expires_while_spans_take_longer_than_the_silence(ledger: LedgerStore, database: Database) -> None:
    """A broker or a spool holds them back: the process may be alive, and its spans on their way."""
    set_budget(database)
    held = ask(database)
    late = int((SILENCE + timedelta(minutes=1)).total_seconds())
    slow = spent_call("a", 10_000, held.lease_id)
    ledger.commit([request(slow, received_at_unix_ns=slow.ended_at_unix_ns + late * 10**9)], price)
    fall_silent(database)
    assert held_by_the_expired(database, at=NOW) == []
    quick = spent_call("b", 10_000, held.lease_id)
    ledger.commit([request(quick, received_at_unix_ns=quick.ended_at_unix_ns)], price)
    database.execute("update callfare.reservation_arrival set lag_seconds = 0")
    fall_silent(database)
    assert len(held_by_the_expired(database, at=NOW)) == 1


@pytest.mark.parametrize("change", ["window", "budgets"])
def test_a_lease_ends_with_its_window_or_its_budgets(database: Database, change: str) -> None:
    """What its calls used stays held where it was; a new one begins at nothing."""
    set_budget(database)
    first = ask(database)
    at = NOW
    if change == "window":
        at += timedelta(days=1)
    else:
        set_budget(database, "other", "5", category="uncategorised")
    wanted = LeaseAsked(estimate_usd=CENT, admitted_usd=D("0.03"))
    second = lease(database, ACME, wanted, namespace="default", process_id="p", lease_id=first.lease_id, at=at)
    assert second.lease_id not in {None, first.lease_id}
    assert second.granted_usd == D("0.04")
    assert figures(database)[1] == (D("0.03") if change == "window" else D("0.07"))


def test_where_no_budget_applies_there_is_nothing_to_lease(database: Database) -> None:
    """The process asks again later."""
    assert ask(database).budgets == ()
    set_budget(database, "other", tenant="globex")
    assert ask(database).lease_id is None


def test_calls_that_no_budget_tells_apart_may_share_a_lease(database: Database) -> None:
    """The process learns which words matter."""
    set_budget(database)
    set_budget(database, "each", "1", tenant="*", user="ann")
    set_budget(database, "globex", "1", tenant="globex", model="gpt-4o")
    assert dimensions(database, "acme") == {"user": ["ann"]}


def test_an_ended_hold_is_forgotten(database: Database) -> None:
    """A day after its window; and its reservation an hour after it was closed."""
    set_budget(database)
    held = ask(database)
    assert held.lease_id is not None
    return_lease(database, held.lease_id, CENT, namespace="default")
    database.execute("update callfare.reservation set closed_at = now() - interval '2 hours'")
    database.execute("update callfare.reservation_hold set window_start = window_start - interval '3 years'")
    sweep_reservations(database, at=NOW)
    assert rows(database, "select count(*) from callfare.reservation") == [(0,)]


# ------------------------------------------------------------------------------------------- against a model


class Process:
    """A process with its lease, as the application keeps it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lease: Lease | None = None
        self.account = Account(D(0))
        self.ledger = Ledger()
        self.under_way: list[tuple[D, D, Claim | None, str]] = []
        self.is_alive = True

    def admitted_usd(self) -> D:
        return self.account.spent_usd + self.account.reserved_usd


class World:
    """Processes, the service, the vendor that counts, and spans on their way."""

    def __init__(self, database: Database, ledger: LedgerStore, limit: D, count: int) -> None:
        self.database, self.store, self.limit = database, ledger, limit
        self.processes = [Process(f"p{n}") for n in range(count)]
        self.billed = self.too_low = self.arrived = D(0)
        self.spans: list[tuple[str, D, str]] = []
        self.stored: list[tuple[str, D, str]] = []
        self.numbers = 0

    def renew(self, process: Process) -> None:
        held = process.lease
        wanted = LeaseAsked(estimate_usd=CENT, admitted_usd=process.admitted_usd() if held else D(0), rate_usd=CENT)
        lease_id = None if held is None else held.lease_id
        got = lease(
            self.database, ACME, wanted, namespace="default", process_id=process.name, lease_id=lease_id, at=NOW
        )
        if got.lease_id != lease_id:
            process.account = Account(got.granted_usd)
        process.lease = got if got.lease_id is not None else None
        process.ledger.limit(process.account, got.granted_usd)

    def call(self, process: Process, estimate: D, actual: D) -> None:
        claim, reservation_id = None, None
        if process.lease is not None:
            claim, _ = process.ledger.claim([process.account], estimate, lambda _: False)
            reservation_id = process.lease.lease_id
        if claim is None:
            made = reserve(self.database, ACME, estimate, namespace="default", process_id=process.name, at=NOW)
            reservation_id = made.reservation_id
        if reservation_id is not None:
            process.under_way.append((estimate, actual, claim, reservation_id))
            self.billed += actual
            self.too_low += max(D(0), actual - estimate)

    def finish(self, process: Process) -> None:
        if process.under_way:
            _, actual, claim, reservation_id = process.under_way.pop(0)
            if claim is not None:
                process.ledger.settle(claim, actual)
            else:
                settle(self.database, reservation_id, actual, namespace="default")
            self.numbers += 1
            self.spans.append((f"s{self.numbers}", actual, reservation_id))

    def arrive(self, *, again: bool = False) -> None:
        if again and self.stored:
            name, actual, reservation_id = self.stored[-1]
        elif self.spans:
            name, actual, reservation_id = self.spans.pop(0)
            self.stored.append((name, actual, reservation_id))
            self.arrived += actual
        else:
            return
        self.store.commit([request(spent_call(name, int(actual * 1_000_000), reservation_id))], price)

    def kill(self, process: Process) -> None:
        """In-flight calls were billed, and their spans are lost."""
        process.is_alive = False
        process.under_way.clear()
        fall_silent(self.database, process.name)

    def check(self) -> None:
        spent, reserved, _ = figures(self.database)
        assert spent == self.arrived
        assert spent + reserved <= self.limit + self.too_low
        assert self.billed <= self.limit + self.too_low
        lost_or_on_the_way = self.billed - self.arrived
        assert reserved >= lost_or_on_the_way - self.too_low


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["call"] * 4 + ["finish"] * 3 + ["arrive"] * 3 + ["renew"] * 2 + ["again", "kill", "sweep"]),
        st.integers(0, 3),
        st.integers(1, 10),
        st.integers(0, 15),
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(STEPS, st.integers(1, 100))
def test_the_vendor_bills_at_most_the_limit_and_what_estimates_were_too_low_by(
    database: Database, ledger: LedgerStore, steps: list[tuple[str, int, int, int]], limit: int
) -> None:
    """Any schedule: late and repeated spans, renewals, processes that die with calls under way."""
    clear(database)
    database.execute("delete from callfare.reservation")
    set_budget(database, limit=str(limit * CENT))
    world = World(database, ledger, limit * CENT, 4)
    for step, number, estimate, actual in steps:
        process = world.processes[number]
        if step in {"arrive", "again"}:
            world.arrive(again=step == "again")
        elif step == "sweep":
            sweep_reservations(database, at=NOW)
        elif process.is_alive:
            match step:
                case "call":
                    world.call(process, estimate * CENT, actual * CENT)
                case "finish":
                    world.finish(process)
                case "renew":
                    world.renew(process)
                case _:
                    world.kill(process)
        world.check()
    assert problems(database) == []


def test_without_kills_nearly_all_of_the_limit_is_used(database: Database, database_url: str) -> None:
    """Sixteen processes and a limit of fifteen estimates: fragments of leases strand nothing."""
    set_budget(database, limit="1.50")
    with psycopg.connect(database_url, autocommit=True) as connection:
        keep_plans(connection)
        world = World(connection, LedgerStore(database_url), D("1.50"), 16)
        for _ in range(3):
            for process in world.processes:
                world.renew(process)
                world.call(process, CENT * 10, CENT * 10)
    assert world.billed == D("1.50")


def schedule(world: World) -> None:
    """Two processes take all there is; one dies, the other goes on until it is refused."""
    first, second = world.processes[:2]
    for process in (first, second, first, second):
        world.renew(process)
        for _ in range(4):
            world.call(process, CENT * 5, CENT * 5)
            world.check()
        world.finish(process)
        world.check()
    world.kill(first)
    for _ in range(30):
        world.call(second, CENT * 5, CENT * 5)
        world.finish(second)
        world.check()
    while world.spans:
        world.arrive()
        world.check()


class ReturnsOnExpiry(World):
    """The fault: what a dead process was granted is given to others."""

    def kill(self, process: Process) -> None:
        super().kill(process)
        self.database.execute(
            "delete from callfare.reservation_hold using callfare.reservation"
            " where reservation.reservation_id = reservation_hold.reservation_id and process_id = %s",
            (process.name,),
        )


class ReleasesBeforeItSettles(World):
    """The fault: a finished call holds nothing, though its span is still on its way."""

    def finish(self, process: Process) -> None:
        super().finish(process)
        self.database.execute("delete from callfare.reservation_hold")


class CountsBesideTheLedger(World):
    """The fault: what was spent is counted when a span is taken in, once more when it comes again."""

    counted = D(0)

    def arrive(self, *, again: bool = False) -> None:
        super().arrive(again=again)
        super().arrive(again=True)
        self.counted += 2 * self.stored[-1][1]

    def check(self) -> None:
        super().check()
        assert self.counted == self.arrived


@pytest.mark.parametrize("fault", [None, ReturnsOnExpiry, ReleasesBeforeItSettles, CountsBesideTheLedger])
def test_each_planted_fault_is_seen(database: Database, ledger: LedgerStore, fault: type[World] | None) -> None:
    """By the checks that the model makes, in one schedule in which the right way passes them."""
    set_budget(database)
    world = (fault or World)(database, ledger, D(1), 2)
    if fault is None:
        schedule(world)
        assert world.billed == D(1)
    else:
        with pytest.raises(AssertionError):
            schedule(world)
