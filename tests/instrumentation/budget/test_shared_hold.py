"""What a call that goes on asks the service for: one thing at a time, and then the latest amount."""

import queue
from collections.abc import Callable
from decimal import Decimal as D

import pytest

from callfare.budget import channel
from callfare.budget.channel import Answer, Channel
from callfare.budget.errors import BudgetExceeded
from callfare.budget.lease import Lease, Words, unavailable
from callfare.budget.ledger import Account, ledger
from callfare.budget.shared import SharedBudgets, unchecked_count
from callfare.budget.shared_hold import OnReserved, SharedHold
from tests.support.waiting import PATIENCE_SECONDS

WORDS: Words = ("acme", "", "", "", "openai", "tts-1")
REFUSED = unavailable({}, "call")


class Later:
    """Budgets of a service that answers when the test does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, D]] = []
        self.answers: list[OnReserved] = []
        self.ended: list[tuple[str, D | str | None]] = []

    def reserve_later(self, words: Words, held_usd: D, call: str, on_reserved: OnReserved) -> None:
        self.asked.append(("", held_usd))
        self.answers.append(on_reserved)

    def extend_later(self, reservation_id: str, words: Words, total_usd: D, call: str, on_reserved: OnReserved) -> None:
        self.asked.append((reservation_id, total_usd))
        self.answers.append(on_reserved)

    def settled(self, reservation_id: str, actual_usd: D | None) -> None:
        self.ended.append((reservation_id, actual_usd))

    def released(self, reservation_id: str) -> None:
        self.ended.append((reservation_id, "released"))


@pytest.fixture
def later() -> Later:
    return Later()


def leased(later: Later, limit: str) -> tuple[SharedHold, Account]:
    """A hold of ten cents in a lease with this much."""
    lease, account = Lease(WORDS), Account(D(limit))
    lease.grant = account, "lease"
    claim, _ = ledger().claim([account], D("0.10"), lambda _: False)
    return SharedHold(later, "lease", claim, lease=lease, words=WORDS), account


def reserved(later: Later) -> SharedHold:
    return SharedHold(later, "own", None, lease=Lease(WORDS), words=WORDS)


def never(error: BudgetExceeded) -> None:
    raise error


def test_pieces_that_come_faster_than_answers_are_asked_for_together(later: Later) -> None:
    """The last amount counts, however many came before it; one that was asked for is not asked for again."""
    hold = reserved(later)
    for cents in range(1, 40):
        hold.extend(D(cents), D(0), never)
    assert later.asked == [("own", D(1))]
    later.answers[0]("own", None)
    assert later.asked == [("own", D(1)), ("own", D(39))]
    later.answers[1]("own", None)
    assert len(later.asked) == 2
    hold.extend(D(2), D(3), never)
    assert later.asked[2] == ("own", D(5))


def test_a_call_moves_once_and_then_holds_the_latest_amount(later: Later) -> None:
    """What it held of its lease is free; what it spent there stays there."""
    hold, account = leased(later, "1.00")
    hold.extend(D(5), D("0.04"), never)
    hold.extend(D(9), D("0.03"), never)
    hold.extend(D(7), D(0), never)
    assert later.asked == [("", D(5))]
    later.answers[0]("own", None)
    assert hold.reservation_id == "own"
    assert later.asked[1:] == [("own", D(7))]
    balance = ledger().balance(account)
    assert (balance.spent_usd, balance.reserved_usd) == (D("0.07"), 0)
    later.answers[1]("own", None)
    hold.settle(D(6))
    assert later.ended == [("own", D(6))]


def test_a_refusal_of_an_amount_that_is_needed_no_longer_is_asked_again(later: Later) -> None:
    """Where what is held now is less, or more, the service is asked for that."""
    hold, notices = reserved(later), []
    hold.extend(D(50), D(0), notices.append)
    hold.extend(D(1), D(0), notices.append)
    later.answers[0](None, REFUSED)
    assert (notices, hold.refusal) == ([REFUSED], REFUSED)
    assert later.asked[1:] == [("own", D(1))]
    later.answers[1]("own", None)
    assert hold.refusal is None


def test_a_call_that_fits_into_its_lease_again_asks_for_nothing(later: Later) -> None:
    """The refusal of what it needs no longer moves it nowhere."""
    hold, account = leased(later, "1.00")
    hold.extend(D(5), D(0), lambda _: None)
    hold.extend(D("0.50"), D(0), never)
    later.answers[0](None, REFUSED)
    assert len(later.asked) == 1
    assert ledger().balance(account).reserved_usd == D("0.50")


@pytest.mark.parametrize("end", ["settle", "release"])
def test_a_reservation_that_comes_too_late_is_given_back(later: Later, end: str) -> None:
    """And nobody hears of a refusal of what has ended."""
    hold, account = leased(later, "1.00")
    hold.extend(D(5), D(0), never)
    hold.settle(D("0.20")) if end == "settle" else hold.release()
    later.answers[0]("own", None)
    assert (later.ended, len(later.asked)) == ([("own", "released")], 1)
    balance = ledger().balance(account)
    assert (balance.spent_usd, balance.reserved_usd) == (D("0.20") if end == "settle" else 0, 0)
    hold = reserved(later)
    hold.extend(D(5), D(0), never)
    hold.release()
    later.answers[-1](None, REFUSED)
    assert later.ended[1:] == [("own", "released")]


def test_the_id_of_a_span_is_that_of_the_money_it_was_counted_in(later: Later) -> None:
    """A part that was settled in the lease is no part of the reservation that came a moment later."""
    hold, _ = leased(later, "1.00")
    hold.extend(D(5), D("0.04"), never)
    later.answers[0]("own", None)
    assert (hold.counted_id, hold.reservation_id) == ("lease", "own")
    hold.extend(D(5), D("0.04"), never)
    assert hold.counted_id == "own"
    hold, _ = leased(later, "1.00")
    hold.extend(D(5), D(0), never)
    later.answers[-1]("own", None)
    hold.settle(D("0.04"))
    assert hold.counted_id == "own"


# --- the way to the service -----------------------------------------------------------------------------------


def test_a_full_queue_answers_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nobody had: a hold whose question was lost would never ask again."""
    monkeypatch.setattr(channel, "_QUEUE_MAX", 0)
    answers: list[tuple[Answer | None, bool]] = []
    Channel("http://127.0.0.1:1").send("/", {}, lambda *answer: answers.append(answer))
    assert answers == [(None, True)]
    hold = SharedHold(SharedBudgets("http://127.0.0.1:1"), "own", None, lease=Lease(WORDS), words=WORDS)
    hold.extend(D(1), D(0), never)
    assert not hold.is_asking


@pytest.mark.expects_internal_errors
def test_an_error_in_taking_an_answer_does_not_end_the_thread() -> None:
    """The next request is answered."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    answered: queue.Queue[object] = queue.Queue()
    line = Channel("http://127.0.0.1:1")
    line.send("/", {}, fail)
    line.send("/", {}, lambda *answer: answered.put(answer))
    assert answered.get(timeout=PATIENCE_SECONDS) == (None, False)


@pytest.mark.parametrize("fails_open", [None, True, False])
def test_a_report_that_nobody_answers_is_no_call_that_passed(fails_open: bool | None) -> None:
    """The call was counted when it began."""
    before = unchecked_count()
    budgets = SharedBudgets("http://127.0.0.1:1", fails_open=fails_open)
    answered: queue.Queue[tuple[str | None, BudgetExceeded | None]] = queue.Queue()
    ask: Callable[..., None] = budgets.reserve_later
    ask(WORDS, D(1), "call", lambda *answer: answered.put(answer))
    found_id, error = answered.get(timeout=PATIENCE_SECONDS)
    assert (found_id, error is not None) == (None, fails_open is False)
    assert unchecked_count() == before
